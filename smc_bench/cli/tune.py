"""``smc-bench tune``: choose each arm's learning rate on training rows that are held back."""

from __future__ import annotations

import sys

import click

from smc_bench.cli.common import Session, say, suite_command
from smc_bench.cli.fetch import fetch_inputs
from smc_bench.cli.live import Display
from smc_bench.cli.run import follow
from smc_bench.dispatch import gpus
from smc_bench.dispatch.eta import Paces
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.dispatch.local.capacity import Machine, this_machine
from smc_bench.dispatch.local.pool import LocalPool, Options
from smc_bench.dispatch.worker.command import WorkerSpec, visible_gpus
from smc_bench.errors import StoreError, SuiteError
from smc_bench.suite.expand import Pins, Try, tries
from smc_bench.suite.load import LoadedSuite
from smc_bench.suite.tuning import Choice, best, lower, tuned_path, tuned_text
from smc_bench.tasks.specs import SPECS


@click.command("tune")
@suite_command
@click.option("--jobs", type=click.IntRange(min=1), help="Cells at once, as for run.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of all tries, as for run.")
def command(session: Session, jobs: int | None, threads: int | None) -> None:
    """Choose learning rates for a suite whose profile has a ``tune:`` section."""
    loaded = session.load(tuned=False)
    tune = loaded.suite.tune
    if tune is None:
        raise SuiteError(
            f"{loaded.path}: profile {loaded.profile} has no tune: section (docs/tuning.md)"
        )
    session.store.check_writable()
    fetch_inputs(session)
    pins = SourcePins(session.roots, session.lock(), network=True, measure=True)
    machine = this_machine(jobs, visible_gpus(), threads)
    dense = _chosen(session, loaded, tries(loaded, pins), machine)
    arms = _arms(session, loaded, pins, dense, machine)
    path = tuned_path(loaded.path, loaded.profile)
    path.parent.mkdir(exist_ok=True)
    told = f"smc-bench tune {loaded.path.name} --profile {loaded.profile}"
    path.write_text(tuned_text(tune, [*dense, *arms], told), encoding="utf-8")
    for choice in (*dense, *arms):
        shown = ", ".join(
            f"{peak:g}: " + ("diverged" if score is None else f"{score:.2f}")
            for peak, score in zip(tune.peaks, choice.scores, strict=True)
        )
        click.echo(f"{choice.task}, {choice.arm}: {choice.peak:g} ({shown})")
    say(f"written: {path}")


def _arms(
    session: Session, loaded: LoadedSuite, pins: Pins, dense: list[Choice], machine: Machine
) -> list[Choice]:
    """Choices for the arms, taught by the dense models at the rates chosen for these."""
    rates = {choice.task: choice.peak for choice in dense}
    return _chosen(session, loaded, tries(loaded, pins, rates), machine)


def _chosen(
    session: Session, loaded: LoadedSuite, attempts: list[Try], machine: Machine
) -> list[Choice]:
    """Run tries and take the best of each arm.

    Raises:
        StoreError: If a try is not finished, or all of an arm's diverged.
    """
    _run(session, loaded, attempts, machine)
    groups: dict[tuple[str, str], list[Try]] = {}
    for attempt in attempts:
        groups.setdefault((attempt.task, attempt.arm), []).append(attempt)
    return [_choice(session, loaded, group) for group in groups.values()]


def _choice(session: Session, loaded: LoadedSuite, group: list[Try]) -> Choice:
    first = group[0]
    scores = tuple(_score(session, attempt) for attempt in group)
    assert loaded.suite.tune is not None
    try:
        peak = best(loaded.suite.tune.peaks, scores, lower=lower(first.task))
    except ValueError as error:
        raise StoreError(f"arm {first.arm!r} on {first.task}: {error}") from None
    cells = tuple(attempt.cell.id for attempt in group)
    return Choice(
        task=first.task, arm=first.arm, recipe=first.recipe, peak=peak, scores=scores, cells=cells
    )


def _score(session: Session, attempt: Try) -> float | None:
    """Score of a try on the rows held back; None where it diverged."""
    folder = session.store.folder(attempt.cell.folder)
    record = folder.record()
    if record is not None:
        return round(record.metrics[SPECS[attempt.task].primary_metric], 6)
    failure = folder.failure()
    if failure is not None and failure.type == "diverged":
        return None
    raise StoreError(
        f"{attempt.cell.id} (arm {attempt.arm!r} on {attempt.task} at {attempt.peak:g}) has not "
        f"finished{f': {failure.message}' if failure else ''}; the same command goes on"
    )


def _run(session: Session, loaded: LoadedSuite, attempts: list[Try], machine: Machine) -> None:
    """Bring the tries, and the teacher of the arms', to a record."""
    cells = {attempt.cell.id: attempt.cell for attempt in attempts}
    spec = WorkerSpec.of(session.store, session.roots, loaded.suite.execution, session.include)
    paces = Paces(session.store, gpu=machine.gpus, card=gpus.card())
    display = Display(cells, session.store, paces, jobs=machine.jobs)
    pool = LocalPool(spec, Options(machine.jobs, visible_gpus(), machine.cores), display.announce)
    display.reused = pool.submit(cells).reused
    outcome = follow(pool, cells, display)
    if outcome.interrupted:
        say("interrupted; the same command goes on from here")
        sys.exit(130)
