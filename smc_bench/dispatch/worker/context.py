"""The engine's run context over a cell folder: inputs by pin, checkpoints by attempt, progress."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from smc_bench.dispatch.worker.tracking import Trackers
from smc_bench.engine.context import Progress
from smc_bench.engine.execution import Execution
from smc_bench.errors import CorruptDataError, Interrupted, MissingDataError, StoreError
from smc_bench.sources import Lock, Pin, Roots, rows, weights
from smc_bench.store.artefacts import Artefacts
from smc_bench.store.checkpoints import drop_damaged
from smc_bench.store.files import read_json
from smc_bench.store.lease import HEARTBEAT_SECONDS
from smc_bench.store.reading import check_weights, read_cell
from smc_bench.store.record import Record
from smc_bench.store.store import SHARES, CellFolder, Store
from smc_bench.suite.cell import IDENTITY_VERSION, Cell
from smc_bench.tasks.specs import SPECS

_WRITE_EVERY = 1.0
_log = logging.getLogger(__name__)


class FolderContext:
    """Implements :class:`smc_bench.engine.context.RunContext` for one attempt at one cell."""

    def __init__(
        self,
        cell: Cell,
        folder: CellFolder,
        attempt: int,
        roots: Roots,
        lock: Lock,
        teacher: CellFolder | None,
        execution: Execution,
    ) -> None:
        """Bind an attempt; the artefact folder of the attempt is emptied."""
        self.cell, self.folder, self.attempt = cell, folder, attempt
        self.roots, self.lock, self.teacher = roots, lock, teacher
        self.execution = execution
        self.artefacts = Artefacts(folder.path.parents[2])
        self.stop = threading.Event()
        self.partial = folder.path / "partial" / f"{attempt:03d}"
        self._last = 0.0
        self._open()

    def _open(self) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        folder = self.folder.path
        self.trackers = Trackers(self.execution.trackers, self.cell, folder, folder.parents[2])
        self._log = (folder / "train.jsonl").open("a", encoding="utf-8")

    def rows(self, split: str) -> Sequence[dict[str, Any]]:
        """Rows of a split, if they are still those that the cell was planned with."""
        spec, config = SPECS[self.cell.task.name], self.cell.task.config
        pin = rows.resolve(spec, config, split, self.roots, self.lock, network=True)
        self._check(pin, self.cell.data_pins[split], f"{spec.name}/{config}/{split}")
        assert pin is not None
        return rows.load(spec, config, split, pin, self.roots)

    def model_folder(self) -> Path:
        """Local folder of the pretrained model."""
        reference = weights.reference(self.cell.model, self.cell.model_pin, self.roots)
        pin = weights.resolve(reference, self.roots, self.lock, network=True)
        self._check(pin, self.cell.model_pin, self.cell.model)
        assert pin is not None
        return weights.folder(reference, pin, self.roots)

    @staticmethod
    def _check(pin: Pin | None, planned: str, what: str) -> None:
        if pin is None or pin.identity != planned:
            found = pin.identity if pin else "nothing"
            raise CorruptDataError(
                f"{what}: planned with {planned}, but now there is {found}: "
                "the source changed; plan the suite again"
            )

    def _teacher(self) -> tuple[CellFolder, Record]:
        record = None if self.teacher is None else self.teacher.record()
        if self.teacher is None or record is None:
            raise MissingDataError(f"the teacher {self.cell.teacher} has not finished")
        return self.teacher, record

    def teacher_folder(self) -> Path:
        """Weights of the finished teacher, hashed at each call: no others are ever used."""
        folder, record = self._teacher()
        check_weights(folder.path / "weights", record)
        return folder.path / "weights"

    def teacher_key(self) -> dict[str, str]:
        """The teacher's id, and the SHA-256 of its weights as its record has it."""
        _, record = self._teacher()
        return {"teacher": record.cell_id, "weights": record.weights_sha256}

    def shared(
        self, kind: str, split: str, key: dict[str, Any], make: Callable[[Path], None]
    ) -> Path:
        """An artefact of this results folder, made from a pinned split and model."""
        cell = self.cell
        pins = {"model": cell.model_pin, "rows": cell.data_pins[split], "split": split}
        return self.artefacts.get(kind, {**key, "pins": pins}, make, self._wait)

    def _wait(self) -> None:
        if self.stop.wait(0.5):
            raise Interrupted("stopped while another cell makes what both need")

    def shares_prefix(self) -> bool:
        """Whether the run that started this cell has others that share its prefix."""
        return (self.folder.path / SHARES).exists()

    def newest_checkpoint(self) -> Path | None:
        """Newest complete checkpoint of any attempt; damaged ones are removed, not used."""
        for path in drop_damaged(self.folder.path / "checkpoints"):
            _log.warning("%s: damaged, so its steps are taken again", path)
        return self.folder.newest_checkpoint(self.attempt)

    def checkpoint_folder(self, step: int) -> Path:
        """A hidden folder under this attempt's number; a rename makes it count."""
        path = self.folder.path / "checkpoints" / f"{self.attempt:03d}" / f".step-{step:08d}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def commit_checkpoint(self, folder: Path) -> None:
        """Make a checkpoint count."""
        self.folder.commit_checkpoint(folder)

    def artifact(self, name: str) -> Path:
        """Path in the attempt's own folder; moved into the cell's on completion."""
        return self.partial / name

    def progress(self, now: Progress) -> None:
        """Append to ``train.jsonl``, at most about once a second and at the end of a phase."""
        clock = time.monotonic()
        if clock - self._last < _WRITE_EVERY and now.step != now.total:
            return
        self._last = clock
        line = {**asdict(now), "attempt": self.attempt, "time": round(time.time(), 3)}
        self._log.write(json.dumps({k: v for k, v in line.items() if v is not None}) + "\n")
        self._log.flush()
        if now.phase == "train":
            self.trackers.log(line, now.step)

    def should_stop(self) -> bool:
        """Whether a signal, a lost parent or a newer attempt asks this one to stop."""
        return self.stop.is_set()

    def watch(self, parent: int | None) -> Callable[[], None]:
        """Start the heartbeat; returns what ends it.

        Args:
            parent: Process that must stay this one's parent, or None to outlive it.
        """
        over = threading.Event()

        def beat() -> None:
            last = 0.0
            while not over.wait(1.0):
                if parent is not None and os.getppid() != parent:
                    self.stop.set()
                if time.monotonic() - last >= HEARTBEAT_SECONDS:
                    last = time.monotonic()
                    self._beat()

        threading.Thread(target=beat, daemon=True, name="heartbeat").start()
        return over.set

    def _beat(self) -> None:
        # A file system that is away for a moment must not end the heartbeat.
        with suppress(OSError):
            os.utime(self.folder.attempt_file(self.attempt))
            if not self.folder.is_current(self.attempt):
                self.stop.set()


