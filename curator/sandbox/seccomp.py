"""The list of system calls a program may make, as a seccomp filter. Everything else fails inside the program.

No processes (only threads), no sockets but `socketpair`, no programs started, no namespaces, tracing, keys, memory
outside the address space, and signals to itself only. A number that is not on the list is answered ENOSYS, as an old
kernel would, so that libraries fall back; well-known refused ones are answered EPERM, which reads better.
"""

from __future__ import annotations

import struct

# name, x86-64, ARM64 ("-": does not exist there). Numbers from the kernel's unistd headers.
_ALLOWED = """
read 0 63;write 1 64;close 3 57;fstat 5 80;lseek 8 62;mmap 9 222;mprotect 10 226;munmap 11 215;brk 12 214;futex 202 98
openat 257 56;newfstatat 262 79;rt_sigaction 13 134;rt_sigprocmask 14 135;rt_sigreturn 15 139;open 2 -;stat 4 -
lstat 6 -;poll 7 -;pread64 17 67;pwrite64 18 68;readv 19 65;writev 20 66;preadv 295 69;pwritev 296 70
preadv2 327 286;pwritev2 328 287;access 21 -;pipe 22 -;pipe2 293 59;select 23 -;pselect6 270 72;ppoll 271 73
sched_yield 24 124;mremap 25 216;msync 26 227;mincore 27 232;madvise 28 233;dup 32 23;dup2 33 -;dup3 292 24;pause 34 -
nanosleep 35 101;getitimer 36 102;setitimer 38 103;alarm 37 -;getpid 39 172;getppid 110 173;getpgid 121 155
getsid 124 156;getpgrp 111 -;gettid 186 178;exit 60 93;exit_group 231 94;uname 63 160;fcntl 72 25;flock 73 32
fsync 74 82;fdatasync 75 83;truncate 76 45;ftruncate 77 46;getdents 78 -;getdents64 217 61;getcwd 79 17;chdir 80 49
fchdir 81 50;rename 82 -;renameat 264 38;renameat2 316 276;mkdir 83 -;mkdirat 258 34;rmdir 84 -;unlink 87 -
unlinkat 263 35;link 86 -;linkat 265 37;symlink 88 -;symlinkat 266 36;readlink 89 -;readlinkat 267 78;chmod 90 -
fchmod 91 52;fchmodat 268 53;umask 95 166;utime 132 -;utimes 235 -;utimensat 280 88;futimesat 261 -;creat 85 -
statx 332 291;faccessat 269 48;faccessat2 439 439;gettimeofday 96 169;time 201 -;times 100 153;getrusage 98 165
sysinfo 99 179;getuid 102 174;geteuid 107 175;getgid 104 176;getegid 108 177;getresuid 118 148;getresgid 120 150
getgroups 115 158;capget 125 90;getrlimit 97 163;setrlimit 160 164;futex_waitv 449 449;set_robust_list 273 99
get_robust_list 274 100;set_tid_address 218 96;rseq 334 293;clock_gettime 228 113;clock_getres 229 114
clock_nanosleep 230 115;timer_create 222 107;timer_settime 223 110;timer_gettime 224 108;timer_getoverrun 225 109
timer_delete 226 111;timerfd_create 283 85;timerfd_settime 286 86;timerfd_gettime 287 87;epoll_create 213 -
epoll_create1 291 20;epoll_ctl 233 21;epoll_wait 232 -;epoll_pwait 281 22;epoll_pwait2 441 441;eventfd 284 -
eventfd2 290 19;signalfd 282 -;signalfd4 289 74;getrandom 318 278;sched_getaffinity 204 123;sched_getscheduler 145 120
sched_getparam 143 121;sched_get_priority_max 146 125;sched_get_priority_min 147 126;getcpu 309 168;getpriority 140 141
membarrier 324 283;sigaltstack 131 132;rt_sigpending 127 136;rt_sigsuspend 130 133;rt_sigtimedwait 128 137
restart_syscall 219 128;wait4 61 260;waitid 247 95;sendto 44 206;recvfrom 45 207;sendmsg 46 211;recvmsg 47 212
shutdown 48 210;getsockname 51 204;getpeername 52 205;getsockopt 55 209;setsockopt 54 208;statfs 137 43;fstatfs 138 44
fallocate 285 47;fadvise64 221 223;readahead 187 213;copy_file_range 326 285;sendfile 40 71;splice 275 76;tee 276 77
close_range 436 436;arch_prctl 158 -;setsid 112 157;setpgid 109 154
"""
_REFUSED = """
fork 57 -;vfork 58 -;execve 59 221;execveat 322 281;socket 41 198;connect 42 203;bind 49 200;listen 50 201
accept 43 202;accept4 288 242;ptrace 101 117;process_vm_readv 310 270;process_vm_writev 311 271;unshare 272 97
setns 308 268;mount 165 40;umount2 166 39;chroot 161 51;pivot_root 155 41;memfd_create 319 279;shmget 29 194
msgget 68 186;semget 64 190;mq_open 240 180;keyctl 250 219;add_key 248 217;request_key 249 218;bpf 321 280
perf_event_open 298 241;io_uring_setup 425 425;userfaultfd 323 282;pidfd_open 434 434;pidfd_send_signal 424 424
chown 92 -;fchown 93 55;fchownat 260 54;lchown 94 -;mknod 133 -;mknodat 259 33;setpriority 141 140
sched_setaffinity 203 122;setuid 105 146;setgid 106 144;setresuid 117 147;setresgid 119 149;capset 126 91
rt_sigqueueinfo 129 138;tkill 200 130
"""
_CONDITIONAL = {
    "clone": (56, 220),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "prctl": (157, 167),
    "kill": (62, 129),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
}
_ARCHES = (0xC000003E, 0xC00000B7)
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _JUMP, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_ARGUMENT = 16  # offset of the first argument's low half
_THREAD, _NAMESPACES = 0x10000, 0x7E020000
_AF_UNIX, _TIOCSTI, _TIOCLINUX = 1, 0x5412, 0x541C
_PRCTL_SAFE = (15, 16, 3, 0x53564D41)  # names of threads and of memory, dumpable?


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value & 0xFFFFFFFF)


