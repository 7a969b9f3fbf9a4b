"""Learning rates chosen on training rows that are held back, and the file that keeps them.

``smc-bench tune SUITE --profile P`` tries every arm at each rate of the profile's ``tune:`` and
writes ``tuned/<suite>.<profile>.yaml`` beside the suite: what was tried, how it scored, what was
taken. Loading the suite under that profile applies it. A rate that is right for one arm is unfair
to another, and a rate chosen on the evaluation split is unfair to everybody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from smc_bench.engine.recipe import Recipe, Strict
from smc_bench.errors import SuiteError
from smc_bench.suite.cell import canonical_json
from smc_bench.suite.explain import explain
from smc_bench.suite.schema import Suite, Tuning
from smc_bench.suite.yaml_file import YamlFile, read_yaml
from smc_bench.tasks.directions import lower_is_better
from smc_bench.tasks.specs import SPECS


class Choice(Strict):
    """What was chosen for one arm on one task.

    Attributes:
        task: Name of the task.
        arm: Name of the arm, or ``dense``.
        recipe: :func:`fingerprint` of the recipe that was tried, before its rate was set, and of
            what it was tried on (:func:`tuning_context`).
        peak: The rate that scored best; the lower one of equals.
        scores: Score of each try on the rows held back, in the order of the rates, in percent;
            None for a try that diverged.
        cells: Ids of the tries.
    """

    task: str
    arm: str
    recipe: str
    peak: float
    scores: tuple[float | None, ...]
    cells: tuple[str, ...]


class Tuned(Strict):
    """A file of choices.

    Attributes:
        tune: Settings that the choices were made under.
        choices: One for each arm on each task.
    """

    tune: Tuning
    choices: tuple[Choice, ...]

    @model_validator(mode="after")
    def _follows_from_scores(self) -> Tuned:
        peaks, seen = self.tune.peaks, set[tuple[str, str]]()
        for choice in self.choices:
            who = f"arm {choice.arm!r} on {choice.task}"
            if (choice.task, choice.arm) in seen:
                raise ValueError(f"{who} stands there twice")
            seen.add((choice.task, choice.arm))
            if not len(choice.scores) == len(choice.cells) == len(peaks):
                raise ValueError(f"{who} needs a score and a cell for each of {len(peaks)} rates")
            if choice.peak != best(peaks, choice.scores, lower=lower(choice.task)):
                raise ValueError(f"{who}: {choice.peak:g} is not the rate that scored best")
        return self


def tuning_context(suite: Suite, task: str) -> dict[str, Any]:
    """What a rate depends on beside the recipe: model, task, what an arm's sparsity is over."""
    return {
        "model": suite.model_name,
        "tasks": [t.model_dump(exclude_none=True) for t in suite.tasks if t.name == task],
        "compare_at": suite.compare_at[0] if suite.compare_at else "",
    }


def fingerprint(recipe: Recipe, around: Mapping[str, Any] | None = None) -> str:
    """Twelve hexadecimal digits of settings, a recipe's at their defaults left out."""
    content = {**recipe.model_dump(mode="json", exclude_defaults=True), "around": around or {}}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]


def trains(recipe: Recipe) -> bool:
    """Whether a recipe takes any optimizer step, so that it has a learning rate to choose."""
    return recipe.train.duration != "0it"


def with_peak(recipe: Recipe, peak: float) -> Recipe:
    """The recipe at another peak learning rate; its floor keeps its share of the peak."""
    return recipe.model_copy(update={"lr_schedule": recipe.lr_schedule.with_peak(peak)})


def lower(task: str) -> bool:
    """Whether less of a task's primary metric is better; False for a task that is not known."""
    return task in SPECS and lower_is_better(SPECS[task].primary_metric)


def best(
    peaks: tuple[float, ...], scores: tuple[float | None, ...], *, lower: bool = False
) -> float:
    """The rate with the best score; the lower one of equals.

    Args:
        peaks: The rates.
        scores: One a rate; None where it diverged.
        lower: Whether a lower score is better.

    Raises:
        ValueError: If every try diverged.
    """
    sign = -1.0 if lower else 1.0
    tried = zip(peaks, scores, strict=True)
    known = [(sign * score, -peak) for peak, score in tried if score is not None]
    if not known:
        raise ValueError("every try diverged")
    return -max(known)[1]


@dataclass
class TunedRates:
    """Applies a file of choices to recipes as they are resolved.

    Attributes:
        missing: Arms, by task, that have no choice (yet).
    """

    suite: Suite
    path: Path
    choices: dict[tuple[str, str], Choice]
    missing: list[str] = field(default_factory=list)

    def apply(self, recipe: Recipe, task: str, arm: str) -> Recipe:
        """The recipe at the rate chosen for it, or as it is where nothing was chosen yet.

        Raises:
            SuiteError: If the choice was made for other settings.
        """
        if not trains(recipe):
            return recipe
        choice = self.choices.get((task, arm))
        if choice is None:
            self.missing.append(f"{arm} on {task}")
            return recipe
        if choice.recipe != fingerprint(recipe, tuning_context(self.suite, task)):
            raise SuiteError(
                f"{self.path}: the rate of arm {arm!r} on {task} was chosen for other settings "
                "of this arm, its task, the model or compare_at: smc-bench tune chooses it anew"
            )
        return with_peak(recipe, choice.peak)


def tuned_path(suite: Path, profile: str) -> Path:
    """Where the choices of a suite under a profile are kept."""
    return suite.parent / "tuned" / f"{suite.stem}.{profile}.yaml"


def read_tuned(file: Path, profile: str, suite: Suite, tune: Tuning) -> TunedRates:
    """The choices made so far; none where there is no file.

    Args:
        file: The suite's.
        profile: The profile in force.
        suite: The suite under it.
        tune: Its ``tune`` section.

    Raises:
        SuiteError: If the file is not one of these, or was made under other settings of ``tune``.
    """
    path = tuned_path(file, profile)
    if not path.exists():
        return TunedRates(suite, path, {})
    content = read_yaml(path)
    try:
        found = Tuned.model_validate(content.data)
    except ValidationError as error:
        location, message = explain(error, Tuned)
        content.fail(location, message)
    _check_settings(content, found, tune)
    return TunedRates(suite, path, {(c.task, c.arm): c for c in found.choices})


def _check_settings(file: YamlFile, found: Tuned, tune: Tuning) -> None:
    if found.tune != tune:
        file.fail(("tune",), "made under other settings than the suite has now: tune again")


def tuned_text(tune: Tuning, choices: list[Choice], command: str) -> str:
    """The file's text: YAML, one line a choice."""
    lines = [f"# Written by {command}: rates chosen on training rows held back."]
    lines += [f"tune: {json.dumps(tune.model_dump(mode='json'))}", "choices:"]
    lines += [f"  - {json.dumps(choice.model_dump(mode='json'))}" for choice in choices]
    return "\n".join(lines) + "\n"
