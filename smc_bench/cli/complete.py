"""What the shell offers at TAB: suites, profiles, settings, tasks, ids and ``--only`` keys.

Nothing here may fail or print: what can't be found out is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel

from smc_bench.engine.recipe import Recipe
from smc_bench.errors import SmcBenchError
from smc_bench.store.runs import runs
from smc_bench.store.store import Store
from smc_bench.suite.only import KEYS
from smc_bench.suite.overrides import SUITE_KEYS
from smc_bench.suite.shipped import shipped_suites, suite_path
from smc_bench.suite.yaml_file import read_yaml
from smc_bench.tasks.specs import SPECS

Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def suites(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of suites here, shipped or run; files else."""
    here = [path.stem for folder in (Path(), Path("suites")) for path in folder.glob("*.yaml")]
    known = {*shipped_suites(), *(run.suite for run in runs(*_results(ctx)))}
    near = [stem for stem in here if stem in known or _is_suite(stem)]
    return [*_items({*known, *near}, begun), CompletionItem(begun, type="file")]


def profiles(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Profiles of the suite that is named before."""
    text = _suite(ctx)
    found = {run.profile for run in runs(*_results(ctx)) if text in (None, run.suite)}
    with suppress(SmcBenchError, OSError, TypeError):
        if text:
            found |= {*(read_yaml(suite_path(str(text))).data.get("profiles") or ()), "paper"}
    return _items(found, begun)


def settings(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Keys of ``--set``: a section's with a dot, and below it its own."""
    offered = [*SUITE_KEYS]
    for key, field in Recipe.model_fields.items():
        inner = _section(field.annotation)
        offered += [f"{key}.{name}=" for name in inner.model_fields] if inner else [f"{key}="]
    return _items([o if "=" in o else f"{o}=" for o in offered], begun)


def tasks(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of tasks."""
    return _items(SPECS, begun)


def ids(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Ids of stored cells, with what they are."""
    found = []
    for root in _results(ctx):
        for path in sorted(Store(root).cells.glob(f"*/*-{_plain(begun)}*")):
            slug, _, key = path.name.rpartition("-")
            if key.startswith(begun):
                found.append(CompletionItem(key, help=f"{path.parent.name} {slug}"))
    return found


def only(ctx: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Keys of ``--only``, and after the sign of equality the values that the suite has."""
    key, equals, value = begun.partition("=")
    if not equals:
        return _items([f"{name}=" for name in KEYS], begun)
    with suppress(SmcBenchError, OSError):
        return [CompletionItem(f"{key}={name}") for name in _values(ctx, key, value)]
    return []


def _values(ctx: click.Context, key: str, begun: str) -> list[str]:
    from smc_bench.cli.find import Asked
    from smc_bench.cli.session import reading
    from smc_bench.suite.only import values

    profile, given = ctx.params.get("profile"), tuple(ctx.params.get("settings") or ())
    data_root = ctx.params.get("data_root")
    asked = Asked(_suite(ctx), profile, given, data_root, _results(ctx))
    found = values(reading(asked, None, (), quiet=True).plan(), key)
    return [value for value in found if value.startswith(begun)]


def _suite(ctx: click.Context) -> str | None:
    """The suite that stands before; click leaves it over where an option is unfinished."""
    given = ctx.params.get("suite") or (ctx.args[0] if ctx.args else None)
    return None if given is None else str(given)


def _results(ctx: click.Context) -> tuple[Path, ...]:
    given: Any = ctx.params.get("results") or Path("results")
    return (given,) if isinstance(given, Path) else tuple(given)


def _is_suite(stem: str) -> bool:
    try:
        return "arms" in read_yaml(suite_path(stem)).data
    except (SmcBenchError, OSError):
        return False


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as ``Distillation | None`` allows."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _plain(begun: str) -> str:
    return begun if begun.isalnum() else ""


def _items(names: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(set(names)) if name.startswith(begun)]
