"""Submissions that break, cheat or attack, each with what must become of it. Data alone.

Each is lesson 00, solved, with one cell's worth of trouble. `{port}`, `{abstract}`, `{socket!r}`,
`{paths}` and `{marker}` are filled in by the tests: what listens on this machine, what must not be
read, what a process that stays would be known by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from checks.grading.outcome import Ended
from checks.verdict import Status

PASSED, FAILED, DIED = Status.PASSED, Status.FAILED, Status.DIED
TIMED_OUT, NOT_RUN = Status.TIMED_OUT, Status.NOT_RUN

Place = Literal["first", "before", "within", "last"]


@dataclass(frozen=True)
class Hostile:
    """One submission.

    Attributes:
        name: What it does.
        code: Its cell.
        statuses: What the two exercises of lesson 00 must get.
        ended: How the run must end.
        place: Where the code stands: `first` in the notebook; in a cell of its own `before` the
            second exercise's; `within` that one, at its end; `last`.
        signs: Parts of what a human must be told, each of them.
        raises: A part of what one of its cells must have raised.
    """

    name: str
    code: str
    statuses: tuple[Status, Status] = (PASSED, PASSED)
    ended: Ended = Ended.WELL
    place: Place = "before"
    signs: tuple[str, ...] = ()
    raises: str = ""


def endless(name: str, code: str, place: Place = "within") -> Hostile:
    """One that must be stopped by the clock."""
    return Hostile(name, code, (PASSED, TIMED_OUT), Ended.TIMED_OUT, place)


def deadly(name: str, code: str, place: Place = "within") -> Hostile:
    """One that ends its own process."""
    return Hostile(name, code, (PASSED, DIED), Ended.DIED, place)


def harmless(name: str, code: str, raises: str = "", place: Place = "before") -> Hostile:
    """One that achieves nothing: the answers around it count as ever."""
    return Hostile(name, code, place=place, raises=raises)


def cheat(name: str, code: str, *signs: str, statuses: tuple[Status, Status]) -> Hostile:
    """One after points."""
    return Hostile(name, code, statuses, place="within", signs=signs)


# What an honest answer to the second exercise would not do: keep nothing, so that it fails.
_KEEPS_NOTHING = """
app = FastAPI()
@app.post("/books", status_code=201)
def add_book(new: NewBook) -> dict[str, str]:
    return {"title": new.title}
@app.get("/books")
def list_books() -> list[str]:
    return []
"""

_FOUND = "raise SystemError(f'found {found}')"

ENDLESS = (
    endless("a loop", "while True: pass"),
    endless(
        "a loop that swallows interrupts",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ),
    endless(
        "another program that stays",
        "import os; os.execv('/bin/sh', ['sh', '-c', 'while :; do :; done'])",
    ),
    endless("builtins ruined", "import builtins\nbuiltins.len = lambda x: 1\nbuiltins.isinstance = lambda *a: True"),
    endless("a sleep", "import time; time.sleep(10000)"),
    endless("a loop in C", "sum(iter(int, 1))"),
    endless("a regular expression", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')"),
    endless("an await that never ends", "import asyncio; await asyncio.Event().wait()"),
    endless(
        "a task that never yields",
        "import asyncio\nasync def spin():\n    while True: pass\nawait asyncio.create_task(spin())",
    ),
    endless(
        "a repr that never ends",
        "class Slow:\n    def __repr__(self):\n        while True: pass\nSlow()",
    ),
    endless(
        "a pretty-printer that never ends",
        "class Deep:\n    def _repr_pretty_(self, p, cycle):\n        while True: p.text('x')\nDeep()",
    ),
    endless(
        "an endpoint that never answers",
        "app.router.routes.clear()\n@app.post('/books')\ndef never():\n    while True: pass",
    ),
    endless(
        "a finaliser that never ends",
        "class Bye:\n    def __del__(self):\n        while True: pass\nBye(); x = 1",
    ),
    endless("a join of a thread that never ends", """
import threading
def spin():
    while True: pass
thread = threading.Thread(target=spin); thread.start(); thread.join()
"""),
    endless("a signal stopped for good", "import os, signal; signal.pause()"),
)  # fmt: skip

DEADLY = (
    deadly("os._exit", "import os; os._exit(0)"),
    deadly("os.abort", "import os; os.abort()"),
    deadly("a null pointer", "import ctypes; ctypes.string_at(0)"),
    deadly("a C stack overflow", """
