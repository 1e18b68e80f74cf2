"""Runs one command under Landlock and a system-call filter: a program of its own, which imports nothing of ours.

Started as `python -I -S launcher.py FD`, where FD gives a `Specification` as JSON. Three processes come of it. The
first waits, and is what a caller kills. The second, in a session of its own, adopts whatever the command leaves behind
and kills it at the end, also when the first is gone; it answers the calls that Landlock does not know (modes, owners
and times of files; on old kernels signals). The third gives up its rights and becomes the command.

Sources: landlock(7), seccomp_unotify(2), capabilities(7), linux/landlock.h, linux/seccomp.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import platform
import re
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

# Access rights to files: LANDLOCK_ACCESS_FS_*
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE = 1 << 4 | 1 << 5  # directories, files
_MAKE = 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12  # directories, files, FIFOs, links; neither devices nor sockets
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_READ = EXECUTE | READ_FILE | READ_DIR
_CHANGE = WRITE_FILE | _REMOVE | _MAKE | _REFER | _TRUNCATE
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI
_TCP_ABI, SCOPE_ABI = 4, 6  # from which TCP ports, and signals and abstract sockets, can be restricted
_ATTRIBUTES = {_TCP_ABI: 16, SCOPE_ABI: 24}  # size of struct landlock_ruleset_attr

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CALLS = {"x86_64": {"seccomp": 317, "capset": 126}, "aarch64": {"seccomp": 277, "capset": 91}}
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5  # SECCOMP_*
_SET_NO_NEW_PRIVS, _SET_CHILD_SUBREAPER, _CAPBSET_DROP, _CAP_AMBIENT, _SET_PDEATHSIG = 38, 36, 24, 47, 1
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102  # SECCOMP_IOCTL_NOTIF_*
_CONTINUE = 1
_HERE = -100  # AT_FDCWD
_NO_FOLLOW, _EMPTY_PATH = 0x100, 0x1000
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2  # UTIME_*
_OWN_DESCRIPTOR = re.compile(rb"/(?:proc/self|proc/thread-self|dev)/fd/(\d+)")
_FAILED = 125  # exit code when the command could not be confined

_libc = ctypes.CDLL(None, use_errno=True)

Specification = Mapping[str, Any]


def landlock_abi() -> int:
    """The version of Landlock that the kernel offers; 0 where there is none, or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def main() -> NoReturn:
    with os.fdopen(int(sys.argv[1]), "rb") as stream:
        specification: Specification = json.load(stream)
    ending, ours = os.pipe()  # tells the supervisor that we are gone
    status_in, status_out = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.close(ours)
        os.close(status_in)
        _supervise(specification, ending, status_out)
    os.close(ending)
    os.close(status_out)
    with os.fdopen(status_in, "rb") as told:
        said = told.read()
    os.waitpid(supervisor, 0)
    os._exit(said[0] if said else _FAILED)


def _supervise(specification: Specification, ending: int, status: int) -> NoReturn:
    """Start the command, answer its calls, and end when it does or when the first process is gone."""
    code = _FAILED
    try:
        os.setsid()
        drop_capabilities()
        _prctl(_SET_CHILD_SUBREAPER, 1)
        ours, theirs = socket.socketpair()
        command = os.fork()
        if command == 0:
            ours.close()
            os.close(ending)
            os.close(status)
            _become(specification, theirs)
        theirs.close()
        listener = _received(ours)
        if listener is not None:
            answers = Answers(listener, specification["writable"], specification["protected"])
            code = _watch(command, ending, answers)
        else:
            code = _exit_code(os.waitpid(command, 0)[1])
    finally:
        _end_descendants()
        with contextlib.suppress(OSError):
            os.write(status, bytes([code]))
        os._exit(0)


def _watch(command: int, ending: int, answers: Answers) -> int:
    """Answer calls until the command has ended; its exit code."""
    waking, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    poll = select.poll()
    for descriptor in (waking, ending, answers.listener):
        poll.register(descriptor, select.POLLIN)
    while True:
        ended = _reap(command)
        if ended is not None:
            return ended
        for descriptor, event in poll.poll():
            if descriptor == ending:
                return _FAILED
            if descriptor == waking:
                with contextlib.suppress(BlockingIOError):
                    os.read(waking, 4096)
            elif event & select.POLLIN:
                answers.answer()
            else:
                poll.unregister(descriptor)  # nobody is left who could ask


