"""Which arms of a table can be told apart, and how large a difference would have to be."""

from __future__ import annotations

from statistics import median

from smc_bench.report.compare import Comparison, Place, Scores
from smc_bench.report.stats import LEVEL, POWER, holm


class Separation:
    """All pairs of arms of one table (a task, a way of comparing), corrected for their number."""

    def __init__(self, scores: Scores, task: str, compare_at: str) -> None:
        """Compare every pair at every sparsity."""
        self.scores = scores
        found = scores.all_pairs(task, compare_at)
        self.pairs: list[Comparison] = [
            pair for pair in found if pair.effect is not None and pair.effect.known
        ]
        self.adjusted = holm([pair.p for pair in self.pairs])

    def best(self, place: Place) -> str | None:
        """The best arm of a column, if it differs from every other finished arm there."""
        found = {arm: self.scores.score(place, arm) for arm in self.scores.arms(place)}
        means = {arm: score.value for arm, score in found.items() if score is not None}
        if len(means) < 2:
            return None
        top = max(means, key=lambda arm: means[arm])
        against_it = {
            arm: p
            for pair, p in zip(self.pairs, self.adjusted, strict=True)
            for arm in (pair.arm, pair.against)
            if pair.place == place and top in (pair.arm, pair.against) and arm != top
        }
        clear = all(against_it.get(arm, 1.0) < 1.0 - LEVEL for arm in means if arm != top)
        return top if clear else None

    def note(self) -> str:
        """The smallest difference that the spread lets one find; empty if no spread is known."""
        effects = [pair.effect for pair in self.pairs if pair.effect is not None]
        if not effects:
            return ""
        shown = median(effect.detectable() for effect in effects)
        covers = min(effects, key=lambda effect: effect.seeds).covers
        return (
            f"a true difference of two arms of {shown:.2g} points or more is found here with "
            f"{100 * POWER:.0f} % power (median of {len(effects)} comparisons, before correction; "
            f"covers {covers})."
        )


BOLD = (
    f"Bold: differs from every other arm of its column at {100 * (1 - LEVEL):.0f} %, paired by "
    "seed and example, Holm-corrected for all comparisons of its table."
)
