"""The response store: what was put is found, what was torn is not, and nobody is in anybody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.engines import compact, segments
from curator.engines.answers import keys, pack, pack_score, score_key, unpack, unpack_score
from curator.engines.protocol import Completion, Message, Request, Sampling, TextScore
from curator.engines.store import Store
from curator.errors import InputError, OutputError

IDENTITY = {"kind": "fake", "model": "m"}
ASK = Request((Message("user", "2+2?"),))


def key(n: int) -> bytes:
    return n.to_bytes(16, "big")


def payload(text: str, finish: str = "stop") -> dict:
    return pack(Completion(text, finish, 3, 2), "fake", "m")


def test_an_answer_survives_the_round_trip(tmp_path):
    store = Store(tmp_path / "s")
    whole = Completion("<think>é漢\x00</think>4", "stop", 5, 7, (-0.25, -1.5), ("a", "\ufffd"))
    store.put(key(1), pack(whole, "fake", "m"), 100)
    assert unpack(Store(tmp_path / "s").get(key(1), 100)) == replace(whole, cached=True)
    score = TextScore(("a", "b"), (-0.1, -0.2), (0, 1), True)
    store.put(key(2), pack_score(score, "fake", "m"), 0)
    assert unpack_score(store.get(key(2), 0)) == score


def test_a_raised_limit_asks_only_truncated_answers_again(tmp_path):
    store = Store(tmp_path / "s")
    store.put(key(1), payload("whole"), 100)
    store.put(key(2), payload("cut", "length"), 100)
    assert store.get(key(1), 200)["text"] == "whole"
    assert store.get(key(2), 200) is None
    assert store.get(key(2), 100)["text"] == "cut"
    assert store.get(key(2), 50)["text"] == "cut"
    store.put(key(2), payload("longer"), 200)
    assert Store(tmp_path / "s").get(key(2), 400)["text"] == "longer"


@pytest.mark.parametrize(
    "other",
    [
        replace(ASK, messages=(Message("user", "2+3?"),)),
        replace(ASK, messages=(Message("system", "2+2?"),)),
        replace(ASK, prefix="It"),
        replace(ASK, logprobs=True),
        replace(ASK, first_sample=1),
        *(
            replace(ASK, sampling=Sampling(**{name: value}))
            for name, value in {
                "temperature": 1.0, "top_p": 1.0, "top_k": 5, "stop": ("x",), "bad_words": ("x",), "seed": 1,
            }.items()
        ),
    ],
)  # fmt: skip
def test_what_is_in_the_key(other):
    assert keys(IDENTITY, other) != keys(IDENTITY, ASK)


def test_what_is_not_in_the_key():
    assert keys(IDENTITY, replace(ASK, key="row-7")) == keys(IDENTITY, ASK)
    assert keys(IDENTITY, replace(ASK, sampling=Sampling(max_tokens=9))) == keys(IDENTITY, ASK)
    assert keys(IDENTITY, replace(ASK, sampling=Sampling(top_p=1))) == keys(
        IDENTITY, replace(ASK, sampling=Sampling(top_p=1.0))
    )
    three = keys(IDENTITY, replace(ASK, n=3))
    assert three[1:] == keys(IDENTITY, replace(ASK, n=2, first_sample=1))
    assert keys({"model": "m", "kind": "fake"}, ASK) == keys(IDENTITY, ASK)
    assert keys({**IDENTITY, "model": "n"}, ASK) != keys(IDENTITY, ASK)
    assert score_key(IDENTITY, ASK, "4") not in keys(IDENTITY, ASK)


def test_keys_are_those_of_stores_that_exist_already():
    assert keys(IDENTITY, ASK)[0].hex() == "8599b179df2dab1989439dda4ae7db8a"
    messages = (Message("system", 'sé\n"x'), Message("user", "2+2?"))
    sampling = Sampling(0.5, 1, 3, 100, ("a", "b"), ("c",), 7)
    whole = Request(messages, sampling, n=3, first_sample=5, prefix="<think>", logprobs=True)
    assert [k.hex() for k in keys(IDENTITY, whole)] == [
        "b49181675b8f3217ba1781b71cd0db1f", "7beaec3379d74e876d16fcc44f54e5f0", "9c442138393278bd31b616d4aaeb0694",
    ]  # fmt: skip


WRITES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans(), st.integers(1, 3)), max_size=40)


@settings(max_examples=40, deadline=None)
@given(writes=WRITES, refresh=st.lists(st.integers(0, 39), max_size=5))
def test_any_interleaving_of_writers_is_readable(writes, refresh):
    """Every key that any writer wrote is found by every reader, with the payload of some write of that key."""
    with tempfile.TemporaryDirectory() as folder:
        stores = [Store(folder) for _ in range(4)]
        wrote: dict[int, list[tuple[str, bool, int]]] = {}
        for i, (writer, k, cut, asked) in enumerate(writes):
            if i in refresh:
                stores[writer].refresh()
            stores[writer].put(key(k), payload(f"{writer}/{i}", "length" if cut else "stop"), asked)
            wrote.setdefault(k, []).append((f"{writer}/{i}", cut, asked))
        reader = Store(folder)
        for k, all_writes in wrote.items():
            found = reader.get(key(k), 0)
            assert found["text"] in {text for text, _, _ in all_writes}
            if any(not cut for _, cut, _ in all_writes):
                assert reader.get(key(k), 10**6) is not None  # a finished answer is preferred to a cut one
            else:
                most = max(asked for _, _, asked in all_writes)
                assert reader.get(key(k), most) is not None
                assert reader.get(key(k), most + 1) is None
        assert len(reader) == len(wrote)
        for store in (*stores, reader):
            store.close()


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=8), data=st.data())
def test_a_segment_cut_anywhere_gives_exactly_its_whole_records(texts, data):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        ends = []
        for i, text in enumerate(texts):
            store.put(key(i), payload(text.encode("utf-8", "replace").decode()), 10)
            ends.append(store._end)
        store.close()
        (file,) = Path(folder).glob("*.seg")
        cut = data.draw(st.integers(0, ends[-1]))
        file.write_bytes(file.read_bytes()[:cut])
        reader = Store(folder)
        whole = sum(end <= cut for end in ends)
        assert len(reader) == whole
        assert [reader.get(key(i), 0) is not None for i in range(len(texts))] == [i < whole for i in range(len(texts))]
        # Another writer goes on beside the torn file.
        reader.put(key(99), payload("later"), 10)
        assert Store(folder).get(key(99), 0)["text"] == "later"
        reader.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_costs_one_record_at_most(data):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for i in range(5):
            store.put(key(i), payload(f"text {i}"), 10)
        store.close()
        (file,) = Path(folder).glob("*.seg")
        raw = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
        file.write_bytes(raw)
        reader = Store(folder)
        found = [reader.get(key(i), 0) for i in range(5)]
        assert sum(p is None for p in found) == 1
        assert all(p is None or p["text"] == f"text {i}" for i, p in enumerate(found))
        assert compact.verify(folder)[0]["damaged"] > 0
        reader.close()


def test_a_reader_sees_what_is_written_meanwhile(tmp_path):
    writer, reader = Store(tmp_path), Store(tmp_path)
    writer.put(key(1), payload("a"), 1)
    assert reader.get(key(1), 1) is None
    reader.refresh()
    assert reader.get(key(1), 1)["text"] == "a"
    writer.put(key(2), payload("b"), 1)
    reader.refresh()
    assert reader.get(key(2), 1)["text"] == "b"


WRITER = """
import sys
from curator.engines.store import Store
from curator.engines.protocol import Completion
from curator.engines.answers import pack
store = Store(sys.argv[1])
for i in range(10**9):
    store.put(i.to_bytes(16, "big"), pack(Completion("x" * (i % 5000), "stop"), "fake", "m"), 10)
    print(i, flush=True)