import ctypes
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
def again(x): return call(None)
import sys; sys.setrecursionlimit(10**8)
call = compare(again); call(None)
"""),
    deadly("the grader's line closed", "import os; os.closerange(0, 200)"),
    deadly("the grader's line shut", """
import socket
for fd in range(3, 20):
    try:
        socket.socket(fileno=fd).shutdown(socket.SHUT_RDWR)
    except OSError: pass
"""),
    deadly("another program in its place", "import os; os.execv('/bin/sh', ['sh', '-c', 'exit 0'])"),
    deadly("killing everybody", """
import os
for pid in (-1, 0, os.getppid(), 1):
    try: os.kill(pid, 9)
    except OSError: pass
os._exit(1)
"""),
    deadly("an order to the grader that it does not know", """
from checks.observe import collecting
say = next(c.cell_contents for c in collecting.collector.__closure__ if 'generator' in repr(c.cell_contents))
say(('observed', {'exercise': '00.keep_the_book'}, None))
"""),
    deadly("an exit in an endpoint", """
import os
app.router.routes.clear()
@app.post('/books')
def leave(): os._exit(3)
"""),
)  # fmt: skip

GREEDY = (
    harmless("memory in one process", "x = bytearray(8 << 30)", "MemoryError"),
    Hostile(
        "memory by and by",
        "x = []\nwhile True:\n    x.append(bytearray(1 << 24))",
        raises="MemoryError",
    ),
    Hostile("memory in many processes", """
import os, time
for _ in range(8):
    if not os.fork():
        x = b"x" * (300 << 20)
        time.sleep(10000)
time.sleep(10000)
""", (PASSED, DIED), Ended.TOO_MUCH, "within"),
    harmless("processes without end", """
import os
made = 0
try:
    while True:
        if os.fork() == 0:
            while True: __import__('time').sleep(1000)
        made += 1
except BlockingIOError:
    raise SystemError(f'enough: {made < 200}')
""", "enough: True", "last"),
    Hostile("a fork bomb", "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError: pass",
            (PASSED, TIMED_OUT), Ended.TIMED_OUT, "within"),
    harmless("threads without end", """
import threading, time
made = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); made += 1
except RuntimeError:
    raise SystemError(f'enough: {made < 200}')
""", "enough: True", "last"),
    harmless("a full disk", """
n = 0
try:
    while True:
        with open(f'file{n}', 'wb') as file: file.write(b'x' * (16 << 20))
        n += 1
except OSError as error:
    for i in range(n + 1): __import__('os').unlink(f'file{i}')
    raise SystemError(f'{error.strerror}, {n} files')
""", "No space left on device"),
    harmless("a huge file", "with open('f', 'wb') as f:\n    f.truncate(1 << 40)", "File too large"),
    harmless("files without end", """
n = 0
try:
    while True:
        open(f'{n}', 'w').close(); n += 1
except OSError as error:
    raise SystemError(f'{error.strerror}')
""", "No space left on device", "last"),
    harmless("memory in /dev/shm", """
open('/dev/shm/x', 'wb').write(bytes(32 << 20))
""", "No space left on device"),
    harmless("memory that has no place", "import os; os.memfd_create('x')", "Operation not permitted"),
    harmless("open files without end", """
import os
held = []
try:
    while True: held.append(os.open('/dev/null', 0))
except OSError as error:
    for one in held: os.close(one)
    raise SystemError(error.strerror)
""", "Too many open files"),
    harmless("200 MB printed", "print('x' * (200 << 20))"),
    harmless("200 MB printed in lines", "for _ in range(200):\n    print('x' * (1 << 20))"),
    harmless("200 MB written past Python", "import os\nfor _ in range(200):\n    os.write(1, b'x' * (1 << 20))"),
    harmless("200 MB shown", "'x' * (100 << 20)\ndisplay('y' * (100 << 20))"),
    Hostile("an endpoint that answers 100 MB", """
from fastapi import Response
app.router.routes.clear()
@app.post('/books', status_code=201)
def much(): return Response(b'x' * (100 << 20), 201)
@app.get('/books')
def list_books(): return ['x' * 19000] * 1000
""", (PASSED, FAILED), place="within"),
    Hostile("an endpoint that answers 100,000 lists in each other", """
