"""Experiment trackers (wandb, trackio, tensorboard, mlflow) through accelerate's own integrations.

Off unless asked for, imported when the first step has been taken, and never worth a cell: a tracker
that is missing or fails is told in one line and left out for the rest of the attempt. A resumed
cell goes on in the run that its first attempt began.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from smc_bench.engine.execution import TrackerName
from smc_bench.errors import StoreError
from smc_bench.store.files import read_json, write_json
from smc_bench.suite.cell import Cell

_log = logging.getLogger(__name__)
PROJECT = "smc-bench"
_TOLD = frozenset({"loss", "lr", "sparsity"})
# A server that is away must not hold training up: MLflow would try each call for minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class Trackers:
    """The trackers of one attempt at one cell."""

    def __init__(
        self, names: Iterable[TrackerName], cell: Cell, folder: Path, results: Path
    ) -> None:
        """Nothing is imported or written before the first step is logged.

        Args:
            names: Which, as ``execution.trackers`` or ``run --track`` name them.
            cell: Its settings are the run's configuration, its id names the run.
            folder: The cell's folder; ``trackers.json`` in it says which runs have been begun.
            results: Results folder, under which TensorBoard and wandb keep their files.
        """
        self._names = tuple(dict.fromkeys(names))
        self._cell, self._folder, self._results = cell, folder, results
        self._running: dict[str, Any] | None = None

    def log(self, values: Mapping[str, float | None], step: int) -> None:
        """Log what there is of loss, rate and sparsity after an optimizer step."""
        told = {key: value for key, value in values.items() if key in _TOLD and value is not None}
        self._log(told, step)

    def finish(self, values: Mapping[str, float], step: int) -> None:
        """Log a finished cell's final values as ``final/NAME``."""
        self._log({f"final/{key}": value for key, value in values.items()}, step)

    def close(self) -> None:
        """End the runs; a later attempt opens them again."""
        running, self._running, self._names = self._running or {}, None, ()
        for name, tracker in running.items():
            self._guarded(name, tracker.finish)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        if self._running is None:
            self._running = {}
            self._start(step)
        for name, tracker in list(self._running.items()):
            self._guarded(name, partial(tracker.log, dict(values), step=step))

    def _start(self, step: int) -> None:
        if not self._names:
            return
        _prepare_environment()
        for name in self._names:
            self._guarded(name, partial(self._start_one, name, step))

    def _start_one(self, name: TrackerName, step: int) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        begun = self._begun()
        words, options = self._options(name, begun.get(name), step)
        tracker = LOGGER_TYPE_TO_CLASS[name](*words, **options)
        tracker.start()
        assert self._running is not None
        self._running[name] = tracker
        if name not in begun:
            tracker.store_init_configuration(flat(self._cell.model_dump(mode="json")))
            run = str(tracker.tracker.info.run_id) if name == "mlflow" else self._cell.id
            write_json(self._folder / "trackers.json", {**begun, name: run})

    def _options(
        self, name: TrackerName, run: str | None, step: int
    ) -> tuple[list[str], dict[str, Any]]:
        """What accelerate's tracker is made with: the same run for every attempt at the cell."""
        cell = self._cell
        if name == "tensorboard":
            # What an interrupted attempt logged past its checkpoint is logged again.
            return [cell.folder, str(self._results / "tensorboard")], {"purge_step": step}
        if name == "mlflow":
            return [PROJECT], {"run_name": cell.slug, "run_id": run}
        project = os.environ.get(f"{name.upper()}_PROJECT", PROJECT)
        if name == "trackio":
            return [project], {"name": Path(cell.folder).name, "resume": "allow", "embed": False}
        options = {"name": cell.slug, "id": cell.id, "resume": "allow", "dir": str(self._results)}
        return [project], options

    def _begun(self) -> dict[str, str]:
        try:
            return read_json(self._folder / "trackers.json") or {}
        except StoreError:
            return {}

    def _guarded(self, name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # whatever a tracker does, the cell goes on
            lines = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning("tracker %s is left out: %s", name, lines[0])
            if self._running is not None:
                self._running.pop(name, None)


def not_installed(names: Iterable[TrackerName]) -> list[TrackerName]:
    """Which of these trackers have no package here."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested settings as ``a.b.c``: trackers take only plain values; lists and None become JSON."""
    plain: dict[str, str | int | float | bool] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            plain |= flat(value, f"{prefix}{key}.")
        else:
            simple = isinstance(value, str | int | float | bool)
            plain[f"{prefix}{key}"] = value if simple else json.dumps(value)
    return plain


def _prepare_environment() -> None:
    """Defaults that a user's own variables win over."""
    for key, value in _PATIENCE.items():
        os.environ.setdefault(key, value)
    if any(os.environ.get(key) == "1" for key in ("HF_HUB_OFFLINE", "SMC_BENCH_OFFLINE")):
        os.environ.setdefault("WANDB_MODE", "offline")
