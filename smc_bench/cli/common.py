"""What the verbs share: their options, and errors as one clear line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from smc_bench.cli.formats import format_option, json_option, print_json
from smc_bench.cli.options import (
    Command,
    include_option,
    only_option,
    reading_command,
    results_option,
    suite_command,
)
from smc_bench.cli.output import echo, say
from smc_bench.cli.session import Session
from smc_bench.errors import SmcBenchError, said
from smc_bench.names import visible

__all__ = [
    "Command",
    "Group",
    "Session",
    "fail",
    "format_option",
    "include_option",
    "json_option",
    "only_option",
    "print_json",
    "reading_command",
    "results_option",
    "say",
    "suite_command",
]


class Group(click.Group):
    """Turns the project's errors into one line and exit code 1."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options of the group itself."""
        with _plain_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            with _plain_usage_errors():
                return super().invoke(ctx)
        except SmcBenchError as error:
            fail(str(error))
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(130)
        except OSError as error:
            fail(said(error))


@contextmanager
def _plain_usage_errors() -> Iterator[None]:
    """Spell out control characters in click's own messages, which repeat what was typed."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = visible(error.message)  # declared final
        raise


def fail(message: str) -> NoReturn:
    """Print an error and leave with code 1; its further lines can't be taken for others."""
    echo("error: " + message.replace("\n", "\n  "), err=True)
    sys.exit(1)