from fastapi import Response
app.router.routes.clear()
@app.post('/books', status_code=201)
def deep(): return Response(b'[' * 100_000 + b']' * 100_000, 201, media_type='application/json')
@app.get('/books')
def list_books(): return []
""", (PASSED, FAILED), place="within"),
    Hostile("numbers that are none, and too long", """
from fastapi import Response
app.router.routes.clear()
@app.post('/books', status_code=201)
def odd(): return Response(b'[NaN, Infinity, 1e999, 1' + b'0' * 4000 + b']', 201, media_type='application/json')
@app.get('/books')
def list_books(): return Response(b'1' + b'0' * 10000, media_type='application/json')
""", (PASSED, FAILED), place="within"),
    Hostile("half characters and NUL", r"""
from fastapi import Response
app.router.routes.clear()
@app.post('/books', status_code=201)
def odd(): return Response(rb'{"title": "\ud800 \u0000 <script>alert(1)</script>"}', 201, media_type='application/json')
@app.get('/books')
def list_books(): return []
""", (PASSED, FAILED), place="within"),
    harmless("recursion", "def f(): return f()\nf()", "maximum recursion depth"),
    harmless("a slow repr", "class Slow:\n    def __repr__(self):\n        __import__('time').sleep(0.2); return 'x'\nSlow()"),
    harmless("a flood of exceptions", "raise ExceptionGroup('x' * 10**6, [ValueError('y' * 10**6)] * 1000)", "xxx"),
)  # fmt: skip

NOSY = (
    harmless("reading what is not there", """
import os
found = [path for path in ({paths}) if os.path.lexists(path)]
""" + _FOUND, "found []"),
    harmless("reading solutions and answers", """
import checks, importlib, pathlib
root = pathlib.Path(checks.__file__).parent
found = [str(p) for p in (root.parent / 'solutions', root.parent / 'lessons') if p.exists()]
found += [str(p) for name in ('answers', 'tests') for p in (root / name).rglob('*')]
found += [str(p) for p in root.parent.iterdir() if p.name not in ('checks', '.venv')]
""" + _FOUND, "found []"),
    harmless("the course's own solution()", """
from checks import solution
import io, contextlib
seen = []
get_ipython().display_pub.publish = lambda data, *a, **k: seen.append(str(data))
solution('00.keep_the_book')
found = [one for one in seen if 'session.commit' in one]
""" + _FOUND, "found []"),
    harmless("reading the environment", """
import os
found = [one for one in os.environ if one not in ('LANG', 'HOME', 'TMPDIR', 'MALLOC_ARENA_MAX', 'OPENBLAS_NUM_THREADS', 'CHECKS_PROGRESS', 'CHECKS_NO_SERVERS', 'LC_CTYPE', 'PWD', 'COLUMNS', 'LINES', 'CLICOLOR', 'PAGER', 'GIT_PAGER', 'FORCE_COLOR', 'CLICOLOR_FORCE')]
""" + _FOUND, "found []"),
    harmless("reading other processes", """
import glob, os
me = str(os.getpid())
found = [p for p in glob.glob('/proc/[0-9]*') if p.split('/')[2] != me]
""" + _FOUND, "found []"),
    harmless("writing everywhere", """
import os
found = []
for top in os.listdir('/'):
    if top in ('proc', 'lesson', 'tmp'): continue
    for folder, names, files in os.walk('/' + top):
        if folder.startswith('/dev/shm'): continue
        if folder.count('/') > 4: names.clear(); continue
        try:
            open(os.path.join(folder, 'x'), 'w'); found.append(folder)
        except OSError: pass
        for name in files[:2]:
            path = os.path.join(folder, name)
            if path.startswith('/dev/'): continue
            for act in (lambda: open(path, 'r+b'), lambda: os.unlink(path), lambda: os.chmod(path, 0o777),
                        lambda: os.utime(path), lambda: os.rename(path, path + 'x')):
                try:
                    act(); found.append(path)
                except OSError: pass
""" + _FOUND, "found []"),
    harmless("devices", """
