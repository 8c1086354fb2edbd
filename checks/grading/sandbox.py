"""What a submission may see and use on Linux: its own namespaces, a bare read-only root, limits.

The warm process calls `lock_in` once; from then on it sees the interpreter, its libraries and this
package, read-only, and so does everything that it forks. For each submission it calls `enter`, and
comes back from it twice removed: in a process of its own user, mount, network, PID and IPC
namespaces, without capabilities, under limits. Works without root where the kernel lets everybody
make user namespaces; as root it drops to an unprivileged user first.

Sources: namespaces(7), user_namespaces(7), pid_namespaces(7), mount_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from checks.grading.outcome import Limits

_NEWNS, _NEWUTS, _NEWIPC = 0x00020000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_KEPT = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC  # a remount may not take these away
_TIMES = {1024: 1024, 2048: 2048, 4096: 1 << 21}  # statvfs flag of access times -> mount flag
_MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITIES = 64  # more than there are

_NOBODY = 65534
_INSIDE = 1000  # the user that a submission is, as it sees itself
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91}

HOME = "/lesson"  # a submission's private working folder

_libc = ctypes.CDLL(None, use_errno=True)


class IsolationError(Exception):
    """The kernel does not give what isolation needs; says what and why."""


# -- the warm process -----------------------------------------------------------------------------
def lock_in(root: Path, visible: Iterable[Path], hidden: Iterable[Path]) -> None:
    """Give this process a root that holds nothing but what is named, read-only. For good.

    Args:
        root: An empty folder to build it on. Outside, it stays empty.
        visible: Files and folders to keep, at their own paths.
        hidden: Folders below those to show as empty.

    Raises:
        IsolationError: the kernel refuses.
    """
    if os.geteuid() == 0:
        _unshare(_NEWNS)
    else:
        user, group = os.geteuid(), os.getegid()
        _unshare(_NEWUSER | _NEWNS)
        _map_user(user, user, group, group)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", _MS_NOSUID, "size=4m,mode=755")
    for path in _without_nested(visible):
        _show(path, root)
    for path in hidden:
        if _below(root, path).is_dir():
            _mount("tmpfs", str(_below(root, path)), "tmpfs", _MS_RDONLY, "size=4k,mode=755")
    _make_devices(root)
    for name in (HOME, "/tmp", "/proc"):
        _below(root, Path(name)).mkdir(exist_ok=True)
    _below(root, Path("/tmp")).rmdir()
    _below(root, Path("/tmp")).symlink_to(HOME)
    # A fresh /proc may be mounted only where one is fully visible; it will cover this one.
    _mount("/proc", str(_below(root, Path("/proc"))), None, _MS_BIND | _MS_REC)
    _pivot(root)
    _remount_read_only("/")


def libraries() -> list[Path]:
    """What an interpreter needs to run: itself, its packages, the system's shared libraries."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()}
    if sys.base_prefix in ("/usr", "/usr/local"):  # those hold much more than Python
        found.discard(Path(sys.base_prefix))
        found |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
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
    _mount(str(source), str(place), None, _MS_BIND)
    _remount_read_only(str(place))


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
def enter(limits: Limits, tell: Callable[[int], None]) -> None:
    """Go on in a process that is shut in; the calling one waits for it and ends.

    Between the two stands a third: process 1 of the new PID namespace. It runs nothing of the
    submission's. When it goes, the kernel ends everything in there, however well hidden, and it
    goes with the warm process.

    Args:
        limits: What may be used in there.
        tell: Given process 1's id as the outside sees it, before anything else happens.

    Raises:
        IsolationError: the kernel refuses.
    """
    warm = os.getppid()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        _prctl(_PR_SET_DUMPABLE, 1)  # else the maps below belong to root
    user, group = os.geteuid(), os.getegid()
    _unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS)
    _map_user(_INSIDE, user, _INSIDE, group)
    first = os.fork()
    if first:
        die_with(warm)
        tell(first)
        _wait_and_end(first)
    die_with(None)
    _furnish(limits)
    inner = os.fork()
    if inner:
        _prctl(_PR_SET_DUMPABLE, 0)
        _reap_until(inner)
    _limit(limits)
    _drop_capabilities()


def die_with(parent: int | None) -> None:
    """End when the parent ends. Asked for last, since a change of user takes it back."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def _wait_and_end(child: int) -> None:
    _, status = os.waitpid(child, 0)
    os._exit(min(abs(os.waitstatus_to_exitcode(status)), 255))


def _reap_until(child: int) -> None:
    """Process 1's life: bury whatever dies, end with the submission."""
    os.closerange(0, 64)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(0)
        if pid == child:
            os._exit(min(abs(os.waitstatus_to_exitcode(status)), 255))


def _furnish(limits: Limits) -> None:
    """A private folder, its own /proc, a loopback that leads nowhere."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    private = f"size={limits.folder}m,nr_inodes=20k,mode=700"
    _mount("tmpfs", HOME, "tmpfs", _MS_NOSUID | _MS_NODEV, private)
    _mount("tmpfs", "/dev/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "size=16m,mode=700")
    try:
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    except IsolationError:  # masked, as in some containers: none at all, then
        _mount("tmpfs", "/proc", "tmpfs", _MS_RDONLY, "size=4k,mode=555")
    else:
        with suppress(OSError):  # no further namespaces from in here
            Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    _raise_loopback()
    with suppress(OSError):
        socket.sethostname("lesson")
    os.chdir(HOME)


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
    header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    _syscall(_CAPSET, header, bytes(24))


# -- system calls ---------------------------------------------------------------------------------
def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _map_user(inside: int, outside: int, inside_group: int, outside_group: int) -> None:
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{inside} {outside} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{inside_group} {outside_group} 1", "ascii")
    except OSError as error:
        raise IsolationError(f"the kernel maps no user into a new namespace ({error})") from error


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
