"""The judge itself: what it does not see it cannot judge."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from support.judge.client import TESTS
from support.judge.paid_service import content, picture
from support.judge.shim import Rule, events

from zai_images._picture.picture import inspect

# What any program may do below a folder: SQLite's own files, and plain ones.
PROGRAM = """
import json, os, sqlite3, sys
from support.judge.shim import Rule, setup
root, log, rule = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
setup(root, log, record=True, rule=rule and Rule(**rule))
os.mkdir(f"{root}/folder")
db = sqlite3.connect(f"{root}/a.sqlite", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE t (x)")
for n in range(3):
    db.execute("INSERT INTO t VALUES (?)", ("x" * 5000,))
file = os.open(f"{root}/folder/a.part", os.O_WRONLY | os.O_CREAT, 0o600)
os.write(file, b"hello ")
os.write(file, b"world")
os.fsync(file)
os.close(file)
os.replace(f"{root}/folder/a.part", f"{root}/folder/a")
folder = os.open(f"{root}/folder", os.O_RDONLY)
os.fsync(folder)
os.close(folder)
db.close()
os.unlink(f"{root}/folder/a")
"""
# Its calls as strace names them, and as the shim does.
CALLS = {
    "write": "write",
    "pwrite64": "write",
    "writev": "write",
    "pwritev": "write",
    "pwritev2": "write",
    "fsync": "sync",
    "fdatasync": "sync",
    "ftruncate": "truncate",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
}
TRACED = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")


@pytest.fixture
def program(shim, tmp_path):
    """Run the program above below a folder of its own."""
    root = tmp_path / "root"
    root.mkdir()

    def program(rule=None, before=()):
        return subprocess.run(
            [
                *before,
                sys.executable,
                "-c",
                PROGRAM,
                root,
                tmp_path / "log",
                json.dumps(rule),
            ],
            env=os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            check=False,
        )

    return program


def test_the_shim_sees_every_call_that_strace_sees(program, tmp_path):
    """SQLite's included: what is seen twice, by two means, is all there is."""
    if shutil.which("strace") is None:
        pytest.skip("no strace (apt-get install strace)")
    trace = tmp_path / "trace"
    known = [name for name in CALLS if name != "pwritev2"]
    options = ["-f", "-y", "-s", "200", "-e", f"trace={','.join(known)}", "-o", trace]

    ran = program(before=["strace", *options])

    if "ptrace" in ran.stderr.lower():
        pytest.skip("strace may not trace here")
    assert ran.returncode == 0, ran.stderr
    root = str(tmp_path / "root")
    traced = Counter()
    for line in trace.read_text().splitlines():
        found = TRACED.match(line)
        if not found or int(found[3]) < 0 or root not in found[2]:
            continue
        if "-shm" not in found[2] and "/log>" not in found[2]:  # the shim's own log
            traced[CALLS[found[1]]] += 1
    seen = Counter(
        event.call
        for event in events(tmp_path / "log")
        if event.call in set(CALLS.values()) and not event.path.endswith("-shm")
    )
    assert seen == traced
    assert seen["sync"] >= 6  # three commits, the table, a file and a folder


def test_the_log_holds_the_data_in_the_order_it_was_written(program, tmp_path):
    ran = program()

    assert ran.returncode == 0, ran.stderr
    found = [e for e in events(tmp_path / "log") if e.path.endswith(("a.part", "/a"))]
    told = [(e.call, e.offset, e.data) for e in found]
    assert told == [
        ("create", 0, b""),
        ("write", 0, b"hello "),
        ("write", 6, b"world"),
        ("sync", 0, b""),
        ("rename", 0, b""),
        ("unlink", 0, b""),
    ]


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_is_before_or_after_its_call(after, program, tmp_path):
    rule = {"calls": ["write"], "path": "*.part", "nth": 2, "after": after}

    ran = program(rule)

    assert ran.returncode == -signal.SIGKILL
    written = (tmp_path / "root/folder/a.part").read_bytes()
    assert written == (b"hello world" if after else b"hello ")


def test_a_call_fails_as_it_is_told(program, tmp_path):
    rule = {"calls": ["sync"], "path": "*/a.sqlite-wal", "nth": 2, "error": 5}

    ran = program(rule)

    assert "disk I/O error" in ran.stderr
    failed = [e for e in events(tmp_path / "log") if e.call == "failed"]
    assert [(e.other, e.fd) for e in failed] == [("sync", 5)]


def test_a_picture_of_the_service_is_whole_and_like_no_other():
    one, other = picture("a", 6000), picture("b", 6000)

    assert inspect(one).media_type == "image/png"
    assert content(one) != content(other)
    assert content(one) == content(picture("a", 6000))
    for damaged in (one[:-20], one[:500] + b"x" + one[501:], b""):
        assert content(damaged) == "damaged"


def post(case, prompt):
    request = urllib.request.Request(  # noqa: S310 - loopback
        case.base_url + "/images/generations", json.dumps({"prompt": prompt}).encode()
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - same
            return json.load(answer)["data"][0]["url"]
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["error"]["code"]
    except OSError:
        return "lost"


def test_the_service_bills_what_it_admits_and_nothing_else(paid_service):
    plan = {"a": ["refuse", "error", "lose", "content"], "b": ["half"]}
    case = paid_service.case(plan=plan, balance=3)

    told = [post(case, prompt) for prompt in ("a", "a", "a", "a", "a", "c")]

    assert told[:4] == ["1302", "500", "lost", "1301"]
    with urllib.request.urlopen(told[4]) as answer:  # noqa: S310 - loopback
        assert {content(answer.read())} < case.bill().contents("a")
    assert case.bill().billed == Counter(a=2, c=1)
    assert post(case, "d") == "1113"
    assert case.bill().asked == Counter(a=5, c=1, d=1)


def test_a_journal_is_read_without_being_touched(tmp_path):
    from support.judge.trial import items_of

    connection = sqlite3.connect(tmp_path / "job.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE items (number, body, state)")
    connection.execute("CREATE TABLE pictures (number, path)")
    connection.execute("""INSERT INTO items VALUES (1, '{"prompt": "a"}', 'sent')""")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    (item,) = items_of(tmp_path)

    assert (item.prompt, item.state, item.path) == ("a", "sent", None)
    assert {path.name: path.read_bytes() for path in Path(tmp_path).iterdir()} == before
    connection.close()
    assert Rule().calls == ()