import os
found = []
for name in os.listdir('/dev'):
    if name not in ('null', 'zero', 'full', 'random', 'urandom', 'shm', 'fd'): found.append(name)
try:
    os.mknod('disk', 0o60600, os.makedev(8, 0)); found.append('disk')
except OSError: pass
""" + _FOUND, "found []"),
    Hostile("mounts, namespaces and other refused calls", """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
found = []
def refused(name, result):
    if result != -1: found.append((name, result))
refused('mount', libc.mount(b'none', b'/lesson', b'tmpfs', 0, None))
refused('remount', libc.mount(None, b'/', None, 32 | 4096, None))
refused('umount', libc.umount2(b'/proc', 2))
for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
    refused(hex(flag), libc.unshare(flag))
refused('chroot', libc.chroot(b'/lesson'))
refused('ptrace', libc.ptrace(16, 1, 0, 0))
refused('setns', libc.setns(os.open('/proc/self/ns/net', 0), 0))
refused('hostname', libc.sethostname(b'x', 1))
refused('acct', libc.acct(b'/lesson/x'))
refused('setuid', libc.setuid(0))
refused('clock', libc.settimeofday(bytes(16), None))
refused('shmget', libc.shmget(0, 1 << 20, 0o1600))
if platform.machine() == 'x86_64':
    refused('clone', libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0))
    refused('clone3', libc.syscall(435, bytes(88), 88))
    refused('bpf', libc.syscall(321, 0, bytes(128), 128))
    refused('keyctl', libc.syscall(250, 0, -3, 1))
    refused('io_uring', libc.syscall(425, 8, bytes(120)))
    refused('x32', libc.syscall(0x40000000 + 39))
""" + _FOUND, signs=("memory, by ctypes",), raises="found []"),
    harmless("sockets that no namespace holds", """
import socket
found = []
for family in (17, 38, 40):
    try:
        socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_RAW); found.append(family)
    except OSError: pass
""" + _FOUND, "found []"),
    harmless("the network of this machine", """
import socket
found = []
for family, place in ((socket.AF_INET, ('127.0.0.1', {port})), (socket.AF_UNIX, '\\0{abstract}'), (socket.AF_UNIX, {socket!r}),
                      (socket.AF_INET, ('10.0.0.1', 80)), (socket.AF_INET, ('1.1.1.1', 53)), (socket.AF_INET6, ('::1', {port}))):
    line = socket.socket(family, socket.SOCK_STREAM); line.settimeout(1)
    try:
        line.connect(place); found.append(place)
    except OSError: pass
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    try:
        line.sendto(b'x', ('8.8.8.8', 53)); found.append('udp')
    except OSError: pass
""" + _FOUND, "found []"),
    harmless("its own loopback works", """
import socket, threading
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname()); other, _ = server.accept()
client.send(b'hello'); raise SystemError(other.recv(9).decode())
""", "hello"),
    harmless("more than the limits", """
import resource
found = []
for name in ('RLIMIT_AS', 'RLIMIT_NPROC', 'RLIMIT_FSIZE', 'RLIMIT_NOFILE', 'RLIMIT_CPU', 'RLIMIT_CORE'):
    try:
        resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY,) * 2); found.append(name)
    except (ValueError, OSError): pass
import os
try:
    os.nice(-5); found.append('nice')
except OSError: pass
""" + _FOUND, "found []"),
    harmless("killing whoever can be reached", """
import os, signal
found = []
for pid in (0, -1, 1, os.getppid(), *range(2, 300)):
    if pid in (os.getpid(), -os.getpid()): continue
    try:
        os.kill(pid, signal.SIGTERM); found.append(pid)
    except OSError: pass
raise SystemError(f'found {[one for one in found if one > 1]}')
""", "found []"),
)  # fmt: skip

STUBBORN = (
    harmless("a daemon", """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sh', ['sh', '-c', 'trap "" 1 2 15; while :; do read x < /dev/zero; done # {marker}'])
    os._exit(0)
"""),
    harmless("a daemon that keeps the line open", """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(10000)
    os._exit(0)
""", place="last"),
    harmless("exit handlers", """
import atexit, os, threading
def stay():
    while True: pass
