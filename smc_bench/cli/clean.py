"""``smc-bench clean``: free the room that finished and dead attempts still take."""

from __future__ import annotations

import re
from pathlib import Path

import click

from smc_bench.cli.common import results_option, say
from smc_bench.cli.output import echo
from smc_bench.store.clean import leftovers, remove, room
from smc_bench.store.store import Store

_AGE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(h|d|w)\s*")
_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def _age(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age: write 12h, 30d or 4w")
    return float(match[1]) * _SECONDS[match[2]]


@click.command("clean")
@results_option
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    callback=_age,
    metavar="AGE",
    help="Also shared artefacts that have not changed for so long (12h, 30d, 4w).",
)
def command(results: Path, dry_run: bool, older_than: float | None) -> None:
    """Remove checkpoints, unfinished folders and artefacts that nothing needs; never a record."""
    store = Store(results)
    found = leftovers(store, older_than)
    sizes = {item.path: room([item.path]) for item in found}
    total = room(item.path for item in found)
    gone = found if dry_run else remove(found)
    for item in gone:
        where = item.path.relative_to(results)
        echo(f"{_mebibytes(sizes[item.path]):>12}  {where}  ({item.why})")
    if len(gone) < len(found):
        say(f"{len(found) - len(gone)} left alone: their cells were taken up meanwhile")
        total = sum(sizes[item.path] for item in gone)
    does = "would free" if dry_run else "freed"
    say(f"{does} {_mebibytes(total).strip()} in {len(gone)} places" if gone else "nothing to clean")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
