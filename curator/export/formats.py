"""The contract of a trainer's format, and the list of all of them. One trainer, one file beside this one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from curator.errors import CheckError
from curator.export.example import Refusal, Thinking, Turn, Use, assistant, off
from curator.prompts import fill

Record = dict[str, Any]


class Plan(NamedTuple):
    """How rows are rendered; the same for all formats of one export.

    `prompt` is the user turn with `{problem}` in it; `verifier` names the trainer's reward function (None: from the
    row); `columns` are carried along unchanged. `learn`: kinds of inserted text that are trained on. `masks`: some row
    has text that no model wrote, so formats that can keep training off it say where it is.
    """

    thinking: Thinking = "inline"
    use: Use = "auto"
    prompt: str = "{problem}"
    system: str | None = None
    verifier: str | None = None
    columns: tuple[str, ...] = ("row_id",)
    learn: tuple[str, ...] = ()
    masks: bool = False


class Item(NamedTuple):
    """One row on its way out: its columns, its assistant turn, the split it belongs to and its number there."""

    row: Mapping[str, Any]
    turn: Turn | Refusal
    split: str
    number: int

    @property
    def holds_inserted(self) -> bool:
        """Whether its text has parts that no model wrote."""
        return not isinstance(self.turn, Refusal) and bool(self.turn.in_reasoning or self.turn.in_response)


class Place(NamedTuple):
    """Where a format's files lie in the dataset folder: its directory, and split -> files, relative to the folder."""

    config: str
    directory: str
    files: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Format:
    """One format of one trainer.

    `schema` and `record` see the plan; `record` returns a row of that schema or why there is none. `per_problem`
    formats write one row a problem (the first sample), not one a sample. `files` are small text files for the trainer,
    name -> text. `split_folders`: the trainer takes a whole folder for one split. `masks`: it can say which part of a
    text is not to be learned; rows that hold such a part are refused by the others.
    """

    name: str
    trainer: str
    meaning: str
    schema: Callable[[Plan], pa.Schema]
    record: Callable[[Item, Plan], Record | Refusal]
    thinking: tuple[Thinking, ...] = ()
    needs: Callable[[Plan], tuple[str, ...]] = lambda _plan: ()
    per_problem: bool = False
    split_folders: bool = False
    masks: bool = False
    files: Callable[[str, Place, Plan], Mapping[str, str]] = lambda _name, _place, _plan: {}


def message_type(plan: Plan) -> pa.DataType:
    """Arrow type of one chat message; the thinking has a field of its own where the plan says so."""
    fields = [("role", pa.string()), ("content", pa.string())]
    if plan.thinking in ("reasoning_content", "thinking"):
        fields.append((plan.thinking, pa.string()))
    return pa.struct(fields)


def prompt_messages(item: Item, plan: Plan) -> list[Record] | Refusal:
    """Return the system turn, where the plan has one, and the user turn."""
    problem = item.row.get("problem")
    if not (problem or "").strip():
        return Refusal("no_problem", f"problem: {problem!r}")
    system = [{"role": "system", "content": plan.system}] if plan.system else []
    return [*system, {"role": "user", "content": fill(plan.prompt, problem=str(problem))}]


def chat(item: Item, plan: Plan, *, masked: bool = False) -> tuple[list[Record], Record] | Refusal:
    """Return the prompt messages and the assistant message.

    `masked`: the caller says where the message's content holds text that no model wrote; others cannot, so a row with
    such text is refused.
    """
    prompt = prompt_messages(item, plan)
    if isinstance(prompt, Refusal):
        return prompt
    if isinstance(item.turn, Refusal):
        return item.turn
    parts = off(item.turn, plan.thinking)
    if parts is None or (parts and not masked):
        return unmasked(item.turn)
    answer = assistant(item.turn, plan.thinking)
    return answer if isinstance(answer, Refusal) else (prompt, answer)


def unmasked(turn: Turn) -> Refusal:
    """Return the refusal of a row whose inserted text would be trained on."""
    parts = (*turn.in_reasoning, *turn.in_response)
    first = " ".join(parts[0].text.split())[:80]
    return Refusal("inserted", f"{sum(len(p.text) for p in parts)} characters in {len(parts)} places, first: {first}")


def sft_needs(plan: Plan) -> tuple[str, ...]:
    """Columns that a format for supervised training needs."""
    return ("problem", "short_solution") if plan.use == "short" else ("problem", "trace")


def rl_needs(plan: Plan) -> tuple[str, ...]:
    """Columns that a format for reinforcement learning needs."""
    return ("problem", "answer")


def reference(item: Item) -> str | Refusal:
    """Return the reference answer of the row."""
    answer = item.row.get("answer")
    return str(answer) if (answer or "").strip() else Refusal("no_answer", f"answer: {answer!r}")


def all_formats() -> dict[str, Format]:
    """Return name -> format, in the order of the documentation."""
    from curator.export import axolotl, llama_factory, open_instruct, plain, preference, trl, verl

    modules = (trl, llama_factory, axolotl, verl, open_instruct, plain, preference)
    return {f.name: f for module in modules for f in module.FORMATS}


def find(name: str, thinking: Thinking) -> Format:
    """Return the format called `name`, if it can carry thinking as `thinking` says.

    Raises:
        CheckError: no format has that name, or the trainer does not read that rendering.
    """
    known = all_formats()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        msg = f"export: no format '{name}'{hint} (known: {', '.join(known)})"
        raise CheckError(msg)
    found = known[name]
    if found.thinking and thinking not in found.thinking:
        msg = f"export: {name} does not read thinking '{thinking}'; use one of: {', '.join(found.thinking)}"
        raise CheckError(msg)
    return found


def exercise(item: Item, plan: Plan) -> tuple[list[Record], str] | Refusal:
    """Return the prompt messages and the reference answer: what reinforcement learning needs."""
    prompt, answer = prompt_messages(item, plan), reference(item)
    if isinstance(prompt, Refusal):
        return prompt
    return answer if isinstance(answer, Refusal) else (prompt, answer)


def entry_name(name: str) -> str:
    """Return a run's name as an identifier that trainers accept in their files."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "dataset"