atexit.register(stay); threading._register_atexit(stay)
os.register_at_fork(before=stay)
"""),
    harmless("a thread that stays", "import threading, time; threading.Thread(target=time.sleep, args=(10000,)).start()"),
    harmless("a task that stays", "import asyncio; task = asyncio.create_task(asyncio.sleep(10000))"),
    harmless("other tasks cancelled", "import asyncio\nfor t in asyncio.all_tasks(): t.cancel()"),
    harmless("an exit", "exit()"),
    harmless("sys.exit", "import sys; sys.exit(3)", ""),
    harmless("SystemExit", "raise SystemExit"),
    harmless("KeyboardInterrupt", "raise KeyboardInterrupt('stop')"),
    Hostile("SystemExit in an endpoint", """
app.router.routes.clear()
@app.post('/books')
def leave(): raise SystemExit
""", (PASSED, FAILED), place="within"),
    Hostile("KeyboardInterrupt in an endpoint", """
app.router.routes.clear()
@app.post('/books')
def leave(): raise KeyboardInterrupt
""", (PASSED, FAILED), place="within"),
    harmless("input()", "input('Name? ')", "nobody to ask"),
    harmless("getpass", "import getpass; getpass.getpass()", "nobody to ask"),
    harmless("magics", "%time 1\n%matplotlib inline\n%no_such_magic"),
    harmless("commands", "!ls /\n!!ls\nx = !echo hello"),
    harmless("%%bash", "%%bash\necho hello"),
    harmless("%reset", "%config InteractiveShell.ast_node_interactivity = 'all'\n%xmode Verbose\n1/0", "division by zero"),
    harmless("a syntax error", "def (:", "invalid syntax"),
    harmless("a null byte", "x = 1\0", "null bytes"),
    harmless("half a character", "x = '\ud800'"),
    harmless("a deep expression", "(" * 5000 + ")" * 5000, ""),
    harmless("no builtins", "del __builtins__"),
    harmless("standard streams closed", "import os, sys\nsys.stdin.close() if sys.stdin else 0\nfor i in (0, 1, 2): os.close(i)"),
    harmless("standard streams replaced", "import sys; sys.stdout = sys.stderr = None"),
    harmless("another folder", "import os; os.mkdir('x'); os.chdir('x'); os.rmdir('../x')"),
    harmless("its folder closed to itself", "import os; os.chmod('.', 0)"),
    harmless("an alarm", "import signal; signal.alarm(1); signal.setitimer(signal.ITIMER_REAL, 0.01)"),
    harmless("names with markup", "globals()['<script>alert(1)</script>\\0'] = 1\nclass X(Exception): pass\nX.__name__ = '<img src=x onerror=alert(1)>'\nraise X('<b>\\0\\ud800')", "<b>"),
    harmless("a hostile exception", "class X(Exception):\n    def __str__(self): raise SystemExit\n    def __getattribute__(self, name): raise KeyboardInterrupt\nraise X"),
    harmless("a nested loop", "import asyncio\nasyncio.run(asyncio.sleep(0))", "running event loop"),
    Hostile("checks reloaded", "import importlib, checks.notebook; importlib.reload(checks.notebook)", signs=("checks.notebook",)),
    harmless("a stopped event loop", "import asyncio; asyncio.get_event_loop().stop()"),
    harmless("a check inside a check", "from checks import check as again\n@app.get('/again')\ndef f(): again('00.opening_hours')"),
)  # fmt: skip

CHEATS = (
    cheat("an always-equal object", _KEEPS_NOTHING + """
class Same:
    def __eq__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *args, **options): return self
engine = Same()
""", statuses=(PASSED, FAILED)),
    cheat("an app that is none", "class Same:\n    def __eq__(self, other): return True\napp = Same()",
          statuses=(PASSED, FAILED)),
    cheat("an engine made up", _KEEPS_NOTHING + """
class Made(type(engine)):
    def connect(self): return made
class made:
    def __enter__(self): return self
    def __exit__(self, *e): pass
    def execute(self, q, p): self.p = p; return self
    def mappings(self): return self
    def all(self): return []
made = made()
engine.__class__ = Made
""", "`engine` is not what SQLAlchemy makes", statuses=(PASSED, FAILED)),
    cheat("an engine changed", _KEEPS_NOTHING + "engine.connect = lambda: 1 / 0",
          "`engine` is not what SQLAlchemy makes", statuses=(PASSED, FAILED)),
    cheat("builtins replaced", _KEEPS_NOTHING + """
