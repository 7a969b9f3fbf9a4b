"""Everything in results/reproduction, from the small records there and nothing else (make reports).

For the quickstart, and each suite and profile of study-queue.txt that has a result in the records:
tables, every cell, figures, verdicts and the comparison with published numbers, in SUITE/PROFILE.
What stands there and does not follow from the records is removed.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

import count_paths
import findings
import first_step
import mechanism
import mechanism_figure

from smc_bench.errors import SmcBenchError
from smc_bench.report.claims import text as verdict_text
from smc_bench.report.claims.verdicts import Verdict, judge
from smc_bench.report.data.curves import published_curves
from smc_bench.report.data.measured import Measurements, measurements
from smc_bench.report.data.results import Results
from smc_bench.report.data.stored import finished, opened, recorded_plan
from smc_bench.report.figures import plots, speedup
from smc_bench.report.outputs import Make, text, write_all
from smc_bench.report.published import text as against_text
from smc_bench.report.published.against import against_reported
from smc_bench.report.published.reported import read_reported
from smc_bench.report.tables import measured, tables
from smc_bench.report.tables.methods import read_methods
from smc_bench.suite.claims import claims_about
from smc_bench.suite.expand import DENSE_ARM

ROOT = Path(__file__).resolve().parents[1]
REPRODUCTION = ROOT / "results" / "reproduction"
RECORDS = REPRODUCTION / "records"
REPORTED = ROOT / "results" / "reported"
COUNTS = REPRODUCTION / "head_paths.csv"
KEPT = ("README.md", "records", COUNTS.name)
"""Written by hand, and what all else is made from."""

FINDINGS, FROM_DOCS = ROOT / "docs" / "findings.md", "../results/reproduction/"
"""The page that is filled from the overview, and how it links to what it is about."""


def reports() -> list[tuple[str, str]]:
    """Suite and profile of each report: the quickstart, then the study's in its order."""
    lines = (ROOT / "scripts" / "study-queue.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    study = ((first, second) for first, second, *_ in words)
    return list(dict.fromkeys([("quickstart", "laptop"), *study]))


def makers(results: Results, verdicts: list[Verdict], timed: Measurements) -> dict[str, Make]:
    """What writes each file of one report. No PDF or LaTeX: `smc-bench report` has them."""
    reported, methods = read_reported(REPORTED), read_methods([REPORTED])
    curves = published_curves(results.plan, reported, methods)
    found = {**tables.makers(results), **plots.makers(results, curves=curves)}
    found |= speedup.makers(results, timed)
    found = {name: make for name, make in found.items() if name[-4:] not in (".pdf", ".tex")}
    answers = against_reported(results, reported, methods)
    pages = {
        "verdicts.md": verdict_text.markdown(results, verdicts) if verdicts else "",
        "measured.md": measured.markdown(results, timed) if timed.anything else "",
        "against.md": against_text.markdown(results, answers) if answers else "",
    }
    return found | {name: partial(text, content=page) for name, page in pages.items() if page}


def _given(timed: Measurements) -> Measurements:
    return timed


def write(records: Path, target: Path) -> list[Path]:
    """Write every report that has a pruned cell with a result.

    Raises:
        SmcBenchError: A record can't be believed.
        OSError: A file can't be written.
    """
    paths: list[Path] = []
    collapsed: list[mechanism.Row] = []
    reported: list[findings.Reported] = []
    counts = count_paths.read(COUNTS)
    with opened(records) as store:
        found, problems = finished(store)
        for name, profile in reports():
            suite = ROOT / "suites" / f"{name}.yaml"
            results = Results.of(recorded_plan(found, suite, profile), store)
            problems += results.problems
            data = results.data
            if data.loc[data["arm"] != DENSE_ARM, "value"].notna().any():
                timed = measurements(results, store)
                verdicts = judge(claims_about(suite), results, partial(_given, timed))
                made = makers(results, verdicts, timed)
                if name == first_step.SUITE:
                    said = partial(text, content=first_step.markdown(results, store))
                    made["first_step.md"] = said
                paths += write_all(target / name / profile, made)
                reported.append(findings.Reported(name, profile, results, verdicts))
                if name == mechanism.SUITE:
                    collapsed += mechanism.rows(results, profile, counts)
    if collapsed:
        page: Make = partial(text, content=mechanism.markdown(collapsed))
        figure = mechanism_figure.makers(collapsed)
        paths += write_all(target / mechanism.SUITE, {"mechanism.md": page, **figure})
    lines = "\n".join(mechanism.conclusions(collapsed))
    overview = partial(text, content=findings.markdown(reported, lines))
    paths += write_all(target, {findings.OVERVIEW: overview})
    if problems:
        raise SmcBenchError("\n".join(problems))
    return paths


def main() -> int:
    """Write, then remove what the records do not give."""
    try:
        paths = write(RECORDS, REPRODUCTION)
    except SmcBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    there = (path for path in REPRODUCTION.iterdir() if path.is_dir())
    for folder in sorted(path for path in there if path.name not in KEPT):
        for file in [file for file in folder.rglob("*") if file.is_file() and file not in paths]:
            print(f"removed {file.relative_to(ROOT)}")
            file.unlink()
        if not any(file.is_file() for file in folder.rglob("*")):
            shutil.rmtree(folder)
    overview = (REPRODUCTION / findings.OVERVIEW).read_text(encoding="utf-8")
    page = findings.filled(FINDINGS.read_text(encoding="utf-8"), overview, FROM_DOCS)
    FINDINGS.write_text(page, encoding="utf-8")
    print(f"{len(paths)} files written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
