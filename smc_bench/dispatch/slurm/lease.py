"""Leases of SLURM jobs that are over: SLURM's word frees a cell at once, not after silence.

A lease on another node counts as held for minutes after its last heartbeat. A job that SLURM has
started again, or ended, can't hold anything. Where SLURM is wrong (its daemon on the node is lost
and the job lives on), two attempts run side by side for a while: the older writes only under its
own number, stops when it sees the newer, and can't write a record any more.
"""

from __future__ import annotations

from smc_bench.dispatch.slurm.queue import job_is_over
from smc_bench.store.holder import slurm_job, slurm_restarts
from smc_bench.store.store import CellFolder


def release_if_over(folder: CellFolder) -> None:
    """End the newest attempt if the SLURM job that holds it is over, as far as SLURM can tell."""
    attempt = folder.latest_attempt()
    if attempt is None or not folder.alive(attempt):
        return
    lease = folder.lease(attempt)
    job = lease.get("slurm_job")
    if job is None:
        return
    if job == slurm_job():
        if int(lease.get("slurm_restarts", 0)) < slurm_restarts():
            folder.end_attempt(attempt, "SLURM started the job again")
    elif job_is_over(str(job)):
        folder.end_attempt(attempt, "SLURM says that the job is over")
