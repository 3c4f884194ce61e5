"""A run as one holds it afterwards: its rows, its receipts, and the questions one can ask it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator import table
from curator.errors import CheckError
from curator.run import receipts


@dataclass(frozen=True)
class Run:
    """A finished or stopped run, opened by its folder."""

    folder: Path

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Steps in order: label, folder, key, kind, op. Raises CheckError where the folder holds no run."""
        found: list[dict[str, Any]] = receipts.need_json(self.folder / "run.json", "run")["steps"]
        return found

    def walk(self) -> Iterator[dict[str, Any]]:
        """Yield the steps in order, before a loop the steps of its rounds, as `loop.generate`.

        Those have besides `round`, `state` (the folder of the state they begin with), and `aside`: whether its rows go
        on in the loop whatever the steps do with them (mode append).
        """
        for step in self.steps:
            if step["kind"] == "loop":
                yield from self._rounds(step)
            yield step

    def rounds(self, loop: str = "loop") -> list[Run]:
        """Return the rounds of a loop so far, each as a run of its own."""
        step = next((s for s in self.steps if s["label"] == loop and s["kind"] == "loop"), None)
        if step is None:
            msg = f"{self.folder} has no loop '{loop}'"
            raise CheckError(msg)
        folder = self.folder / "steps" / step["folder"]
        found = sorted(int(f.parent.name.removeprefix("round-")) for f in folder.glob("round-*/run.json"))
        return [Run(folder / f"round-{number}") for number in found]

    def _rounds(self, loop: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for inner in self.rounds(loop["label"]):
            number = int(inner.folder.name.removeprefix("round-"))
            more = {"round": number, "state": f"{loop['folder']}/round-{number - 1}/state", "aside": loop["aside"]}
            for step in inner.steps:
                label, folder = f"{loop['label']}.{step['label']}", f"{loop['folder']}/round-{number}/steps/"
                yield step | more | {"label": label, "folder": folder + step["folder"]}

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """Receipts of the finished steps, in order."""
        found = (self.receipt(s) for s in self.steps)
        return [r for r in found if r is not None]

    def receipt(self, step: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the receipt of one of `steps`; None where it is not finished, or finished with another key."""
        found = receipts.read_json(self.folder / "steps" / step["folder"] / "receipt.json")
        return found if found is not None and found.get("key") == step["key"] else None

    def files(self, step: str | int = -1, *, dropped: bool = False) -> list[Path]:
        """Return the shards of a finished step.

        Args:
            step: label, or position among the steps that have rows (sinks have none).
            dropped: the rows it dropped instead.

        Raises:
            CheckError: no such step, or not finished.
        """
        having = [s for s in self.steps if s["kind"] != "sink"]
        labels = [s["label"] for s in having]
        try:
            chosen = having[labels.index(step) if isinstance(step, str) else step]
        except (ValueError, IndexError) as e:
            msg = f"{self.folder} has no step {step!r} with rows; it has {', '.join(labels)}"
            raise CheckError(msg) from e
        return self.finished(chosen, dropped=dropped)

    def finished(self, step: Mapping[str, Any], *, dropped: bool = False) -> list[Path]:
        """Return the shards of one of `steps` or `walk`. Raises CheckError where it is not finished."""
        if self.receipt(step) is None:
            msg = f"step '{step['label']}' of {self.folder} is not finished; run the pipeline again to go on"
            raise CheckError(msg)
        return self.shards(step, dropped=dropped)

    def shards(self, step: Mapping[str, Any], *, dropped: bool = False, state: bool = False) -> list[Path]:
        """Return the shards of one of `steps` or `walk`, or of the rows it dropped, or of the state of its round."""
        pattern = "dropped-*.parquet" if dropped else "part-*.parquet"
        return sorted((self.folder / "steps" / step["state" if state else "folder"]).glob(pattern))

    def table(self, step: str | int = -1, *, dropped: bool = False) -> Any:
        """Return the rows of a step (default: the last) as a DuckDB relation; nothing is read before it is used."""
        return self.rows(self.files(step, dropped=dropped))

    def rows(self, files: list[Path]) -> Any:
        """Return the rows of some shards as a DuckDB relation."""
        import duckdb

        con = duckdb.connect(":memory:")
        return con.sql(f"select * from {table.sql_files(files)}") if files else con.sql("select 1 limit 0")

    def summary(self) -> list[dict[str, Any]]:
        """Return one row a finished step: step, in, made, out, dropped, reasons, seconds, and the use of engines.

        Of a loop also `rounds`: how many there were, and what ended it.
        """
        return [
            {
                "step": r["step"], "op": r["op"], "in": r["rows_in"], "made": r["made"], "out": r["out"],
                "dropped": r["dropped"], "reasons": r["reasons"], "seconds": r["seconds"], "engines": r["engines"],
                **({"rounds": f"rounds {len(r['rounds'])}, ended by: {r['ended']}"} if "rounds" in r else {}),
            }
            for r in self.receipts
        ]  # fmt: skip

    def report(self) -> str:
        """Return the summary as a plain text table."""
        lines = [("step", "in", "made", "out", "dropped", "seconds", "why dropped")]
        for row in self.summary():
            why = ", ".join(f"{reason} {n}" for reason, n in row["reasons"].items())
            why += f"{'; ' if why else ''}{row['rounds']}" if "rounds" in row else ""
            numbers = [f"{row[k]:,}" for k in ("in", "made", "out", "dropped")]
            lines.append((row["step"], *numbers, f"{row['seconds']:.1f}", why))
        wide = [max(len(line[i]) for line in lines) for i in range(7)]
        align = [str.ljust, *[str.rjust] * 5, str.ljust]
        texts = ("  ".join(a(c, w) for a, c, w in zip(align, line, wide, strict=True)) for line in lines)
        return "\n".join(text.rstrip() for text in texts)

    def why(self, row: str) -> list[dict[str, Any]]:
        """Return what happened to a row or a problem, step by step; see `questions.why`."""
        from curator.run.questions import why

        return why(self.folder, row)

    def dataset(self, step: str | int = -1) -> Any:
        """Return the rows of a step as a `datasets.Dataset`.

        Raises:
            CheckError: the package `datasets` is missing.
        """
        try:
            from datasets import Dataset
        except ImportError as e:
            raise CheckError("dataset() needs the package datasets: pip install 'trace-curator[hub]'") from e
        return Dataset.from_parquet([str(f) for f in self.files(step)])
