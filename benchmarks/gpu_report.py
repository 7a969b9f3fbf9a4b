"""What ``gpu.py`` has measured, as tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

AIMS = {("base", "sst2"): 2.0, ("large", "sst2"): 2.0, ("base", "commonsense_qa"): 1.5}
"""Times the Trainer's speed, where one was set before anything was measured."""


def as_markdown(found: dict[str, Any], parts: Sequence[str]) -> str:
    """Tables; what failed is said where its figures would be."""
    about = found.get("machine", {})
    lines = ["# On a GPU", "", f"Card: {about.get('card', 'unknown')}; torch {about.get('torch')}."]
    lines += ["", "| part | outcome |", "|:--|:--|"]
    for name in parts:
        if name in found:
            problem = found[name].get("error") if isinstance(found[name], dict) else None
            lines.append(f"| {name} | {'failed: ' + problem if problem else 'ran'} |")
        else:
            lines.append(f"| {name} | not run |")
    if "said" in found.get("tests", {}):
        lines += ["", f"Tests: {found['tests']['said']}"]
    lines += _steps(found)
    for name in ("fisher", "together", "records"):
        for key, value in found.get(name, {}).items():
            lines += ["", f"{name}, {key}: `{json.dumps(value)}`"]
    return "\n".join(lines) + "\n"


def _steps(found: dict[str, Any]) -> list[str]:
    rows = {key: value for key, value in found.get("steps", {}).items() if isinstance(value, dict)}
    if not rows:
        return []
    peak = found.get("gemm", {}).get("bf16 FLOP/s")
    names = [
        "model, task",
        "ours, ms",
        "Trainer, ms",
        "times as fast",
        "aim",
        "of GEMM rate",
        "GB (Trainer)",
    ]
    lines = ["", f"| {' | '.join(names)} |", "|" + " ---: |" * len(names)]
    for key, rounds in rows.items():
        ours, theirs = (
            statistics.median(s for one in rounds[who] for s in one["s"])
            for who in ("ours", "trainer")
        )
        size, _, task = key.partition(" ")
        share = rounds["ours"][0]["FLOP a step"] / ours / peak if peak else float("nan")
        memory = [rounds[who][0]["peak GB"] for who in ("ours", "trainer")]
        aim = AIMS.get((size, task))
        cells = [
            key, f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}", f"{theirs / ours:.2f}",
            "-" if aim is None else f"{aim:g}", f"{share:.0%}",
            f"{memory[0]:.2f} ({memory[1]:.2f})",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines
