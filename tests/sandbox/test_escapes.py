"""The table of escapes. Each attempt returns "escaped" where it got out; run outside, it does (so it is a real attempt).

What a program may do to the outside is looked at from outside as well. Programs that try to forge a verdict are in
`test_forgery.py`.
"""

# ruff: noqa: E501 - programs in a table
from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import pytest
from leftovers import assert_nothing_left

from curator.sandbox import keeper
from curator.sandbox.judge import judge_code, refusal
from curator.sandbox.task import CodeTask

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")

HEAD = """
import os, sys
def attempt(*given):
    try:
        return "escaped" if escape(*given) else "contained"
    except (OSError, ImportError, RuntimeError, AttributeError, MemoryError, ValueError) as e:
        return "contained"
"""
READ = "def escape(path):\n    return len(open(path, 'rb').read()) >= 0"
LIST = "def escape(path):\n    return len(os.listdir(path)) > 0"

# name -> (program, arguments); `{...}` is filled with what `outside` made.
ATTEMPTS: dict[str, tuple[str, list[str]]] = {
    "read the list of users": (READ, ["/etc/passwd"]),
    "read a file of the user": (READ, ["{secret}"]),
    "list the home": (LIST, ["{home}"]),
    "list the folder of temporary files of the host": (LIST, ["{folder}"]),
    "read the package": (READ, ["{package}"]),
    "import the package": ("def escape():\n    import curator.sandbox.judge\n    return True", []),
    "import an installed package": ("def escape():\n    import pyarrow\n    return True", []),
    "list installed packages": (LIST, ["{packages}"]),
    "list processes": (LIST, ["/proc"]),
    "read the memory of the parent": (READ, ["/proc/{pid}/environ"]),
    "list the kernel's settings": (LIST, ["/sys"]),
    "write outside": ("def escape(path):\n    open(path, 'w').write('x')\n    return True", ["{folder}/written"]),
    "write into the standard library": (
        "def escape():\n    open(os.__file__ + '.x', 'w')\n    return True", []),
    "make a folder at the root": ("def escape():\n    os.mkdir('/made')\n    return True", []),
    "symlink out of the folder": (
        "def escape(path):\n    os.symlink(path, 'link')\n    return len(open('link', 'rb').read()) >= 0", ["{secret}"]),
    "climb out": (
        "def escape(path):\n    return len(open('../' * 20 + path.lstrip('/'), 'rb').read()) >= 0", ["{secret}"]),
    "hard link to a file outside": ("def escape(path):\n    os.link(path, 'hard')\n    return True", ["{secret}"]),
    "environment": ("def escape():\n    return 'TRACE_SECRET' in os.environ", []),
    "environment of the process, past os.environ": (
        "def escape():\n    import ctypes\n    get = ctypes.CDLL(None).getenv\n    get.restype = ctypes.c_char_p\n"
        "    return get(b'TRACE_SECRET') is not None", []),
    "connect to a port on this machine": (
        "def escape(port):\n    import socket\n    socket.create_connection(('127.0.0.1', int(port)), 2)\n    return True",
        ["{port}"]),
    "listen on a port": (
        "def escape():\n    import socket\n    s = socket.socket()\n    s.bind(('127.0.0.1', 0))\n    s.listen()\n    return True",
        []),
    "resolve a name": (
        "def escape():\n    import socket\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    s.sendto(b'x', ('127.0.0.1', 53))\n    return True", []),
    "connect to a unix socket": (
        "def escape(path):\n    import socket\n    s = socket.socket(socket.AF_UNIX)\n    s.connect(path)\n    return True",
        ["{folder}/sock"]),
    "start a program": (
        "def escape():\n    import subprocess\n    return subprocess.run(['/bin/true']).returncode == 0", []),
    "replace itself by a program": (
        "def escape():\n    if sys.argv[-1] == 'outside': return True\n    os.execv('/bin/true', ['true'])", []),
    "fork": (
        "def escape():\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)\n    return True", []),
    "signal a process outside": ("def escape(pid):\n    os.kill(int(pid), 0)\n    return True", ["{pid}"]),
    "signal everybody": (
        "def escape():\n    if sys.argv[-1] == 'outside': return True\n    os.kill(-1, 9)\n    return True", []),
    "name of the host": ("def escape():\n    return os.uname().nodename != 'sandbox'", []),
    "become root": ("def escape():\n    os.setuid(0)\n    return os.getuid() == 0", []),
    "core dumps": (
        "def escape():\n    import resource\n    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))\n    return True",
        []),
    "raise its own limits": (
        "def escape():\n    import resource\n    n = resource.RLIMIT_NOFILE\n    now = resource.getrlimit(n)[1]\n"
        "    return now > 64", []),
    "shared memory": (
        "def escape():\n    from multiprocessing import shared_memory\n    m = shared_memory.SharedMemory(create=True, size=99)\n"
        "    m.close(); m.unlink()\n    return True", []),
    "memory outside the address space": ("def escape():\n    os.memfd_create('x')\n    return True", []),
    "terminal": ("def escape():\n    return os.path.exists('/dev/tty') or os.path.exists('/dev/pts')", []),
}  # fmt: skip

