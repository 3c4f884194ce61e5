"""The word kernel sees the words that Python's `re` sees, in any script."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.kernels import blocks, runs
from curator.kernels import words as kernel
from curator.kernels.commands import commands
from curator.words import HASHED

MASK = (1 << 64) - 1
GOLDEN = ["b228ea3bb6a15d0d", "a90cecbbd023b925", "66d2e8e3bab412a0", "f23d14dcaddb70a5"]


def mix(h: int) -> int:
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & MASK
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return (h ^ h >> 33) or 1


def hash_of(word: str) -> int:
    """The hash of a folded word, by `kernels.hashes`."""
    out = b""
    for c in word:
        point = ord(c)
        high = bytes([point & 127 | 128, point >> 7 & 127 | 128, point >> 14 | 128])
        out += high if point > 127 else b"\x7f" if c == "_" else bytes([point])
    h = 0xCBF29CE484222325
    for k in range(0, len(out), 8):
        h = mix(h ^ int.from_bytes(out[k : k + 8], "little"))
    return h


def folded(word: str, folding: str) -> str:
    if folding == "lower":
        return "".join(c.lower() for c in word)
    return "".join(re.sub(r"\W", "", unicodedata.normalize("NFKC", c).lower()) for c in word)


def oracle(text: str, folding: str = "lower") -> list[tuple[int, int, int]]:
    """(hash, first byte, byte after) of each word, by Python's own rule."""
    found, here, done = [], 0, 0
    for m in re.finditer(r"\w+", text):
        start = here + len(text[done : m.start()].encode())
        here, done = start + len(m[0].encode()), m.end()
        found.append((hash_of(folded(m[0], folding)), start, here))
    return found


def run(array, folding: str = "lower") -> list[list[tuple[int, int, int]]]:
    found = kernel.words(*kernel.text_buffers(array), folding, places=True)
    bare = kernel.words(*kernel.text_buffers(array), folding)  # rows of plain ASCII are then read another way
    assert (bare.hashes.tolist(), bare.ends.tolist()) == (found.hashes.tolist(), found.ends.tolist())
    rows = list(zip(found.hashes.tolist(), found.starts.tolist(), found.stops.tolist(), strict=True))
    return [rows[a:b] for a, b in zip(found.ends[:-1], found.ends[1:], strict=True)]


latex = st.sampled_from(
    [r"\frac{1}{2}", "$x_1^2$", r"\left( 3 )", "x²", "ﬁ", "e\u0301", "İ", "ΣΑΣ", "ß", "①", "２３", "𝒙", "한국", "각"]
)  # fmt: skip
pieces = st.one_of(
    latex, st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="ascii"), max_size=12),
    st.text("中文字，。ー々〇", max_size=5), st.text("a\u0301\u0323\u200d\u0915\u094d\ufe0f", max_size=6),
    st.text("😀👩\u200d🚀🇪🇺", max_size=5),
)  # fmt: skip
texts = st.lists(pieces, max_size=6).map("".join)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(texts, st.none()), max_size=6), st.sampled_from([pa.string(), pa.large_string()]),
       st.sampled_from(["lower", "nfkc"]))  # fmt: skip
@example(["", None, "one", " \t", "_", "é"], pa.string(), "lower")
def test_words_are_those_of_python(rows, kind, folding):
    assert run(pa.array(rows, kind), folding) == [oracle(text or "", folding) for text in rows]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text("aB3_ .,-", max_size=40), max_size=8))
@example(["a b", "a ", " a", "ab", "a", "", "a b c d e f g"])
def test_rows_of_plain_ascii(rows):
    assert run(pa.array(rows, pa.string())) == [oracle(text) for text in rows]


LENGTHS = ["a", "Z_", "1234567", "abcdefgH", "abcdefghI", "x" * 16, "y" * 17, "z" * 63, "w" * 64]
OTHERS = ["é", "ab≤c", "naïvement", "十" * 30]
word_and_gap = st.tuples(st.sampled_from(LENGTHS + OTHERS), st.integers(0, 70))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(word_and_gap, max_size=20), max_size=5), st.integers(0, 3))
def test_words_and_gaps_of_any_length_beside_each_other(rows, before):
    """Borders of blocks of 64 bytes and of chunks fall anywhere; rows of other scripts stand beside plain ones."""
    texts = ["".join(word + " " * gap for word, gap in row) for row in rows]
    assert run(pa.array(["x" * before, *texts]).slice(1)) == [oracle(text) for text in texts]


@pytest.mark.parametrize(
    "size", [1, 7, 8, 9, 15, 16, 17, 24, 25, 62, 63, 64, 65, 127, 128, 129, 2047, 2048, 2049, 4100]
)
@pytest.mark.parametrize("last", ["", " ", "é", "≤"])
def test_a_row_of_one_word_ends_at_any_place(size, last):
    text = "aB_4567"[: size % 8] + "Q" * (size - size % 8)
    for rows in ([text + last], [text + last, text], ["c d " * 20, text + last], [(" " * size) + text + last]):
        assert run(pa.array(rows)) == [oracle(t) for t in rows]
    assert run(pa.array([("ab " * size)[:size] + last])) == [oracle(("ab " * size)[:size] + last)]


@given(st.text("aZ_9é中K", min_size=1, max_size=30))
def test_a_word_has_one_hash_whoever_reads_it(word):
    """Beside a sign above 127 a run is read character by character, else eight bytes at a time; commands are as words."""  # noqa: E501
    beside = [h for h, _, _ in run(pa.array(["≤" + word]))[0]]
    assert beside == [h for h, _, _ in run(pa.array([word + " "]))[0]] == [hash_of(folded(word, "lower"))]


def test_hashes_are_those_of_their_version():
    """Indexes of `dedup` keep n-grams of them. Whoever changes these numbers raises `words.HASHED`."""
    found = kernel.words(*kernel.text_buffers(pa.array(["a Word_1 incomprehensibilities naïve"]))).hashes.tolist()
    assert (HASHED, [f"{h:x}" for h in found]) == (2, GOLDEN)


formula = st.sampled_from(["\\", "left", "frac", "Frac", "x", "dfracture", " ", "é", "≤", "{2}", "_"])
SWAP = {"left": "", "frac": "x", "dfracture": "über"}


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(formula, max_size=40).map("".join), max_size=4), st.booleans())
def test_what_follows_a_backslash_is_swapped(rows, places):
    put = {hash_of(name): hash_of(to) if to else 0 for name, to in SWAP.items()}
    swap = commands(put)
    found = kernel.words(*kernel.text_buffers(pa.array(rows, pa.string())), places=places, swap=swap)
    for k, text in enumerate(rows):
        data, a, b = text.encode(), found.ends[k], found.ends[k + 1]
        told = [(put.get(h, h) if data[s - 1 : s] == b"\\" else h, s, e) for h, s, e in oracle(text)]
        told = [t for t in told if t[0]]
        assert found.hashes[a:b].tolist() == [h for h, _, _ in told]
        if places:
            assert list(zip(found.starts[a:b].tolist(), found.stops[a:b].tolist(), strict=True)) == [
                t[1:] for t in told
            ]


@numba.njit
def both_ways(bits, here, out):
    blocks.pack_places(bits, here, blocks.pointer(out[0]), np.uint64(1))
    runs.write_places(bits, here, blocks.pointer(out[1]), np.uint64(1))


@given(st.integers(0, MASK), st.integers(0, MASK), st.integers(0, 1 << 40))
@example(MASK, MASK, 0)
@example(1 << 63, MASK, 7)
def test_places_of_bits_are_written_alike_on_every_machine(some, others, here):
    """Machines pack them, or take one after another; a machine's own tests would see one way only."""
    for bits in (some, some & others):
        out = np.zeros((2, 66), np.uint64)
        both_ways(np.uint64(bits), np.uint64(here), out)
        places = [here + k for k in range(64) if bits >> k & 1]
        assert out[:, 1 : 1 + len(places)].tolist() == [places, places]
        assert out[:, 0].tolist() == [0, 0]