def _numbers(table: str, column: int) -> list[int]:
    cells = [entry.split() for line in table.split("\n") for entry in line.split(";") if entry.strip()]
    return [int(c[1 + column]) for c in cells if c[1 + column] != "-"]


def build(column: int, pid: int) -> bytes:
    """Return the filter for processor `column` (0 x86-64, 1 ARM64) and the process `pid`, as it sees itself.

    A binary search by number: the kernel tries every number once when a filter is installed.
    """
    verdicts = {n: [_op(_RETURN, _ALLOW)] for n in _numbers(_ALLOWED, column)}
    verdicts |= {n: [_op(_RETURN, _EPERM)] for n in _numbers(_REFUSED, column)}
    verdicts |= {numbers[column]: _conditional(name, pid) for name, numbers in _CONDITIONAL.items()}
    head = [_op(_LOAD, 4), _op(_EQUAL, _ARCHES[column], 1, 0), _op(_RETURN, _KILL), _op(_LOAD, 0)]
    return b"".join([*head, *_search(sorted(verdicts.items()))])


def _search(verdicts: list[tuple[int, list[bytes]]]) -> list[bytes]:
    """Instructions that find a number among sorted ones. Far halves are reached by a long jump."""
    if len(verdicts) == 1:
        number, block = verdicts[0]
        return [_op(_EQUAL, number, 0, len(block)), *block, _op(_RETURN, _ENOSYS)]
    middle = len(verdicts) // 2
    low, high = _search(verdicts[:middle]), _search(verdicts[middle:])
    return [_op(_AT_LEAST, verdicts[middle][0], 0, 1), _op(_JUMP, len(low)), *low, *high]


def _conditional(name: str, pid: int) -> list[bytes]:
    """Instructions that decide one call by its arguments; every path returns."""
    first, second = _op(_LOAD, _ARGUMENT), _op(_LOAD, _ARGUMENT + 8)
    allow, refuse = _op(_RETURN, _ALLOW), _op(_RETURN, _EPERM)
    if name == "clone":  # threads only, in no new namespace
        return [first, _op(_ANY_BIT, _NAMESPACES, 1, 0), _op(_ANY_BIT, _THREAD, 1, 0), refuse, allow]
    if name == "ioctl":
        return [second, _op(_EQUAL, _TIOCSTI, 1, 0), _op(_EQUAL, _TIOCLINUX, 0, 1), refuse, allow]
    allowed = {"socketpair": (_AF_UNIX,), "prctl": _PRCTL_SAFE}.get(name, (pid, 0))
    if name == "tgkill":
        allowed = (pid,)
    return [first, *(_op(_EQUAL, value, len(allowed) - i, 0) for i, value in enumerate(allowed)), refuse, allow]
