"""Verdicts as Markdown and as JSON."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smc_bench.report.footnotes import mixing
from smc_bench.report.results import Results
from smc_bench.report.stats import LEVEL
from smc_bench.report.tables import AT
from smc_bench.report.verdicts import Finding, Verdict
from smc_bench.suite.portable import shown_model

_SIGN = {"better": "better by at least", "no_worse": "worse by at most", "equal": "equal within"}


def markdown(results: Results, verdicts: list[Verdict]) -> str:
    """All verdicts of a suite: an overview, then each claim with its comparisons."""
    loaded = results.plan.loaded
    lines = [f"# Claims: {loaded.suite.title}", ""]
    lines += [
        f"Suite `{loaded.suite.name}`, profile `{loaded.profile}`, "
        f"model `{shown_model(loaded.suite.model)}`.",
        "",
    ]
    if not verdicts:
        return "\n".join([*lines, "No claim is about this suite."]) + "\n"
    overview = pd.DataFrame(
        [[v.name, _at(v), f"**{v.word}**", _counts(v)] for v in verdicts],
        columns=["claim", "compared", "verdict", "comparisons"],
    )
    lines += [overview.to_markdown(index=False, disable_numparse=True), ""]
    notes = mixing(results.data)
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    for verdict in verdicts:
        lines += _section(verdict)
    return "\n".join(lines) + "\n"


def as_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Plain data with every number and the ids of the cells behind it."""
    return [
        {
            "claim": verdict.name,
            "says": verdict.claim.says,
            "source": verdict.claim.source,
            "compare_at": verdict.compare_at,
            "verdict": verdict.word,
            "reasons": list(verdict.reasons),
            "smallest_effect": verdict.claim.effect,
            "comparisons": [_finding(finding) for finding in verdict.findings],
        }
        for verdict in verdicts
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    comparison, effect = finding.comparison, finding.comparison.effect
    low, high = effect.interval() if effect is not None and effect.known else (None, None)
    return {
        "task": comparison.place.task,
        "sparsity": comparison.place.sparsity,
        "arm": comparison.arm,
        "against": comparison.against,
        "verdict": finding.word,
        "effect": None if effect is None else effect.value,
        "low": low,
        "high": high,
        "p_for": finding.p_for,
        "p_against": finding.p_against,
        "mcnemar_p": None if comparison.exact is None else comparison.exact[0],
        "covers": None if effect is None else effect.covers,
        "cells": list(comparison.cells),
    }


def _section(verdict: Verdict) -> list[str]:
    claim = verdict.claim
    lines = [
        f"## {verdict.name}{', ' + _at(verdict) if verdict.compare_at else ''}: {verdict.word}",
        "",
        f"{claim.says} ({claim.source}; {claim.mark})",
        "",
        f"Judged as: {claim.arm} is {_SIGN[claim.direction]} {claim.effect:g} points; "
        f"{claim.effect_from}",
        "",
    ]
    if not verdict.findings:
        return [*lines, f"Not run: {'; '.join(verdict.reasons)}.", ""]
    if verdict.reasons:
        lines += [f"Not the claim's own setting: {'; '.join(verdict.reasons)}.", ""]
    names = ["task", "sparsity", "difference", "effect", "95 % interval", "p for", "p against"]
    body = [_row(finding) for finding in verdict.findings]
    table = pd.DataFrame(body, columns=[*names, "verdict", "covers", "cells"])
    lines += [table.to_markdown(index=False, disable_numparse=True), ""]
    return lines


def _row(finding: Finding) -> list[str]:
    comparison, effect = finding.comparison, finding.comparison.effect
    place = comparison.place
    head = [place.task, f"{place.sparsity:.4g}", f"{comparison.arm} - {comparison.against}"]
    if effect is None:
        return [*head, "-", "-", "-", "-", finding.word, "", ""]
    low, high = effect.interval(LEVEL)
    interval = f"{low:+.2f} to {high:+.2f}" if effect.known else "unknown"
    return [
        *head,
        f"{effect.value:+.2f}",
        interval,
        f"{finding.p_for:.2g}",
        f"{finding.p_against:.2g}",
        finding.word,
        effect.covers,
        " ".join(cell[:8] for cell in comparison.cells),
    ]


def _at(verdict: Verdict) -> str:
    return AT[verdict.compare_at].split(" (")[0]


def _counts(verdict: Verdict) -> str:
    if not verdict.findings:
        return "; ".join(verdict.reasons)
    run = [finding for finding in verdict.findings if finding.word != "not run"]
    correction = f", Holm-corrected for {len(run)}" if len(run) > 1 else ""
    return f"{len(run)} of {len(verdict.findings)} run{correction}"
