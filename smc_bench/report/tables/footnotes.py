"""What a reader must know of the data behind a table."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from smc_bench.report.data.results import Results
from smc_bench.report.tables.caveats import caveats
from smc_bench.sources.packages import MODELS, seen_by
from smc_bench.suite.cell import Cell
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.suite.labels import labels
from smc_bench.suite.load import LoadedSuite
from smc_bench.tasks.specs import SPECS, TaskSpec

# SMC-Bench's own last event leaves up to 0.7 % of the target out: that much is worth a word.
_OFF_TARGET = 0.003

# What the sparsity of a column counts, by the way of comparing.
_OVER = {
    "": "its scope",
    "scope_sparsity": "its scope",
    "encoder_sparsity": "its encoder",
    "model_sparsity": "all that it prunes, as a share of the encoder,",
}


def footnotes(results: Results) -> list[str]:
    """All notes, the profile's own first."""
    data = results.data
    found = _of_plan(results.plan) + _pending(data) + _cut_short(results)
    found += mixing(data) + _missed(data) + _texts(results.plan) + _other_axes(results.plan)
    return found + _one_seed(results) + caveats(results)


def partial(plan: Plan) -> dict[str, list[str]]:
    """In which ways a task's data is not the complete standard data."""
    found: dict[str, list[str]] = {}
    for task, called in labels(plan).items():
        spec = SPECS[task.name]
        reasons = found.setdefault(called, [])
        splits = tuple(split.name for split in spec.eval_splits)
        if task.train_split != spec.train_split or task.eval_splits != splits:
            reasons.append(
                f"not the standard split: {task.train_split}, {', '.join(task.eval_splits)}"
            )
        arms = {entry.arm: entry.cell for entry in plan.entries if entry.cell.task == task}
        limited: dict[str, list[str]] = {}
        for arm, cell in arms.items():
            for limit in _limits(cell, spec):
                limited.setdefault(limit, []).append(arm)
        for limit, of in limited.items():
            reasons.append(limit if len(of) == len(arms) else f"{limit} ({', '.join(of)})")
    return found


def _texts(plan: Plan) -> list[str]:
    """What a perplexity is of: without it the number says nothing."""
    return [
        f"{called}: each row is a document, read in windows of {task.max_length} tokens at most; "
        "every token of a document but its first is scored once, and all tokens count alike "
        "(an encoder-decoder reads the first half of each window and is scored on the rest)."
        for task, called in labels(plan).items()
        if SPECS[task.name].family == "language_modelling"
    ]


def _other_axes(plan: Plan) -> list[str]:
    """Arms of which a column says something else than of the rest."""
    found: dict[str, None] = {}
    for entry in plan.entries:
        target, kept = entry.cell.recipe.target, entry.cell.recipe.train.keep_layers
        if target is not None:
            found[
                f"{entry.arm}: pruned to be {target.speedup:g} times as fast; its column "
                f"({entry.target:.4g}) is the share of the dense model's time that is gone by a "
                "table of latencies, and no sparsity. It is compared with no arm pruned to a "
                "sparsity."
            ] = None
        if kept is not None and entry.arm != DENSE_ARM:
            found[
                f"{entry.arm}: has {len(kept)} of the model's layers "
                f"({', '.join(map(str, kept))}); its sparsity is a share of these, not of the "
                "whole model."
            ] = None
    return [*found]


def _limits(cell: Cell, spec: TaskSpec) -> list[str]:
    train = cell.recipe.train.rows
    if cell.task.train_split == spec.train_split and (train or 0) >= spec.train_rows:
        train = None  # a limit above what there is limits nothing
    limits = {"train": train, "evaluation": cell.recipe.evaluation.rows}
    return [f"at most {n} {what} rows" for what, n in limits.items() if n is not None]


def _of_plan(plan: Plan) -> list[str]:
    found = [plan.loaded.note.strip()] if plan.loaded.note else []
    for task, reasons in partial(plan).items():
        found += [f"{task} is partial: {reason}." for reason in reasons]
    found += _tuning(plan.loaded)
    model = plan.loaded.suite.model_name
    packaged = MODELS.get(plan.loaded.suite.model)
    if packaged and packaged.note:
        found.append(f"{model}: {packaged.note}.")
    for settings, task in labels(plan).items():
        if settings.name in seen_by(model):
            found.append(f"{task}: {model} saw this task's training pairs in pretraining.")
    return found


