"""Verdicts as Markdown and as JSON."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smc_bench.report.claims.verdicts import AT_SPEED, Finding, Verdict
from smc_bench.report.data.results import Results
from smc_bench.report.escape import markdown as escaped
from smc_bench.report.escape import markdown_line
from smc_bench.report.statistics.stats import LEVEL
from smc_bench.report.tables.footnotes import mixing
from smc_bench.report.tables.tables import AT, heading

_SIGN = {"better": "better by at least", "no_worse": "worse by at most", "equal": "equal within"}


def markdown(results: Results, verdicts: list[Verdict]) -> str:
    """All verdicts of a suite: an overview, then each claim with its comparisons."""
    lines = heading(results, "Claims: ")
    if not verdicts:
        return "\n".join([*lines, "No claim is about this suite."]) + "\n"
    overview = pd.DataFrame(
        [
            [escaped(v.name), at_in_words(v), f"**{v.word}**", escaped(counts_in_words(v))]
            for v in verdicts
        ],
        columns=["claim", "compared", "verdict", "comparisons"],
    )
    lines += [overview.to_markdown(index=False, disable_numparse=True), ""]
    notes = mixing(results.data)
    lines += [*(f"- {markdown_line(note)}" for note in notes), ""] if notes else []
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
            "where": verdict.where,
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
        "sparsity": comparison.place.sparsity if comparison.place.speedup is None else None,
        "speedup": comparison.place.speedup,
        "arm": comparison.arm,
        "against": comparison.against,
        "verdict": finding.word,
        "effect": None if effect is None else effect.value,
        "lower_is_better": comparison.lower,
        "low": low,
        "high": high,
        "p_for": finding.p_for,
        "p_against": finding.p_against,
        "mcnemar_p": None if comparison.exact is None else comparison.exact[0],
        "covers": None if effect is None else effect.covers,
        "apart": comparison.apart,
        "decides": comparison.decides,
        "cells": list(comparison.cells),
    }


def _section(verdict: Verdict) -> list[str]:
    claim = verdict.claim
    lines = [
        f"## {escaped(verdict.name)}{', ' + at_in_words(verdict) if verdict.compare_at else ''}: "
        f"{verdict.word}",
        "",
        markdown_line(f"{claim.says} ({claim.source}; {claim.mark})"),
        "",
        f"Judged as: {escaped(claim.arm)} is {_SIGN[claim.direction]} {claim.effect:g} points; "
        f"{escaped(claim.effect_from)}",
        "",
    ]
    if not verdict.findings:
        return [*lines, f"Not run: {escaped('; '.join(verdict.reasons))}.", ""]
    if verdict.reasons:
        lines += [f"Not the claim's own setting: {escaped('; '.join(verdict.reasons))}.", ""]
    names = [
        "task",
        "at" if claim.speed else "sparsity",
        "difference",
        "effect",
        "95 % interval",
        "p for",
        "p against",
    ]
    body = [_row(finding) for finding in verdict.findings]
    table = pd.DataFrame(body, columns=[*names, "verdict", "covers", "cells"])
    lines += [table.to_markdown(index=False, disable_numparse=True), ""]
    return lines


def _row(finding: Finding) -> list[str]:
    comparison, effect = finding.comparison, finding.comparison.effect
    place = comparison.place
    lower = ", lower is better" if comparison.lower else ""
    pair = escaped(f"{comparison.arm} - {comparison.against}{lower}")
    head = [escaped(place.task), str(place), pair]
    if effect is None:
        return [*head, "-", "-", "-", "-", finding.word, escaped(comparison.apart), ""]
    low, high = effect.interval(LEVEL)
    interval = f"{low:+.2f} to {high:+.2f}" if effect.known else "unknown"
    return [
        *head,
        f"{effect.value:+.2f}",
        interval,
        *("-" if p is None else f"{p:.2g}" for p in (finding.p_for, finding.p_against)),
        finding.word,
        escaped(effect.covers),
        " ".join(cell[:8] for cell in comparison.cells),
    ]


def at_in_words(verdict: Verdict) -> str:
    """The way of comparing; empty where arms share one scope."""
    if verdict.compare_at == AT_SPEED:
        return f"at equal measured speed{f' ({verdict.where})' if verdict.where else ''}"
    return AT[verdict.compare_at].split(" (")[0]


def counts_in_words(verdict: Verdict) -> str:
    """How many comparisons were run, and what they were corrected for."""
    if not verdict.findings:
        return "; ".join(verdict.reasons)
    run = [finding for finding in verdict.findings if finding.word != "not run"]
    tested = sum(finding.comparison.decides for finding in run)
    correction = f", Holm-corrected for {tested}" if tested > 1 else ""
    if tested < len(run):
        correction = f", {len(run) - tested} of one seed{correction}"
    return f"{len(run)} of {len(verdict.findings)} run{correction}"
