"""Claims on made-up records whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.report.claims import text as verdict_text
from smc_bench.report.claims.verdicts import Verdict, judge
from smc_bench.report.data.results import Results
from smc_bench.store.store import Store
from smc_bench.suite.claims import Claim
from tests.helpers.records import finished, results_of, skilled, suite_file, write_cell

PRESENT = {"dense": 0.92, "good": 0.88, "bad": 0.78}
ABSENT = {"dense": 0.92, "good": 0.85, "bad": 0.85}


def claim(direction: str = "better", effect: float = 2.0, **changes: object) -> Claim:
    content = {
        "says": "Good is better than bad.",
        "source": "a made-up source",
        "mark": "ours",
        "suite": "made_up",
        "arm": "good",
        "against": "bad",
        "direction": direction,
        "effect": effect,
        "effect_from": "made up",
        "tasks": "sst2",
        "models": "minilm-l6",
        "sparsity": {"least": 0.5, "most": 0.95},
    }
    return Claim.model_validate({**content, **changes})


def verdict(folder: Path, asked: Claim, *, seeds: str = "1, 2, 3", **made: object) -> Verdict:
    suite = suite_file(folder, seeds=seeds, more=str(made.pop("more", "")))
    examples = bool(made.pop("by_example", True))
    results = results_of(suite, folder / "r", skilled(**made), examples=examples)  # type: ignore[arg-type]
    found = judge({"it": asked}, results)
    assert "it" in verdict_text.markdown(results, found)
    return found[0]


def test_a_large_effect_is_supported_and_its_opposite_contradicted(tmp_path: Path) -> None:
    # 4000 examples: an effect of 10 points that every seed shows.
    seeds = "1, 2, 3"
    made = {"skill": PRESENT, "examples": 4000}
    found = verdict(tmp_path / "a", claim(), seeds=seeds, **made)
    assert found.word == "supported"
    effect = found.findings[0].comparison.effect
    assert effect is not None
    assert effect.interval()[0] < 10.0 < effect.interval()[1]
    reverse = claim(arm="bad", against="good")
    assert verdict(tmp_path / "b", reverse, seeds=seeds, **made).word == "contradicted"


def test_an_absent_effect_contradicts_better_and_supports_equal(tmp_path: Path) -> None:
    made, seeds = {"skill": ABSENT, "examples": 6000}, "1, 2, 3"
    words = {
        direction: verdict(tmp_path / direction, claim(direction, 3.0), seeds=seeds, **made).word
        for direction in ("better", "equal", "no_worse")
    }
    assert words == {"better": "contradicted", "equal": "supported", "no_worse": "supported"}


@pytest.mark.parametrize("direction", ["better", "equal", "no_worse"])
def test_too_little_data_can_not_tell(direction: str, tmp_path: Path) -> None:
    # 60 examples show nothing of one or two points.
    made = {"skill": {"dense": 0.92, "good": 0.86, "bad": 0.85}, "examples": 60}
    assert verdict(tmp_path, claim(direction, 1.0), **made).word == "can't tell"


@pytest.mark.parametrize("direction", ["better", "equal", "no_worse"])
@pytest.mark.parametrize("skill", [PRESENT, ABSENT])
def test_one_seed_decides_nothing_and_gives_its_interval(
    direction: str, skill: dict[str, float], tmp_path: Path
) -> None:
    made = {"skill": skill, "examples": 6000}
    found = verdict(tmp_path, claim(direction, 3.0), seeds="1", **made)
    assert found.word == "one seed: evaluation noise only"
    (finding,) = found.findings
    assert (finding.word, finding.p_for, finding.p_against) == (found.word, None, None)
    (as_data,) = verdict_text.as_json([found])
    comparison = as_data["comparisons"][0]
    assert as_data["verdict"] == comparison["verdict"] == found.word
    assert comparison["low"] < 100.0 * (skill["good"] - skill["bad"]) < comparison["high"]
    assert comparison["p_for"] is comparison["p_against"] is None
    assert not comparison["decides"]


def test_one_finished_seed_of_an_arm_decides_nothing(tmp_path: Path) -> None:
    """Though the other arm has three and the dense model five."""
    suite = suite_file(tmp_path, more="dense: {seeds: [1, 2, 3, 4, 5]}")
    made = skilled(PRESENT, examples=4000, spread=0.001)
    results = results_of(
        suite,
        tmp_path / "r",
        lambda entry: made(entry) if entry.arm != "bad" or entry.cell.seed == 2 else None,
    )
    asked = {
        "arms": claim(),
        "dense": claim(arm="dense", against="bad"),
        "both": claim(against=["bad", "dense"], direction="no_worse", effect=10.0),
    }
    found = {verdict.name: verdict for verdict in judge(asked, results)}
    assert found["arms"].word == found["dense"].word == "can't tell"
    # What is told of good against dense is not enough for a claim about both.
    assert [f.word for f in found["both"].findings] == ["can't tell", "supported"]
    assert found["both"].word == "can't tell"
    assert "1 of one seed" in verdict_text.markdown(results, list(found.values()))


def test_at_the_spread_of_seeds_seen_here_one_seed_would_often_be_wrong(tmp_path: Path) -> None:
    """Two equal arms whose seeds spread by a point: evaluation noise alone sees effects."""
    wrong, suite = 0, suite_file(tmp_path, seeds="1")
    for run in range(30):
        made = skilled(ABSENT, examples=20000, spread=0.01, shared=1.0, run=run)
        results = results_of(suite, tmp_path / f"r{run}", made)
        (found,) = judge({"it": claim(effect=0.5)}, results)
        effect = found.findings[0].comparison.effect
        assert found.word == "one seed: evaluation noise only"
        assert effect is not None
        low, high = effect.interval()
        wrong += not low <= 0.0 <= high
    assert wrong > 15


def test_seeds_that_disagree_can_not_tell_however_many_examples(tmp_path: Path) -> None:
    made = {"skill": {"good": 0.82, "bad": 0.80}, "examples": 20000, "spread": 0.05}
    found = verdict(tmp_path, claim(), **made)
    assert found.word == "can't tell"
    assert found.findings[0].comparison.effect.covers == "3 seeds and 20000 examples"  # type: ignore[union-attr]


def test_a_real_effect_below_the_smallest_of_interest_contradicts(tmp_path: Path) -> None:
    made = {"skill": {"good": 0.86, "bad": 0.84}, "examples": 20000, "shared": 1.0}
    found = verdict(tmp_path, claim(effect=5.0), **made)
    assert found.word == "contradicted"
    assert found.findings[0].p_for < 0.01


def test_nothing_finished_is_not_run_and_one_side_is_not_enough(tmp_path: Path) -> None:
    assert verdict(tmp_path / "a", claim(), skill={}).word == "not run"
    assert verdict(tmp_path / "b", claim(), skill={"good": 0.9}).word == "not run"


def test_one_seed_without_results_by_example_can_not_tell(tmp_path: Path) -> None:
    found = verdict(tmp_path, claim(), seeds="1", skill=PRESENT, by_example=False)
    assert found.word == "can't tell"
    effect = found.findings[0].comparison.effect
    assert effect is not None
    assert not effect.known


def test_without_results_by_example_seeds_alone_decide(tmp_path: Path) -> None:
    found = verdict(tmp_path, claim(), skill=PRESENT, examples=4000, by_example=False)
    assert found.word == "supported"
    assert found.findings[0].comparison.effect.covers == "3 seeds"  # type: ignore[union-attr]


def test_dense_is_compared_though_it_has_other_seeds(tmp_path: Path) -> None:
    asked = claim("no_worse", 10.0, arm="good", against="dense")
    found = verdict(tmp_path / "a", asked, skill=PRESENT, examples=4000)
    assert found.word == "supported"
    effect = found.findings[0].comparison.effect
    assert effect is not None
    assert effect.covers == (
        "3 against 1 seeds, not paired and 4000 examples; the spread of the side with one seed is "
        "taken to be the other's"
    )
    reverse = claim("better", 10.0, arm="dense", against="bad")
    assert verdict(tmp_path / "b", reverse, skill=PRESENT, examples=4000).word == "supported"


def test_reasons_name_what_is_not_there_or_not_the_claims_own(tmp_path: Path) -> None:
    missing = verdict(tmp_path / "a", claim(against="ugly"), skill=PRESENT)
    assert (missing.word, missing.reasons) == (
        "not run",
        ("the suite has no arm 'ugly' in this profile",),
    )
    above = claim(sparsity={"least": 0.9, "most": 0.95})
    assert "no sparsity" in verdict(tmp_path / "b", above, skill=PRESENT).reasons[0]
    at = claim(compare_at=["encoder_sparsity"])
    assert "does not compare at" in verdict(tmp_path / "c", at, skill=PRESENT).reasons[0]
    other = claim(models="google-bert/bert-base-uncased", tasks="squad")
    found = verdict(tmp_path / "d", other, skill=PRESENT, more="recipe: {train: {rows: 99}}")
    assert found.reasons == (
        "model minilm-l6",
        "task sst2",
        "sst2 partial (at most 99 train rows)",
    )


def test_one_comparison_that_fails_contradicts_a_claim_about_all(tmp_path: Path) -> None:
    arms = (
        "arms:\n  good: {}\n  bad: {distillation: {temperature: 1.0}}\n"
        "  worse: {distillation: {temperature: 2.0}}\n"
    )
    suite = suite_file(tmp_path, arms=arms)
    skill = {"dense": 0.92, "good": 0.8, "bad": 0.9, "worse": 0.6}
    results = results_of(suite, tmp_path / "r", skilled(skill, examples=4000))
    found = judge({"it": claim(against=["bad", "worse"])}, results)[0]
    assert [finding.word for finding in found.findings] == ["contradicted", "supported"]
    assert found.word == "contradicted"


def test_false_verdicts_are_rare_when_there_is_no_effect(tmp_path: Path) -> None:
    supported = 0
    suite = suite_file(tmp_path, sparsity="0.8", seeds="1, 2, 3")
    for run in range(40):
        made = skilled(ABSENT, examples=300, spread=0.01, run=run)
        results = results_of(suite, tmp_path / f"r{run}", made)
        supported += judge({"it": claim(effect=0.1)}, results)[0].word == "supported"
    # 2.5 % of 40 is 1; more than 5 has a probability below 0.1 %.
    assert supported <= 5


def test_the_command_says_it_with_numbers_and_cells(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    plan = finished(suite, tmp_path / "r", skilled(PRESENT, examples=4000))
    content = claim().model_dump(mode="json")
    (tmp_path / "claims.yaml").write_text(json.dumps({"claims": {"it": content}}))
    words = ["verdict", str(suite), "--results", str(tmp_path / "r")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "**supported**" in done.output
    found = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)["data"][0]
    assert found["verdict"] == "supported"
    comparison = found["comparisons"][0]
    assert comparison["low"] < comparison["effect"] < comparison["high"]
    assert set(comparison["cells"]) == {e.cell.id for e in plan.entries if e.arm != "dense"}


def test_a_report_holds_verdicts_and_published_numbers_where_there_are_any(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, tasks="squad")
    finished(suite, tmp_path / "r", skilled(PRESENT, examples=500))
    content = claim().model_dump(mode="json")
    (tmp_path / "claims.yaml").write_text(json.dumps({"claims": {"it": content}}))
    done = CliRunner().invoke(cli, ["report", str(suite), "--results", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "r" / "reports" / "made_up" / "default"
    assert "**supported**" in (folder / "verdicts.md").read_text()
    assert "**unknown**" in (folder / "against.md").read_text()


def test_mixed_records_are_named_above_the_verdicts(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    made = skilled({"dense": 0.9, "good": 0.8, "bad": 0.7})
    plan, store = finished(suite, tmp_path / "r", made), Store(tmp_path / "r")
    entry = plan.entries[1]
    other = {"git_commit": "b" * 40, "git_dirty": False, "packages": {}, "pins": {}}
    write_cell(store, entry, made(entry) or [], provenance=other)
    results = Results.of(plan, store)
    text = verdict_text.markdown(results, judge({"it": claim()}, results))
    assert "- Mixes records of 2 git commits: aaaaaaaaaaaa (6), bbbbbbbbbbbb (1)." in text
