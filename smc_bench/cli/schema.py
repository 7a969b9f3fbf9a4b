"""``smc-bench schema``: what a file may hold, as a JSON Schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from smc_bench.cli.common import include_option
from smc_bench.cli.output import echo
from smc_bench.json_schema import KINDS, json_schema
from smc_bench.plugins import load_plugins


@click.command("schema")
@click.argument("kind", type=click.Choice(list(KINDS)), default="suite")
@include_option
def command(kind: str, include: tuple[Path, ...]) -> None:
    """Print the JSON Schema of a kind of file, by which editors complete and check it."""
    load_plugins(include)
    # A schema is a document of its own: no envelope.
    echo(json.dumps(json_schema(kind), indent=1))
