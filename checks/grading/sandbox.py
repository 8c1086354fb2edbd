"""What a submission may see and use on Linux: its own namespaces, a bare read-only root, limits.

The warm process first calls `move_out`, and is process 1 of a PID namespace: whatever it starts
ends with it, however well hidden. Then `lock_in`: from now on it sees the interpreter, its
libraries and this package, read-only, and so does everything that it forks. A `Nursery` forks each
submission into a PID namespace of its own, where it enters user, mount, network and IPC namespaces
of its own, without capabilities, under limits. Works without root where the kernel lets everybody
make user namespaces; as root a submission becomes an unprivileged user first.

Without cgroups, which are not everybody's to use, the memory of all processes of a submission
together is watched from outside, by `fork.py`.

Sources: namespaces(7), user_namespaces(7), pid_namespaces(7), mount_namespaces(7), pivot_root(2),
mount_setattr(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from checks.grading import seccomp
from checks.grading.outcome import Limits

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_KEPT = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC  # a remount may not take these away
_TIMES = {1024: 1024, 2048: 2048, 4096: 1 << 21}  # statvfs flag of access times -> mount flag
_MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS = 1, 4, 8
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITIES = 64  # more than there are
_CAP_SYS_ADMIN = 21

_NOBODY = 65534
_INSIDE = 1000  # the user that a submission is, as it sees itself
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91}
_MOUNT_SETATTR = 442  # on every processor

HOME = "/lesson"  # a submission's private working folder
_SHARED = "size=16m,nr_inodes=1k"  # what /dev/shm holds

_libc = ctypes.CDLL(None, use_errno=True)


class IsolationError(Exception):
    """The kernel does not give what isolation needs; says what and why."""


# -- the warm process -----------------------------------------------------------------------------
def move_out(grader: int) -> None:
    """Go on in a process that ends with the grader, and all below it with that one.

    The calling process waits for it, in between: only the first process of a PID namespace takes
    all others along. Needs a process of one thread.

    Args:
        grader: A pidfd of the process with which to end.

    Raises:
        IsolationError: the kernel refuses.
    """
    if os.geteuid() == 0:
        _unshare(_NEWPID)
    else:
        user, group = os.geteuid(), os.getegid()
        _unshare(_NEWUSER | _NEWPID)
        _map_user(user, user, group, group)
    _die_with(grader)
    between = os.pidfd_open(os.getpid())
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(min(abs(os.waitstatus_to_exitcode(status)), 255))
    _die_with(between)
    os.close(between)
    os.close(grader)


def _die_with(parent: int) -> None:
    """End when the parent ends, given a pidfd of it. Asked last: a change of user takes it back."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([parent], [], [], 0)[0]:
        os._exit(1)


def lock_in(root: Path, visible: Iterable[Path], hidden: Iterable[Path]) -> None:
    """Give this process a root that holds nothing but what is named, read-only. For good.

    Args:
        root: An empty folder to build it on. Outside, it stays empty.
        visible: Files and folders to keep, at their own paths.
        hidden: Folders below those to show as empty.

    Raises:
        IsolationError: the kernel refuses.
    """
    _unshare(_NEWNS)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", _MS_NOSUID, "size=4m,mode=755")
    for path in _without_nested(visible):
        _show(path, root)
    for path in hidden:
        if _below(root, path).is_dir():
            _mount("tmpfs", str(_below(root, path)), "tmpfs", _MS_RDONLY, "size=4k,mode=755")
    _make_devices(root)
    for name in (HOME, "/proc"):
        _below(root, Path(name)).mkdir(exist_ok=True)
    with suppress(FileExistsError):  # the course lies in there; TMPDIR says where to write
        _below(root, Path("/tmp")).symlink_to(HOME)
    # A fresh /proc may be mounted only where one is fully visible; it will cover this one.
    _mount("/proc", str(_below(root, Path("/proc"))), None, _MS_BIND | _MS_REC)
    _pivot(root)
    _remount_read_only("/")


def libraries(project: Path) -> list[Path]:
    """What an interpreter needs to run: itself, its packages, the system's shared libraries.

    Args:
        project: Not this, though Python imports from it where it is installed in place.
    """
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()}
    found |= {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}  # those may be links
    if sys.base_prefix in ("/usr", "/usr/local"):  # those hold much more than Python
        found.discard(Path(sys.base_prefix))
        found |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    imported = {Path(place).resolve() for place in sys.path if Path(place).is_dir()}
    found |= {place for place in imported if not project.resolve().is_relative_to(place)}
    system = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
    shell = ("/bin/sh", "/usr/bin/dash", "/usr/share/zoneinfo", "/etc/localtime")
    return [*found, *(path for name in (*system, *shell) if (path := Path(name)).exists())]


def _without_nested(paths: Iterable[Path]) -> list[Path]:
    kept: list[Path] = []
    for path in sorted({one.absolute() for one in paths}):
        if not any(path != one and path.is_relative_to(one) for one in kept):
            kept.append(path)
    return kept


def _show(path: Path, root: Path) -> None:
    """Lay a file or folder into the new root at its own path; links stay links."""
    place = _below(root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() and path.is_dir():
        if not place.exists():
            place.symlink_to(path.readlink())
        return
    source = path.resolve()
    if source.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    try:
        _mount(str(source), str(place), None, _MS_BIND)
    except IsolationError:  # other mounts lie in it, which only root may leave out
        _mount(str(source), str(place), None, _MS_BIND | _MS_REC)
        _make_all_read_only(str(place))
    else:
        _remount_read_only(str(place))


def _make_all_read_only(place: str) -> None:
    attributes = struct.pack("4Q", 1, 0, 0, 0)  # struct mount_attr: MOUNT_ATTR_RDONLY
    at_fdcwd, recursive = -100, 0x8000
    if _libc.syscall(_MOUNT_SETATTR, at_fdcwd, os.fsencode(place), recursive, attributes, 32):
        raise _refused(f"mount_setattr {place}")


def _make_devices(root: Path) -> None:
    folder = root / "dev"
    folder.mkdir()
    for name in ("null", "zero", "full", "random", "urandom"):
        (folder / name).touch()
        _mount(f"/dev/{name}", str(folder / name), None, _MS_BIND)
    (folder / "shm").mkdir()
    (folder / "fd").symlink_to("/proc/self/fd")


def _pivot(root: Path) -> None:
    os.chdir(root)
    _syscall(_PIVOT_ROOT, b".", b".")  # the old root is now mounted over the new one
    if _libc.umount2(b".", _MNT_DETACH):
        raise _refused("umount")
    os.chdir("/")


def _remount_read_only(place: str) -> None:
    flags = os.statvfs(place).f_flag
    kept = flags & _KEPT | sum(mount for seen, mount in _TIMES.items() if flags & seen)
    _mount(None, place, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


# -- a submission's process -----------------------------------------------------------------------
class Nursery:
    """Where the warm process forks submissions: each child is process 1 of a PID namespace."""

    def __init__(self) -> None:
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(self) -> int:
        """Fork; 0 in the child, which is to call `enter` at once.

        Raises:
            IsolationError: the kernel refuses.
            OSError: there is no room for one more process.
        """
        _unshare(_NEWPID)  # for children
        child = -1
        try:
            child = os.fork()
        finally:
            if child and _libc.setns(self._home, _NEWPID):
                raise _refused("setns")
        return child

    def enter(self, limits: Limits) -> None:
        """Shut this process in, under limits.

        Of the namespaces that it is in afterwards it owns only that of its user: whatever it may
        become in there, the others are not its own to change.

        Args:
            limits: What may be used in there.

        Raises:
            IsolationError: the kernel refuses.
        """
        os.setsid()  # else kill(0, ...) would reach the grader
        _unshare(_NEWNS | _NEWNET | _NEWIPC | _NEWUTS)
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)  # before it is covered
        user = _user_to_become()
        _furnish(limits, user)
        if user is not None:
            _become(user)
        owner, group = os.geteuid(), os.getegid()
        _unshare(_NEWUSER)
        _map_user(_INSIDE, owner, _INSIDE, group, proc)
        os.close(proc)
        _limit(limits)
        _drop_capabilities()
        try:
            seccomp.load()
        except OSError as error:
            raise IsolationError(f"system calls cannot be filtered ({error.strerror})") from error


def _furnish(limits: Limits, user: int | None) -> None:
    """A private folder, its own /proc, a loopback that leads nowhere."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    private = "mode=700" if user is None else f"mode=700,uid={user},gid={user}"
    for place, size in ((HOME, f"size={limits.folder}m,nr_inodes=20k"), ("/dev/shm", _SHARED)):
        _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, f"{size},{private}")
    try:
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except IsolationError:  # masked, as in some containers: none at all, then
        _mount("tmpfs", "/proc", "tmpfs", _MS_RDONLY, "size=4k,mode=555")
    _raise_loopback()
    with suppress(OSError):
        socket.sethostname("lesson")
    os.chdir(HOME)


def _user_to_become() -> int | None:
    """Nobody, for root; None for all others, and for a root who is root only in a container."""
    if os.geteuid() != 0:
        return None
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        start, _, count = map(int, line.split())
        if start <= _NOBODY < start + count:
            return _NOBODY
    return None


def _become(user: int) -> None:
    """Change root to another user, who keeps what it takes to make a user namespace."""
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.setresuid(user, user, user)
    except OSError as error:
        raise IsolationError(f"root may not become another user ({error.strerror})") from error
    _prctl(_PR_SET_DUMPABLE, 1)  # else its maps belong to root
    _set_capabilities(1 << _CAP_SYS_ADMIN)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, suppress(OSError):
        request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(line, 0x8914, request)  # SIOCSIFFLAGS


def _limit(limits: Limits) -> None:
    mega = 1 << 20
    with suppress(OSError):  # when memory runs out all the same, the submission goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    used = _address_space()
    for kind, most in (
        (resource.RLIMIT_AS, used + limits.memory * mega),
        (resource.RLIMIT_FSIZE, limits.folder * mega),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_CPU, int(limits.total) + 5),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hardest = resource.getrlimit(kind)[1]
        if hardest != resource.RLIM_INFINITY:
            most = min(most, hardest)
        resource.setrlimit(kind, (most, most))


def _address_space() -> int:
    """Bytes of address space in use: what the warm process brought along."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 1 << 30
    return pages * resource.getpagesize()


def _drop_capabilities() -> None:
    for capability in range(_CAPABILITIES):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # beyond the last one it only says so
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _set_capabilities(0)


def _set_capabilities(bits: int) -> None:
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    _syscall(_CAPSET, header, struct.pack("6I", bits, bits, 0, 0, 0, 0))


# -- system calls ---------------------------------------------------------------------------------
def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _map_user(
    inside: int, outside: int, inside_group: int, outside_group: int, proc: int | None = None
) -> None:
    here = os.open("/proc", os.O_PATH) if proc is None else proc
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{inside} {outside} 1"),
            ("gid_map", f"{inside_group} {outside_group} 1"),
        ):
            file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=here)
            try:
                os.write(file, text.encode())
            finally:
                os.close(file)
    except OSError as error:
        raise IsolationError(f"the kernel maps no user into a new namespace ({error})") from error
    finally:
        if proc is None:
            os.close(here)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        raise _refused("unshare")


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    def encoded(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    if _libc.mount(
        encoded(source), encoded(target), encoded(kind), ctypes.c_ulong(flags), encoded(options)
    ):
        raise _refused(f"mount {target}")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise _refused(f"prctl {option}")


def _syscall(numbers: dict[str, int], *arguments: bytes) -> None:
    machine = os.uname().machine
    if machine not in numbers:
        raise IsolationError(f"isolation has not been taught to {machine} processors")
    if _libc.syscall(numbers[machine], *arguments):
        raise _refused(f"system call {numbers[machine]}")


def _refused(what: str) -> IsolationError:
    number = ctypes.get_errno()
    name = errno.errorcode.get(number, str(number))
    return IsolationError(f"{what}: {os.strerror(number)} ({name})")
