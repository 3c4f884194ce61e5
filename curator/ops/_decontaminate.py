"""The methods of `decontaminate`: settings to indexes, and a column of texts to hits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.contamination.evidence import Hit, Item
from curator.errors import CheckError
from curator.near import hint
from curator.ops._benchmarks import Reference, items, vectors

if TYPE_CHECKING:
    from curator.contamination.vectors import Encoder

# In the order in which they are tried: cheap ones first, and a row that one has convicted is not shown to the next.
METHODS = ("exact", "ngram", "paraphrase", "edit", "embedding", "judge")
COMBINED: Mapping[str, tuple[str, ...]] = {"recommended": ("ngram", "paraphrase")}


def methods_of(method: Any) -> tuple[str, ...]:
    """Return the methods that a setting names, in the order they are tried; what is unknown is left out."""
    named = [method] if isinstance(method, str) else list(method) if isinstance(method, list | tuple) else []
    wanted = {m for name in named for m in COMBINED.get(str(name), (str(name),))}
    return tuple(m for m in METHODS if m in wanted)


def check(s: Mapping[str, Any]) -> None:
    """Complain about settings of `decontaminate`.

    Raises:
        CheckError: a value out of range, an unknown name, or something a method needs and has not.
    """
    named = [s["method"]] if isinstance(s["method"], str) else list(s["method"])
    known = [*COMBINED, *METHODS]
    for name in named or [""]:
        if name not in known:
            msg = f"decontaminate: method '{name}' is not known{hint(name, known)}; there are {', '.join(known)}"
            raise CheckError(msg)
    if s["action"] not in ("drop", "mark"):
        msg = f"decontaminate: action is '{s['action']}', it must be drop or mark"
        raise CheckError(msg)
    low = {"n": (1, None), "k": (1, None), "min_length": (0, None), "max_tokens": (1, None)}
    shares: dict[str, tuple[float, float | None]] = dict.fromkeys(("min_coverage", "ratio", "cosine", "floor"), (0, 1))
    for name, (least, most) in {**low, **shares}.items():
        if s[name] < least or (most is not None and s[name] > most):
            msg = f"decontaminate: {name} is {s[name]}, it must be at least {least}" + (
                f" and at most {most}" if most else ""
            )
            raise CheckError(msg)
    if s["tokens"] not in ("word", "whitespace", "char"):
        msg = f"decontaminate: tokens is '{s['tokens']}', it must be word, whitespace or char"
        raise CheckError(msg)
    from curator.contamination.exact import steps

    steps(s["strip"])
    _check_parts(s, methods_of(s["method"]))


def _check_parts(s: Mapping[str, Any], methods: tuple[str, ...]) -> None:
    import importlib.util

    if "embedding" in methods and not (s["vectors"] or s["model"]):
        raise CheckError("decontaminate: embedding needs vectors (a column) or model (a sentence-transformers id)")
    if s["vectors"] and s["model"]:
        raise CheckError("decontaminate: vectors and model are both given; vectors come from one of them")
    if "judge" in methods and s["engine"] is None:
        raise CheckError("decontaminate: method judge needs an engine: engine: NAME, and NAME under engines:")
    if "edit" in methods and importlib.util.find_spec("rapidfuzz") is None:
        raise CheckError("decontaminate: method edit needs the package rapidfuzz: pip install rapidfuzz")
    if s["model"] and {"embedding", "judge"} & set(methods):
        from curator.contamination.vectors import Encoder

        Encoder(s["model"])


@dataclass
class Finder:
    """All reference sets with what the settings want, built on first use."""

    found: list[Reference]
    settings: Mapping[str, Any]
    _built: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def items(self) -> list[Item]:
        """All items of all reference sets."""
        return items(self.found)

    def index(self, name: str, make: Callable[[], Any]) -> Any:
        """Return an index, made the first time."""
        if name not in self._built:
            self._built[name] = make()
        return self._built[name]

    def hits(self, method: str, array: Any, table: pa.Table, rows: Any) -> Iterable[Hit]:
        """Return the hits of one method; `array`: the texts of some `rows` (int64) of `table`."""
        s = self.settings
        if method == "ngram":
            from curator.contamination.ngram import Convicts, NgramIndex

            ngram = self.index(method, lambda: NgramIndex(self.items, s["n"], s["tokens"], latex=s["latex"]))
            return list(ngram.hits(array, Convicts(s["min_coverage"], s["numbers"])))
        if method == "paraphrase":
            return list(self.bags.hits(array, numbers=s["numbers"]))
        if method == "exact":
            from curator.contamination.exact import ExactIndex

            return list(self.index(method, lambda: ExactIndex(self.items, s["strip"], s["min_length"])).hits(array))
        if method == "edit":
            from curator.contamination.edit import EditIndex

            edit = self.index(method, lambda: EditIndex(self.items, s["ratio"], latex=s["latex"]))
            return list(edit.hits(array, numbers=s["numbers"]))
        return [hit for hit in self._by_vector(array, table, rows) if hit.convicted]

    @property
    def bags(self) -> Any:
        """The items as bags of features."""
        from curator.contamination.paraphrase import ParaphraseIndex

        return self.index("paraphrase", lambda: ParaphraseIndex(self.items))

    @cached_property
    def encoder(self) -> Encoder:
        """The embedding model."""
        from curator.contamination.vectors import Encoder

        return Encoder(self.settings["model"])

    def _by_vector(self, array: Any, table: pa.Table, rows: Any) -> Iterator[Hit]:
        texts = array.to_pylist()
        for row, near in self._nearest(array, table, rows, 5):
            for cosine, k in near:
                spans = [(texts[row] or "", self.items[k].text)]
                yield Hit(row, k, "embedding", cosine, cosine >= self.settings["cosine"], {}, spans)

    def _nearest(self, array: Any, table: pa.Table, rows: Any, k: int) -> Iterator[tuple[int, list[tuple[float, int]]]]:
        from curator.contamination.vectors import matrix, nearest, same_width

        if self.settings["vectors"]:
            name = self.settings["vectors"]
            of_items = self.index("vectors", lambda: vectors(self.found, name))
            of_rows = matrix(table.column(name).take(pa.array(rows)), f"decontaminate: column {name}")
            same_width(of_rows, of_items, f"decontaminate: column {name}")
        else:
            of_items = self.index("vectors", lambda: self.encoder([item.text for item in self.items]))
            of_rows = self.encoder([t or "" for t in array.to_pylist()])
        return ((row, [(c, i) for c, i in near if c > 0]) for row, near in nearest(of_rows, of_items, k))

    def neighbours(self, array: Any, table: pa.Table, rows: Any) -> dict[int, list[tuple[float, int]]]:
        """Return row -> its k most similar items as (similarity, item) for the judge, those below `floor` left out.

        By vectors where there are any, else by rare words, names and numbers in any order.
        """
        k, floor = self.settings["k"], self.settings["floor"]
        if self.settings["vectors"] or self.settings["model"]:
            return {
                row: kept
                for row, near in self._nearest(array, table, rows, k)
                if (kept := [n for n in near if n[0] >= floor])
            }
        found: dict[int, list[tuple[float, int]]] = {}
        for row, item, similarity in self.bags.similar(array, floor):
            found.setdefault(row, []).append((similarity, item))
        return {row: sorted(near, key=lambda n: (-n[0], n[1]))[:k] for row, near in found.items()}


def lift(hits: Iterable[Hit], rows: Any) -> list[Hit]:
    """Return hits of some rows (int64) with the places of these rows in the whole table."""
    return [hit._replace(row=int(rows[hit.row])) for hit in hits]