def _reap(command: int) -> int | None:
    """Bury what has ended; the exit code of `command` if that is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == command:
                found = _exit_code(status)
    return found


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_descendants() -> None:
    """Kill all that came of the command. Orphans are ours, so that nobody gets away by a session of its own."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)  # the kernel is still tearing them down


def descendants(ancestor: int) -> set[int]:
    """Ids of all processes below `ancestor`."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := _parent(int(name))) is not None:
            children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    pending = [ancestor]
    while pending:
        below = children.get(pending.pop(), [])
        found.update(below)
        pending += below
    return found


def _parent(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def _fields(pid: int) -> list[bytes]:
    """State, parent, process group and session of a process or thread; nothing once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:4]
    except OSError:
        return []


# --- the command's side -------------------------------------------------------------------------------------------


def _become(specification: Specification, channel: socket.socket) -> NoReturn:
    """Give up all rights but those of the specification, and become its command."""
    argv = specification["argv"]
    try:
        os.setsid()
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; a command expects to die of them
            signal.signal(ignored, signal.SIG_DFL)
        os.chdir(specification["cwd"])
        _limit_processes(specification["processes"])
        drop_capabilities()
        _prctl(_SET_NO_NEW_PRIVS, 1)
        restrict(specification, min(landlock_abi(), specification["abi"]))
        listener = _install_filter(bytes.fromhex(specification["filter"]))
        socket.send_fds(channel, [b"x"], [listener])
        os.close(listener)
        channel.close()
    except BaseException as error:  # whatever it is: nothing may run
        os.write(2, f"inhouse: cannot confine: {error}\n".encode())
        os._exit(_FAILED)
    try:
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127 if error.errno == errno.ENOENT else 126)


def _limit_processes(most: int | None) -> None:
    """A wall for fork bombs, above what the user runs already; the kernel does not count root's processes."""
    if most is None or os.getuid() == 0:
        return
    own = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                own += len(os.listdir(f"/proc/{name}/task"))
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    wanted = own + most if hard == resource.RLIM_INFINITY else min(own + most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (wanted, wanted))


