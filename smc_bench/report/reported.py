"""Published numbers: typed rows with their source, and what their names are called here.

Each CSV below ``results/reported`` holds one paper's numbers; ``docs/reported-numbers.md`` says how
to add some. Lines that start with ``#`` above the header are the file's note: a file without rows
has to say there, as ``# paper: reason``, why its numbers are unknown.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from smc_bench.engine.recipe import Strict
from smc_bench.errors import CorruptDataError
from smc_bench.suite.yaml_file import nearest

Mark = Literal["verbatim", "digitised", "second-hand"]
Statistic = Literal["score", "sd", "recovery"]

TASKS: dict[str, tuple[str, str | None]] = {
    "SQuADv1.1": ("squad", None),
    "MNLI": ("mnli", None),
    "QQP": ("qqp", None),
    "CommonsenseQA": ("commonsense_qa", None),
    "WinoGrande": ("winogrande", None),
    "RACE": ("race", "all"),
    "RACE-Middle": ("race", "middle"),
    "RACE-High": ("race", "high"),
}
"""Published task names: our task, and its configuration where the task has several."""

METRICS: dict[str, str | None] = {
    "F1": "f1",
    "EM": "exact_match",
    "acc": "accuracy",
    "dev acc": "accuracy",
    "m-acc": "accuracy_m",
    "mm-acc": "accuracy_mm",
    "acc single model (leaderboard/test)": None,
    "acc ensemble (leaderboard/test)": None,
    "metric not stated (F1 presumed)": None,
}
"""Published metric names: our metric, or None where it is none of ours (test split, not stated)."""

MODELS: dict[str, str] = {
    "BERT-base": "google-bert/bert-base-uncased",
    "RoBERTa-large": "FacebookAI/roberta-large",
}
"""Published model names that suites can name; the other models have no counterpart here."""


class Number(Strict):
    """One published number.

    Attributes:
        paper: Short name and arXiv number.
        table: Where in the paper.
        model: As published; :data:`MODELS` has ours.
        task: As published; :data:`TASKS` has ours.
        metric: As published; :data:`METRICS` has ours.
        statistic: ``score`` and ``sd`` over seeds in points, ``recovery`` in percent of dense.
        seed: The seed of a single run.
        seeds: How many runs the value is the mean (or sd) of, where that is known.
        sparsity: Percent, as the paper counts it.
        method: As published.
        epochs: Length of training, as published.
        value: Percent.
        error: Half-width of what reading it off (or rounding it) may have lost, in points.
        mark: Seen word for word, digitised from a figure, or from a text about the paper.
        source: Where it can be looked up.
    """

    paper: str = Field(min_length=1)
    table: str = Field(min_length=1)
    model: str = Field(min_length=1)
    task: str
    metric: str
    statistic: Statistic
    seed: int | None = None
    seeds: int | None = Field(None, ge=1)
    sparsity: float = Field(ge=0.0, lt=100.0)
    method: str = Field(min_length=1)
    epochs: str | None = None
    value: float = Field(ge=0.0, le=120.0)
    error: float | None = Field(None, gt=0.0)
    mark: Mark
    source: str = Field(min_length=8)

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

    @property
    def share(self) -> float:
        """Sparsity, 0..1."""
        return self.sparsity / 100.0

    def answers(self, task: str, config: str, metric: str) -> bool:
        """Whether it is a number of this task, configuration and metric of ours."""
        name, its_config = TASKS[self.task]
        return name == task and its_config in (None, config) and METRICS[self.metric] == metric


@dataclass(frozen=True)
class Reported:
    """All published numbers, and why those of some papers are unknown (by paper)."""

    numbers: tuple[Number, ...]
    unknown: dict[str, str]


def reported_folders(results: Path | None = None) -> tuple[Path, ...]:
    """The shipped folder (beside the package, or in it), then the user's own below ``results``."""
    package = Path(__file__).resolve().parent.parent
    found = [package.parent / "results" / "reported", package / "_reported"]
    if results is not None and (results / "reported").resolve() not in found:
        found.append(results / "reported")
    return tuple(folder for folder in found if folder.is_dir())


def read_reported(*folders: Path) -> Reported:
    """All CSV files of some folders.

    Raises:
        CorruptDataError: Naming file, line and column of what is wrong.
    """
    numbers: list[Number] = []
    unknown: dict[str, str] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.csv")):
        note, rows = _read(path)
        numbers.extend(rows)
        if not rows:
            paper, _, reason = note.partition(": ")
            unknown[paper] = reason
    return Reported(tuple(numbers), unknown)


def _read(path: Path) -> tuple[str, list[Number]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptDataError(f"{path}: can't be read: {error}") from None
    notes = 0
    while notes < len(lines) and lines[notes].startswith("#"):
        notes += 1
    note = " ".join(line.lstrip("# ").strip() for line in lines[:notes])
    reader = csv.DictReader(lines[notes:], strict=True)
    wanted = list(Number.model_fields)
    if reader.fieldnames is None or sorted(reader.fieldnames) != sorted(wanted):
        raise CorruptDataError(f"{path}:{notes + 1}: the columns must be {','.join(wanted)}")
    try:
        rows = [_number(row, path, notes + reader.line_num) for row in reader]
    except csv.Error as error:
        raise CorruptDataError(f"{path}:{notes + reader.line_num}: {error}") from None
    if not rows and ": " not in note:
        raise CorruptDataError(f"{path}: has no rows; say why in a first line, # paper: reason")
    return note, rows


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
