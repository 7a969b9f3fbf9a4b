"""Which arms of a table can be told apart, and how large a difference would have to be."""

from __future__ import annotations

from statistics import median

from smc_bench.report.statistics.compare import Comparison, Place, Scores
from smc_bench.report.statistics.stats import LEVEL, POWER, holm


class Significance:
    """All pairs of arms of one table (a task, a way of comparing), corrected for their number."""

    def __init__(self, scores: Scores, task: str, compare_at: str) -> None:
        """Compare every pair at every sparsity."""
        self.scores = scores
        self.pairs = scores.all_pairs(task, compare_at)
        # Where no side has two seeds there is nothing to test: another seed is another model.
        self.tested: list[Comparison] = [
            pair for pair in self.pairs if pair.effect is not None and pair.effect.over_seeds
        ]
        self.adjusted = holm([pair.effect.p for pair in self.tested if pair.effect is not None])

    def best(self, place: Place) -> frozenset[str]:
        """Arms of a column that no other is shown to be better than; empty if that is all of them.

        The arm with the best mean is always among them, because what is tested is the difference
        of the means that the table shows.
        """
        finished = {a for a in self.scores.arms(place) if self.scores.score(place, a) is not None}
        alike = [pair for pair in self.pairs if pair.place == place and not pair.apart]
        if len(finished) > 1:  # one that can be compared with no other is not the best of them
            finished &= {arm for pair in alike for arm in (pair.arm, pair.against)}
        beaten = {
            pair.against if pair.gain.value > 0.0 else pair.arm
            for pair, p in zip(self.tested, self.adjusted, strict=True)
            if pair.place == place and pair.gain is not None and p < 1.0 - LEVEL
        }
        return frozenset(finished - beaten) if beaten else frozenset()

    def note(self) -> str:
        """The smallest difference that the spread lets one find; empty if no spread is known."""
        known = [pair.effect for pair in self.pairs if pair.effect is not None]
        effects = [effect for effect in known if effect.over_seeds]
        effects = effects or [effect for effect in known if effect.known]
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
    "Bold: no other arm of the column is better beyond chance "
    f"(two-sided at {100 * (1 - LEVEL):.0f} %, Holm-corrected for all comparisons of its table); "
    "nothing is bold where that holds for all of them, or where all have one seed."
)
