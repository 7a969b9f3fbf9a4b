"""Claims of papers judged by finished cells: supported, contradicted, can't tell or not run.

One seed decides nothing, however many examples it answers: another seed of training gives another
model. Such a comparison says so and gives its interval, which covers evaluation noise only.

The effect is how much better the first arm is: of a metric of which less is better (perplexity),
the other arm minus the first. A comparison supports "better" if the effect is above zero beyond
chance and the estimate is at least the smallest effect of interest; it contradicts it if the effect
is below that size beyond chance (a real effect that is too small to matter contradicts too). "No
worse" asks for an effect above minus that size (non-inferiority), "equal" for one within it (two
one-sided tests; Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987). Each one-
sided test is at 2.5 %, so that a decision agrees with a 95 % interval, after Holm's correction for
the claim's comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from smc_bench.report.claims.at_speed import speed_comparisons
from smc_bench.report.data.measured import Measurements
from smc_bench.report.data.results import Results
from smc_bench.report.statistics.compare import Comparison
from smc_bench.report.statistics.stats import LEVEL, Estimate, holm
from smc_bench.report.tables.footnotes import partial
from smc_bench.suite.claims import Claim
from smc_bench.suite.expand import DENSE_ARM

Word = Literal[
    "supported", "contradicted", "can't tell", "one seed: evaluation noise only", "not run"
]

ONE_SEED: Word = "one seed: evaluation noise only"

AT_SPEED = "measured_speed"
"""What is equal where a claim is about speed."""

ALPHA = (1.0 - LEVEL) / 2.0


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim.

    Attributes:
        comparison: The arms, where, and their difference.
        word: What it says of the claim.
        p_for: Holm-corrected one-sided p of the claim's opposite; small supports. None where
            nothing was tested: not run, or one seed.
        p_against: Holm-corrected one-sided p of the claim; small contradicts. None likewise.
    """

    comparison: Comparison
    word: Word
    p_for: float | None = None
    p_against: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What the finished cells say of one claim.

    Attributes:
        name: The claim's name.
        claim: The claim.
        compare_at: At what equal sparsity, or :data:`AT_SPEED`; empty where arms share one scope.
        word: The verdict over all its comparisons, which must all hold.
        findings: The comparisons.
        reasons: Why it is not run, or in what this is not the claim's own setting.
        where: Engine, shape and machine, where it is about speed.
    """

    name: str
    claim: Claim
    compare_at: str
    word: Word
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]
    where: str = ""


def judge(
    claims: Mapping[str, Claim],
    results: Results,
    measured: Callable[[], Measurements] | None = None,
) -> list[Verdict]:
    """Verdicts of all claims about this suite, one for each way of comparing.

    Args:
        claims: By name.
        results: Of the suite.
        measured: Reads what was measured of its cells; called where a claim is about speed.
    """
    suite = results.plan.loaded.suite
    found = []
    for name, claim in claims.items():
        if claim.suite == suite.name and claim.speed is not None:
            found += _at_speed(name, claim, results, None if measured is None else measured())
        elif claim.suite == suite.name:
            for at in claim.compare_at or tuple(suite.compare_at) or ("",):
                found.append(_judged(name, claim, at, results))
    return found


def _without_arms(claim: Claim, results: Results) -> str:
    """Which arms of a claim the suite lacks, in words; empty where it has all."""
    known = {*results.plan.loaded.suite.arms, DENSE_ARM}
    missing = [arm for arm in (claim.arm, *claim.against) if arm not in known]
    if not missing:
        return ""
    return f"the suite has no arm {' and no arm '.join(map(repr, missing))} in this profile"


def _at_speed(
    name: str, claim: Claim, results: Results, measured: Measurements | None
) -> list[Verdict]:
    speed, reason = claim.speed, _without_arms(claim, results)
    assert speed is not None
    found = []
    if measured is not None and not reason:
        for where, comparisons in speed_comparisons(claim, results, measured):
            findings = _findings(claim, comparisons)
            elsewhere = _elsewhere(claim, results)
            word = _overall(findings)
            found.append(Verdict(name, claim, AT_SPEED, word, findings, elsewhere, where))
    if found:
        return found
    shape = f"--engine {speed.engine} --batch {speed.batch} --length {speed.length}"
    reason = reason or f"no cell of its arms was measured so: smc-bench measure CELL_ID {shape}"
    return [Verdict(name, claim, AT_SPEED, "not run", (), (reason,))]


def _judged(name: str, claim: Claim, at: str, results: Results) -> Verdict:
    suite = results.plan.loaded.suite
    reason = _without_arms(claim, results)
    if reason:
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
    tests = [_tests(claim, c.gain) for c in comparisons if c.gain is not None and c.decides]
    corrected = iter(
        zip(holm([one for one, _ in tests]), holm([other for _, other in tests]), strict=True)
    )
    return tuple(
        _decided(claim, comparison, *next(corrected))
        if comparison.decides
        else Finding(comparison, _untested(comparison))
        for comparison in comparisons
    )


def _decided(claim: Claim, comparison: Comparison, p_for: float, p_against: float) -> Finding:
    gain = comparison.gain
    large = claim.direction != "better" or (gain is not None and gain.value >= claim.effect)
    word: Word = "can't tell"
    if p_for <= ALPHA and large:
        word = "supported"
    elif p_against <= ALPHA:
        word = "contradicted"
    return Finding(comparison, word, p_for, p_against)


def _untested(comparison: Comparison) -> Word:
    effect = comparison.effect
    if effect is None:
        return "can't tell" if comparison.apart else "not run"
    return ONE_SEED if effect.known and not effect.over_seeds else "can't tell"


def _tests(claim: Claim, effect: Estimate) -> tuple[float, float]:
    """One-sided p against the claim's opposite, and against the claim; above zero is better."""
    size = claim.effect
    if claim.direction == "better":
        return effect.p_above(0.0), effect.p_below(size)
    if claim.direction == "no_worse":
        return effect.p_above(-size), effect.p_below(-size)
    within = max(effect.p_above(-size), effect.p_below(size))
    return within, min(effect.p_above(size), effect.p_below(-size))


def _overall(findings: tuple[Finding, ...]) -> Word:
    words = {finding.word for finding in findings if finding.word != "not run"}
    if not words:
        return "not run"
    if "contradicted" in words:
        return "contradicted"
    return words.pop() if len(words) == 1 else "can't tell"


def _elsewhere(claim: Claim, results: Results) -> tuple[str, ...]:
    model = results.plan.loaded.suite.model_name
    found = [] if model in claim.models else [f"model {model}"]
    limited = partial(results.plan)
    for task, called in results.labels.items():
        if task.name not in claim.tasks:
            found.append(f"task {called}")
        found += [f"{called} partial ({reason})" for reason in limited.get(called, [])]
    return tuple(found)