# System calls without a Python name, as numbers on x86-64; tried in the box only (some do harm outside).
CALLS = {
    "socket": "syscall(41, 2, 1, 0)",
    "connect": "syscall(42, 0, b'', 16)",
    "a process by fork": "syscall(57)",
    "a process by clone": "syscall(56, 17, 0, 0, 0, 0)",
    "a program": "syscall(59, b'/bin/true', 0, 0)",
    "a signal to another": "syscall(62, 2, 9)",
    "its group's limits": "syscall(302, 1 << 20, 7, 0, 0)",
    "trace another process": "syscall(101, 16, 1, 0, 0)",
    "read memory of a process": "syscall(310, 1, 0, 0, 0, 0, 0)",
    "new user namespace": "syscall(272, 0x10000000)",
    "new user namespace by clone": "syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "a process by clone3": "syscall(435, 0, 0)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "remount the root writable": "libc.mount(b'', b'/', b'', 32, None)",
    "unmount": "libc.umount2(b'/', 2)",
    "change root": "libc.chroot(b'/tmp')",
    "the user's keys": "syscall(250, 0, -4, 1)",
    "load a kernel program": "syscall(321, 0, 0, 0)",
    "io_uring": "syscall(425, 1, 0)",
    "performance counters": "syscall(298, 0, 0, -1, -1, 0)",
    "open by handle": "syscall(304, 0, 0, 0)",
    "32-bit numbers (x32)": "syscall(0x40000000 + 41, 2, 1, 0)",
    "message queue": "syscall(240, b'/q', 0o102, 0o600, 0)",
    "shared memory of system V": "syscall(29, 0, 4096, 0o1600)",
    "device node": "libc.mknod(b'disk', 0o60600, 0x801)",
}


@pytest.fixture(scope="module")
def outside():
    """A secret, a listening port and socket, a process: things outside that nobody may reach."""
    os.environ["TRACE_SECRET"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "secret")
        secret.write_text("secret")
        listener, unix = socket.socket(), socket.socket(socket.AF_UNIX)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        unix.bind(f"{folder}/sock")
        unix.listen()
        sleeper = subprocess.Popen(["sleep", "600"])
        yield {
            "secret": str(secret), "folder": folder, "home": str(Path.home()), "port": listener.getsockname()[1],
            "pid": sleeper.pid, "packages": sysconfig.get_path("purelib", vars={"base": sys.base_prefix}), "package": str(Path(__file__).parents[2] / "curator" / "__init__.py"),
        }  # fmt: skip
        assert sleeper.poll() is None, "a program ended a process outside"
        assert sorted(os.listdir(folder)) == ["secret", "sock"]
        assert secret.read_text() == "secret"
        sleeper.kill()
        sleeper.wait()
        listener.close()
        unix.close()
    del os.environ["TRACE_SECRET"]


def task(program: str, args: list[str]) -> CodeTask:
    return CodeTask(f"{HEAD}\n{program}", [f"assert attempt(*{args!r}) == 'contained'"])


def test_no_attempt_gets_out(outside):
    filled = {name: (code, [a.format(**outside) for a in args]) for name, (code, args) in ATTEMPTS.items()}
    verdicts = judge_code([task(*a) for a in filled.values()], limit_s=10)
    assert {n: v.detail for n, v in zip(filled, verdicts, strict=True) if v.verdict != "correct"} == {}


