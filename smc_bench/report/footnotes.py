"""What a reader must know of the data behind a table."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from smc_bench.report.frame import labels
from smc_bench.report.results import Results
from smc_bench.suite.expand import DENSE_ARM, Plan
from smc_bench.suite.portable import shown_model
from smc_bench.tasks.specs import SPECS

# SMC-Bench's own last event leaves up to 0.7 % of the target out: that much is worth a word.
_OFF_TARGET = 0.003

# Model card of sentence-transformers/all-MiniLM-L6-v2, "Training data": SNLI and MultiNLI, Quora
# duplicate questions, SQuAD (and others that are no task here). QNLI is made from SQuAD.
SEEN: dict[str, frozenset[str]] = {"minilm-l6": frozenset({"mnli", "qqp", "squad", "qnli"})}


def footnotes(results: Results) -> list[str]:
    """All notes, the profile's own first."""
    data = results.data
    found = _of_plan(results.plan) + _pending(data) + mixing(data) + _missed(data) + _gone(data)
    if data.loc[data["arm"] != DENSE_ARM, "seed"].nunique() == 1:
        found.append("One seed: intervals and bold cover evaluation noise only, not seeds.")
    return found


def partial(plan: Plan) -> dict[str, list[str]]:
    """In which ways a task's data is not the complete standard data."""
    found: dict[str, list[str]] = {}
    called = labels(plan)
    for cell in {entry.cell.task: entry.cell for entry in plan.entries}.values():
        spec, task = SPECS[cell.task.name], cell.task
        reasons = found.setdefault(called[task], [])
        splits = tuple(split.name for split in spec.eval_splits)
        if task.train_split != spec.train_split or task.eval_splits != splits:
            reasons.append(
                f"not the standard split: {task.train_split}, {', '.join(task.eval_splits)}"
            )
        train = cell.recipe.train.rows
        if task.train_split == spec.train_split and (train or 0) >= spec.train_rows:
            train = None  # a limit above what there is limits nothing
        limits = {"train": train, "evaluation": cell.recipe.evaluation.rows}
        reasons += [f"at most {n} {what} rows" for what, n in limits.items() if n is not None]
    return found


def _of_plan(plan: Plan) -> list[str]:
    found = [plan.loaded.note.strip()] if plan.loaded.note else []
    for task, reasons in partial(plan).items():
        found += [f"{task} is partial: {reason}." for reason in reasons]
    model = plan.loaded.suite.model
    for settings, task in labels(plan).items():
        if settings.name in SEEN.get(model, ()):
            found.append(
                f"{task}: {shown_model(model)} saw this task's training pairs in pretraining."
            )
    return found


def _pending(data: pd.DataFrame) -> list[str]:
    pending = int((data["state"] != "done").sum())
    if not pending:
        return []
    return [f"{pending} of {len(data)} cells have no result yet (shown as -, or n of N seeds)."]


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
            majors.setdefault(name, set()).add(version)
    for name, versions in majors.items():
        if len(versions) > 1:
            found.append(f"Mixes major versions of {name}: {', '.join(sorted(versions))}.")
    for task, part in done.groupby("task", sort=False):
        if part["data"].nunique() > 1:
            found.append(f"Mixes revisions of the data or weights of {task}.")
    return found


def _missed(data: pd.DataFrame) -> list[str]:
    """Arms whose measured sparsity is not the one of their column."""
    own = data[data["compare_at"].isin(["", "scope_sparsity"]) & (data["arm"] != DENSE_ARM)]
    off = own[(own["scope_sparsity"] - own["sparsity"]).abs() > _OFF_TARGET]
    found = []
    for arm, part in off.groupby("arm", sort=False):
        means = part.groupby("sparsity", sort=False)["scope_sparsity"].mean()
        levels = ", ".join(f"{measured:.3f} at {target:.4g}" for target, measured in means.items())
        found.append(f"{arm}: measured sparsity of its scope is {levels}.")
    return found


def _gone(data: pd.DataFrame) -> list[str]:
    found = []
    for component in ("embeddings", "encoder", "head"):
        gone = data[data[f"{component}_sparsity"].fillna(0.0) >= 0.9995]
        for arm, part in gone.groupby("arm", sort=False):
            levels = ", ".join(f"{value:.4g}" for value in dict.fromkeys(part["sparsity"]))
            found.append(
                f"{arm} at {levels}: all of the {component} is pruned, so the output can't depend "
                "on the input through it."
            )
    return found
