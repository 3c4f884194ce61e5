"""Statistics per column in one pass and bounded memory. Rows come in a fixed order, so the numbers repeat exactly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_VALUES = 12  # a column with more distinct texts than this is described by its lengths


class ColumnStats:
    """Running statistics of one column: nulls, range and median of numbers, of text lengths or of list lengths.

    The median is read off a histogram with bins 1 % wide (DDSketch's idea: relative error, mergeable), so it is within
    1 %. `values` counts distinct texts and becomes None when there are more than `MAX_VALUES`.
    """

    def __init__(self, name: str, type_: pa.DataType) -> None:
        self.name, self.type = name, type_
        self.rows = self.nulls = self.count = 0
        self.low = self.high = 0.0
        self.total = 0.0
        counted = pa.types.is_string(type_) or pa.types.is_boolean(type_)
        self.values: Counter[str] | None = Counter() if counted else None
        self._bins: Counter[int] = Counter()

    @property
    def unit(self) -> str:
        """What the numbers count: characters, items, or the column's own unit (empty)."""
        if pa.types.is_string(self.type) or pa.types.is_large_string(self.type):
            return "chars"
        return "items" if pa.types.is_list(self.type) or pa.types.is_large_list(self.type) else ""

    def add(self, column: Any) -> None:
        """Take in one chunk of the column."""
        self.rows += len(column)
        self.nulls += column.null_count
        self._count_values(column)
        numbers = self._numbers(column.drop_null())
        if numbers is None or not len(numbers):
            return
        self.count += len(numbers)
        self.total += float(numbers.sum())
        low, high = numbers.min().item(), numbers.max().item()
        first = self.count == len(numbers)
        self.low, self.high = (low, high) if first else (min(self.low, low), max(self.high, high))
        keys, counts = np.unique(_bin(numbers), return_counts=True)
        self._bins.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))

    def _count_values(self, column: Any) -> None:
        if self.values is None:
            return
        for entry in pc.value_counts(column.drop_null()):
            value = str(entry["values"].as_py())
            if value not in self.values and len(self.values) >= MAX_VALUES or len(value) > 60:
                self.values = None
                return
            self.values[value] += entry["counts"].as_py()

    def _numbers(self, column: Any) -> Any:
        if self.unit == "chars":
            return np.asarray(pc.utf8_length(column))
        if self.unit == "items":
            return np.asarray(pc.list_value_length(column))
        if pa.types.is_integer(self.type) or pa.types.is_floating(self.type):
            numbers = np.asarray(column, dtype=np.float64)
            return numbers[np.isfinite(numbers)]
        return None

    @property
    def median(self) -> float | None:
        """Middle value, within 1 %."""
        left = (self.count + 1) // 2
        for key in sorted(self._bins):
            left -= self._bins[key]
            if left <= 0:
                value = min(max(_unbin(key), self.low), self.high)
                return value if pa.types.is_floating(self.type) else float(round(value))
        return None

    @property
    def mean(self) -> float | None:
        """Arithmetic mean."""
        return self.total / self.count if self.count else None


_BASE = np.log(1.01)


def _bin(numbers: Any) -> Any:
    """Bin number of each value: 0 for zero, sign times the rounded logarithm otherwise (shifted so that 1 is not 0)."""
    size = np.abs(numbers.astype(np.float64))
    logs = np.where(size > 0, np.rint(np.log(np.where(size > 0, size, 1.0)) / _BASE) + 100_000, 0)
    return (np.sign(numbers) * logs).astype(np.int64)


def _unbin(key: int) -> float:
    return 0.0 if key == 0 else float(np.sign(key) * np.exp((abs(key) - 100_000) * _BASE))


class TableStats:
    """`ColumnStats` of every column of a table."""

    def __init__(self, schema: pa.Schema) -> None:
        self.columns = [ColumnStats(f.name, f.type) for f in schema]

    def add(self, table: Any) -> None:
        """Take in one chunk of the table."""
        for stats, column in zip(self.columns, table.columns, strict=True):
            stats.add(column)
