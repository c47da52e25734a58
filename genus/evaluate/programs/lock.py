"""The program that locks itself in and then becomes another: it reads Python from its input and runs it.

Started by running.py by its path, in a bare interpreter, and never imported. What it does not get, it does not go on
without: it ends before the other begins, and says why. No root is needed. The walls, none of which can be taken down again:

- seccomp: a list of the system calls that arithmetic and imports need. New processes, sockets and files to write end the
  program at once; all else does not exist.
- Landlock: the interpreter's own libraries can be read, and no other file.
- limits on time, memory, files and processes; no privileges, and no way to any.
- namespaces, where the kernel gives them: no network, processes or shared memory of others are there to be reached.

Names and sizes of files outside can still be asked for; there is nobody to tell them to.
"""

import ctypes
import os
import resource
import struct
import sys

__all__ = ["main"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE = {"user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000}
_DEATH_SIGNAL, _NO_NEW_PRIVS = 1, 38  # of prctl
_EXECUTE, _READ_FILE, _READ_DIR = 1, 4, 8  # of Landlock
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all machines

_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH, and the column of the tables below."""
_SECCOMP, _CAPSET = (317, 277), (126, 91)
_FREE = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None),
    "poll": (7, None), "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67),
    "readv": (19, 65), "writev": (20, 66), "access": (21, None), "select": (23, None), "sched_yield": (24, 124),
    "mremap": (25, 216), "madvise": (28, 233), "dup": (32, 23), "dup2": (33, None), "nanosleep": (35, 101),
    "getpid": (39, 172), "execve": (59, 221), "exit": (60, 93), "uname": (63, 160), "getcwd": (79, 17),
    "readlink": (89, None), "gettimeofday": (96, 169), "getrlimit": (97, 163), "getrusage": (98, 165),
    "sysinfo": (99, 179), "times": (100, 153), "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175),
    "getegid": (108, 177), "getppid": (110, 173), "sigaltstack": (131, 132), "arch_prctl": (158, None),
    "gettid": (186, 178), "time": (201, None), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "getdents64": (217, 61), "set_tid_address": (218, 96), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94), "newfstatat": (262, 79),
    "readlinkat": (267, 78), "faccessat": (269, 48), "pselect6": (270, 72), "ppoll": (271, 73),
    "set_robust_list": (273, 99), "dup3": (292, 24), "getrandom": (318, 278), "statx": (332, 291), "rseq": (334, 293),
    "faccessat2": (439, 439),
}  # fmt: skip
"""Calls that any program makes. execve brings nothing but this interpreter, behind the same walls."""
_ENDING = {
    "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "fork": (57, None), "vfork": (58, None),
    "clone3": (435, 435), "kill": (62, 129), "tkill": (200, 130), "ptrace": (101, 117), "creat": (85, None),
    "truncate": (76, 45), "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None), "link": (86, None),
    "unlink": (87, None), "symlink": (88, None), "chmod": (90, None), "mkdirat": (258, 34), "mknodat": (259, 33),
    "unlinkat": (263, 35), "renameat": (264, 38), "linkat": (265, 37), "symlinkat": (266, 36), "fchmodat": (268, 53),
    "renameat2": (316, 276),
}  # fmt: skip
"""Calls that no honest answer makes: the program is over."""
_CHOOSY: dict[str, tuple[tuple[int, int | None], int, tuple[int, ...]]] = {
    "ioctl": ((16, 29), 1, (0x5401, 0x5451, 0x5452)),  # is it a terminal; not to be inherited
    "fcntl": ((72, 25), 1, (0, 1, 2, 3, 1030)),  # duplicates and flags; not who gets signals
    "prlimit64": ((302, 261), 0, (0,)),  # of itself
}
"""Calls that may have these values of one argument (from 0) alone."""
_OPENING: dict[str, tuple[tuple[int, int | None], int]] = {"open": ((2, None), 1), "openat": ((257, 56), 2)}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND  # the argument above must have none of these
_KILL, _ALLOW, _UNKNOWN = 0x80000000, 0x7FFF0000, 0x00050000 | 38  # what follows: death, the call, or ENOSYS
_LOAD, _EQUAL, _ANY, _RETURN = 0x20, 0x15, 0x45, 0x06  # classic BPF


def main() -> None:
    """`lock.py TOKEN PARENT SECONDS BYTES`: whose child it is, and the limits. After the token it says why it could not."""
    token, *numbers = sys.argv[1:]
    parent, seconds, memory = map(int, numbers)
    try:
        _end_with_parent(parent)
        _leave_namespaces()
        _limit(seconds, memory)
        _call("privileges cannot be given up", _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _hide_files()
        _drop_capabilities()
        _filter_calls()
    except OSError as error:
        os.write(1, f"{token}{error.strerror}".encode())
        os._exit(1)
    environment = {"PYTHONHASHSEED": "0"}  # the order of sets, and so the outcome, is the same each time
    os.execve(sys.executable, [sys.executable, "-sPSB", "-Xutf8", "-"], environment)


def _call(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what} ({os.strerror(number)})")
    return result


def _system(what: str, number: int, *arguments: int | bytes | None) -> int:
    longs = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return _call(what, _LIBC.syscall(ctypes.c_long(number), *longs))


def _end_with_parent(parent: int) -> None:
    """Also when it is killed with no time to say so. A parent in another namespace has number 0."""
    _call("its end cannot be tied to Genus's", _LIBC.prctl(_DEATH_SIGNAL, 9, 0, 0, 0))
    if os.getppid() not in (parent, 0):
        os._exit(1)


def _leave_namespaces() -> None:
    """Go on in a child, the only process of its namespace; what stays behind only waits for it and ends as it ended.

    Where the kernel gives none (containers), the other walls stand for themselves.
    """
    _LIBC.unshare(sum(_CLONE.values()))
    parent = os.getpid()
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    _end_with_parent(parent)


def _limit(seconds: int, memory: int) -> None:
    # A core limit of 1 byte also keeps the machine's crash reporter from being started, which 0 does not: see core(5).
    limits = {"CPU": seconds, "AS": memory, "FSIZE": 0, "NOFILE": 32, "NPROC": 0, "CORE": 1}
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _hide_files() -> None:
    """See landlock(7)."""
    missing = "files cannot be hidden: Linux 5.13 or later with Landlock is needed"
    version = _system(missing, _CREATE_RULESET, None, 0, 1)
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    ruleset = _system(missing, _CREATE_RULESET, struct.pack("Q", (1 << rights) - 1), 8, 0)
    for path, right in _libraries().items():
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _system(missing, _ADD_RULE, ruleset, 1, struct.pack("=Qi", right, opened), 0)
        os.close(opened)
    _system(missing, _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _libraries() -> dict[str, int]:
    """What the interpreter reads: its modules, and the folders of the shared libraries that this process has loaded."""
    with open("/proc/self/maps") as file:  # noqa: PTH123 - pathlib would cost more than the rest of this program
        paths = {line.rstrip("\n").split(maxsplit=5)[-1].rpartition("/") for line in file}
    mapped = [(folder, name) for folder, _, name in paths if folder and ".so" in name]
    folders = {folder for folder, _ in mapped} | {os.__file__.rpartition("/")[0]}
    found = dict.fromkeys(folders, _READ_FILE | _READ_DIR)
    loaders = {f"{folder}/{name}" for folder, name in mapped if name.startswith("ld-")}
    cache = {path: _READ_FILE for path in ("/etc/ld.so.cache",) if os.access(path, os.R_OK)}
    return found | cache | dict.fromkeys(loaders | {sys.executable}, _READ_FILE | _EXECUTE)


def _drop_capabilities() -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    _system("privileges cannot be given up", _CAPSET[_column()], header, bytes(24))


def _column() -> int:
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(0, f"system calls cannot be filtered: {machine} is not one of {', '.join(_MACHINES)}")
    return _MACHINES[machine][1]


def _filter_calls() -> None:
    """See seccomp(2)."""
    column = _column()
    code = b"".join(struct.pack("HBBI", *each) for each in _program(column, _MACHINES[os.uname().machine][0]))
    kept = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("HP", len(code) // 8, ctypes.addressof(kept))
    _system("system calls cannot be filtered: seccomp is needed", _SECCOMP[column], 1, 0, filters)


def _program(column: int, machine: int) -> list[tuple[int, int, int, int]]:
    """The filter: instructions (code, skip if so, skip if not, value). A call's number is at 0, its arguments from 16."""
    found = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]

    def add(number: int | None, *then: tuple[int, int, int, int]) -> None:
        if number is not None:
            found.extend([(_EQUAL, 0, len(then), number), *then])

    for numbers in _FREE.values():
        add(numbers[column], (_RETURN, 0, 0, _ALLOW))
    for numbers in _ENDING.values():
        add(numbers[column], (_RETURN, 0, 0, _KILL))
    for numbers, argument, values in _CHOOSY.values():
        checks = [step for value in values for step in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW))]
        add(numbers[column], (_LOAD, 0, 0, 16 + 8 * argument), *checks, (_RETURN, 0, 0, _UNKNOWN))
    for numbers, argument in _OPENING.values():
        choice = (_ANY, 0, 1, _WRITING), (_RETURN, 0, 0, _KILL), (_RETURN, 0, 0, _ALLOW)
        add(numbers[column], (_LOAD, 0, 0, 16 + 8 * argument), *choice)
    return [*found, (_RETURN, 0, 0, _UNKNOWN)]


if __name__ == "__main__":
    main()
