"""Fences of the Linux kernel around a process that reads strangers' files or runs strangers' queries.

Python's audit hook binds Python code only; what follows binds native code too, once a parser or engine has been taken over. Three
fences, each used where the kernel lets an ordinary user have it, none of them needing another:

- a network of its own without any interface (namespaces);
- rules for paths (Landlock, Linux 5.13): nothing is made, changed or started, and only what is named can be read;
- a filter of system calls (seccomp): no sockets, no processes, no change of a file by its path, no kernel doors that no parser needs.

The filter forbids by a list and lets the rest pass: which calls a C library makes changes from release to release, and a parser that
dies in the field of a harmless new call protects nobody. What each fence forbids is tried out in tests/test_sandbox.py through
ctypes, past the audit hook. Elsewhere than on Linux, or on a processor without a table here, `enter` does nothing and says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is still allowed. Network and new processes never are.

    opens: files may be opened at all. changes: files may be written, made and removed. read: folders and files that may be read
    (None: all that the user may read); held by Landlock only.
    """

    opens: bool = True
    changes: bool = False
    read: tuple[str, ...] | None = None


def enter(policy: Policy, *, all_threads: bool = False) -> dict[str, Any]:
    """Put the fences up, for good. Returns {"namespace": bool, "landlock": version or 0, "seccomp": bool}.

    all_threads: other threads run already; the filter then binds them too (a namespace and Landlock bind those started later).
    """
    facts: dict[str, Any] = {"namespace": False, "landlock": 0, "seccomp": False}
    if sys.platform != "linux":
        return facts
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    facts["namespace"] = _leave_network(libc)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:  # without it, neither of the other two is for ordinary users
        return facts
    with contextlib.suppress(OSError):
        facts["landlock"] = _landlock(libc, policy)
    with contextlib.suppress(OSError):
        facts["seccomp"] = _seccomp(libc, policy, all_threads)
    return facts


def end_with(parent: int, *, every_s: float = 1.0) -> None:
    """End this process when the one that started it (`parent`, its id) ends, whoever else holds the pipes to it.

    The end of the input tells as much, but only once nobody holds its other end, and a process forked from the parent does.
    PR_SET_PDEATHSIG is no way: it acts when the thread ends that started the process. Call it before the fences are up.
    """
    if sys.platform == "win32":
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(every_s)
        os._exit(0)

    threading.Thread(target=look, name="parent", daemon=True).start()


def readable_for_python(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Paths that a Python process reads to import, load libraries and tell the time: code and tables, no user's files."""
    found = {os.path.dirname(os.path.abspath(sys.executable)), sys.prefix, sys.base_prefix, sys.exec_prefix, *extra}
    found |= {p for p in sys.path if p and os.path.isabs(p)}
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            path = line.partition("/")[2].rstrip("\n")
            if path and ".so" in path and not path.endswith(" (deleted)"):
                found.add(os.path.dirname("/" + path))
    return tuple(sorted(p for p in {*found, *_SYSTEM} if os.path.isabs(p) and p != "/" and os.path.exists(p)))


_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/fonts"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/fonts"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/sys/devices/system", "/sys/fs/cgroup"),
    *(
        "/proc/self",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/sys/vm/overcommit_memory",
        "/proc/filesystems",
    ),
)


# ---- A network of its own ----


def _leave_network(libc: Any) -> bool:
    """As root directly; else in a user namespace of its own, in which the process keeps its rights to files."""
    return bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


# ---- Landlock: rules for paths ----

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every processor
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