# Not possible outside either: without rights of root, or because the host has no such thing.
NEEDS_MORE = {"become root", "write into the standard library", "make a folder at the root", "terminal",
              "list installed packages", "raise its own limits", "core dumps", "resolve a name", "list the home"}  # fmt: skip


def test_the_attempts_are_real(outside, tmp_path):
    """Without the sandbox they get out: otherwise the test above would say nothing."""
    script = [f"import os, sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\nresults = {{}}"]
    for name, (code, args) in ATTEMPTS.items():
        if name in NEEDS_MORE or name == "write outside":
            continue
        filled = [a.format(**outside) for a in args]
        script.append(f"{HEAD}\n{code}\nresults[{name!r}] = attempt(*{filled!r})")
    script.append("print([n for n, r in results.items() if r != 'escaped'])")
    file = tmp_path / "attempts.py"
    file.write_text("\n".join(script))
    done = subprocess.run([sys.executable, file, "outside"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_no_system_call_gets_out(outside):
    head = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nsyscall = libc.syscall\n"
    items = [CodeTask(f"{head}def f(): return {c}", ["assert f() == -1"]) for c in CALLS.values()]
    verdicts = judge_code(items, limit_s=10)
    assert {n: v.detail for n, v in zip(CALLS, verdicts, strict=True) if v.verdict != "correct"} == {}


def entered(pid):
    """Whether a process is in its box: the filter of system calls is the last."""
    return "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()


def test_each_box_has_namespaces_of_its_own():
    """The second wall behind the list of system calls, looked at from outside."""
    import psutil

    waits = CodeTask("import time\ntime.sleep(999)", ["assert f() == 1"])
    assert_nothing_left()  # of tests before
    runs = threading.Thread(target=judge_code, args=([waits, waits],), kwargs={"limit_s": 5, "parallel": 2})
    runs.start()
    server = psutil.Process(keeper.shared().process.pid)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        below = server.children(recursive=True)
        if len(below) == 3 and all(entered(b.pid) for b in below[1:]):
            break
        time.sleep(0.05)
    names = ("mnt", "pid", "net", "ipc", "uts", "user")
    seen = [tuple(os.readlink(f"/proc/{p}/ns/{n}") for n in names) for p in ("self", *(b.pid for b in below))]
    status = [Path(f"/proc/{b.pid}/status").read_text() for b in below[1:]]
    runs.join()
    assert len(seen) == 4
    assert [len(set(column)) for column in zip(*seen, strict=True)] == [4] * len(names)
    for text in status:
        fields = dict(line.split(":\t", 1) for line in text.splitlines())
        assert (fields["CapEff"], fields["CapPrm"], fields["Seccomp"], fields["NoNewPrivs"]) == (
            "0" * 16,
            "0" * 16,
            "2",
            "1",
        )
        assert fields["Uid"].split()[1] != "0"


# Programs that never end well: (program, tests, verdicts that are honest).
HOSTILE: dict[str, tuple[str, object, set[str]]] = {
    "endless loop": ("while True: pass", ["assert f()"], {"timeout"}),
    "endless loop in a call": ("def f():\n    while True: pass", ["assert f()"], {"timeout"}),
    "sleep for ever": ("import time\ndef f(): time.sleep(10**6)", ["assert f()"], {"timeout"}),
    "waits for input that never comes": ("import os\nr, w = os.pipe()\nos.read(r, 1)", ["assert f()"], {"timeout"}),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", ["assert f()"], {"timeout"}),
    "thread bomb": (
        "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(9999,)).start()\n"
        "    except RuntimeError: pass", ["assert f()"], {"timeout", "error"}),
    "daemon by double fork": (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass", ["assert f()"],
        {"incorrect"}),
    "ignores every signal": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass", ["assert f()"], {"timeout"}),
    "catches everything": ("while True:\n    try:\n        while True: pass\n    except BaseException: pass",
                           ["assert f()"], {"timeout"}),
    "memory bomb": ("def f(): return len('x' * (1 << 40))", ["assert f()"], {"error"}),
    "memory bomb in small pieces": ("def f():\n    a = []\n    while True: a.append(bytearray(1 << 20))", ["assert f()"], {"error"}),
    "huge number": ("def f(): return 10 ** (10 ** 10)", ["assert f()"], {"error", "timeout"}),
    "recursion": ("def f(): return f()", ["assert f()"], {"incorrect"}),
    "recursion past the limit": (
        "import sys\nsys.setrecursionlimit(1 << 30)\nclass A:\n    def __getattr__(self, n): return getattr(self, n + 'x')\n"
        "def f(): return A().x", ["assert f()"], {"incorrect", "error", "timeout"}),
    "crash": ("import ctypes\ndef f(): ctypes.string_at(8)", ["assert f()"], {"incorrect"}),
    "abort": ("import os\ndef f(): os.abort()", ["assert f()"], {"incorrect"}),
    "kills itself": ("import os\ndef f(): os.kill(os.getpid(), 9)", ["assert f()"], {"incorrect"}),
    "endless output": ("while True: print('x' * 1000)", {"inputs": [""], "outputs": ["x"]}, {"incorrect"}),
    "endless output to standard error": (
        "import sys\nwhile True: sys.stderr.write('x' * 1000)", {"inputs": [""], "outputs": ["x"]}, {"timeout"}),
    "one huge line": ("print('x' * (1 << 26))", {"inputs": [""], "outputs": ["x"]}, {"incorrect"}),
    "huge value": ("def f(): return ['x' * 99] * 2_000_000", ["assert f() == 1"], {"incorrect", "error", "timeout"}),
    "fills the disk": (
        "def f():\n    with open('big', 'wb') as b:\n        while True: b.write(b'x' * (1 << 20))", ["assert f()"], {"incorrect"}),
    "fills the disk with files": (
        "def f():\n    for i in range(10**7): open(str(i), 'w').close()", ["assert f()"], {"incorrect"}),
    "deletes what it can": (
        "import shutil\nshutil.rmtree('/', ignore_errors=True)\ndef f(): return 1", ["assert f() == 2"], {"incorrect"}),
    "closes every descriptor": ("import os\ndef f(): os.closerange(0, 100)", ["assert f()"], {"incorrect", "error"}),
    "writes noise into every descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 4096)\n    except OSError: pass\ndef f(): return 1",
        ["assert f() == 1"], {"incorrect", "error"}),
    "half a message": (
        "import os\ndef f():\n    os.write(5, b'\\x10\\x00\\x00\\x00{')\n    import time\n    time.sleep(999)", ["assert f()"], {"timeout"}),
}  # fmt: skip


def test_hostile_programs_are_named_and_leave_nothing(outside):
    items = [CodeTask(program, tests) for program, tests, _ in HOSTILE.values()]
    verdicts = judge_code(items, limit_s=1, memory_mb=256, parallel=len(items))  # CPU: a slow machine needs more
    found = {n: v for n, v in zip(HOSTILE, verdicts, strict=True)}
    assert {n: (v.verdict, v.detail) for n, v in found.items() if v.verdict not in HOSTILE[n][2]} == {}
    assert_nothing_left()


def test_two_hundred_at_once_leave_nothing():
    programs = [(p, t, ok) for p, t, ok in HOSTILE.values()]
    chosen = [programs[i % len(programs)] for i in range(200)]
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    verdicts = judge_code([CodeTask(p, t) for p, t, _ in chosen], limit_s=0.05, memory_mb=128, parallel=200)
    wrong = [
        (p, v) for (p, _, ok), v in zip(chosen, verdicts, strict=True) if v.verdict not in ok | {"error", "timeout"}
    ]
    assert wrong == []
    assert_nothing_left()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() == threads


def test_a_killed_parent_leaves_nothing(tmp_path):
    """kill -9 of the process that judges ends the server and every box."""
    code = (
        "from curator.sandbox.judge import judge_code\nfrom curator.sandbox.task import CodeTask\n"
        "from curator.sandbox.keeper import shared\nprint(shared().process.pid, flush=True)\n"
        "judge_code([CodeTask('while True: pass', ['assert f()'])] * 3, limit_s=600, parallel=3)"
    )
    import psutil

    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                              cwd=Path(__file__).parents[2])  # fmt: skip
    assert parent.stdout
    server = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 30
    while len(below := server.children(recursive=True)) < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(below) >= 7  # process 1, three programs, three testers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([server, *below], timeout=120)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []
