"""Comparisons at equal measured speed against closed forms; nothing beyond what was measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.report.claims import text as verdict_text
from smc_bench.report.claims.verdicts import AT_SPEED, Verdict, judge
from smc_bench.report.data.measured import measurements
from smc_bench.report.data.results import Results
from smc_bench.report.html.sentences import verdict_views
from smc_bench.report.statistics.at_speed import Curve, compare_at_speed
from smc_bench.report.statistics.compare import Place, Score
from smc_bench.report.statistics.examples import Parts
from smc_bench.store.measured import write_measured
from smc_bench.store.store import Store
from smc_bench.suite.claims import Claim
from tests.helpers.measured import measured_of
from tests.helpers.records import finished, suite_file

PLACE = Place("sst2", "", 0.0, 2.0)


def score(value: float, cell: str = "c") -> Score:
    return Score(value, None, cell)


def line(arm: str, at_one: float, slope: float, speeds: dict[int, list[float]]) -> Curve:
    """Scores on a straight line over speed, a point higher with each seed."""
    points = [
        (seed, x, score(at_one + slope * (x - 1) + seed, f"{arm}{seed}-{x}"))
        for seed, xs in speeds.items()
        for x in xs
    ]
    return Curve.of(arm, points[::-1])


def test_on_straight_lines_the_difference_is_that_of_the_lines() -> None:
    """Wherever the cells lie: 92 - 2 (x - 1) minus 90 - 5 (x - 1) is 2 + 3 at twice as fast."""
    first = line("a", 92.0, -2.0, {1: [1.2, 1.9, 3.0], 2: [1.1, 2.4], 3: [1.5, 2.0, 2.5]})
    second = line("b", 90.0, -5.0, {1: [1.3, 2.1], 2: [1.7, 2.05], 3: [1.0, 4.0]})
    found = compare_at_speed(PLACE, first, second)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(5.0)
    assert (found.effect.seeds, found.effect.against) == (3, None)
    assert found.effect.se_seeds == pytest.approx(0.0, abs=1e-12)
    assert found.decides
    assert set(found.cells) >= {"a1-1.9", "a1-3.0", "a3-2.0", "b3-1.0", "b3-4.0"}
    assert not {"a1-1.2", "a3-1.5"} & set(found.cells)


def test_a_point_that_lies_there_is_taken_as_it_is() -> None:
    curve = Curve.of("a", [(1, 1.0, score(9.0)), (1, 2.0, score(5.0)), (1, 2.0, score(7.0))])
    assert curve.at(2.0)[1].value == 6.0  # two cells as fast as each other
    assert curve.at(1.0)[1].value == 9.0
    assert curve.at(1.5)[1].value in (7.0, 8.0)


@pytest.mark.parametrize("speedup", [0.99, 3.01])
def test_nothing_is_extrapolated(speedup: float) -> None:
    curve = line("a", 90.0, -1.0, {1: [1.0, 3.0], 2: [1.0, 3.0]})
    assert curve.at(speedup) == {}
    other = line("b", 90.0, -1.0, {1: [0.5, 5.0], 2: [0.5, 5.0]})
    found = compare_at_speed(Place("sst2", "", 0.0, speedup), curve, other)
    assert found.effect is None
    assert not found.decides
    assert found.apart == "a was measured from 1.00 to 3.00 times as fast"


def test_a_seed_that_does_not_reach_the_speed_is_left_out() -> None:
    first = line("a", 90.0, -1.0, {1: [1.0, 3.0], 2: [1.0, 1.9]})
    second = line("b", 90.0, -1.0, {1: [1.0, 3.0], 2: [1.0, 3.0]})
    found = compare_at_speed(PLACE, first, second)
    assert found.effect is not None
    assert (found.effect.seeds, found.one_seed, found.decides) == (1, True, False)


def test_results_by_example_are_interpolated_with_the_score() -> None:
    """Each example's share is that of the score: halfway, the mean of the two vectors."""
    random = np.random.default_rng(0)
    low, high = random.random(50) * 100, random.random(50) * 100
    points = [
        (1, x, Score(float(v.mean()), Parts(v, 50, ("rows",)), f"c{x}"))
        for x, v in ((1.0, low), (3.0, high))
    ]
    mixed = Curve.of("a", points).at(1.5)[1]
    assert mixed.parts is not None
    np.testing.assert_allclose(mixed.parts.values, 0.75 * low + 0.25 * high)
    assert mixed.value == pytest.approx(float(mixed.parts.values.mean()))
    unlike = [points[0], (1, 3.0, Score(float(high.mean()), Parts(high, 50, ("other",)), "d"))]
    assert Curve.of("a", unlike).at(2.0)[1].parts is None


def test_what_is_not_a_number_is_no_point() -> None:
    points = [(1, 1.0, score(math.nan)), (1, math.inf, score(1.0)), (1, 2.0, score(5.0))]
    assert Curve.of("a", points).points == {1: ((2.0, score(5.0)),)}
    assert Curve.of("a", []).tested == "a was not measured"


# Two arms at two sparsities; milliseconds of each cell where dense takes 30.
MS = {"good": {0.5: 20.0, 0.8: 10.0}, "bad": {0.5: 24.0, 0.8: 12.0}}


def claim(**changes: Any) -> Claim:
    content = {
        "says": "Good is better than bad.", "source": "a made-up source", "mark": "ours",
        "suite": "made_up", "arm": "good", "against": "bad", "direction": "better", "effect": 2.0,
        "effect_from": "made up", "tasks": "sst2", "models": "minilm-l6",
        "sparsity": {"least": 0.4, "most": 0.9},
        "speed": {"engine": "torch", "batch": 1, "length": 128, "speedups": [2.0]},
    }  # fmt: skip
    return Claim.model_validate({**content, **changes})


