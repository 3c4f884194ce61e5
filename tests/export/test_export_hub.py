"""push: the real client against a small server of our own that speaks the few routes it uses."""

import asyncio
import hashlib
import json
import threading
from base64 import b64decode

import pytest
from export_stand import files, some, written

from curator.errors import CheckError, OutputError
from curator.export import hub

pytest.importorskip("huggingface_hub", reason="needs the extra [hub]")
aiohttp_web = pytest.importorskip("aiohttp.web")
TOKEN = "hf_" + "notARealTokenButLongEnough0123456"


class Server:
    """Creates a dataset repository, takes files inline or as LFS objects, and keeps what was committed."""

    def __init__(self):
        self.requests, self.objects, self.committed, self.created = [], {}, {}, {}
        self.refuse = None
        self.loop, self.port, ready = asyncio.new_event_loop(), 0, threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(30)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, ready):
        asyncio.set_event_loop(self.loop)
        app = aiohttp_web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{rest:.*}", self._answer)

        async def start():
            self.runner = aiohttp_web.AppRunner(app)
            await self.runner.setup()
            site = aiohttp_web.TCPSite(self.runner, "127.0.0.1", 0)
            await site.start()
            self.port = self.runner.addresses[0][1]
            ready.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()

    def stop(self):
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)

    async def _answer(self, request):
        body, path = await request.read(), request.path
        self.requests.append((request.method, path, request.headers.get("Authorization")))
        if self.refuse:
            return aiohttp_web.json_response(
                {"error": f"no write access with {request.headers.get('Authorization')}"}, status=self.refuse
            )
        if path == "/api/repos/create":
            self.created.update(json.loads(body))
            return aiohttp_web.json_response({"url": f"{self.url}/datasets/me/small"})
        if path == "/api/validate-yaml":
            return aiohttp_web.json_response({"errors": [], "warnings": []})
        if path == "/api/datasets/me/small/preupload/main":
            modes = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".parquet") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            return aiohttp_web.json_response({"files": modes})
        if path.endswith("/info/lfs/objects/batch"):
            found = [
                {**o, "actions": {"upload": {"href": f"{self.url}/upload/{o['oid']}", "header": {}}}}
                for o in json.loads(body)["objects"]
            ]
            return aiohttp_web.json_response({"transfer": "basic", "objects": found})
        if path.startswith("/upload/"):
            self.objects[path.rpartition("/")[2]] = body
            return aiohttp_web.Response()
        if path == "/api/datasets/me/small/commit/main":
            self._commit(body)
            return aiohttp_web.json_response(
                {"success": True, "commitUrl": f"{self.url}/datasets/me/small/commit/{'a' * 40}", "commitOid": "a" * 40}
            )
        if path.startswith("/api/datasets/me/small"):
            return aiohttp_web.json_response({"id": "me/small", "sha": "a" * 40, "siblings": []})
        return aiohttp_web.json_response({"error": f"no such route: {path}"}, status=404)

    def _commit(self, body):
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.committed[value["path"]] = b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.committed[value["path"]] = self.objects[value["oid"]]


def is_private(created):
    return created.get("private") is True or created.get("visibility") == "private"  # older and newer clients


@pytest.fixture
def server(monkeypatch, tmp_path):
    found = Server()
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    # The client reads its settings at import, and another test may have imported it already.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield found
    found.stop()


def test_the_whole_folder_arrives_byte_by_byte(server, tmp_path):
    out = written(tmp_path / "d", some(), to=["trl", "llama-factory"], push="me/small")
    assert server.committed == files(out)
    assert {hashlib.sha256(data).hexdigest() for data in server.objects.values()} == set(server.objects)
    assert server.created["type"] == "dataset"
    assert is_private(server.created)


def test_the_token_is_sent_and_written_nowhere(server, tmp_path):
    out = written(tmp_path / "d", some(), push="me/small", private=False)
    assert not is_private(server.created)
    assert {auth for _, path, auth in server.requests if path.startswith("/api/datasets")} == {f"Bearer {TOKEN}"}
    everything = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert all(TOKEN.encode() not in p.read_bytes() for p in everything)
    assert files(out)


def test_a_refusal_is_one_line_without_the_token(server, tmp_path):
    server.refuse = 403
    with pytest.raises(OutputError, match="push to 'me/small' failed") as error:
        written(tmp_path / "d", some(), push="me/small")
    assert "\n" not in str(error.value)
    assert TOKEN not in str(error.value)
    assert files(tmp_path / "d")  # the folder stands


@pytest.mark.parametrize("repo", ["small", "me/", "../x/y", "me/sm all", "me/a--b", "a/b/c"])
def test_a_wrong_id_is_told_before_the_first_row(monkeypatch, repo):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(CheckError, match="not an id of the form owner/name"):
        hub.ready(repo)


def test_a_missing_token_is_told_before_the_first_row(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(CheckError, match="HF_TOKEN"):
        written(tmp_path / "d", some(), push="me/small")
    assert not list((tmp_path / "d").iterdir())


def test_a_missing_extra_names_the_line_to_type(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CheckError, match=r'pip install "trace-curator\[hub\]"'):
        hub.ready("me/small")
