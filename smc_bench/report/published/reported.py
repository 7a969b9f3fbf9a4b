"""Published numbers: typed rows with their source.

Each CSV below ``results/reported`` holds one paper's numbers; ``docs/reported-numbers.md`` says how
to add some. Lines that start with ``#`` above the header are the file's note: a file without rows
has to say there, as ``# paper: reason``, why its numbers are unknown.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from smc_bench.engine.recipe import Strict
from smc_bench.errors import CorruptDataError
from smc_bench.report.published.names import METRICS, MODELS, TASKS
from smc_bench.suite.yaml_file import nearest

Mark = Literal["verbatim", "digitised", "second-hand"]
Statistic = Literal["score", "sd", "recovery"]

# What is no percentage. Correlations are published times 100, and may be negative.
_RATES = {"items per s"}
_CORRELATIONS = {"mcc", "pearson", "spearman"}

_OPTIONAL = {"speedup", "size", "note"}


class Number(Strict):
    """One published number.

    Attributes:
        paper: Short name and arXiv number.
        table: Where in the paper.
        model: As published (or ``owner/name``); :data:`MODELS` has ours.
        task: As published; :data:`TASKS` has ours.
        metric: As published; :data:`METRICS` has ours.
        statistic: ``score`` and ``sd`` over seeds in the metric's unit (points, for most),
            ``recovery`` in percent of dense.
        seed: The seed of a single run.
        seeds: How many runs the value is the mean (or sd) of, where that is known.
        sparsity: Percent, as the paper counts it; None where it is not published.
        method: As published.
        epochs: Length of training, as published.
        value: Percent, but for rates.
        error: Half-width of what reading it off (or rounding it) may have lost, in points.
        mark: Seen word for word, digitised from a figure, or from a text about the paper.
        source: Where it can be looked up.
        speedup: Times the dense model's speed, where it stands beside the value.
        size: As published, with its unit.
        note: What else has to be known to read the value.
    """

    paper: str = Field(min_length=1)
    table: str = Field(min_length=1)
    model: str = Field(min_length=1)
    task: str
    metric: str
    statistic: Statistic
    seed: int | None = None
    seeds: int | None = Field(None, ge=1)
    sparsity: float | None = Field(None, ge=0.0, lt=100.0)
    method: str = Field(min_length=1)
    epochs: str | None = None
    value: float = Field(allow_inf_nan=False)
    error: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    mark: Mark
    source: str = Field(min_length=8)
    speedup: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    size: str | None = None
    note: str | None = None

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value not in MODELS and "/" not in value:
            raise ValueError(f"unknown model{nearest(value, list(MODELS))}: or write owner/name")
        return value

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        if value not in TASKS:
            raise ValueError(f"unknown task{nearest(value, list(TASKS))}")
        return value

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(f"unknown metric{nearest(value, list(METRICS))}")
        return value

    @model_validator(mode="after")
    def _error_of_digitised(self) -> Number:
        if self.mark == "digitised" and self.error is None:
            raise ValueError("a digitised number needs the error of reading it off")
        return self

    @model_validator(mode="after")
    def _in_range(self) -> Number:
        least = -100.0 if self.metric in _CORRELATIONS and self.statistic == "score" else 0.0
        most = 120.0 if self.statistic == "recovery" else 100.0
        if self.metric in _RATES:
            most = math.inf
        if not least <= self.value <= most:
            raise ValueError(
                f"{self.value:g} is no {self.metric}: percent from {least:g} to {most:g}"
            )
        if self.statistic == "score" and least == 0.0 and 0.0 < self.value < 1.0:
            raise ValueError(f"{self.value:g} looks like a share: values are in percent")
        return self

    @property
    def share(self) -> float:
        """Sparsity, 0..1; not a number where it is not published."""
        return math.nan if self.sparsity is None else self.sparsity / 100.0

    @property
    def ours(self) -> str | None:
        """The model as suites name it, or None where none can be named."""
        return MODELS.get(self.model, self.model)

    def answers(self, task: str, config: str, metric: str) -> bool:
        """Whether it is a number of this task, configuration and metric of ours."""
        name, its_config = TASKS[self.task] or (None, None)
        return name == task and its_config in (None, config) and METRICS[self.metric] == metric


@dataclass(frozen=True)
class Reported:
    """All published numbers, and why those of some papers are unknown (by paper)."""

    numbers: tuple[Number, ...]
    unknown: dict[str, str]


def reported_folders(results: Path | None = None) -> tuple[Path, ...]:
    """The shipped folder (beside the package, or in it), then the user's own below ``results``."""
    package = Path(__file__).resolve().parents[2]
    found = [package.parent / "results" / "reported", package / "_reported"]
    if results is not None and (results / "reported").resolve() not in found:
        found.append(results / "reported")
    return tuple(folder for folder in found if folder.is_dir())