def made(
    folder: Path, processors: tuple[str, ...] = ("a processor",), load: float = 0.1
) -> tuple[Results, Store]:
    """Right answers: good 90 % at 0.5 and 80 % at 0.8, bad ten points less, each seed alike."""
    suite = suite_file(folder, sparsity="0.5, 0.8")
    skill = {"dense": {0.0: 95}, "good": {0.5: 90, 0.8: 80}, "bad": {0.5: 80, 0.8: 70}}

    def make(entry: Any) -> list[float]:
        right = skill[entry.arm][entry.target] + entry.cell.seed - 2
        return [float(i < right) for i in range(100)]

    plan, store = finished(suite, folder / "r", make), Store(folder / "r")
    results = Results.of(plan, store)
    for index, entry in enumerate(e for e in plan.entries if e.arm in MS):
        cell, ms = entry.cell, MS[entry.arm][entry.target]
        machine = processors[index % len(processors)]
        sha = results.records[cell.id].weights_sha256
        own = measured_of(cell.id, sha, {("torch", 1): (30.0, ms)}, processor=machine, load=load)
        write_measured(store.folder(cell.folder).path, own)
    return results, store


def judged(results: Results, store: Store, asked: Claim) -> list[Verdict]:
    found = judge({"it": asked}, results, lambda: measurements(results, store))
    assert "it" in verdict_text.markdown(results, found)
    return found


def test_a_verdict_at_equal_speed(tmp_path: Path) -> None:
    """Good has 90 and 80 at 1.5 and 3 times as fast, bad 80 and 70 at 1.25 and 2.5."""
    results, store = made(tmp_path)
    (found,) = judged(results, store, claim())
    (finding,) = found.findings
    effect = finding.comparison.effect
    assert effect is not None
    good, bad = 90 - 10 * (2 - 1.5) / 1.5, 80 - 10 * (2 - 1.25) / 1.25
    assert effect.value == pytest.approx(good - bad)
    assert (found.word, found.compare_at) == ("supported", AT_SPEED)
    assert found.where == "torch 9.9, 1 x 128, 1 thread, a processor"
    text = verdict_text.markdown(results, [found])
    assert "at equal measured speed" in text
    assert "2 times as fast" in text
    (plain,) = verdict_text.as_json([found])
    assert (plain["comparisons"][0]["speedup"], plain["comparisons"][0]["sparsity"]) == (2.0, None)
    json.dumps(plain, allow_nan=False)


def test_a_busy_machine_is_named(tmp_path: Path) -> None:
    results, store = made(tmp_path, load=3.0)
    (found,) = judged(results, store, claim())
    assert found.where.endswith("a processor; the machine had other work")


def test_where_curves_do_not_meet_it_can_not_be_told(tmp_path: Path) -> None:
    results, store = made(tmp_path)
    speed = {"engine": "torch", "batch": 1, "length": 128, "speedups": [2.8]}
    (found,) = judged(results, store, claim(speed=speed))
    assert found.word == "can't tell"
    text = verdict_text.markdown(results, [found])
    assert "bad was measured from 1.25 to 2.50 times as fast" in text
    (view,) = verdict_views([found])
    assert view.name.startswith("it, at equal measured speed (torch 9.9, 1 x 128")
    assert "On sst2 at 2.8 times as fast there is no comparison: bad" in view.sentences[0].text
    both = judged(results, store, claim(speed={**speed, "speedups": [2.0, 2.8]}))
    assert [finding.word for finding in both[0].findings] == ["supported", "can't tell"]
    assert both[0].word == "can't tell"


def test_machines_never_meet_in_a_comparison(tmp_path: Path) -> None:
    """Each has two seeds' cells of some arm; neither takes what the other lacks."""
    results, store = made(tmp_path, ("one", "two", "three", "four", "five"))
    found = judged(results, store, claim())
    assert {verdict.where.rpartition(", ")[2] for verdict in found} == {
        "one", "two", "three", "four", "five",
    }  # fmt: skip
    undecided = {"can't tell", "one seed: evaluation noise only"}
    assert {verdict.word for verdict in found} <= undecided


def test_not_measured_says_how_to(tmp_path: Path) -> None:
    results, store = made(tmp_path)
    speed = {"engine": "openvino", "batch": 32, "length": 128, "speedups": [2.0]}
    (found,) = judged(results, store, claim(speed=speed))
    assert found.word == "not run"
    assert "smc-bench measure CELL_ID --engine openvino --batch 32 --length 128" in found.reasons[0]
    (found,) = judge({"it": claim()}, results)
    assert found.word == "not run"


def test_the_verb_shows_it(tmp_path: Path) -> None:
    _, store = made(tmp_path)
    claims = tmp_path / "claims.yaml"
    content = claim().model_dump(mode="json", exclude_defaults=True)
    claims.write_text(json.dumps({"claims": {"at-speed": content}}))
    suite = tmp_path / "made_up.yaml"
    words = ["verdict", str(suite), "--results", str(store.root), "--claims", str(claims)]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    assert "at equal measured speed" in shown.output
    rows = CliRunner().invoke(cli, [*words, "--format", "csv"])
    assert "speedup" in rows.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compare_at": ["encoder_sparsity"]}, "two ways of comparing"),
        ({"against": "dense"}, "one speed only"),
        ({"speed": {"engine": "torch", "batch": 1, "length": 128, "speedups": []}}, "at least 1"),
        ({"speed": {"engine": "tvm", "batch": 1, "length": 128, "speedups": 2}}, "openvino"),
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim(**changes)
