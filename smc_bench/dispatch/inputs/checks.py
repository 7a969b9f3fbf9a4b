"""The inputs of a suite, looked at once before any worker starts: the model, the rows, the tasks.

What was right is remembered in the cache by its pins, so that the next run asks for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from smc_bench.errors import CorruptDataError, MissingDataError, ModelError
from smc_bench.sources import Pin, Roots, rows
from smc_bench.sources._files import replacing
from smc_bench.suite.cell import TaskSettings
from smc_bench.tasks.base import Encoding, Row, Task
from smc_bench.tasks.registry import get_task
from smc_bench.tasks.specs import TaskSpec

_VERSION = 3  # of what is looked at
_TRIED = 64  # rows of a split that a task is tried on
_MANY_UNKNOWN = 0.5  # of the tokens of these rows, from where on it is worth a word


@dataclass
class Inputs:
    """Looks at a suite's inputs; everything must have been fetched.

    Attributes:
        folder: The model's.
        model: Its pin.
        roots: Where data and caches are.
    """

    folder: Path
    model: Pin
    roots: Roots
    _tokenizer: Any = None
    _loaded: dict[tuple[str, int], Any] = field(default_factory=dict)

    def check(self, spec: TaskSpec, settings: TaskSettings, pins: Mapping[str, Pin]) -> list[str]:
        """Look at a task's rows, and at the model as this task will load it.

        Args:
            spec: The task.
            settings: Its splits and lengths.
            pins: Of each split.

        Returns:
            What is worth a word, though nothing is wrong.

        Raises:
            CorruptDataError: A row can't be used; names file, row and column.
            MissingDataError: A split has no rows.
            ModelError: The model can't be used; names file and tensor.
            SmcBenchError: A task of a user's own does not keep the contract.
        """
        task = get_task(spec.name)
        known = self._known(task, settings, pins)
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return [str(note) for note in json.loads(known.read_text("utf-8"))["notes"]]
        notes = [note for split in pins for note in self._split(task, settings, split, pins[split])]
        notes = [*self._model(task, settings), *notes]
        with suppress(OSError), replacing(known) as temporary:  # it is looked at again, then
            temporary.write_text(json.dumps({"notes": notes}), "utf-8")
        return notes

    def _known(self, task: Task, settings: TaskSettings, pins: Mapping[str, Pin]) -> Path:
        from smc_bench.engine.cache import task_code

        content = [
            _VERSION,
            [version(name) for name in ("transformers", "tokenizers", "torch")],
            self.model.identity,
            repr(task.spec),
            task_code(task),
            settings.model_dump(mode="json"),
            {split: pin.identity for split, pin in pins.items()},
        ]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return self.roots.cache / "checked" / f"{digest[:32]}.json"

    def _model(self, task: Task, settings: TaskSettings) -> list[str]:
        from smc_bench.models.components import component_map
        from smc_bench.models.fit import check_forward, check_length, check_tokenizer
        from smc_bench.models.load import load_with_notes

        spec = task.spec
        key = (task.head, spec.labels)
        if key not in self._loaded:
            model, notes = load_with_notes(
                self.folder, task.head, spec.labels, seed=0, names=spec.label_names
            )
            component_map(model)  # fails where there is nothing to prune
            check_tokenizer(self.tokenizer(), model.config, self.folder)
            check_forward(model, self.tokenizer(), task.head, self.folder)
            self._loaded[key] = (model.config, notes)
        config, notes = self._loaded[key]
        check_length(config, settings.max_length, self.folder)
        return [f"{spec.name}: {note}" for note in notes]

    def tokenizer(self) -> Any:
        """The model's tokenizer, loaded once."""
        from smc_bench.models.load import load_tokenizer, quiet_tokenizers

        if self._tokenizer is None:
            quiet_tokenizers()
            self._tokenizer = load_tokenizer(self.folder)
        return self._tokenizer

    def _split(self, task: Task, settings: TaskSettings, split: str, pin: Pin) -> Iterator[str]:
        from smc_bench.tasks.trial import try_task

        all_rows = rows.load(task.spec, settings.config, split, pin, self.roots)
        where = f"{pin.place}: {split} of {task.spec.name}"
        if not all_rows:
            raise MissingDataError(f"{where} has no rows: name another split in the suite")
        try:
            task.check(all_rows)
        except CorruptDataError as error:
            raise CorruptDataError(
                f"{pin.place}: {split}: {error}; rows are counted from 0. Correct the row, or "
                "name another split (train_split, eval_splits) in the suite"
            ) from None
        encoding = Encoding(settings.max_length, settings.stride)
        train = split == settings.train_split
        features = try_task(task, all_rows[:_TRIED], self.tokenizer(), encoding, train=train)
        if train:
            yield from _absent_labels(task, all_rows, where)
        share = _unknown(features, self.tokenizer())
        if share == 1:
            raise ModelError(
                f"{self.folder}: its tokenizer knows no token of the first rows of {where}: it is "
                "not the tokenizer of a model for this language"
            )
        if share > _MANY_UNKNOWN:
            yield f"{where}: {share:.0%} of the tokens of its first rows are unknown to the model"


def _absent_labels(task: Task, all_rows: list[Row], where: str) -> Iterator[str]:
    if task.spec.family != "classification":
        return
    seen = {row.get("label") for row in all_rows}
    absent = [label for label in range(task.spec.labels) if label not in seen]
    if absent:
        yield f"{where}: no row has the label {', '.join(map(str, absent))}"


def _unknown(features: list[dict[str, Any]], tokenizer: Any) -> float:
    """Share of the tokens, special ones aside, that the tokenizer did not know."""
    if tokenizer.unk_token_id is None:
        return 0.0
    counts: Counter[int] = Counter()
    for feature in features:
        ids = feature["input_ids"]
        for sequence in ids if ids and isinstance(ids[0], list) else [ids]:
            counts.update(sequence)
    unknown = counts[tokenizer.unk_token_id]
    real = sum(n for token, n in counts.items() if token not in set(tokenizer.all_special_ids))
    return unknown / (unknown + real) if unknown else 0.0


def check_inputs(
    inputs: Inputs,
    tasks: list[tuple[TaskSpec, TaskSettings, dict[str, Pin]]],
    tell: Callable[[str], None],
) -> None:
    """Look at all tasks of a suite, and tell what is worth a word.

    Raises:
        SmcBenchError: See :meth:`Inputs.check`.
    """
    notes = [note for task in tasks for note in inputs.check(*task)]
    for note in dict.fromkeys(notes):
        tell(note)