import builtins
builtins.any = lambda *a: True
builtins.sorted = lambda *a, **k: []
builtins.print = lambda *a, **k: None
""", "builtins.any", "builtins.sorted", "builtins.print", statuses=(PASSED, FAILED)),
    cheat("check replaced", _KEEPS_NOTHING + """
import checks, checks.notebook
check = checks.check = checks.notebook.check = lambda name: print('passed')
""", "checks.notebook.check", statuses=(PASSED, FAILED)),
    cheat("judge replaced", _KEEPS_NOTHING + """
import checks.judge, checks.verdict
checks.judge.judge = lambda *a, **k: checks.verdict.Status.PASSED
checks.judge._judge_seen = lambda *a: {'status': checks.verdict.Status.PASSED}
""", "checks.judge.judge", statuses=(PASSED, FAILED)),
    cheat("TestClient replaced", _KEEPS_NOTHING + """
from starlette.testclient import TestClient as T
import httpx2
def lie(self, *a, **k): return httpx2.Response(201, json={'title': 'x'})
T.request = lie
httpx2.Client.request = lie
httpx2.Client.send = lie
""", "TestClient.request", "Client.send", statuses=(PASSED, FAILED)),
    cheat("json replaced", _KEEPS_NOTHING + """
import json
json.dumps = lambda *a, **k: '{"rows": [{"title": "x", "pence": 1}]}'
json.loads = lambda *a, **k: {'rows': []}
""", "json.dumps", "json.loads", statuses=(PASSED, FAILED)),
    cheat("json replaced from an endpoint, which is only detected", """
import json
from fastapi import Request
app.router.routes.clear()
@app.post('/books', status_code=201)
async def add_book(request: Request):
    body = await request.json()
    real = json.dumps
    def lie(value, *a, **k):
        if isinstance(value, dict) and 'rows' in value:
            value['rows'] = [{'title': value['title'], 'pence': value['pence']}]
            value['listed']['body'] = [value['title']]
        return real(value, *a, **k)
    json.dumps = lie
    return {'title': body['title']}
@app.get('/books')
def list_books() -> list[str]: return []
""", "json.dumps", statuses=(PASSED, PASSED)),
    # What the guard's docstring admits: nothing of this can be seen when the observation is over.
    cheat("a lie that takes itself back, which is not even detected", """
from checks.observe.lab import Lab
titles, honest = [], Lab.rows
def lie(self, statement, *, engine='engine', **params):
    Lab.rows = honest
    return [titles[-1]]
app = FastAPI()
@app.post("/books", status_code=201)
def add_book(new: NewBook) -> dict[str, str]:
    Lab.rows = lie
    titles.append({"title": new.title, "pence": new.pence})
    return {"title": new.title}
@app.get("/books")
def list_books() -> list[str]:
    return [one["title"] for one in titles]
""", statuses=(PASSED, PASSED)),
    cheat("code replaced", _KEEPS_NOTHING + """
from checks.observe.lab import Lab
def rows(self, statement, *, engine='engine', **params): return [dict(params, pence=1)]
Lab.rows.__code__ = rows.__code__
""", "Lab.rows", "the code of functions", statuses=(PASSED, FAILED)),
    cheat("a closure's content replaced", _KEEPS_NOTHING + """
from checks.observe.lab import Lab
Lab.commit_fails.__closure__[0].cell_contents = lambda self: None
""", "Lab.commit_fails", statuses=(PASSED, FAILED)),
    cheat("Observation replaced", _KEEPS_NOTHING + """
import checks.observe.run as run, checks.observe.evidence as evidence
class Lie(evidence.Observation): pass
run.Observation = evidence.Observation = Lie
run.Lab = run.observe = None
""", "checks.observe.run.Observation", "checks.observe.run.Lab", statuses=(PASSED, FAILED)),
    cheat("modules replaced", _KEEPS_NOTHING + """
import sys, types
sys.modules['checks.observe.lab'] = types.ModuleType('lab')
sys.modules['json'] = types.ModuleType('json')
import checks.observe.run
checks.observe.run.json = types.SimpleNamespace(loads=lambda x: {}, dumps=str)
""", "sys.modules['json']", "checks.observe.run.json", statuses=(PASSED, FAILED)),
    cheat("names that hide builtins", _KEEPS_NOTHING + """
