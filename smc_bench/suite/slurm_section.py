"""What a suite, a cluster profile or the command line may say about SLURM.

Every setting may be left out; :mod:`smc_bench.dispatch.slurm.options` merges the three and fills in
what is left. Nothing here is part of a cell's identity.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from smc_bench.engine.recipe import Strict
from smc_bench.engine.schedules.durations import ClockTime
from smc_bench.engine.strict import one_or_many

_MEMORY = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]+)?)\s*(MB|GB|TB)\s*")
_MEGABYTES = {"MB": 1, "GB": 1024, "TB": 1024 * 1024}


def megabytes(text: str) -> int:
    """A memory size such as ``32GB`` in SLURM's megabytes (1024 to a GB), at least 1.

    Raises:
        ValueError: If ``text`` is not a number followed by ``MB``, ``GB`` or ``TB``.
    """
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a memory size: write 800MB or 32GB")
    return max(1, round(float(match[1]) * _MEGABYTES[match[2]]))


def _unit_given(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write {value}GB or {value}MB")
    return value


Memory = Annotated[
    str, BeforeValidator(_unit_given), AfterValidator(lambda text: f"{megabytes(text)}MB")
]
"""A memory size, kept in megabytes (``2GB`` becomes ``2048MB``)."""

Lines = Annotated[tuple[str, ...], one_or_many]


class SlurmResources(Strict):
    """What one job asks of the cluster; cells that ask the same share an array.

    Attributes:
        partition: Partition; the site's default if left out.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that a node must have.
        time: Time limit of a job; a cell that needs longer is checkpointed and requeued.
        gpus: GPUs of a job, on one node; a cell trains on all of them, one process each.
        cpus: Processor cores of a job.
        mem: Memory of a job; the site's default if left out.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: ClockTime | None = None
    gpus: int | None = Field(None, ge=0)
    cpus: int | None = Field(None, ge=1)
    mem: Memory | None = None


class SlurmOverride(SlurmResources):
    """Other resources for some cells: those that ``--only`` would choose by the same words.

    Attributes:
        where: Conditions such as ``task=squad``, all of which must hold (``--only``).
    """

    where: Annotated[Lines, Field(min_length=1)]


class SlurmSection(SlurmResources):
    """A named cluster in a user's own file, or the command line.

    Attributes:
        array_parallelism: Jobs of one array that run at once.
        setup: Shell lines before the program starts (modules, an environment).
        pack_steps: Short cells share a job until together they have this many optimizer steps.
        max_submit: Jobs that the site lets one user have in the queue.
        signal_before: How long before the time limit a job is told to save and requeue itself.
        max_requeues: Time-outs after which a job gives up.
    """

    array_parallelism: int | None = Field(None, ge=1)
    setup: Lines | None = None
    pack_steps: int | None = Field(None, ge=1)
    max_submit: int | None = Field(None, ge=1)
    signal_before: ClockTime | None = None
    max_requeues: int | None = Field(None, ge=0)


class SuiteSlurm(SlurmSection):
    """The ``slurm:`` section of a suite.

    Attributes:
        overrides: Other resources for some of its cells; later ones win.
    """

    overrides: tuple[SlurmOverride, ...] = ()