def test_threads_do_not_meet():
    """Kernels run without the lock of the interpreter, so what they work with is their own."""
    rows = [[f"{'word ' * n}{n} naïve {'end' * n}" for n in range(k, k + 300)] for k in range(8)]
    alone = [run(pa.array(r)) for r in rows]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda r: run(pa.array(r)), rows * 4)) == alone * 4


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from curator.kernels import words

page, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
room = mmap.mmap(-1, 3 * page)
at = ctypes.addressof(ctypes.c_char.from_buffer(room))
whole = np.frombuffer(room, np.uint8)
for text in ("word " * 13, "x" * 64, "x" * 65, "é" * 40, " " * 70, "a long_word_at_the_end_of_a_row " * 4 + "é"):
    read = np.frombuffer(text.encode(), np.uint8)
    for start in (page, 2 * page - read.size):
        whole[start : start + read.size] = read
        for gone in (0, 2):
            assert libc.mprotect(ctypes.c_void_p(at + gone * page), ctypes.c_size_t(page), 0) == 0
        for first in (0, 1):
            data, rows = whole[start : start + read.size], np.array([0, first, read.size])
            data.flags.writeable = rows.flags.writeable = False  # as the kernel was compiled before
            words.words(data, rows, places=True)
        for gone in (0, 2):
            assert libc.mprotect(ctypes.c_void_p(at + gone * page), ctypes.c_size_t(page), 3) == 0
print("read")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pages are guarded by mprotect")
def test_nothing_is_read_beside_the_data():
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr


def test_every_character_there_is():
    """One word character at a time, so that no code point of this Python is decoded or folded otherwise."""
    whole = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for at in range(0, len(whole), 1 << 16):
        text = " ".join(whole[at : at + (1 << 16)])
        for folding in ("lower", "nfkc"):
            assert run(pa.array([text]), folding) == [oracle(text, folding)]


def test_a_word_of_ten_megabytes():
    text = "ab" * (5 << 20) + "é"
    ((one,),) = run(pa.array([text]))
    assert one[1:] == (0, (10 << 20) + 2)
    assert one[0] != run(pa.array([text[:-1]]))[0][0][0]


def test_slices_and_chunks_and_dictionaries():
    rows = ["first row", None, "sécond", "", "third  3"]
    whole = [oracle(t or "") for t in rows]
    assert run(pa.array(rows).slice(2)) == whole[2:]
    assert run(pa.chunked_array([rows[:2], rows[2:]])) == whole
    assert run(pa.array(rows).dictionary_encode()) == whole
    assert run(pa.array(rows, pa.string_view())) == whole
    assert run(pa.array([], pa.string())) == []
    assert run(pa.chunked_array([], pa.string())) == []


def test_ascii_alone_needs_no_tables(monkeypatch):
    monkeypatch.setattr(kernel, "tables", lambda folding: pytest.fail("the tables are only for other text"))
    assert run(pa.array(["plain text, 3"])) == [oracle("plain text, 3")]
    # the bytes of other rows of the same buffer do not count
    assert run(pa.array(["é", "plain"]).slice(1)) == [oracle("plain")]


@pytest.mark.parametrize(
    "broken", [b"a\xff b", b"caf\xc3", b"\xe4\xb8", b"x \xf0\x9f\x98", b"\x80\x80 q", b"\xf7\xbf\xbf\xbf"]
)
def test_broken_utf8_ends_within_its_row(broken):
    data = np.frombuffer(broken + "é after".encode(), np.uint8)
    found = kernel.words(data, np.array([0, len(broken), len(data)], np.int64))
    assert found.ends[-1] - found.ends[1] == 2
    assert found.hashes[found.ends[1] :].tolist() == [h for h, _, _ in oracle("é after")]
