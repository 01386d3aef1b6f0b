"""Columns of numbers with names."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np


class Table(Mapping[str, Any]):
    """Columns of one length as numpy arrays: `table["grade"]`; `table.pandas()` is the same as a DataFrame.

    >>> table = nepal.Table({"frame": [3, 1], "grade": [2.5, 1.75]})
    >>> float(table["grade"].max()), len(table.rows)
    (2.5, 2)
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = {name: np.asarray(values) for name, values in columns.items()}

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> Table:
        """From rows; what one lacks is NaN (None in columns of text)."""
        kept = list(rows)
        return cls({name: np.array([row.get(name) for row in kept]) if any(
            isinstance(row.get(name), str) for row in kept
        ) else np.array([np.nan if row.get(name) is None else row[name] for row in kept]) for name in names})

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self._columns, row)) for row in zip(*self._columns.values())]

    def pandas(self) -> Any:
        """The same as a `pandas.DataFrame`; needs pandas."""
        return importlib.import_module("pandas").DataFrame(dict(self._columns))

    def __repr__(self) -> str:
        length = len(next(iter(self._columns.values()), ()))
        return f"nepal.Table({length} rows: {', '.join(self._columns)})"