_Context = TypeVar("_Context", bound=FolderContext)


@dataclass(frozen=True)
class Assignment:
    """What a worker was started with.

    Attributes:
        store: Results.
        folder: The cell's.
        roots: Where data, weights and caches are.
        execution: How the cell is to be run, before what an earlier attempt fixed.
        parent: Process that must stay the worker's parent, or None to outlive it.
        stop: Set by a signal.
    """

    store: Store
    folder: CellFolder
    roots: Roots
    execution: Execution
    parent: int | None
    stop: threading.Event

    def cell(self) -> Cell:
        """The cell, from its folder.

        Raises:
            StoreError: If it was planned by an older version, whose numbers this one does not make.
        """
        path = self.folder.path / "cell.json"
        cell = read_cell(read_json(path), path)
        if cell.identity_version != IDENTITY_VERSION:
            raise StoreError(
                f"{self.folder.path}: planned by an older version of smc-bench (identity "
                f"{cell.identity_version}, here {IDENTITY_VERSION}): run or submit its suite anew"
            )
        return cell

    def context(self, kind: type[_Context], attempt: int, execution: Execution) -> _Context:
        """The context of an attempt, which stops on the worker's signals."""
        cell = self.cell()
        teacher = self.store.by_id(cell.teacher) if cell.teacher else None
        lock = Lock.load(self.store.root / "lock.json")
        context = kind(cell, self.folder, attempt, self.roots, lock, teacher, execution)
        context.stop = self.stop
        return context