def drop_capabilities() -> None:
    """No capability is left, and none comes back with a program that is run: also for root."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # refused where there is nothing to drop
    _libc.prctl(_CAP_AMBIENT, 4, 0, 0, 0)
    header, sets = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call("capset", header, sets)


def restrict(specification: Specification, abi: int) -> None:
    """Enter a Landlock domain in which `readable` can be read and run, `writable` changed, and nothing else opened."""
    if abi < 1:
        raise OSError(errno.EOPNOTSUPP, "the kernel has no Landlock")
    handled = _HANDLED[min(abi, max(_HANDLED))]
    attributes = struct.pack("=QQQ", handled, 3 if abi >= _TCP_ABI else 0, 3 if abi >= SCOPE_ABI else 0)
    size = max((size for least, size in _ATTRIBUTES.items() if abi >= least), default=8)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for names, rights in ((specification["readable"], _READ), (specification["writable"], _READ | _CHANGE),
                          (specification["devices"], READ_FILE | WRITE_FILE)):  # fmt: skip
        for name in names:
            _allow(ruleset, name, rights & handled)
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, name: str, rights: int) -> None:
    """A rule for one file or folder; a link is not followed, and needs none to be read."""
    try:
        beneath = os.open(name, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # gone, or never there: nothing to allow
        return
    kind = os.fstat(beneath).st_mode
    if not stat.S_ISDIR(kind):
        rights &= _OF_FILES
    if stat.S_ISLNK(kind) or not rights:
        os.close(beneath)
        return
    rule = struct.pack("=Qi", rights, beneath)
    _checked(_libc.syscall(_ADD_RULE, ruleset, ctypes.c_int(1), rule, ctypes.c_uint32(0)))
    os.close(beneath)


def _install_filter(program: bytes) -> int:
    """Put a system-call filter over this process; the descriptor at which calls wait for an answer."""
    code = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    try:
        return _call("seccomp", _SET_MODE_FILTER, ctypes.c_uint(_NEW_LISTENER | _WAIT_KILLABLE), pointer)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux 5.18 and older: a signal may interrupt a call that waits
            raise
        return _call("seccomp", _SET_MODE_FILTER, ctypes.c_uint(_NEW_LISTENER), pointer)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, value, 0, 0, 0))


def _call(name: str, *arguments: object) -> int:
    return _checked(_libc.syscall(_CALLS[platform.machine()][name], *arguments))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _received(channel: socket.socket) -> int | None:
    """The descriptor that the command sent; None when it ended before that."""
    with channel:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    return descriptors[0] if descriptors else None


# --- the supervisor's side ----------------------------------------------------------------------------------------

_Arguments = Sequence[int]


class Answers:
    """Carries out, for the command, what the filter holds up: only on files below `writable` but not below `protected`.

    A file is opened here, its place is looked up from the descriptor, and the change is made to the descriptor: what
    the command does to names meanwhile makes no difference.
    """

    def __init__(self, listener: int, writable: Iterable[str], protected: Iterable[str]) -> None:
        self.listener = listener
        self._writable = [os.path.realpath(path) for path in writable]
        self._protected = [os.path.realpath(path) for path in protected]
        self._supervisor = os.getpid()
        self._asked = 0  # what the kernel calls the request that is being answered
        calls: dict[str, Callable[[int, _Arguments], bool]] = {
            "chmod": lambda pid, a: self._chmod(pid, _HERE, a[0], a[1], 0),
            "fchmod": lambda pid, a: self._chmod(pid, a[0], None, a[1], 0),
            "fchmodat": lambda pid, a: self._chmod(pid, a[0], a[1], a[2], 0),
            "fchmodat2": lambda pid, a: self._chmod(pid, a[0], a[1], a[2], a[3]),
            "chown": lambda pid, a: self._chown(pid, _HERE, a[0], a[1:3], 0),
            "lchown": lambda pid, a: self._chown(pid, _HERE, a[0], a[1:3], _NO_FOLLOW),
            "fchown": lambda pid, a: self._chown(pid, a[0], None, a[1:3], 0),
            "fchownat": lambda pid, a: self._chown(pid, a[0], a[1], a[2:4], a[4]),
            "utimensat": lambda pid, a: self._utime(pid, a[0], a[1] or None, a[2], a[3]),
            "kill": lambda pid, a: self._signal(pid, _signed(a[0])),
            "tkill": lambda pid, a: self._signal(pid, _signed(a[0])),
            "tgkill": lambda pid, a: self._signal(pid, _signed(a[0])),
            "rt_sigqueueinfo": lambda pid, a: self._signal(pid, _signed(a[0])),
            "rt_tgsigqueueinfo": lambda pid, a: self._signal(pid, _signed(a[0])),
        }
        column = 0 if platform.machine() == "x86_64" else 1
        self._calls = {numbers[column]: calls[name] for name, numbers in ANSWERED.items()}

    def answer(self) -> None:
        """Take one call that waits, carry it out or refuse it, and tell its caller."""
        request = bytearray(80)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
        except OSError:  # the caller was killed meanwhile
            return
        self._asked, pid, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", request)
        error, flags = 0, 0
        try:
            if self._calls[number](pid, arguments):
                flags = _CONTINUE
        except OSError as refused:
            error = -(refused.errno or errno.EPERM)
        except (ValueError, OverflowError, KeyError):
            error = -errno.EINVAL
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.listener, _SEND, bytearray(struct.pack("=QqiI", self._asked, 0, error, flags)))

    def _chmod(self, pid: int, folder: int, path: int | None, mode: int, flags: int) -> bool:
        with self._opened(pid, folder, path, flags) as name:
            os.chmod(name, mode & 0o1777)
        return False

    def _chown(self, pid: int, folder: int, path: int | None, owner: Sequence[int], flags: int) -> bool:
        """Nobody gives files away; what leaves them with the user is done."""
        user, group = map(_signed, owner)
        with self._opened(pid, folder, path, flags) as name:
            if user not in (-1, os.getuid()) or group not in (-1, os.getgid(), *os.getgroups()):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            os.chown(name, user, group)
        return False

    def _utime(self, pid: int, folder: int, path: int | None, times: int, flags: int) -> bool:
        with self._opened(pid, folder, path, flags) as name:
            status = os.stat(name)
            wanted = [time.time_ns()] * 2
            if times:
                given = struct.unpack("=4q", _memory(pid, times, 32))
                before = (status.st_atime_ns, status.st_mtime_ns)
                for at in range(2):
                    seconds, nanoseconds = given[2 * at : 2 * at + 2]
                    if nanoseconds == _OMIT:
                        wanted[at] = before[at]
                    elif nanoseconds != _NOW:
                        wanted[at] = seconds * 10**9 + nanoseconds
            os.utime(name, ns=(wanted[0], wanted[1]))
        return False

    def _signal(self, caller: int, target: int) -> bool:
        """Whether a signal stays among the command's processes: itself, its group, what came of the command."""
        if target in (0, caller):
            return True
        own = descendants(self._supervisor)
        if target > 0:
            inside = target in own or _thread_group(target) in own
        else:
            inside = target != -1 and any(_fields(pid)[2:3] == [b"%d" % -target] for pid in own)
        if not inside:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return True

    @contextlib.contextmanager
    def _opened(self, pid: int, folder: int, path: int | None, flags: int) -> Any:
        """A name of our own for the file that a process means. Raises OSError unless it may be changed."""
        folder = _signed(folder)
        here = f"/proc/{pid}/cwd" if folder == _HERE else f"/proc/{pid}/fd/{folder}"
        text = b"" if path is None else _text(pid, path)
        if not text and path is not None and not flags & _EMPTY_PATH:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if own := _OWN_DESCRIPTOR.fullmatch(text):
            text = b"/proc/%d/fd/%d" % (pid, int(own[1]))
        with contextlib.ExitStack() as opened:
            beneath = None
            if not text.startswith(b"/"):
                beneath = _open_path(here.encode(), 0)
                opened.callback(os.close, beneath)
            if text or beneath is None:
                descriptor = _open_path(text, os.O_NOFOLLOW if flags & _NO_FOLLOW else 0, beneath)
                opened.callback(os.close, descriptor)
            else:
                descriptor = beneath
            fcntl.ioctl(self.listener, _IS_VALID, struct.pack("=Q", self._asked))  # `pid` was the caller until now
            name = f"/proc/self/fd/{descriptor}"
            place = os.readlink(name)
            if not _below(place, self._writable) or _below(place, self._protected):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            yield name


