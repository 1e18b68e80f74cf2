"""A system-call filter (seccomp BPF) for confined commands, on x86-64 and 64-bit ARM. Knows nothing of files or mounts.

Namespaces hide what lies outside; the filter takes away the calls that could lead around them: kernel keyrings (which
no namespace separates), new namespaces and mounts, io_uring (which no filter sees through), virtual-machine sockets
(which ignore network namespaces), terminal injection, set-user-id files, kernel modules, tracing of the kernel.

Source: seccomp(2), linux/filter.h, linux/seccomp.h; numbers from asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from inhouse.errors import SandboxError
from inhouse.workspace.confinement.launcher import ANSWERED, SIGNALS

_LOAD, _AND, _JEQ, _JGE, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # x86-64's second calling convention, with numbers of its own

_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_NEWTIME = 0x80
_SET_ID = 0o6000
_CREATES = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE
_TRUNCATES, _ACCESS = 0o1000, 0o3  # O_TRUNC, O_ACCMODE
_TRUNCATE_ABI, _SCOPE_ABI = 3, 6  # from which version on Landlock restricts truncation, and signals
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: those that namespaces confine
_TERMINAL = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD
_FILE_FLAGS = (0x40086602, 0x401C5820)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR
_OWNERS = (8, 15)  # F_SETOWN, F_SETOWN_EX: who gets a signal when something can be read
_OWNER_REQUESTS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: the same

# Refused always. Those that programs can do without after ENOSYS come second.
_REFUSED = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init",
    "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "ioperm", "iopl", "kexec_file_load",
    "kexec_load", "keyctl", "lookup_dcookie", "modify_ldt", "mount", "mount_setattr", "move_mount", "nfsservctl",
    "open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "reboot",
    "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2",
    "userfaultfd", "vhangup",
)  # fmt: skip
_UNKNOWN = ("clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "memfd_secret", "openat2")
# Refused where no namespace separates them: what reaches other processes of the user, or files by their names alone.
_SHARED = (
    "mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop",
    "shmat", "shmctl", "shmget", "futimesat", "utime", "utimes", "file_setattr",
)  # fmt: skip
_ATTRIBUTES = (
    "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr", "setxattrat",
)  # fmt: skip
_OWN_ONLY = {"ioprio_set": 1, "prlimit64": 0, "sched_setaffinity": 0, "sched_setattr": 0, "sched_setparam": 0,
             "sched_setscheduler": 0, "setpriority": 1}  # the argument that must be 0, the caller  # fmt: skip
_OF_USERS = {"ioprio_set": 3, "setpriority": 2}  # first argument: all processes of a user
_MODES = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mkdir": 1, "mkdirat": 2,
          "mknod": 1, "mknodat": 2}  # fmt: skip
_OPENS = {"open": (1, 2), "openat": (2, 3)}  # which arguments are flags and mode

# name: number on x86-64, on ARM (None where there is no such call)
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chmod": (90, None),
    "chroot": (161, 51), "clock_adjtime": (305, 266), "clock_settime": (227, 112), "clone": (56, 220),
    "clone3": (435, 435), "creat": (85, None), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "finit_module": (313, 273),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, None), "iopl": (172, None),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219), "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447), "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33),
    "modify_ldt": (154, None), "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429),
    "nfsservctl": (180, 42), "open": (2, None), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "openat": (257, 56), "openat2": (437, 437), "perf_event_open": (298, 241), "pivot_root": (155, 41),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142), "request_key": (249, 218),
    "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170),
    "socket": (41, 198), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39),
    "unshare": (272, 97), "userfaultfd": (323, 282), "vhangup": (153, 58),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193),
    "semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "truncate": (76, 45), "prlimit64": (302, 261),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274), "fcntl": (72, 25),
    "socketpair": (53, 199), "pidfd_send_signal": (424, 424),
}  # fmt: skip


@dataclass(frozen=True)
class _Processor:
    audit: int  # AUDIT_ARCH_*
    column: int  # of NUMBERS

    def number(self, name: str) -> int | None:
        return NUMBERS[name][self.column]


_PROCESSORS = {"x86_64": _Processor(0xC000003E, 0), "aarch64": _Processor(0xC00000B7, 1)}


def filter_program(machine: str) -> bytes:
    """The filter as an array of struct sock_filter, for a command that has namespaces of its own (`bwrap --seccomp`).

    `machine` is as platform.machine() names it. Raises SandboxError for one whose calls are not known here.
    """
    processor = _processor(machine)
    families = [_step(_JEQ, family, len(_FAMILIES) - at, 0) for at, family in enumerate(_FAMILIES)]
    sockets = _when(processor.number("socket"), [*_argument(0), *families, _refusal(errno.EAFNOSUPPORT)])
    return b"".join([*_common(processor), *sockets, _step(_RETURN, _ALLOW)])


def shared_filter_program(machine: str, abi: int) -> bytes:
    """The filter for a command without namespaces, behind Landlock of version `abi`; `launcher.Answers` belongs to it.

    No sockets but connected pairs: TCP rules know ports and no addresses, so that the loopback interface cannot be
    told from the network. Raises like `filter_program`.
    """
    processor = _processor(machine)
    refuse, denied = _refusal(errno.EPERM), _refusal(errno.EACCES)
    code = _common(processor)
    for names, number in ((_SHARED, errno.ENOSYS), (_ATTRIBUTES, errno.EOPNOTSUPP), (("socket",), errno.EACCES)):
        for name in names:
            code += _when(processor.number(name), [_refusal(number)], reload=False)
    # Pairs of datagram sockets could be connected anew, to a server of the user's.
    kinds = [*_argument(1, 0xF), _step(_JEQ, 1, 2, 0), _step(_JEQ, 5, 1, 0), denied]  # SOCK_STREAM, SOCK_SEQPACKET
    code += _when(processor.number("socketpair"), kinds)
    for name, process in _OWN_ONLY.items():
        code += _when(processor.number(name), [*_argument(process), _step(_JEQ, 0, 1, 0), refuse])
    for name, which in _OF_USERS.items():
        code += _when(processor.number(name), [*_argument(0), _step(_JEQ, which, 0, 1), refuse])
    for request in (*_FILE_FLAGS, *_OWNER_REQUESTS):
        code += _when(processor.number("ioctl"), [*_argument(1), _step(_JEQ, request, 0, 1), refuse])
    if abi < _SCOPE_ABI:
        # Names its process by a descriptor, which another thread could exchange while the supervisor looks.
        code += _when(processor.number("pidfd_send_signal"), [_refusal(errno.ENOSYS)], reload=False)
        for request in _OWNERS:
            code += _when(processor.number("fcntl"), [*_argument(1), _step(_JEQ, request, 0, 1), refuse])
    if abi < _TRUNCATE_ABI:
        code += _when(processor.number("truncate"), [denied], reload=False)
        for name, (flags, _) in _OPENS.items():  # cut off without being opened for writing
            cut = [*_argument(flags, _TRUNCATES | _ACCESS), _step(_JEQ, _TRUNCATES, 0, 1), denied]
            code += _when(processor.number(name), cut)
    for name, numbers in ANSWERED.items():
        if abi < _SCOPE_ABI or name not in SIGNALS:
            code += _when(numbers[processor.column], [_step(_RETURN, _NOTIFY)], reload=False)
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _processor(machine: str) -> _Processor:
    if machine not in _PROCESSORS:
        raise SandboxError(
            f"no system-call filter for a {machine} processor, and commands are never run unconfined unasked; "
            "use an x86-64 or 64-bit ARM machine"
        )
    return _PROCESSORS[machine]


def _common(processor: _Processor) -> list[bytes]:
    """What is refused whether or not namespaces confine the command."""
    refuse = _refusal(errno.EPERM)
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_JEQ, processor.audit, 1, 0),
        _refusal(errno.ENOSYS),  # another calling convention, such as 32-bit x86
        _step(_LOAD, _NUMBER),
        _step(_JGE, _X32, 0, 1),
        _refusal(errno.ENOSYS),
    ]
    for names, answer in ((_REFUSED, refuse), (_UNKNOWN, _refusal(errno.ENOSYS))):
        for name in names:
            code += _when(processor.number(name), [answer], reload=False)
    for name, mask in (("clone", _NAMESPACES), ("unshare", _NAMESPACES | _NEWTIME)):
        code += _when(processor.number(name), [*_argument(0, mask), _step(_JEQ, 0, 1, 0), refuse])
    for request in _TERMINAL:
        code += _when(processor.number("ioctl"), [*_argument(1), _step(_JEQ, request, 0, 1), refuse])
    for name, mode in _MODES.items():
        code += _when(processor.number(name), [*_argument(mode, _SET_ID), _step(_JEQ, 0, 1, 0), refuse])
    for name, (flags, mode) in _OPENS.items():
        check = [*_argument(mode, _SET_ID), _step(_JEQ, 0, 1, 0), refuse]
        creating = [*_argument(flags, _CREATES), _step(_JEQ, 0, len(check), 0)]
        code += _when(processor.number(name), [*creating, *check])
    return code


def _step(operation: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many of the following ones a comparison skips."""
    return struct.pack("=HBBI", operation, yes, no, value)


def _refusal(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _argument(index: int, mask: int | None = None) -> Iterable[bytes]:
    """Load the low half of an argument (all that these calls look at; both processors are little-endian)."""
    load = _step(_LOAD, _ARGUMENTS + 8 * index)
    return (load,) if mask is None else (load, _step(_AND, mask))


def _when(number: int | None, then: list[bytes], *, reload: bool = True) -> list[bytes]:
    """`then` for one system call; what falls out of it goes on with the number loaded again."""
    if number is None:
        return []
    body = [*then, _step(_LOAD, _NUMBER)] if reload else then
    return [_step(_JEQ, number, 0, len(body)), *body]