def landlock_version() -> int:
    """Version of Landlock that this kernel has, 0 for none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def _landlock(libc: Any, policy: Policy) -> int:
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if version < 1:
        return 0
    changing = (1 << 13) - 1 - _EXECUTE - _READ_FILE - _READ_DIR
    changing |= (
        (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0) | (_IOCTL_DEV if version >= 5 else 0)
    )
    files = _EXECUTE | (0 if policy.changes else changing)
    files |= 0 if policy.read is None and policy.opens else _READ_FILE | _READ_DIR
    attributes = struct.pack("=QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    attributes = attributes[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = _checked(libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    try:
        if policy.opens and policy.read is not None:
            for path in policy.read:
                _allow(libc, rules, path, _READ_FILE | _READ_DIR)
        if policy.opens and not policy.changes:
            _allow(libc, rules, os.devnull, _READ_FILE & files | _WRITE_FILE | (_TRUNCATE & files))
        _checked(libc.syscall(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)))
    finally:
        os.close(rules)
    return version


def _allow(libc: Any, rules: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # gone, or not for us: then there is nothing to allow
        return
    try:
        if not os.path.isdir(f"/proc/self/fd/{fd}"):
            access &= _ON_FILES
        rule = struct.pack("=Qi", access, fd)
        _checked(libc.syscall(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0)))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


# ---- seccomp: a filter of system calls ----

# name: (x86_64, aarch64); None where the processor has no such call. Numbers from the kernel's tables; they never change.
_Numbers = dict[str, tuple[int, int | None]]
_NETWORK: _Numbers = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip
_PROCESSES: _Numbers = {
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kill": (62, 129),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "kcmp": (312, 272),
}  # fmt: skip
_KERNEL: _Numbers = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "swapon": (167, 224),
    "swapoff": (168, 225), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "unshare": (272, 97), "setns": (308, 268), "reboot": (169, 142), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "acct": (163, 89),
    "quotactl": (179, 60), "iopl": (172, None), "ioperm": (173, None), "sethostname": (170, 161),
    "setdomainname": (171, 162), "syslog": (103, 116), "vhangup": (153, 58), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
_CHANGES: _Numbers = {
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "link": (86, None), "linkat": (265, 37),
    "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33), "chmod": (90, None),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55),
    "lchown": (94, None), "fchownat": (260, 54), "truncate": (76, 45), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "creat": (85, None),
}  # fmt: skip
_OPENS: _Numbers = {"open": (2, None), "openat": (257, 56)}
_FLAGS_ARGUMENT = {"open": 1, "openat": 2}
# These carry their arguments in memory, where a filter cannot look: "not there" makes callers use the older call.
_NOT_THERE = {"clone3": (435, 435), "openat2": (437, 437)}
_CLONE, _TGKILL, _SECCOMP = (56, 220), (234, 131), (317, 277)

_PROCESSOR = {"x86_64": (0, 0xC000003E), "AMD64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_PASS, _KILL = 0x7FFF0000, 0x80000000
_CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _refuse(code: int) -> int:
    return 0x00050000 | code


def _program(policy: Policy, column: int, processor: int, pid: int) -> list[tuple[int, int, int, int]]:
    """The filter as (code, jump if true, jump if false, value). A call's number lies at 0, its processor at 4, arguments from 16."""
    out = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, processor), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if column == 0:
        out += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _refuse(errno.ENOSYS))]  # the x32 doubles of all calls
    refused = [
        _NETWORK,
        _PROCESSES,
        _KERNEL,
        *([] if policy.changes else [_CHANGES]),
        *([] if policy.opens else [_OPENS]),
    ]
    for number in sorted(n for table in refused for pair in table.values() if (n := pair[column]) is not None):
        out += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _refuse(errno.EACCES))]
    for numbers in _NOT_THERE.values():
        out += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _refuse(errno.ENOSYS))]
    if policy.opens and not policy.changes:
        for name, pair in _OPENS.items():
            if (opening := pair[column]) is not None:
                flags = 16 + 8 * _FLAGS_ARGUMENT[name]
                out += [(_EQUAL, 0, 4, opening), (_LOAD, 0, 0, flags), (_ANY_BIT, 0, 1, _CHANGING_FLAGS)]
                out += [(_RETURN, 0, 0, _refuse(errno.EACCES)), (_RETURN, 0, 0, _PASS)]
    out += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD)]
    out += [(_RETURN, 0, 0, _refuse(errno.EACCES)), (_RETURN, 0, 0, _PASS)]
    # abort() signals the process itself; no other may be signalled.
    out += [(_EQUAL, 0, 4, _TGKILL[column]), (_LOAD, 0, 0, 16), (_EQUAL, 1, 0, pid)]
    out += [(_RETURN, 0, 0, _refuse(errno.EACCES)), (_RETURN, 0, 0, _PASS)]
    return [*out, (_RETURN, 0, 0, _PASS)]


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _seccomp(libc: Any, policy: Policy, all_threads: bool) -> bool:
    known = _PROCESSOR.get(platform.machine())
    if known is None or sys.maxsize < 2**32:
        return False
    column, processor = known
    program: Sequence[tuple[int, int, int, int]] = _program(policy, column, processor, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = _FilterProgram(len(program), ctypes.cast(code, ctypes.c_void_p).value)
    flags = ctypes.c_uint(1 if all_threads else 0)
    # A positive answer names a thread that could not be bound.
    return bool(_checked(libc.syscall(_SECCOMP[column], ctypes.c_uint(1), flags, ctypes.byref(whole))) == 0)
