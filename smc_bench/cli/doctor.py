"""``smc-bench doctor``: will a suite run here, and on the cluster's nodes?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from smc_bench.cli import complete
from smc_bench.cli.common import Session, json_option, print_json, results_option
from smc_bench.cli.output import echo
from smc_bench.dispatch.doctor import Finding, check_files, check_gpus, check_node, check_slurm
from smc_bench.dispatch.gpu_check import check_each, dry_run
from smc_bench.dispatch.inputs.offline import missing
from smc_bench.sources import Roots
from smc_bench.store.store import Store
from smc_bench.suite.shipped import suite_path


@click.command("doctor")
@click.argument("suite", required=False, shell_complete=complete.suites)
@click.option("--profile", shell_complete=complete.profiles, help="Profile of the suite.")
@results_option
@click.option("--data-root", type=click.Path(path_type=Path), help="Local mirror of data sets.")
@click.option("--cache", type=click.Path(path_type=Path), help="Cache of wheels and fetched rows.")
@click.option(
    "--slurm/--no-slurm", default=None, help="Check SLURM as well (default: where it is found)."
)
@click.option("--partition", help="SLURM partition to look at.")
@click.option("--job", is_flag=True, help="Also submit a one-minute job that answers from a node.")
@click.option("--job-limit", default=120.0, show_default=True, help="Seconds to wait for it.")
@click.option("--gpu", is_flag=True, help="Also train on each GPU, a minute each; plan goes by it.")
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    help="With --gpu: cpu is a dry run, which keeps nothing.",
)
@click.option("--tiny", is_flag=True, help="With --gpu: toy models; keeps nothing either.")
@json_option
def command(
    suite: str | None,
    profile: str | None,
    results: Path,
    data_root: Path | None,
    cache: Path | None,
    slurm: bool | None,
    partition: str | None,
    job: bool,
    job_limit: float,
    gpu: bool,
    device: str | None,
    tiny: bool,
    as_json: bool,
) -> None:
    """Check file system, SLURM, GPUs, offline data and clocks; exit 1 if something is bad."""
    if (device or tiny) and not gpu:
        raise click.UsageError(f"--{'device' if device else 'tiny'} needs --gpu")
    findings = [*check_files(results), check_gpus()]
    if gpu:
        seconds = 0.5 if tiny else 10.0
        findings += (dry_run if device == "cpu" else check_each)(
            results, seconds=seconds, tiny=tiny
        )
    if suite is not None:
        roots = Roots.from_environment(data_root, cache)
        findings += _data(Session(suite_path(suite), profile, (), roots, Store(results)))
    if slurm is not False:
        needed = bool(slurm or partition or job)
        findings += check_slurm(partition, needed=needed)
        if job:
            findings.append(check_node(results, partition, job_limit))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            echo(f"{finding.verdict:4s}  {finding.check}: {finding.text}")
    sys.exit(1 if any(finding.verdict == "bad" for finding in findings) else 0)


def _data(session: Session) -> list[Finding]:
    lines = missing(session.load().suite, session.roots, session.lock())
    if not lines:
        return [Finding("offline data", "ok", "model and rows are on disk: no network needed")]
    return [Finding("offline data", "bad", line) for line in lines]
