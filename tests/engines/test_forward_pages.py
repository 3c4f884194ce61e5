"""Pages of keys and values: what is shared is equal, what is written is nobody else's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from curator.engines.fast.pages import Pages  # noqa: E402
from curator.engines.fast.tile import PANEL  # noqa: E402

NET = SimpleNamespace(layers=1, kv_heads=1, depth=2)
PLACES = 4


class Model:
    """Texts beside the pages: the tokens that every step of a place must have been computed from."""

    def __init__(self) -> None:
        self.pages = Pages(NET, PLACES)
        self.texts: list[list[int] | None] = [None] * PLACES

    def write(self, place: int, start: int) -> None:
        """Stand in for the forward: the key of a step is a hash of all tokens up to it."""
        text = self.texts[place]
        for at in range(start, len(text)):
            page = self.pages.table[place, at // PANEL]
            self.pages.keys[page, 0, 0, 0, at % PANEL] = hash(tuple(text[: at + 1])) % 2**20

    def check(self) -> None:
        for place, text in enumerate(self.texts):
            for at in range(len(text or ())):
                page = self.pages.table[place, at // PANEL]
                assert self.pages.keys[page, 0, 0, 0, at % PANEL] == hash(tuple(text[: at + 1])) % 2**20


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "copy", "leave", "extend"]), st.integers(0, PLACES - 1),
        st.integers(0, PLACES - 1), st.integers(0, 3), st.integers(1, 4 * PANEL), st.integers(0, 4 * PANEL),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_every_text_finds_its_own_steps(actions):
    m = Model()
    for what, place, other, kind, length, most in actions:
        text = m.texts[place]
        if what == "enter" and text is None:
            m.texts[place] = [kind % 2] * PANEL + [kind] * length
            there = m.pages.enter(place, m.texts[place], most)
            assert there % PANEL == 0
            assert 0 <= there <= most
            assert there < len(m.texts[place])
            m.write(place, there)
            m.pages.settle()
        elif what == "copy" and text is None and m.texts[other] is not None:
            m.texts[place] = list(m.texts[other])
            m.pages.copy(other, place, len(m.texts[place]))
        elif what == "extend" and text is not None:
            text.append(7 + place)  # places that share a beginning go on differently
            m.pages.extend(place, len(text) - 1)
            m.write(place, len(text) - 1)
        elif what == "leave" and text is not None:
            m.pages.leave(place)
            m.texts[place] = None
        m.check()


def test_a_beginning_is_computed_once_and_found_again():
    pages = Pages(NET, PLACES)
    text = list(range(3 * PANEL))
    assert pages.enter(0, text, len(text)) == 0
    assert pages.enter(1, [*text, 1], len(text)) is None  # still being computed
    pages.settle()
    assert pages.enter(1, [*text, 1], len(text)) == 3 * PANEL
    assert pages.enter(2, text, len(text)) == 2 * PANEL  # the last token's logits are wanted
    assert np.array_equal(pages.table[0, :2], pages.table[2, :2])
    for place in range(3):
        pages.leave(place)
    assert pages.enter(3, [*text, 2], 2 * PANEL + 1) == 2 * PANEL  # from texts that have left


def test_space_is_used_again():
    pages = Pages(NET, PLACES)
    for i in range(1000):
        pages.enter(0, [i] * (5 * PANEL), 0)
        pages.settle()
        pages.leave(0)
    assert len(pages.keys) <= 64
