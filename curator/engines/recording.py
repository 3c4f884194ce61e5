"""A table of recorded outputs, found again by the prompt that asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from curator import near
from curator.engines.protocol import Message
from curator.errors import InputError

PROBLEM = ("problem", "prompt", "question", "instruction", "query")
TRACE = ("trace", "output", "generation", "completion", "response", "text")
FINISH = ("finish_reason", "finish")
TOKENS = ("n_tokens", "output_tokens", "generated_token_count")


class Output(NamedTuple):
    """One recorded sample. `n_tokens` is None where the file does not say."""

    text: str
    finish: str
    n_tokens: int | None


@dataclass(frozen=True)
class Recording:
    """Outputs by problem. `digest`: hash of the file's bytes."""

    outputs: dict[str, list[Output]]
    digest: str
    # First line of a problem -> the problems that begin with it, longest first: one look-up a line of a prompt finds
    # the problem inside any template that puts it at the start of a line.
    by_line: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path, problem: str | None = None, trace: str | None = None) -> Recording:
        """Read a Parquet, JSONL or JSONL.zst file.

        Raises:
            InputError: missing or unreadable file, or no column that fits.
        """
        rows, names = _rows(path)
        asked = _column(path, names, problem, PROBLEM, "problem")
        given = _column(path, names, trace, TRACE, "trace")
        finish = next((n for n in FINISH if n in names), None)
        tokens = next((n for n in TOKENS if n in names), None)
        numbered = [r for r in rows if r.get(asked) is not None and r.get(given) is not None]
        if "sample_idx" in names:
            numbered.sort(key=lambda r: r["sample_idx"] or 0)  # stable: the file's order decides ties
        outputs: dict[str, list[Output]] = {}
        for r in numbered:
            count = r.get(tokens) if tokens else None
            one = Output(str(r[given]), str(r.get(finish) or "stop") if finish else "stop", count)
            outputs.setdefault(str(r[asked]).strip(), []).append(one)
        by_line: dict[str, list[str]] = {}
        for text in outputs:
            by_line.setdefault(text.split("\n", 1)[0].strip(), []).append(text)
        for texts in by_line.values():
            texts.sort(key=len, reverse=True)
        return cls(outputs, _digest(path), by_line)

    def find(self, messages: Iterable[Message], sample: int) -> Output | str:
        """Return sample number `sample` of the problem in `messages`, or why there is none."""
        users = [m.content for m in messages if m.role == "user"]
        for content in reversed(users):
            problem = self._problem_in(content)
            if problem is not None:
                held = self.outputs[problem]
                return held[sample] if sample < len(held) else f"only {len(held)} recorded samples of this problem"
        return "no recorded output for this prompt"

    def _problem_in(self, content: str) -> str | None:
        if content.strip() in self.outputs:
            return content.strip()
        best: str | None = None
        at = 0
        for line in content.split("\n"):
            for text in self.by_line.get(line.strip(), ()):
                if content.startswith(text, at + len(line) - len(line.lstrip())):
                    best = text if best is None or len(text) > len(best) else best
                    break
            at += len(line) + 1
        if best is not None:
            return best
        inside = [text for text in self.outputs if text in content]  # a template that puts it inside a line
        return max(inside, key=len) if inside else None


def _rows(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path, partitioning=None)
            return table.to_pylist(), table.column_names
        rows = _json_lines(path)
    except FileNotFoundError as e:
        msg = f"recording {path} does not exist"
        raise InputError(msg) from e
    except (OSError, pa.ArrowException, ValueError) as e:
        msg = f"recording {path} cannot be read ({e})"
        raise InputError(msg) from e
    return rows, list(dict.fromkeys(name for r in rows for name in r))


def _json_lines(path: Path) -> list[dict[str, Any]]:
    import orjson

    data = path.read_bytes()
    if path.suffix == ".zst":
        import io

        import zstandard

        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            row = orjson.loads(line)
            if not isinstance(row, dict):
                msg = f"line {number} is not an object"
                raise ValueError(msg)
            rows.append(row)
    return rows


def _column(path: Path, names: list[str], wanted: str | None, known: tuple[str, ...], role: str) -> str:
    options = (wanted,) if wanted else known
    found = next((n for n in options if n in names), None)
    if found is None:
        what = f"no column '{wanted}'{near.hint(wanted, names)}" if wanted else f"none of {', '.join(known)}"
        more = "" if wanted else f"; it has {', '.join(names)}; name one with {role}: COLUMN"
        msg = f"recording {path} has {what}{more}"
        raise InputError(msg)
    return found


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]
