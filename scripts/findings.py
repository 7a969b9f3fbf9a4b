"""What was run and what it says of each claim, over all suites: `results/reproduction/overview.md`.

Part of `make reports`. Its sections are copied into docs/findings.md, between
``<!-- from overview: NAME -->`` and ``<!-- end -->``, so that no number there is typed by hand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from smc_bench.report.claims.text import at_in_words, counts_in_words
from smc_bench.report.claims.verdicts import Verdict
from smc_bench.report.data.results import Results
from smc_bench.suite.expand import DENSE_ARM

OVERVIEW = "overview.md"
_BLOCK = re.compile(r"(<!-- from overview: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Reported:
    """One suite and profile that has a result."""

    name: str
    profile: str
    results: Results
    verdicts: list[Verdict]


def markdown(reported: Sequence[Reported], mechanism: str) -> str:
    """The page.

    Args:
        reported: Suites and profiles, in their order.
        mechanism: What is said of the mechanism, as lines of Markdown.
    """
    parts = {
        "run": _run(reported),
        "claims": _claims(reported),
        "mechanism": mechanism or "No cell of why_smc_collapses is finished.",
    }
    head = "# All that was run, and what it says\n"
    return "\n".join([head, *(f"## {name}\n\n{text}\n" for name, text in parts.items())])


def filled(page: str, overview: str, base: str) -> str:
    """A page with its marked places filled from the overview; links are from the page's folder.

    Raises:
        KeyError: The overview has no such section.
    """
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)\n(?=\n## |\Z)", overview, re.DOTALL | re.M))

    def put(found: re.Match[str]) -> str:
        text = re.sub(r"\]\((?!https?:)", f"]({base}", sections[found[2]])
        return f"{found[1]}\n{text}\n\n{found[3]}"

    return _BLOCK.sub(put, page)


def _run(reported: Sequence[Reported]) -> str:
    rows = []
    for one in reported:
        data = one.results.data
        pruned = data[data["arm"] != DENSE_ARM]
        done = pruned[pruned["value"].notna()]
        ids = sorted(set(data.loc[data["value"].notna(), "cell"].astype(str)))
        hours = sum(one.results.records[cell].train_seconds for cell in ids) / 3600
        per_seed = Counter(done["seed"].astype(int))
        rows.append([
            f"[{one.name}, {one.profile}]({one.name}/{one.profile}/table.md)",
            ", ".join(one.results.tasks),
            f"{done['cell'].nunique()} of {pruned['cell'].nunique()}",
            ", ".join(f"{seed} ({count})" for seed, count in sorted(per_seed.items())),
            f"{hours:.1f}",
        ])  # fmt: skip
    names = ["suite, profile", "tasks", "pruned cells", "seeds (rows of each)", "hours of training"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def _claims(reported: Sequence[Reported]) -> str:
    rows = [
        [
            f"{verdict.claim.says} ({verdict.name})",
            f"[{one.name}, {one.profile}]({one.name}/{one.profile}/verdicts.md)"
            + (f", {at}" if (at := at_in_words(verdict)) else ""),
            f"**{verdict.word}**",
            _effects(verdict),
            f"{verdict.claim.effect:g}",
            counts_in_words(verdict),
        ]
        for one in reported
        for verdict in one.verdicts
    ]
    names = ["claim", "suite", "verdict", "effect [95 % interval]", "that counts", "comparisons"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def _effects(verdict: Verdict) -> str:
    """Each comparison that was run: where, effect and interval."""
    found = []
    for finding in verdict.findings:
        effect, place = finding.comparison.effect, finding.comparison.place
        if effect is not None:
            low, high = effect.interval()
            interval = f" [{low:+.1f}, {high:+.1f}]" if effect.known else ""
            found.append(f"{place.task} {place}: {effect.value:+.1f}{interval}")
    return "; ".join(found) or "-"
