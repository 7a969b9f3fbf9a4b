"""Results and suites from Python, as pandas frames; never imports torch. See docs/api.md."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.errors import DamagedError, StoreError, SuiteError
from smc_bench.report.data.results import Results
from smc_bench.report.data.stored import (
    Finished,
    cell_frame,
    finished,
    opened,
    recorded_plan,
)
from smc_bench.sources import Lock, Roots, mirror
from smc_bench.store.files import content_sha256
from smc_bench.store.packed import read_gzip, read_lines
from smc_bench.store.record import Record
from smc_bench.store.store import CellFolder
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.load import LoadedSuite
from smc_bench.suite.load import load_suite as _load_suite
from smc_bench.suite.metrics import check_metric
from smc_bench.suite.overrides import parse_overrides
from smc_bench.suite.shipped import suite_path

__all__ = ["ResultsFolder", "load_suite", "open_results", "plan"]

Where = str | Path
_CURVE = ["step", "loss", "lr", "sparsity"]


def open_results(path: Where = "results") -> ResultsFolder:
    """Read the finished cells of a results folder, a folder of small records, or a tar of one.

    Args:
        path: Where they are.

    Raises:
        StoreError: No finished cell is there, or a small record can't be believed.
    """
    return ResultsFolder(Path(path))


def load_suite(
    suite: Where, profile: str | None = None, *, settings: Sequence[str] = ()
) -> LoadedSuite:
    """A suite under a profile, with every recipe resolved.

    Args:
        suite: Its YAML file, or the name of a shipped one (``"quickstart"``).
        profile: One of its profiles; None for its default.
        settings: Changes as after ``--set``: ``["train.rows=500"]``.

    Raises:
        SuiteError: Something in it is wrong; names file, line and key.
    """
    return _load_suite(_file(suite), profile, parse_overrides(tuple(settings)))


def _file(suite: Where) -> Path:
    if not isinstance(suite, str | Path):
        raise SuiteError(
            f"suite: not a file or a name, but a {type(suite).__name__}: give what you gave to "
            "load_suite, and profile and settings once more"
        )
    return suite_path(str(suite))


def plan(
    suite: Where,
    profile: str | None = None,
    *,
    settings: Sequence[str] = (),
    results: Where = "results",
    data_root: Where | None = None,
    cache: Where | None = None,
) -> Plan:
    """All cells of a suite, as ``smc-bench plan`` has them; nothing is fetched.

    Args:
        suite: Its YAML file, or the name of a shipped one.
        profile: One of its profiles; None for its default.
        settings: Changes as after ``--set``.
        results: Results folder, whose lock pins what was fetched.
        data_root: Local mirror of data sets (``SMC_BENCH_DATA_ROOT`` if None).
        cache: Cache of wheels and fetched rows (``SMC_BENCH_CACHE`` if None).

    Returns:
        ``entries`` (each with ``cell``, ``arm``, ``target``) and ``cells`` by id. A cell's id is
        provisional while ``cell.resolved`` is false: its data or weights are not fetched yet.

    Raises:
        SuiteError: Something in the suite is wrong.
    """
    roots = Roots.from_environment(
        None if data_root is None else Path(data_root), None if cache is None else Path(cache)
    )
    mirror.check_root(roots.data)
    pins = SourcePins(roots, Lock.load(Path(results) / "lock.json"), network=False)
    return expand(load_suite(suite, profile, settings=settings), pins)


class ResultsFolder:
    """Finished, reportable cells, read once; :func:`open_results` makes it.

    Small records and tars are unpacked into a temporary folder, which goes with this object, or at
    the end of a ``with`` block.

    Attributes:
        path: What was opened.
        problems: What is wrong with cells that can't be believed, and are left out.
    """

    def __init__(self, path: Path) -> None:
        """See :func:`open_results`."""
        self.path = path
        self._open = ExitStack()
        self._store = self._open.enter_context(opened(path))
        self._found, problems = finished(self._store)
        self.problems: tuple[str, ...] = tuple(problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<{len(self)} finished cells of {self.path}>"

    def cells(self) -> pd.DataFrame:
        """A row a cell, indexed by its id.

        Columns: ``task``, ``model``, ``scorer`` and ``scope`` (empty for a dense model), ``target``
        sparsity 0..1 and what it is of (``sparsity_over``), ``seed``, ``teacher`` (a cell's id or
        None), ``precision``; ``metric`` (the task's primary one), ``value`` and ``trivial`` (the
        best that ignores the input) in percent; measured ``scope_sparsity``, ``encoder_sparsity``,
        ``model_sparsity`` 0..1; ``constant`` (whether the output on the first evaluation split
        does not depend on the input; None where it was not looked at); ``head_paths`` (ways through
        non-zero weights of the head; None where unknown); ``steps``, ``seconds`` of
        training, ``device``, ``processor``, ``commit``, ``finished`` (UTC).
        """
        return cell_frame(self._found)

    def record(self, cell_id: str) -> Record:
        """All that a cell's record holds (docs/record.md).

        Args:
            cell_id: A cell's id, or a beginning that no other has.

        Raises:
            StoreError: There is no such finished cell.
        """
        return self._one(cell_id)[0].record

    def summary(
        self,
        suite: Where,
        profile: str | None = None,
        *,
        settings: Sequence[str] = (),
        metric: str | None = None,
    ) -> pd.DataFrame:
        """A row for each task, way of comparing, arm and sparsity of a suite, over its seeds.

        The suite's cells are found by the pins that the results name: no data is needed.

        Args:
            suite: Its YAML file, or the name of a shipped one.
            profile: One of its profiles; None for the one of which most cells are here.
            settings: Changes as after ``--set``.
            metric: Another metric than each task's primary one.

        Returns:
            ``task``, ``metric``, ``compare_at``, ``arm``, ``sparsity`` (the target); ``mean`` and
            ``sd`` in percent over ``n`` finished seeds ``of`` so many; measured sparsities;
            ``steps``; ``low`` and ``high`` (95 % interval, which ``covers`` says what of);
            ``recovery`` in percent of the dense score with its interval.

        Raises:
            SuiteError: Something in the suite is wrong, or no task has such a metric.
            DamagedError: Files of a cell contradict each other.
        """
        overrides = parse_overrides(tuple(settings))
        found = recorded_plan(self._found, _file(suite), profile, overrides)
        if metric is not None:
            check_metric(found, metric)
        results = Results.of(found, self._store, metric)
        if results.problems:
            raise DamagedError("\n".join(results.problems))
        return results.summary.copy()

    def predictions(self, cell_id: str) -> pd.DataFrame:
        """What a cell answered: a row for each evaluation split and row.

        Columns ``split``, ``row`` (0, 1, … in the split's order), ``prediction`` (class, choice,
        number or text), ``correct`` (its score, 0..1; for regression the squared error; for a text
        its summed nats) and, where they are kept, ``gold`` and ``weight`` (scored tokens).

        Args:
            cell_id: A cell's id, or a beginning that no other has.

        Raises:
            StoreError: There is no such finished cell, or it has no results by example.
            DamagedError: They are not those of its record.
        """
        item, folder = self._one(cell_id)
        path = folder.path / "predictions.json.gz"
        splits: Any = read_gzip(path)
        written = item.record.predictions_sha256
        if written and content_sha256(splits) != written:
            raise DamagedError(f"{path}: was changed after cell {item.cell.id} finished")
        try:
            frames = [
                pd.DataFrame({"split": split, "row": range(len(rows["correct"])), **_answers(rows)})
                for split, rows in splits.items()
            ]
            return pd.concat(frames, ignore_index=True)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedError(f"{path}: not results by example: {error}") from None

    def curves(self, cell_id: str) -> pd.DataFrame:
        """How a cell trained: ``step``, ``loss``, ``lr`` and ``sparsity`` (0..1, of its scope).

        A row for about each second of training, or for 120 steps where only small records are
        left; empty where nothing was kept.

        Args:
            cell_id: A cell's id, or a beginning that no other has.

        Raises:
            StoreError: There is no such finished cell.
        """
        lines = read_lines(self._one(cell_id)[1].path / "train.jsonl")
        steps = {line["step"]: line for line in lines if line.get("phase") == "train"}
        rows = [[steps[step].get(name) for name in _CURVE] for step in sorted(steps)]
        return pd.DataFrame(rows, columns=_CURVE)

    def layers(self, cell_id: str) -> pd.DataFrame:
        """Weights left of each tensor in scope at each pruning event.

        Columns ``step``, ``target`` (0..1), ``tensor``, ``left`` and ``total`` (weights); empty for
        a dense cell.

        Args:
            cell_id: A cell's id, or a beginning that no other has.

        Raises:
            StoreError: There is no such finished cell, or its file can't be read.
        """
        path = self._one(cell_id)[1].path / "layers.json.gz"
        content: Any = read_gzip(path) if path.exists() else {"tensors": {}, "events": []}
        try:
            rows = [
                (event["step"], event["target"], tensor, left, content["tensors"][tensor])
                for event in content["events"]
                for tensor, left in event["left"].items()
            ]
        except (LookupError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: not weights by tensor: {error!r}") from None
        return pd.DataFrame(rows, columns=["step", "target", "tensor", "left", "total"])

    def _one(self, cell_id: str) -> tuple[Finished, CellFolder]:
        matching = [key for key in self._found if cell_id and key.startswith(cell_id)]
        if len(matching) != 1:
            what = "no finished cell" if not matching else f"{len(matching)} finished cells"
            raise StoreError(f"{self.path}: {what} with an id that starts with {cell_id!r}")
        item = self._found[matching[0]]
        return item, self._store.folder(item.cell.folder)


def _answers(rows: dict[str, Any]) -> dict[str, Any]:
    named = {"prediction": "predictions", "correct": "correct", "gold": "gold", "weight": "weights"}
    return {name: rows[key] for name, key in named.items() if rows.get(key)}
