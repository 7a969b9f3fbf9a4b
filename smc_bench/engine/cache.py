"""What cells share, as files: tokenised features, and a teacher's outputs on them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

import smc_bench.engine
import smc_bench.models
import smc_bench.tasks
from smc_bench.engine.loss.predict import HeadArrays
from smc_bench.tasks.base import Feature, Task

_FEATURES = "features.arrow"
_VALUES, _OFFSETS = "values.npy", "offsets.npy"


def write_features(folder: Path, features: Sequence[Feature]) -> None:
    """Write features as one uncompressed Arrow table."""
    table = pa.Table.from_pylist(list(features))
    feather.write_feather(table, folder / _FEATURES, compression="uncompressed")


def read_features(folder: Path) -> list[Feature]:
    """Features as they were written (pairs come back as lists)."""
    found: list[Feature] = feather.read_table(folder / _FEATURES, memory_map=True).to_pylist()
    return found


def write_outputs(folder: Path, outputs: Sequence[HeadArrays]) -> None:
    """Write outputs: values (heads, numbers) float32 and where each feature's begin (n + 1,)."""
    lengths = [len(heads[0]) for heads in outputs]
    np.save(folder / _OFFSETS, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    heads = range(len(outputs[0]))
    np.save(folder / _VALUES, np.stack([np.concatenate([o[h] for o in outputs]) for h in heads]))


class SavedOutputs(Sequence[HeadArrays]):
    """Outputs by feature, mapped from disk."""

    def __init__(self, folder: Path) -> None:
        """Map what :func:`write_outputs` wrote."""
        self.values: NDArray[np.float32] = np.load(folder / _VALUES, mmap_mode="r")
        self.offsets: NDArray[np.int64] = np.load(folder / _OFFSETS)

    def __len__(self) -> int:
        """Number of features."""
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> Any:
        """One 1-D float32 array a head."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, stop = self.offsets[index : index + 2]
        return tuple(np.asarray(row[start:stop]) for row in self.values)


def task_code(task: Task) -> str:
    """Hash of the code that makes features: the tasks package, and the task's own file."""
    folder = Path(smc_bench.tasks.__file__ or "").parent
    own = sys.modules[type(task).__module__].__file__
    return _digest({*folder.glob("*.py"), *([Path(own)] if own else [])})


def engine_code() -> str:
    """Hash of the code that trains: the engine, and how models take batches."""
    packages = (smc_bench.engine, smc_bench.models)
    folders = [Path(package.__file__ or "").parent for package in packages]
    return _digest({path for folder in folders for path in folder.rglob("*.py")})


def code_of(module: str) -> str:
    """Hash of a plug-in's code: its file, or all files of the package that it belongs to."""
    top, own = sys.modules[module.partition(".")[0]], sys.modules[module].__file__
    if hasattr(top, "__path__"):
        return _digest({path for folder in top.__path__ for path in Path(folder).rglob("*.py")})
    return _digest({Path(own)} if own else set())


def _digest(files: set[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
