"""Settings of SLURM jobs: the user's cluster file, the suite, the command line, then defaults."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smc_bench.engine.schedules.durations import to_seconds
from smc_bench.errors import SuiteError
from smc_bench.suite.expand import Plan
from smc_bench.suite.explain import explain
from smc_bench.suite.only import select
from smc_bench.suite.slurm_section import SlurmResources, SlurmSection, megabytes
from smc_bench.suite.yaml_file import nearest, read_yaml

# A checkpoint of a large model takes seconds; SLURM itself may send the signal a minute off.
_DEFAULT = SlurmSection(
    time="4h", gpus=0, cpus=1, array_parallelism=256, signal_before="120s", max_requeues=100
)


@dataclass(frozen=True)
class JobSettings:
    """What one job is submitted with; cells with equal settings share an array.

    Attributes:
        gpus: GPUs of a job, each with a process of the cell that it trains.
        minutes: Time limit, whole minutes (SLURM's unit).
        megabytes: Memory, or None for the site's default.
        signal_seconds: How long before the limit the job is told to save.
    """

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    minutes: int
    gpus: int
    cpus: int
    megabytes: int | None
    array_parallelism: int
    setup: tuple[str, ...]
    signal_seconds: int
    max_requeues: int


@dataclass(frozen=True)
class SlurmOptions:
    """Merged settings of one submission.

    Attributes:
        settings: Of each cell, by id.
        pack_steps: Optimizer steps up to which short cells share a job, or None for one a job.
        max_submit: Most jobs in the queue at once, or None if only the site knows.
    """

    settings: dict[str, JobSettings]
    pack_steps: int | None
    max_submit: int | None


def clusters_file() -> Path:
    """The user's own file of named clusters: ``SMC_BENCH_CLUSTERS``, or in the usual place."""
    given = os.environ.get("SMC_BENCH_CLUSTERS")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "smc-bench" / "clusters.yaml"


def named_cluster(name: str | None) -> SlurmSection:
    """A cluster from the user's file; without a name its ``default``, if there is one.

    Raises:
        SuiteError: If the file is wrong, or has no such cluster.
    """
    path = clusters_file()
    if not path.is_file():
        if name is None:
            return SlurmSection()
        raise SuiteError(
            f"--cluster {name}: there is no file {path} (SMC_BENCH_CLUSTERS names another)"
        )
    file = read_yaml(path)
    if name is not None and name not in file.data:
        known = sorted(map(str, file.data))
        raise SuiteError(f"{path}: there is no cluster {name!r}{nearest(name, known)}")
    chosen = name or "default"
    content = file.data.get(chosen)
    try:
        return SlurmSection.model_validate(content or {})
    except ValidationError as error:
        location, message = explain(error, SlurmSection)
        file.fail((chosen, *location), message)


def from_command_line(values: dict[str, Any]) -> SlurmSection:
    """Settings given as options; None and empty ones count as not given.

    Raises:
        SuiteError: If a value is not what its option takes.
    """
    given = {key: value for key, value in values.items() if value not in (None, ())}
    try:
        return SlurmSection.model_validate(given)
    except ValidationError as error:
        location, message = explain(error, SlurmSection)
        option = str(location[0]).replace("_", "-") if location else ""
        raise SuiteError(f"--{option}: {message}") from None


def merged(plan: Plan, cluster: SlurmSection, command_line: SlurmSection) -> SlurmOptions:
    """Settle each cell's settings; the command line wins over the suite, that over the cluster.

    Raises:
        SuiteError: If an override's words choose no cell.
    """
    suite = plan.loaded.suite.slurm
    base = _over(_over(_DEFAULT, cluster), suite)
    chosen: dict[str, dict[str, Any]] = {key: {} for key in plan.cells}
    for index, override in enumerate(suite.overrides):
        given = _given(SlurmResources.model_validate(override.model_dump(exclude={"where"})))
        try:
            found = select(plan, override.where, teachers=False)
        except SuiteError as error:
            key = f"slurm.overrides.{index}.where"
            raise SuiteError(f"{plan.loaded.path}: {key}: {error}") from None
        for key in found:
            chosen[key] |= given
    settings = {
        key: _settings(_over(base.model_copy(update=changes), command_line))
        for key, changes in chosen.items()
    }
    whole = _over(base, command_line)
    return SlurmOptions(settings, whole.pack_steps, whole.max_submit)


def _given(section: SlurmResources) -> dict[str, Any]:
    return {key: value for key, value in section if value is not None and key != "overrides"}


def _over(base: SlurmSection, top: SlurmSection) -> SlurmSection:
    return base.model_copy(update=_given(top))


def _settings(section: SlurmSection) -> JobSettings:
    minutes = max(1, math.ceil(to_seconds(section.time or "4h") / 60.0))
    return JobSettings(
        partition=section.partition,
        account=section.account,
        qos=section.qos,
        constraint=section.constraint,
        minutes=minutes,
        gpus=section.gpus or 0,
        cpus=section.cpus or 1,
        megabytes=None if section.mem is None else megabytes(section.mem),
        array_parallelism=section.array_parallelism or 256,
        setup=section.setup or (),
        signal_seconds=round(to_seconds(section.signal_before or "120s")),
        max_requeues=section.max_requeues if section.max_requeues is not None else 100,
    )
