"""Reading from the hub, against a local fake of its endpoints: nothing leaves the machine."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from curator.reading.hub import HubName, is_hub, parse

SHA = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "data/train.jsonl": b'{"question": "1+1?", "answer": "2"}\n{"question": "2+2?", "answer": "4"}\n',
    "data/test.jsonl": b'{"question": "3+3?", "answer": "6"}\n',
    "README.md": b"---\nconfigs:\n- config_name: main\n  data_files:\n  - {split: train, path: data/train.jsonl}\n"
    b"  - {split: test, path: data/test.jsonl}\n---\n",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """The few endpoints that resolving and downloading one data set takes."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        asked = self.rfile.read(size).decode()
        names = [n for n in FILES if json.dumps(n)[1:-1] in asked or n.replace("/", "%2F") in asked]
        self.send(json.dumps([self.entry(n) for n in names]).encode())

    def entry(self, name: str) -> dict:
        return {"type": "file", "path": name, "size": len(FILES[name]), "oid": SHA}

    def answer(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/datasets/me/mine"):
            if "/tree/" in path:
                folder = path.partition("/tree/")[2].partition("/")[2]
                inside = [n for n in FILES if n.startswith(folder)]
                return self.send(json.dumps([self.entry(n) for n in inside]).encode())
            facts = {"id": "me/mine", "sha": SHA, "siblings": [{"rfilename": n} for n in FILES], "private": False,
                     "gated": False, "tags": [], "downloads": 0, "likes": 0}  # fmt: skip
            return self.send(json.dumps(facts).encode())
        name = path.partition("/resolve/")[2].partition("/")[2]
        if path.startswith("/datasets/me/mine/resolve/") and name in FILES:
            return self.send(FILES[name], {"X-Repo-Commit": SHA, "ETag": f'"{abs(hash(name))}"'})
        return self.send(
            b"{}", status=404, headers={"X-Error-Code": "EntryNotFound" if "me/mine" in path else "RepoNotFound"}
        )

    def send(self, body: bytes, headers: dict | None = None, status: int = 200):
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


ASKED = {
    "default": {"path": "hf:me/mine"},
    "named": {"path": "hf:me/mine:main:test"},
    "plain": {"path": "me/mine", "split": "test"},
    "no split": {"path": "hf:me/mine", "split": "tset"},
    "no data set": {"path": "hf:you/none"},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    """All of `ASKED`, in one process of its own: the libraries read the endpoint from the environment when imported."""
    pytest.importorskip("datasets")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = """if True:
        import json, sys
        from curator.errors import CuratorError
        from curator.ops.read import read
        found = {}
        for name, settings in json.loads(sys.argv[1]).items():
            try:
                found[name] = [r for result in read(**settings)() for r in result.table.to_pylist()]
            except CuratorError as e:
                found[name] = str(e)
        print(json.dumps(found))"""
    env = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "PYTHONPATH": os.getcwd()}
    env |= {"HF_HOME": str(tmp_path_factory.mktemp("hub")), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    env |= {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    command = [sys.executable, "-c", code, json.dumps(ASKED)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250)
    server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_data_set_by_name(told):
    assert [r["problem"] for r in told["default"]] == ["1+1?", "2+2?"]
    assert [r["answer"] for r in told["named"]] == ["6"]
    assert [r["answer"] for r in told["plain"]] == ["6"]


def test_what_is_not_on_the_hub(told):
    assert "no split 'tset'; did you mean 'test'?" in told["no split"]
    assert told["no data set"].startswith("hf:you/none: cannot be opened on the hub")
    assert "\n" not in told["no data set"]


def test_what_a_hub_name_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert is_hub("owner/name")
    assert is_hub("hf:anything")
    assert not is_hub("owner/name.jsonl")
    assert not is_hub("data/none")
    assert not is_hub("./owner/name")
    assert parse("hf:a/b") == HubName("a/b", None, None)
    assert parse("hf:a/b::train") == HubName("a/b", None, "train")
    assert parse("hf:a/b:main:test") == HubName("a/b", "main", "test")
