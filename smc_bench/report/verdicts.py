"""Claims of papers judged by finished cells: supported, contradicted, can't tell or not run.

A comparison supports "better" if the effect is above zero beyond chance and the estimate is at
least the smallest effect of interest; it contradicts it if the effect is below that size beyond
chance (a real effect that is too small to matter contradicts too). "No worse" asks for an effect
above minus that size (non-inferiority), "equal" for one within it (two one-sided tests; Schuirmann,
Journal of Pharmacokinetics and Biopharmaceutics 15, 1987). Each one-sided test is at 2.5 %, so that
a decision agrees with a 95 % interval, after Holm's correction for the claim's comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smc_bench.report.compare import Comparison
from smc_bench.report.footnotes import partial
from smc_bench.report.results import Results
from smc_bench.report.stats import LEVEL, holm
from smc_bench.suite.claims import Claim
from smc_bench.suite.expand import DENSE_ARM
from smc_bench.suite.portable import shown_model

Word = Literal["supported", "contradicted", "can't tell", "not run"]

ALPHA = (1.0 - LEVEL) / 2.0


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim.

    Attributes:
        comparison: The arms, where, and their difference.
        word: What it says of the claim.
        p_for: Holm-corrected one-sided p of the claim's opposite; small supports.
        p_against: Holm-corrected one-sided p of the claim; small contradicts.
    """

    comparison: Comparison
    word: Word
    p_for: float
    p_against: float


@dataclass(frozen=True)
class Verdict:
    """What the finished cells say of one claim.

    Attributes:
        name: The claim's name.
        claim: The claim.
        compare_at: At what equal sparsity; empty where arms share one scope.
        word: The verdict over all its comparisons, which must all hold.
        findings: The comparisons.
        reasons: Why it is not run, or in what this is not the claim's own setting.
    """

    name: str
    claim: Claim
    compare_at: str
    word: Word
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]


def judge(claims: Mapping[str, Claim], results: Results) -> list[Verdict]:
    """Verdicts of all claims about this suite, one for each way of comparing."""
    suite = results.plan.loaded.suite
    found = []
    for name, claim in claims.items():
        if claim.suite == suite.name:
            for at in claim.compare_at or tuple(suite.compare_at) or ("",):
                found.append(_judged(name, claim, at, results))
    return found


def _judged(name: str, claim: Claim, at: str, results: Results) -> Verdict:
    suite = results.plan.loaded.suite
    known = {*suite.arms, DENSE_ARM}
    missing = [arm for arm in (claim.arm, *claim.against) if arm not in known]
    if missing:
        reason = f"the suite has no arm {' and no arm '.join(map(repr, missing))} in this profile"
        return Verdict(name, claim, at, "not run", (), (reason,))
    if at not in (suite.compare_at or ("",)):
        reason = f"the suite does not compare at {at} in this profile"
        return Verdict(name, claim, at, "not run", (), (reason,))
    comparisons = [
        results.scores.compare(place, claim.arm, other)
        for task in results.tasks
        for place in results.scores.places(task, at)
        if claim.sparsity.holds(place.sparsity)
        for other in claim.against
    ]
    if not comparisons:
        reason = f"no sparsity of this profile is in {claim.sparsity.least}-{claim.sparsity.most}"
        return Verdict(name, claim, at, "not run", (), (reason,))
    findings = _findings(claim, comparisons)
    return Verdict(name, claim, at, _overall(findings), findings, _elsewhere(claim, results))


def _findings(claim: Claim, comparisons: list[Comparison]) -> tuple[Finding, ...]:
    run = [comparison for comparison in comparisons if comparison.effect is not None]
    tests = [_tests(claim, comparison) for comparison in run]
    corrected = iter(
        zip(holm([one for one, _ in tests]), holm([other for _, other in tests]), strict=True)
    )
    found = []
    for comparison in comparisons:
        if comparison.effect is None:
            found.append(Finding(comparison, "not run", 1.0, 1.0))
            continue
        p_for, p_against = next(corrected)
        large = claim.direction != "better" or comparison.effect.value >= claim.effect
        word: Word = "can't tell"
        if p_for <= ALPHA and large:
            word = "supported"
        elif p_against <= ALPHA:
            word = "contradicted"
        found.append(Finding(comparison, word, p_for, p_against))
    return tuple(found)


def _tests(claim: Claim, comparison: Comparison) -> tuple[float, float]:
    """One-sided p against the claim's opposite, and against the claim."""
    effect, size = comparison.effect, claim.effect
    if effect is None:
        return 1.0, 1.0
    if claim.direction == "better":
        exact = comparison.exact
        return exact[1] if exact is not None else effect.p_above(0.0), effect.p_below(size)
    if claim.direction == "no_worse":
        return effect.p_above(-size), effect.p_below(-size)
    within = max(effect.p_above(-size), effect.p_below(size))
    return within, min(effect.p_above(size), effect.p_below(-size))


def _overall(findings: tuple[Finding, ...]) -> Word:
    words = [finding.word for finding in findings if finding.word != "not run"]
    if not words:
        return "not run"
    if "contradicted" in words:
        return "contradicted"
    return "supported" if set(words) == {"supported"} else "can't tell"


def _elsewhere(claim: Claim, results: Results) -> tuple[str, ...]:
    model = results.plan.loaded.suite.model
    found = [] if model in claim.models else [f"model {shown_model(model)}"]
    limited = partial(results.plan)
    for task, called in results.labels.items():
        if task.name not in claim.tasks:
            found.append(f"task {called}")
        found += [f"{called} partial ({reason})" for reason in limited.get(called, [])]
    return tuple(found)
