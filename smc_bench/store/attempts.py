"""Attempts at one cell: numbered leases, of which the newest counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.lease import lease_held

_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Attempts:
    """The attempts in the folder of one cell."""

    path: Path

    def latest_attempt(self) -> int | None:
        """Number of the newest attempt."""
        names = [path.stem for path in (self.path / "attempts").glob("[0-9]*.json")]
        return max((int(name) for name in names if _NUMBER.fullmatch(name)), default=None)

    def attempt_file(self, attempt: int) -> Path:
        """Lease file of an attempt."""
        return self.path / "attempts" / f"{attempt:03d}.json"

    def alive(self, attempt: int) -> bool:
        """Whether the holder of an attempt still runs."""
        return lease_held(self.attempt_file(attempt))

    def slurm_holder(self) -> str | None:
        """The SLURM job that holds the newest attempt, if one does."""
        newest = self.latest_attempt()
        job = None if newest is None else self.lease(newest).get("slurm_job")
        return None if job is None else str(job)

    def lease(self, attempt: int) -> dict[str, Any]:
        """What the file of an attempt says; nothing where it is damaged or gone."""
        try:
            found = read_json(self.attempt_file(attempt))
        except StoreError:
            return {}
        return found if isinstance(found, dict) else {}

    def is_current(self, attempt: int) -> bool:
        """Whether no newer attempt has taken over."""
        return self.latest_attempt() == attempt

    def stuck_at(self, starts: int) -> int | None:
        """The step at which the last ``starts`` attempts all were interrupted, if they were."""
        newest = self.latest_attempt() or 0
        if newest < starts:
            return None
        numbers = range(newest - starts + 1, newest + 1)
        leases = [self.lease(number) for number in numbers]
        found = [lease.get("step") for lease in leases]
        steps = {step if isinstance(step, int) else 0 for step in found}
        interrupted = all(lease.get("how") == "interrupted" for lease in leases)
        return steps.pop() if interrupted and len(steps) == 1 else None