def _tuning(loaded: LoadedSuite) -> list[str]:
    """How learning rates were chosen, where they were."""
    tune = loaded.suite.tune
    if tune is None:
        return []
    peaks = ", ".join(f"{peak:g}" for peak in tune.peaks)
    found = [
        f"Peak learning rates: for each arm (and dense) on each task the best of {peaks} on "
        f"{tune.rows} training rows held back then, pruning arms at sparsity "
        f"{tune.sparsity:.4g} with seed {tune.seed}; no evaluation row was looked at."
    ]
    if loaded.untuned:
        shown = ", ".join(loaded.untuned[:3]) + " and others" * (len(loaded.untuned) > 3)
        found.append(f"No peak was chosen yet for {shown}: theirs are as the recipe says.")
    return found


def _pending(data: pd.DataFrame) -> list[str]:
    pending = int((data["state"] != "done").sum())
    if not pending:
        return []
    return [f"{pending} of {len(data)} cells have no result yet (shown as -, or n of N seeds)."]


def _cut_short(results: Results) -> list[str]:
    """Cells that ran under ``--limit``, which have records but never a result."""
    limits = {e.cell.id: e.cell.limit for e in results.plan.entries if e.cell.limit is not None}
    data = results.data
    done = int((data["cell"].isin(limits) & (data["state"] == "done") & data["value"].isna()).sum())
    if not done:
        return []
    steps = max(limits.values())
    return [f"{done} of {len(data)} cells were cut short by --limit {steps}: never reported."]


def mixing(data: pd.DataFrame) -> list[str]:
    """Records that were not made by the same code, packages or data."""
    done = data[data["value"].notna()]
    found = []
    commits = Counter(str(c)[:12] if c else "unknown" for c in done["commit"])
    if len(commits) > 1:
        named = ", ".join(f"{commit} ({n})" for commit, n in commits.most_common())
        found.append(f"Mixes records of {len(commits)} git commits: {named}.")
    dirty = int(sum(flag is True or flag is None for flag in done["dirty"]))
    if dirty:
        found.append(f"{dirty} of {len(done)} records come from a tree with uncommitted changes.")
    majors: dict[str, set[str]] = {}
    for text in dict.fromkeys(done["packages"]):
        for item in filter(None, text.split(", ")):
            name, _, version = item.rpartition(" ")
            majors.setdefault(name, set()).add(version.partition(".")[0])
    for name, versions in majors.items():
        if len(versions) > 1:
            found.append(f"Mixes major versions of {name}: {', '.join(sorted(versions))}.")
    devices = Counter(str(device) for device in done["device"])
    if len(devices) > 1:
        named = ", ".join(f"{device} ({n})" for device, n in devices.most_common())
        found.append(f"Mixes records of several kinds of device: {named}.")
    for task, part in done.groupby("task", sort=False):
        if part["data"].nunique() > 1:
            found.append(f"Mixes revisions of the data or weights of {task}.")
    return found


def _missed(data: pd.DataFrame) -> list[str]:
    """Arms whose measured sparsity is not the one of their column."""
    pruned = data[(data["arm"] != DENSE_ARM) & data["reached"].notna()]
    keys = ["task", "arm", "compare_at"]
    found = []
    for (task, arm, at), part in pruned.groupby(keys, sort=False):
        means = part.groupby("sparsity", sort=False)["reached"].mean()
        off = {x: mean for x, mean in means.items() if abs(mean - float(str(x))) > _OFF_TARGET}
        if off:
            where = f"{task}, {arm}" if data["task"].nunique() > 1 else str(arm)
            levels = ", ".join(f"{mean:.3f} at {target:.4g}" for target, mean in off.items())
            found.append(f"{where}: measured sparsity of {_OVER[str(at)]} is {levels}.")
    return found


def _one_seed(results: Results) -> list[str]:
    """Whose intervals say nothing of seeds."""
    table = results.summary[results.summary["arm"] != DENSE_ARM]
    finished = table[table["n"] > 0]
    alone = int((finished["n"] == 1).sum())
    if not alone:
        return []
    whose = "One seed" if alone == len(finished) else f"{alone} of {len(finished)} have one seed"
    return [
        f"{whose}: the interval covers evaluation noise only, not seeds; nothing is decided by it."
    ]
