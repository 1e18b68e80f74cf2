"""A machine that refuses something, for one command: refusing.py (namespaces|landlock)... -- COMMAND.

As a container's runtime or a kernel's setting would: by a system-call filter. Namespaces end in EPERM, Landlock in
ENOSYS.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

from inhouse.workspace.confinement.seccomp import filter_program

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_LANDLOCK = 444


def step(operation: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, yes, no, value)


def without_landlock() -> bytes:
    refused = step(_RETURN, _ERROR | errno.ENOSYS)
    return step(_LOAD, 0) + step(_EQUAL, _LANDLOCK, 0, 1) + refused + step(_RETURN, _ALLOW)


def install(program: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, pointer, 0, 0):  # no new privileges, then the filter
        raise OSError(ctypes.get_errno(), "no system-call filter")


if __name__ == "__main__":
    end = sys.argv.index("--")
    for what in sys.argv[1:end]:
        install({"namespaces": filter_program(platform.machine()), "landlock": without_landlock()}[what])
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
