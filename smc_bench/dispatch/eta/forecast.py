"""How long a run will take, renewed while it runs, and how far off that was when it is over."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.dispatch.eta.simulate import Begun, makespan
from smc_bench.dispatch.eta.timings import timing_of, timings_of
from smc_bench.dispatch.local.capacity import Machine
from smc_bench.dispatch.local.pool import LocalPool
from smc_bench.store.store import Store, now
from smc_bench.suite.cell import Cell
from smc_bench.suite.length import steps_of
from smc_bench.suite.predict import Predictor, Timing
from smc_bench.suite.sharing import spared_steps

FILE = "forecasts.jsonl"
_WELL_ON = 0.05


def predictor(store: Store, cells: dict[str, Cell], *, gpu: bool) -> Predictor:
    """What the finished ones of these cells say of the others."""
    return Predictor(timings_of(store, cells.values(), gpu=gpu), spared_of(store, cells))


def spared_of(store: Store, cells: dict[str, Cell]) -> dict[str, int]:
    """Steps that unfinished cells need not take, because others of them begin alike."""
    folders = {key: store.folder(cell.folder).path for key, cell in cells.items()}
    return spared_steps(c for k, c in cells.items() if not (folders[k] / "record.json").exists())


def seconds_for(
    cells: list[Cell], machine: Machine, predicts: Predictor, begun: tuple[Begun, ...] = ()
) -> float | None:
    """Predicted seconds until cells, and those that run, are done; None if one is not known."""

    def seconds(cell: Cell, threads: int) -> float:
        found = predicts.predict(cell, threads)
        assert found is not None
        return found.total

    if any(predicts.predict(cell, 1) is None for cell in cells):
        return None
    return makespan(cells, machine, seconds, begun)


def order_by(predicts: Predictor, machine: Machine) -> Callable[[list[Cell]], float]:
    """Length of a run of cells in a given order, for :func:`suite.length.running_order`.

    In seconds where all are predicted, else in optimizer steps.
    """

    def whole(cells: list[Cell]) -> float:
        found = seconds_for(cells, machine, predicts)
        if found is not None:
            return found
        return makespan(cells, machine, lambda cell, threads: steps_of(cell) / threads)

    return whole


@dataclass
class _Started:
    clock: float
    predicted: float | None


class Forecast:
    """Follows a pool: what is left, and predicted against measured at the end.

    Attributes:
        cells: All cells of the run, by id.
        predicts: What is known by now; the first finished cell calibrates where nothing was.
    """

    def __init__(
        self,
        store: Store,
        cells: dict[str, Cell],
        machine: Machine,
        timings: list[Timing],
        spared: dict[str, int],
    ) -> None:
        """Nothing is read before :meth:`update`; ``spared`` as :func:`spared_of` has it."""
        self.store, self.cells, self.machine = store, cells, machine
        self.spared = spared
        self.predicts = Predictor(timings, self.spared)
        self._timings = timings
        self._begin = time.monotonic()
        self._first: tuple[float, float] | None = None  # seconds before, predicted seconds
        self._started: dict[str, _Started] = {}
        self._measured: dict[str, float] = {}
        self._old: set[str] | None = None

    def update(self, pool: LocalPool) -> None:
        """Note what has started and what is done since the last look."""
        if self._old is None:
            self._old = set(pool.outcome.done)
        for worker in pool.workers:
            cell = worker.cell
            if cell is not None and cell.id not in self._started:
                found = self.predicts.predict(cell, worker.threads)
                total = None if found is None or self._resumes(cell) else found.total
                self._started[cell.id] = _Started(time.monotonic(), total)
        for key in (set(pool.outcome.done) - self._old) & self.cells.keys():
            self._old.add(key)
            self._finished(self.cells[key])
        if self._first is None:
            left = self.left(pool, {})
            if left is not None:
                self._first = (time.monotonic() - self._begin, left)

    def _resumes(self, cell: Cell) -> bool:
        return (self.store.folder(cell.folder).latest_attempt() or 1) > 1

    def _finished(self, cell: Cell) -> None:
        if cell.id not in self._started:
            return  # somebody else has finished it
        self._measured[cell.id] = time.monotonic() - self._started[cell.id].clock
        folder = self.store.folder(cell.folder)
        timing = timing_of(cell, folder, gpu=self.machine.gpus)
        if timing is not None:
            self._timings.append(timing)
            self.predicts = Predictor(self._timings, self.spared)

    def left(self, pool: LocalPool, done: dict[str, float]) -> float | None:
        """Predicted seconds until all is done, or None while nothing comparable is.

        Args:
            pool: The pool that runs.
            done: Share of the training that each running cell has behind it, 0..1.
        """
        begun, predicts = [], self._with_running(pool, done)
        for worker in pool.workers:
            if worker.cell is None:
                continue
            found = predicts.predict(worker.cell, worker.threads)
            if found is None:
                return None
            left = found.train * (1.0 - self._own_share(worker.cell, done)) + found.around
            begun.append(Begun(worker.cell, worker.threads, left))
        return seconds_for(pool.waiting, self.machine, predicts, tuple(begun))

    def _own_share(self, cell: Cell, done: dict[str, float]) -> float:
        """Share of the steps that a cell takes itself that it has behind it, 0..1."""
        spared, steps = self.spared.get(cell.id, 0), steps_of(cell)
        found = done.get(cell.id, 0.0)
        return max(0.0, (found * steps - spared) / (steps - spared)) if spared else found

    def _with_running(self, pool: LocalPool, done: dict[str, float]) -> Predictor:
        """Where nothing comparable is done yet, cells that are well on their way stand in."""
        halfway = []
        for worker in pool.workers:
            cell = worker.cell
            if cell is None or self.predicts.predict(cell, worker.threads) is not None:
                continue
            if cell.id in self.spared:
                continue  # it may wait, or have steps behind it that took no time
            share, started = done.get(cell.id, 0.0), self._started.get(cell.id)
            if share >= _WELL_ON and started is not None and not self._resumes(cell):
                train = (time.monotonic() - started.clock) / share
                halfway.append(Timing(cell, worker.threads, train))
        return Predictor([*self._timings, *halfway], self.spared) if halfway else self.predicts

    def result(self, *, whole: bool) -> dict[str, Any] | None:
        """Predicted against measured seconds of cells, each predicted when it started.

        Args:
            whole: Whether all cells were done, so that the whole run can be compared as well.

        Returns:
            None if nothing could be predicted before it ran.
        """
        known: dict[str, dict[str, float]] = {}
        for key, measured in self._measured.items():
            predicted = self._started[key].predicted
            if predicted is not None:
                known[key] = {"predicted": round(predicted, 1), "measured": round(measured, 1)}
        if not known:
            return None
        errors: list[float] = [
            cell["predicted"] / max(0.1, cell["measured"]) - 1.0 for cell in known.values()
        ]
        largest = max(errors, key=abs)
        found: dict[str, Any] = {
            "time": now(),
            "cells": known,
            "median_error": round(statistics.median(map(abs, errors)), 4),
            "largest_error": round(largest, 4),
        }
        if self._first is not None and whole:
            before, left = self._first
            measured = time.monotonic() - self._begin - before
            found |= {"predicted": round(left, 1), "measured": round(measured, 1)}
            found["after"] = round(before, 1)
        return found


def in_words(result: dict[str, Any]) -> str:
    """A result in one line."""
    text = f"predicted against measured, {len(result['cells'])} cells: median error "
    text += f"{100 * result['median_error']:.0f} %, largest {100 * result['largest_error']:+.0f} %"
    if "measured" not in result:
        return text
    error = result["predicted"] / max(0.1, result["measured"]) - 1.0
    after = f" (predicted {result['after']:.0f} s after the start)" if result["after"] > 2 else ""
    whole = f"{result['predicted'] / 60:.1f} min predicted, {result['measured'] / 60:.1f} min taken"
    return f"{text}; the run: {whole} ({100 * error:+.0f} %){after}"


def keep(root: Path, result: dict[str, Any]) -> None:
    """Append a result to the forecasts of a results folder."""
    with (root / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