"""


def test_kill_9_loses_no_completed_record(tmp_path):
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        lines = [child.stdout.readline() for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.wait()
        done = int([line for line in lines if line.strip()][-1])
        store = Store(tmp_path)
        for i in range(done + 1):
            assert store.get(key(i), 10)["text"] == "x" * (i % 5000)
        store.close()
    assert len(list(tmp_path.glob("*.seg"))) == 3


def elsewhere(code: str, *args: str) -> str:
    """Run code in another process, so that our own segments have a dead writer afterwards."""
    return subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True, text=True).stdout


FILL = """
import sys
from curator.engines.store import Store
from curator.engines.answers import pack
from curator.engines.protocol import Completion
s = Store(sys.argv[1])
for i in range(int(sys.argv[2]), int(sys.argv[3])):
    finish = "length" if i % 7 == 0 else "stop"
    s.put(i.to_bytes(16, "big"), pack(Completion(f"t{i}", finish, 2, 3), sys.argv[4], "m"), 5)
"""


def test_compacting_keeps_every_answer_and_open_readers_work_on(tmp_path):
    elsewhere(FILL, str(tmp_path), "0", "1500", "fake")
    elsewhere(FILL, str(tmp_path), "1400", "2000", "fake")
    reader = Store(tmp_path)
    (told,) = compact.compact(tmp_path)
    assert (told["files"], told["answers"]) == (2, 2000)
    assert [f.suffix for f in tmp_path.iterdir()] == [".parquet"]
    for store in (reader, Store(tmp_path)):
        assert all(store.get(key(i), 5)["text"] == f"t{i}" for i in (0, 7, 1023, 1024, 1399, 1999))
        assert store.get(key(7), 6) is None  # still a cut answer
    reader.put(key(5000), payload("new"), 5)
    again = Store(tmp_path)
    assert again.get(key(5000), 5)["text"] == "new"
    assert len(again) == 2001
    assert compact.compact(tmp_path)[0]["answers"] == 2000  # our own segment is being written to and stays
    assert Store(tmp_path).get(key(5000), 5)["text"] == "new"


def test_gc_throws_away_what_is_asked_and_nothing_else(tmp_path):
    elsewhere(FILL, str(tmp_path), "0", "10", "old-engine")
    elsewhere(FILL, str(tmp_path), "10", "30", "fake")
    with pytest.raises(InputError, match="needs a condition"):
        compact.gc(tmp_path)
    assert compact.gc(tmp_path, older_than=1)[0]["removed"] == 0
    assert compact.gc(tmp_path, engine="old-engine", model="other")[0]["removed"] == 0
    (told,) = compact.gc(tmp_path, engine="old-engine")
    assert (told["removed"], told["answers"]) == (10, 20)
    (row,) = compact.stats(tmp_path)
    assert (row["engine"], row["answers"], row["tokens_out"]) == ("fake", 20, 40)


def test_ls_and_stats_name_what_is_there(tmp_path):
    store = Store(tmp_path)
    store.put(key(1), payload("a", "length"), 1)
    (row,) = compact.ls(tmp_path)
    assert (row["kind"], row["answers"], row["live"]) == ("segment", 1, True)
    (group,) = compact.stats(tmp_path)
    assert (group["answers"], group["cut"], group["tokens_in"], group["tokens_out"]) == (1, 1, 2, 3)
    with pytest.raises(InputError, match="no response store"):
        compact.ls(tmp_path / "none")


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        Store(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        Store(tmp_path / "file" / "inside").put(key(1), payload("a"), 1)


def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(key(1), payload("a"), 1)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("curator.engines.store.os.write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        store.put(key(2), payload("b"), 1)
    monkeypatch.undo()
    store.put(key(3), payload("c"), 1)
    again = Store(tmp_path)
    assert [again.get(key(i), 1) is not None for i in (1, 2, 3)] == [True, False, True]


def test_frames_hold_what_the_head_says(tmp_path):
    file = tmp_path / "one.seg"
    file.write_bytes(b"noise" + segments.frame(key(1), b"{}", 7, cut=True) + b"\xa7TC1torn")
    (head,) = segments.scan(file)
    assert (head.key, head.length, head.asked, head.cut) == (key(1), 2, 7, True)
