"""`barrier`: hand the rows to something outside, such as a training, and go on only with its result (BAR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pyarrow as pa

from curator.bounds import Gt
from curator.errors import CheckError, InputError
from curator.op import BarrierFn, operator


@operator("barrier", effect="marks", version=1, adds=lambda s: {s["expects"]: pa.string()})
def barrier(
    *, expects: str = "model_id", command: str | None = None, timeout: Annotated[float, Gt(0)] = 86_400.0
) -> BarrierFn:
    """Hand all rows over as Parquet files and wait for a result: a JSON object that holds `expects`.

    With a `command` the run starts it and goes on with what it writes. Without one the run stops with exit code 9 and
    says which file it waits for; the same command goes on once the file is there. The result is kept with the
    fingerprints of the rows it was made from: it is never taken for other rows. Every row gets the column `expects`.

    What comes after may use another engine, whose `model` is the path or name that the training writes to. In a loop
    every round has a barrier of its own. (BAR of the specification: 15 of its 85 systems train a model in the middle.)

    Args:
        expects: the name that the result must hold, and the column: `model_id`.
        command: run without a shell; `{rows}` is the folder with the Parquet files, `{result}` the JSON file to write.
        timeout: seconds the command may take.

    Raises:
        CheckError: the command names neither `{rows}` nor `{result}`, or `expects` is not a plain name.
        InputError: the result is no JSON object, or lacks `expects`.
    """
    if not expects.isidentifier() or expects in ("row_id", "parent_id", "problem_id"):
        msg = f"barrier: expects is '{expects}'; it wants a plain name of its own, such as model_id"
        raise CheckError(msg)
    if command is not None and not ("{rows}" in command and "{result}" in command):
        msg = f"barrier: the command must name {{rows}} and {{result}}: {command}"
        raise CheckError(msg)

    def read(result: Mapping[str, Any]) -> str:
        found = result.get(expects)
        if not isinstance(found, str | int | float) or isinstance(found, bool) or found == "":
            there = ", ".join(result) or "nothing"
            msg = f"barrier: the result must hold '{expects}', a text or a number; it holds {there}"
            raise InputError(msg)
        return str(found)

    return read