# name: number on x86-64, on ARM (None where there is no such call)
ANSWERED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "chown": (92, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "fchown": (93, 55), "fchownat": (260, 54), "kill": (62, 129), "lchown": (94, None),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "tgkill": (234, 131), "tkill": (200, 130), "utimensat": (280, 88),
}  # fmt: skip
SIGNALS = ("kill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tgkill", "tkill")


def _below(place: str, roots: Sequence[str]) -> bool:
    return any(place == root or place.startswith(root.rstrip("/") + "/") for root in roots)


def _open_path(path: bytes, flags: int, folder: int | None = None) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=folder)


def _signed(value: int) -> int:
    """The low half of a register as the C type int."""
    return int(ctypes.c_int32(value & 0xFFFFFFFF).value)


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        return os.pread(file.fileno(), size, address)


def _text(pid: int, address: int) -> bytes:
    """The path at an address of another process. Reads up to page boundaries: the next page may not be there."""
    found = b""
    while b"\0" not in found:
        if len(found) >= 4096:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        at = address + len(found)
        found += _memory(pid, at, 4096 - at % 4096)
    return found[: found.index(b"\0")]


def _thread_group(task: int) -> int:
    """The process that a thread belongs to. Raises OSError if there is none."""
    with open(f"/proc/{task}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))


if __name__ == "__main__":
    main()
