from __future__ import annotations

from pathlib import Path

import numpy as np

from smc_bench.engine.cache import (
    SavedOutputs,
    read_features,
    task_code,
    write_features,
    write_outputs,
)
from smc_bench.tasks.registry import get_task


def test_features_come_back_as_they_were(tmp_path: Path) -> None:
    spans = [
        {"input_ids": [1, 5, 2], "offsets": [None, (0, 3), None], "example": 0},
        {"input_ids": [1, 2], "offsets": [None, None], "example": 1},
    ]
    choices = [{"input_ids": [[1, 2], [3]], "token_type_ids": [[0, 1], [0]], "label": 1}]
    scores = [{"input_ids": [1], "label": 0.25, "example": 0}]
    for index, features in enumerate((spans, choices, scores)):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_features(folder, features)
        expected = [
            {k: [list(p) if isinstance(p, tuple) else p for p in v] if k == "offsets" else v
             for k, v in feature.items()}
            for feature in features
        ]  # fmt: skip
        assert read_features(folder) == expected


def test_outputs_come_back_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = [3, 1, 7, 2]
    outputs = [tuple(rng.standard_normal(n).astype(np.float32) for _ in range(2)) for n in lengths]
    write_outputs(tmp_path, outputs)
    saved = SavedOutputs(tmp_path)
    assert len(saved) == 4
    for heads, found in zip(outputs, saved, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(heads, found, strict=True))


def test_code_of_a_task_is_that_of_its_file_too() -> None:
    assert task_code(get_task("sst2")) == task_code(get_task("sst2"))
