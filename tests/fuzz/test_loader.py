"""Whatever a suite or an argument says, it is taken or refused in one line that says where.

A short profile runs with all other tests; ``make test-fuzz`` tries SMC_BENCH_FUZZ cases and prints
how many ended in which way.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from smc_bench.cli.main import cli
from smc_bench.errors import SmcBenchError
from smc_bench.suite.expand import expand
from smc_bench.suite.length import timeline_of
from smc_bench.suite.load import load_suite
from tests.helpers.broken_suites import SUITES, broken_arguments, broken_suite
from tests.helpers.pins import NoPins

CASES = int(os.environ.get("SMC_BENCH_FUZZ", "150"))
SECONDS = 10  # of processor time: a machine that does much else must not fail
fuzz = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    derandomize=CASES <= 150,
    phases=[Phase.generate],  # a smaller seed is no smaller case
    suppress_health_check=list(HealthCheck),
)
seeds = st.integers(0, 2**63)


class _TooLong(BaseException):
    """A case takes longer than any sound one."""


@contextmanager
def bounded() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Counter[str]]:
    counts: Counter[str] = Counter()
    yield counts
    print(f"\nfuzzing: {dict(sorted(counts.items()))}")


@pytest.mark.timeout(0)
@fuzz
@given(seed=seeds)
def test_a_suite_is_planned_or_refused_with_file_and_line(
    seed: int, tmp_path_factory: pytest.TempPathFactory, outcomes: Counter[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    path = broken_suite(Random(seed), folder)
    try:
        with bounded():
            for profile in (None, *load_suite(path).suite.profiles):
                for cell in list(expand(load_suite(path, profile), NoPins()).cells.values())[:40]:
                    assert len(cell.folder.rsplit("/", 1)[-1].encode()) <= 255
                    timeline_of(cell)
    except SmcBenchError as error:
        message = str(error)
        outcomes["suite: refused"] += 1
        assert message.isprintable(), message
        assert len(message) <= 1000
        assert re.match(r"\S+\.yaml:[0-9]+: ", message), message
    else:
        outcomes["suite: planned"] += 1


@pytest.mark.timeout(0)
@fuzz
@given(seed=seeds)
def test_arguments_are_taken_or_refused_in_a_line(
    seed: int, tmp_path_factory: pytest.TempPathFactory, outcomes: Counter[str]
) -> None:
    random = Random(seed)
    results = tmp_path_factory.getbasetemp() / "no-results"
    ids = ["0", "**", "[a", "?", "../..", "A" * 300, "0123456789ab"]
    verb = random.choice(["plan", "check", "status", "why", "logs", "export", "cancel", "run"])
    where = ["--results", str(results)]
    if verb in ("logs", "export"):
        arguments = [verb, random.choice([*ids, ""]), *where]
    else:
        arguments = [verb, str(random.choice(SUITES)), *where, *broken_arguments(random, ids)]
        arguments += [random.choice(ids)] if verb == "why" else []
        arguments += ["--dry-run"] if verb == "run" else []
    with bounded():
        done = CliRunner().invoke(cli, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done)
    outcomes[f"{verb}: exit code {done.exit_code}"] += 1
    if done.exit_code == 0:
        return
    said = done.stderr.strip().splitlines()
    assert said, arguments
    if done.exit_code == 1:
        assert said[-1].startswith("error: "), (arguments, said)
        assert len(said) == 1 or verb == "run", (arguments, said)
    else:  # click's own words: an unknown option or verb, with the usage
        assert (done.exit_code, said[-1][:7]) == (2, "Error: "), (arguments, said)


def test_every_shipped_suite_counts_as_planned() -> None:
    """The oracle of the fuzzer on files that are right."""
    for path in SUITES:
        assert expand(load_suite(path), NoPins()).cells