def read_reported(*folders: Path) -> Reported:
    """All CSV files of some folders; the copy of a file that was read says nothing new.

    Raises:
        CorruptDataError: Naming file, line and column of what is wrong.
    """
    places: dict[tuple[object, ...], str] = {}
    numbers: list[Number] = []
    unknown: dict[str, str] = {}
    read: set[tuple[str, bytes]] = set()
    for path in sorted(path for folder in folders for path in folder.glob("*.csv")):
        if _is_copy(path, read):
            continue
        note, rows = _read(path)
        for line, number in rows:
            first = places.setdefault(_cell(number), f"{path}:{line}")
            if first != f"{path}:{line}":
                raise CorruptDataError(f"{path}:{line}: the same cell of a table as {first}")
            numbers.append(number)
        if not rows:
            paper, _, reason = note.partition(": ")
            unknown[paper] = reason
    return Reported(tuple(numbers), unknown)


def _is_copy(path: Path, read: set[tuple[str, bytes]]) -> bool:
    """Whether a file of this name and content was read: a checkout's, with an installed wheel."""
    try:
        content = (path.name, path.read_bytes())
    except OSError:
        return False  # the reader says why
    known = content in read
    read.add(content)
    return known


def _cell(number: Number) -> tuple[object, ...]:
    """What tells one published number from the next; its value does not."""
    content = number.model_dump(exclude={"value", "error", "mark", "note"})
    return tuple(content.values())


def _read(path: Path) -> tuple[str, list[tuple[int, Number]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptDataError(f"{path}: can't be read: {error}") from None
    notes = 0
    while notes < len(lines) and lines[notes].startswith("#"):
        notes += 1
    note = " ".join(line.lstrip("# ").strip() for line in lines[:notes])
    reader = csv.DictReader(lines[notes:], strict=True)
    wanted, columns = list(Number.model_fields), reader.fieldnames or []
    if len(set(columns)) != len(columns) or not {*wanted} - _OPTIONAL <= {*columns} <= {*wanted}:
        raise CorruptDataError(f"{path}:{notes + 1}: the columns must be {','.join(wanted)}")
    rows: list[tuple[int, Number]] = []
    try:
        for row in reader:
            line = notes + reader.line_num
            rows.append((line, _number(row, path, line)))
    except csv.Error as error:
        raise CorruptDataError(f"{path}:{notes + reader.line_num}: {error}") from None
    _check_percent(path, rows)
    if not rows and ": " not in note:
        raise CorruptDataError(f"{path}: has no rows; say why in a first line, # paper: reason")
    return note, rows


def _check_percent(path: Path, rows: list[tuple[int, Number]]) -> None:
    """A table whose sparsities all lie between 0 and 1 has shares; one may be half a percent."""
    tables: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for line, number in rows:
        if number.sparsity:
            places = tables.setdefault((number.paper, number.table), [])
            places.append((number.sparsity, line))
    for places in tables.values():
        most, line = max(places)
        if most < 1.0:
            message = f"sparsity: {most:g} looks like a share, as all of this table: write percent"
            raise CorruptDataError(f"{path}:{line}: {message}")


def _number(row: dict[str, str], path: Path, line: int) -> Number:
    try:
        return Number.model_validate({key: value or None for key, value in row.items()})
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        shown = "" if first["input"] is None or not column else f" (found {first['input']!r})"
        where = f"{path}:{line}: {column}: " if column else f"{path}:{line}: "
        raise CorruptDataError(where + message[0].lower() + message[1:] + shown) from None
