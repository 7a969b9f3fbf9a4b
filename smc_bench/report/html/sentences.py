"""Verdicts as sentences: what is claimed, what was measured, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smc_bench.report.claims.text import at_in_words, counts_in_words
from smc_bench.report.claims.verdicts import Finding, Verdict
from smc_bench.report.statistics.stats import LEVEL, Estimate

_ASKS = {
    "better": "Asked is that {arm} is better by {size} points or more ({why}).",
    "no_worse": "Asked is that {arm} is worse by {size} points at most ({why}).",
    "equal": "Asked is that {arm} is equal within {size} points ({why}).",
}


@dataclass(frozen=True)
class Sentence:
    """One comparison in words, its verdict and the cells behind it."""

    text: str
    word: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class VerdictView:
    """One verdict.

    Attributes:
        name: The claim's name, with the way of comparing.
        word: The verdict.
        kind: The same as a word of a style sheet.
        says: The claim.
        source: Where it is made.
        asks: What has to hold, and why that size.
        counts: How many comparisons were run, and their correction.
        caveat: Why it is not run, or in what this is not the claim's own setting.
        sentences: The comparisons.
    """

    name: str
    word: str
    kind: str
    says: str
    source: str
    asks: str
    counts: str
    caveat: str
    sentences: tuple[Sentence, ...]


def verdict_views(verdicts: Sequence[Verdict]) -> list[VerdictView]:
    """All verdicts, in their order."""
    return [_view(verdict) for verdict in verdicts]


def _view(verdict: Verdict) -> VerdictView:
    claim, at = verdict.claim, at_in_words(verdict)
    reasons = "; ".join(verdict.reasons)
    caveat = f"Not the claim's own setting: {reasons}." if reasons else ""
    if not verdict.findings:
        caveat = f"Not run: {reasons}."
    return VerdictView(
        name=f"{verdict.name}, {at}" if at else verdict.name,
        word=verdict.word,
        kind=verdict.word.split(":")[0].replace("'", "").replace(" ", "-"),
        says=claim.says,
        source=f"{claim.source}; {claim.mark}",
        asks=_ASKS[claim.direction].format(
            arm=claim.arm, size=f"{claim.effect:g}", why=claim.effect_from.strip().rstrip(".")
        ),
        counts=counts_in_words(verdict) if verdict.findings else "",
        caveat=caveat,
        sentences=_sentences(verdict),
    )


def _sentences(verdict: Verdict) -> tuple[Sentence, ...]:
    """One for each comparison; those that are not finished together in one."""
    found = [_sentence(finding, finding.comparison.effect) for finding in verdict.findings]
    missing = [
        f"{one.arm} against {one.against} on {one.place.task} at {one.place}"
        for one in (finding.comparison for finding in verdict.findings)
        if one.effect is None and not one.apart
    ]
    done = tuple(sentence for sentence in found if sentence is not None)
    if not missing:
        return done
    text = f"Not finished on both sides: {'; '.join(missing)}."
    return (*done, Sentence(text, "not run", ()))


def _sentence(finding: Finding, effect: Estimate | None) -> Sentence | None:
    comparison, place = finding.comparison, finding.comparison.place
    at = f"sparsity {place}" if place.speedup is None else str(place)
    where = f"On {place.task} at {at}"
    if comparison.apart:
        return Sentence(f"{where} there is no comparison: {comparison.apart}.", finding.word, ())
    if effect is None:
        return None
    size = abs(effect.value)
    side = "above" if effect.value >= 0.0 else "below"
    low, high = effect.interval(LEVEL)
    sure = f"{100 * LEVEL:.0f} % interval {low:+.2f} to {high:+.2f}" if effect.known else ""
    known = "; ".join(part for part in (sure, f"covers {effect.covers}") if part)
    tested = ""
    if finding.p_for is not None and finding.p_against is not None:
        tested = f" Tested: p {finding.p_for:.2g} for it, {finding.p_against:.2g} against it."
    text = (
        f"{where}, {comparison.arm} scores {size:.2f} points {side} {comparison.against}"
        f"{', and lower is better' if comparison.lower else ''} ({known}).{tested}"
    )
    return Sentence(text, finding.word, comparison.cells)
