"""The word kernel sees the words that Python's `re` sees, in any script."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.kernels import words as kernel

MASK = (1 << 64) - 1


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
    """They are hashed in two halves, which may not show: words over the middle, of one letter, no words at all."""
    assert run(pa.array(rows, pa.string())) == [oracle(text) for text in rows]


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
