"""What users add of their own: Python files (``--include``) and installed packages.

A plug-in registers tasks, scorers, methods and schedules by what :mod:`smc_bench.extend` offers. A
package offers one as an entry point of the group ``smc_bench.plugins``: a module that registers
when imported, or a function without arguments that does.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from smc_bench.engine.pruning.methods.registry import METHODS
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.schedules.kinds import RATES, SPARSITY
from smc_bench.errors import SmcBenchError, one_line
from smc_bench.tasks.registry import IMPLEMENTATIONS
from smc_bench.tasks.specs import SPECS

ENTRY_POINTS = "smc_bench.plugins"
REGISTRIES: tuple[dict[str, Any], ...] = (
    SPECS,
    IMPLEMENTATIONS,
    SCORERS,
    METHODS,
    SPARSITY.specs,
    RATES.specs,
)
"""Everything that a plug-in may add to."""


def load_plugins(files: Iterable[Path]) -> None:
    """Register what installed packages offer, then what the files add.

    Raises:
        SmcBenchError: If a plug-in fails; names it.
    """
    load_entry_points()
    for file in files:
        load_file(file)


def load_file(path: str | Path) -> list[str]:
    """Run a Python file that registers something; a second time, do nothing.

    Returns:
        Names that it added, sorted.

    Raises:
        SmcBenchError: If there is no such file, or it fails; nothing of it is then registered.
    """
    try:
        file = Path(path).resolve()
    except RuntimeError:
        raise SmcBenchError(f"{path} is a link to itself") from None
    name = f"smc_bench_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return []
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise SmcBenchError(f"{path} is not a Python file")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    # Before it runs, as an import would: dataclasses and pickles look their module up by name.
    sys.modules[name] = module
    try:
        return _added(lambda: loader.exec_module(module))
    except BaseException as error:  # also a plug-in that leaves by sys.exit: it is not the program
        del sys.modules[name]
        line = _line_in(file, error)
        raise SmcBenchError(f"{path}{line}: {_in_a_line(error)}") from error


@cache
def load_entry_points() -> tuple[str, ...]:
    """Register what installed packages offer, once in a process.

    Returns:
        Names added, sorted.

    Raises:
        SmcBenchError: If an entry point fails; names it and its package.
    """
    found: list[str] = []
    for point in entry_points(group=ENTRY_POINTS):

        def run(point: Any = point) -> None:
            loaded = point.load()
            if callable(loaded):
                loaded()

        try:
            found += _added(run)
        except BaseException as error:
            package = point.dist.name if point.dist else "an unknown package"
            raise SmcBenchError(
                f"entry point {point.name!r} of {package}: {_in_a_line(error)}"
            ) from error
    return tuple(sorted(found))


def _line_in(file: Path, error: BaseException) -> str:
    """``:12`` if an error came from line 12 of a file, or nothing."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f":{error.lineno}"
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == str(file)]
    return f":{lines[-1]}" if lines else ""


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, SmcBenchError):  # already said for people, by a registry
        return one_line(str(error))
    return one_line(f"failed: {type(error).__name__}: {error}".removesuffix(": "))


def _added(run: Callable[[], None]) -> list[str]:
    """Names that ``run`` adds to the registries; if it fails, they are as before.

    What it prints goes to standard error: standard output may be somebody's JSON.
    """
    before = [dict(registry) for registry in REGISTRIES]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            run()
    except BaseException:
        for registry, old in zip(REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(old)
        raise
    names = {n for r, old in zip(REGISTRIES, before, strict=True) for n in r.keys() - old.keys()}
    return sorted(names)
