"""System calls that a submission is refused: what namespaces and limits do not already cover.

Everything is allowed but what stands in the table below, which answers EPERM. Most of it would be
refused anyhow, for want of a capability; leaving it out keeps such code of the kernel from being
tried at all. Some of it matters by itself: memory that no limit counts (memfd_create, System V),
key rings that are shared with the grader, sockets that no namespace holds back (vsock).

Sources: seccomp(2), seccomp_unotify(2), bpf(2), the kernel's asm/unistd.h and linux/audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

# name: (number on x86_64, number on aarch64 and riscv64)
_REFUSED = {
    # other file systems and roots
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    # other namespaces
    "unshare": (272, 97), "setns": (308, 268), "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # key rings
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # large and often attacked parts of the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # the machine
    "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "syslog": (103, 116), "vhangup": (153, 58), "personality": (135, 92),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}  # fmt: skip
_ONLY_X86 = {"modify_ldt": 154, "iopl": 172, "ioperm": 173, "uselib": 134}
# seccomp loads this; the others are looked into, by their first argument.
_LOOKED_INTO = {
    "seccomp": (317, 277), "clone": (56, 220), "clone3": (435, 435),
    "socket": (41, 198), "socketpair": (53, 199),
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "riscv64": (0xC00000F3, 1)}

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*: mount, cgroup, UTS, IPC, user, PID, network
_FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink (which tells interfaces)
_X32 = 0x40000000  # from here on, x86_64 numbers mean another ABI

_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4  # the latter: no slower Python on kernels before 5.16

Step = tuple[int, int, int, int]  # operation, steps to skip if so, if not, value


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def load() -> None:
    """Refuse, from now on and for good, in this process and all that it starts.

    Needs PR_SET_NO_NEW_PRIVS.

    Raises:
        OSError: the kernel or the processor does not know how.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter is known for {machine} processors")
    steps = _filter(*_MACHINES[machine])
    text = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    number = _LOOKED_INTO["seccomp"][_MACHINES[machine][1]]
    program = _Program(len(steps), text)
    if libc.syscall(number, _SET_MODE_FILTER, _SPEC_ALLOW, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter(architecture: int, column: int) -> list[Step]:
    def number(name: str) -> int:
        return _LOOKED_INTO[name][column]

    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
    ]
    numbers = [both[column] for both in _REFUSED.values()]
    if not column:
        numbers += _ONLY_X86.values()
        steps += [(_AT_LEAST, 0, 1, _X32), refuse]
    for one in numbers:
        steps += [(_EQUAL, 0, 1, one), refuse]
    # What clone3 is given cannot be looked into: the C library takes clone where it is missing.
    steps += [(_EQUAL, 0, 1, number("clone3")), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    steps += _when(number("clone"), [(_HAS_BITS, 0, 1, _NEW_NAMESPACES), refuse, allow])
    families: list[Step] = []
    for family in _FAMILIES:
        families += [(_EQUAL, 0, 1, family), allow]
    families.append((_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT))
    for name in ("socket", "socketpair"):
        steps += _when(number(name), families)
    return [*steps, allow]


def _when(number: int, then: list[Step]) -> list[Step]:
    """Steps for one system call, by its first argument. They must end in an answer."""
    return [(_EQUAL, 0, len(then) + 1, number), (_LOAD, 0, 0, _FIRST_ARGUMENT), *then]
