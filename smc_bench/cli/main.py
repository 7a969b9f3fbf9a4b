"""``smc-bench``: the group of verbs."""

from __future__ import annotations

import importlib
import logging

import click

from smc_bench import __version__
from smc_bench.cli.common import Group
from smc_bench.cli.output import LOG, ready
from smc_bench.suite.yaml_file import nearest

VERBS = {
    "list": "smc_bench.cli.list_names:command",
    "schema": "smc_bench.cli.schema:command",
    "check": "smc_bench.cli.check:command",
    "plan": "smc_bench.cli.plan:command",
    "schedules": "smc_bench.cli.schedules:command",
    "temperatures": "smc_bench.cli.temperatures:command",
    "cost": "smc_bench.cli.cost:command",
    "fetch": "smc_bench.cli.fetch:command",
    "tune": "smc_bench.cli.tune:command",
    "run": "smc_bench.cli.run:command",
    "status": "smc_bench.cli.status:command",
    "cancel": "smc_bench.cli.cancel:command",
    "logs": "smc_bench.cli.logs:command",
    "doctor": "smc_bench.cli.doctor:command",
    "why": "smc_bench.cli.why:command",
    "table": "smc_bench.cli.report:table",
    "verdict": "smc_bench.cli.verdict:command",
    "plot": "smc_bench.cli.report:plot",
    "report": "smc_bench.cli.report:report",
    "export": "smc_bench.cli.export:command",
    "compare": "smc_bench.cli.compare:command",
    "show": "smc_bench.cli.show:command",
    "merge": "smc_bench.cli.merge:command",
    "measure": "smc_bench.cli.measure:command",
    "clean": "smc_bench.cli.clean:command",
}


class _Lazy(Group):
    """Imports a verb's module only when it is called, so that light verbs stay light."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        for option in command.params:
            if isinstance(option, click.Option):
                _as_variable(option, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the verb that was meant."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{nearest(args[0], list(VERBS))}")
        return super().resolve_command(ctx, args)


def _as_variable(option: click.Option, verb: str) -> None:
    """Name an option's variable after what is written: ``SMC_BENCH_RUN_SET`` for ``run --set``."""
    words = max(option.opts, key=len).lstrip("-")
    variable = f"SMC_BENCH_{verb}_{words}".replace("-", "_").upper()
    shared = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    option.envvar = list(dict.fromkeys([variable, *shared]))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="smc-bench")
def cli() -> None:
    """Reproduce, extend and check what arXiv 2312.13547 says of pruned language models."""


def main() -> None:
    """Entry point; every option also as a variable ``SMC_BENCH_VERB_OPTION``."""
    ready()
    package = logging.getLogger("smc_bench")
    package.addHandler(LOG)
    package.setLevel(logging.INFO)
    cli()