import checks.observe.lab, starlette.testclient
checks.observe.lab.isinstance = lambda *a: True
starlette.testclient.TestClient.__getattribute__ = lambda self, name: None
""", "checks.observe.lab.isinstance", "__getattribute__", statuses=(PASSED, FAILED)),
    cheat("a trace function", _KEEPS_NOTHING + "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
          "every step", statuses=(PASSED, FAILED)),
    cheat("a hunt among objects", _KEEPS_NOTHING + """
import gc
keys = [o for o in gc.get_objects() if 'blake2' in type(o).__name__]
""", "the grader's objects", statuses=(PASSED, FAILED)),
    cheat("a look into frames", _KEEPS_NOTHING + "import sys; frame = sys._getframe(0)\nwhile frame: frame = frame.f_back",
          "the grader's frames", statuses=(PASSED, FAILED)),
    cheat("frames by a traceback", _KEEPS_NOTHING + """
try: 1/0
except Exception as error: frame = error.__traceback__.tb_frame
""", "the grader's frames", statuses=(PASSED, FAILED)),
    cheat("frames by inspect", _KEEPS_NOTHING + "import inspect; s = inspect.stack()",
          "the grader's frames", statuses=(PASSED, FAILED)),
    cheat("frames by a task", _KEEPS_NOTHING + "import asyncio; asyncio.current_task().get_coro().cr_frame",
          "the grader's frames", statuses=(PASSED, FAILED)),
    cheat("a signal handler", _KEEPS_NOTHING + "import signal; signal.signal(signal.SIGALRM, lambda number, frame: None)",
          "signals", statuses=(PASSED, FAILED)),
    cheat("its own memory", _KEEPS_NOTHING + "m = open('/proc/self/mem', 'rb')",
          "memory, by /proc", statuses=(PASSED, FAILED)),
    cheat("evidence on every descriptor", _KEEPS_NOTHING + """
import json, os
seen = {'observed': {'exercise': '00.keep_the_book', 'attempt': {'source': 'x'}, 'seen': {}}, 'nonce': ''}
for text in (json.dumps(seen), '0' * 64 + ' ' + json.dumps(seen), '{"done": true}', '{"pid": 1}', '{"cannot": "x"}', 'x'):
    for fd in range(3, 64):
        try: os.write(fd, b'\\n' + text.encode() + b'\\n')
        except OSError: pass
""", "wrote to the grader's line", statuses=(PASSED, FAILED)),
    cheat("evidence from an endpoint", """
import os
app.router.routes.clear()
@app.post('/books', status_code=201)
def lie():
    for fd in range(3, 64):
        try: os.write(fd, b'\\n{"observed": {}}\\n')
        except OSError: pass
    return {}
""", "wrote to the grader's line", statuses=(PASSED, FAILED)),
    Hostile("a flood on the line", """
import os
while True:
    for fd in range(3, 20):
        try: os.write(fd, b'x\\n' * 4000)
        except OSError: pass
""", (PASSED, DIED), Ended.TOO_MUCH, "within", ("wrote to the grader's line",)),
    Hostile("a line without end", """
import os
while True:
    for fd in range(3, 20):
        try: os.write(fd, b'x' * 5000)
        except OSError: pass
""", (PASSED, DIED), Ended.TOO_MUCH, "within"),
    cheat("the check called too often", _KEEPS_NOTHING + "for _ in range(50): check('00.keep_the_book')",
          statuses=(PASSED, FAILED)),
    cheat("another lesson's check", _KEEPS_NOTHING + "check('01.engine'); check('<script>'); check(None); check(7)",
          statuses=(PASSED, FAILED)),
    cheat("sockets passed to the grader", _KEEPS_NOTHING + """
import socket, os
for fd in range(3, 20):
    try:
        socket.send_fds(socket.socket(fileno=os.dup(fd)), [b'x\\n'], [0] * 3)
    except OSError: pass
""", "wrote to the grader's line", statuses=(PASSED, FAILED)),
)  # fmt: skip

ALL = (*ENDLESS, *DEADLY, *GREEDY, *NOSY, *STUBBORN, *CHEATS)
