"""The dataset card: YAML front matter that the Hub reads, generated from the receipts, and the body below it.

Nothing is claimed that the run does not know: a licence nobody stated is `unknown`, a step that did not run is said
not to have run. Texts from the data are escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

from curator.export import licenses
from curator.export.card_body import body
from curator.export.facts import Facts
from curator.export.folder import Config, Summary

# Upper bounds of the Hub's size buckets.
_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"), (10**12, "100B<n<1T"),
)  # fmt: skip


@dataclass(frozen=True)
class CardSettings:
    """What the user says about the dataset; None where they say nothing."""

    pretty_name: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def size_bucket(rows: int) -> str:
    """Return the Hub's size category of a number of rows."""
    return next((name for limit, name in _SIZES if rows < limit), "n>1T")


def front_matter(summary: Summary, facts: Facts, settings: CardSettings) -> dict[str, Any]:
    """Return the card's metadata, in the order in which it is written."""
    rows = sum(summary.configs[0].rows.values())
    meta: dict[str, Any] = {"license": settings.license or licenses.combined(facts.licenses)}
    if meta["license"] == "other":
        meta["license_name"] = settings.license_name or "see-sources-and-licences-below"
        meta["license_link"] = settings.license_link or "README.md"
    if settings.languages:
        meta["language"] = list(settings.languages)
    meta["pretty_name"] = settings.pretty_name or facts.name
    meta["size_categories"] = [size_bucket(rows)]
    meta["task_categories"] = ["text-generation", "question-answering"]
    meta["tags"] = _tags(facts, settings)
    if facts.models or facts.engines:
        meta["annotations_creators"] = ["machine-generated"]
    meta["configs"] = [_config(config) for config in summary.configs]
    meta["configs"][0]["default"] = True
    meta["dataset_info"] = [_info(config) for config in summary.configs]
    return meta


def _tags(facts: Facts, settings: CardSettings) -> list[str]:
    tags = ["reasoning"]
    if any(g.get("domain") == "math" for g in facts.domains):
        tags.append("math")
    if facts.models or facts.engines:
        tags.append("synthetic")
    return list(dict.fromkeys([*tags, "trace-curator", *settings.tags]))


def _config(config: Config) -> dict[str, Any]:
    files = [
        {"split": split, "path": [*names] if len(names) > 1 else names[0]} for split, names in config.files.items()
    ]
    return {"config_name": config.name, "data_files": files}


def _info(config: Config) -> dict[str, Any]:
    entry: dict[str, Any] = {"config_name": config.name}
    features = [_feature(f.name, f.type) for f in config.schema]
    if all(features):
        entry["features"] = features
    entry["splits"] = [
        {"name": split, "num_bytes": config.bytes[split], "num_examples": config.rows[split]} for split in config.rows
    ]
    entry["dataset_size"] = sum(config.bytes.values())
    return entry


_DTYPES = {
    pa.string(): "string", pa.large_string(): "large_string", pa.bool_(): "bool", pa.int8(): "int8",
    pa.int16(): "int16", pa.int32(): "int32", pa.int64(): "int64", pa.float32(): "float32", pa.float64(): "float64",
}  # fmt: skip


def _feature(name: str, type_: pa.DataType) -> dict[str, Any] | None:
    """Return one feature as the `datasets` library writes it, or None for a type it is not sure to read back."""
    if type_ in _DTYPES:
        return {"name": name, "dtype": _DTYPES[type_]}
    if pa.types.is_struct(type_):
        inner = [_feature(f.name, f.type) for f in type_]
        return {"name": name, "struct": inner} if all(inner) else None
    if pa.types.is_list(type_):
        item = _feature("", type_.value_type)
        return None if item is None else {"name": name, "list": item.get("dtype") or item.get("struct") or item["list"]}
    return None


def _one_line(value: Any) -> Any:
    """Return `value` with every text on one line: a line of three dashes inside a title would end the front matter."""
    if isinstance(value, dict):
        return {k: _one_line(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_one_line(v) for v in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def card(summary: Summary, facts: Facts, settings: CardSettings) -> str:
    """Return README.md: front matter and body."""
    meta = _one_line(front_matter(summary, facts, settings))
    head = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{head}---\n\n{body(summary, facts, meta)}"
