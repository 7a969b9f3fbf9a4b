"""The names in a suite: which may stand there, and that none can be taken for another."""

from __future__ import annotations

from collections.abc import Iterable

from smc_bench.names import alike, label_problem, path_problem, prose_problem, twins
from smc_bench.suite.schema import Profile, Suite, Task
from smc_bench.suite.yaml_file import KeyPath, YamlFile, nearest

DENSE_ARM = "dense"
"""What the dense cells are called among the arms; no arm may have this name."""


def check_names(file: YamlFile, suite: Suite, built_in: str) -> None:
    """Check the names of a suite and all its profiles.

    Args:
        file: The suite's file, for the lines of its keys.
        suite: What stands in it.
        built_in: The profile that every suite has.

    Raises:
        SuiteError: Naming file, line and key of the first name that can't be used.
    """
    _fail(file, ("name",), path_problem(suite.name))
    _fail(file, (), _of_file(file.path.stem))
    for key in ("title", "description"):
        _fail(file, (key,), prose_problem(getattr(suite, key)))
    _check_section(file, suite, ())
    for name, profile in suite.profiles.items():
        at = ("profiles", name)
        _fail(file, at, path_problem(name))
        _fail(file, (*at, "note"), prose_problem(profile.note or ""))
        _check_section(file, profile, at)
    _no_twins(file, ("profiles",), (built_in, *suite.profiles))
    known = sorted({built_in, *suite.profiles})
    if suite.default_profile not in known:
        message = f"there is no profile {suite.default_profile!r}"
        file.fail(("default_profile",), f"{message}{nearest(suite.default_profile, known)}")


def _check_section(file: YamlFile, section: Suite | Profile, at: KeyPath) -> None:
    """Arms, recipes and tasks of a suite or of a profile."""
    for name in section.arms or {}:
        where = (*at, "arms", name)
        _fail(file, where, label_problem(name))
        if alike(name) == DENSE_ARM:
            file.fail(
                where, f"is reserved: the dense model is called {DENSE_ARM!r}; rename the arm"
            )
    for name in section.recipes:
        _fail(file, (*at, "recipes", name), path_problem(name))
    for index, task in enumerate(section.tasks or ()):
        _check_task(file, task, (*at, "tasks", index))
    _no_twins(file, (*at, "arms"), section.arms or ())
    _no_twins(file, (*at, "recipes"), section.recipes)


def _check_task(file: YamlFile, task: Task, at: KeyPath) -> None:
    """Configurations and splits are names of folders and files of the data."""
    named = {
        "config": (task.config,),
        "train_split": (task.train_split,),
        "eval_splits": task.eval_splits or (),
    }
    for key, names in named.items():
        for name in names:
            problem = None if name is None else path_problem(name)
            _fail(file, (*at, key), problem and f"{name!r}: {problem}")


def _no_twins(file: YamlFile, at: KeyPath, names: Iterable[str]) -> None:
    pair = twins(names)
    if pair is not None:
        file.fail(
            (*at, pair[1]),
            f"can't be told from {pair[0]!r}: the names differ at most in case, accents' spelling "
            "or spaces; rename one",
        )


def _of_file(stem: str) -> str | None:
    problem = label_problem(stem)
    return problem and f"the file's name {stem!r} {problem}"


def _fail(file: YamlFile, at: KeyPath, problem: str | None) -> None:
    if problem is not None:
        file.fail(at, problem)
