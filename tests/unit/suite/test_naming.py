"""What `check` refuses among names and references, with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.errors import SuiteError
from smc_bench.suite.claims import claims_about
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from smc_bench.suite.metrics import check_metric
from smc_bench.suite.overrides import parse_overrides
from tests.helpers.pins import NoPins

SUITE = """\
name: made_up
title: Made up
tasks: [sst2, mnli]
model: minilm-l6
sparsity: [0.8]
seeds: [1]
baseline: guidelines
arms:
  good: {}
  bad: {distillation: {temperature: 1.0}}
profiles:
  laptop:
    recipes:
      guidelines: {train: {batch: 8}}
"""
CLAIM = """\
claims:
  one:
    says: The good arm is better than the bad one.
    source: a made-up source
    mark: ours
    suite: made_up
    arm: good
    against: [bad, dense]
    direction: better
    effect: 1.0
    effect_from: ours
    tasks: [sst2]
    models: [minilm-l6]
    sparsity: {least: 0.5, most: 0.9}
"""


def suite(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in SUITE
    path = folder / "made_up.yaml"
    path.write_text(SUITE.replace(old, new, 1) if old else SUITE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  good:", r'  "\e]0;pwned\a":', ":9: arms: the character U+001B may not stand"),
        ("  good:", r'  "a\nb":', ":9: arms.a b: holds a control character: U+000A"),
        ("  good:", r'  "\ud800":', ":9: not valid YAML: found invalid Unicode"),
        ("  good:", r'  "a\u202eb":', r":9: arms.a\u202eb: holds an invisible character"),
        ("  good:", '  "":', ":9: arms.: a name needs at least one"),
        ("  good:", "  dense:", ":9: arms.dense: is reserved: the dense model"),
        ("  good:", "  Dense:", ":9: arms.Dense: is reserved"),
        ("  good:", "  BAD:", ":10: arms.bad: can't be told from 'BAD'"),
        ("  good:", f"  {'ü' * 101}:", ":9: arms: the key"),
        ("  good:", "  ../up:", ":9: arms.../up: looks like a path"),
        ("  good:", "  ~:", ":9: arms: the key ~ is no word: write it in quotes"),
        ("  laptop:", "  ../../out:", ":12: profiles.../../out: looks like a path"),
        ("  laptop:", "  /tmp/out:", ":12: profiles./tmp/out: becomes a file or folder"),
        ("  laptop:", "  Paper:", ":12: profiles.Paper: can't be told from 'paper'"),
        ("  laptop:", "  con:", ":12: profiles.con: becomes a file or folder: Windows"),
        (
            "title:",
            "default_profile: lapto\ntitle:",
            ":2: default_profile: there is no profile 'lapto'; did you mean 'laptop'?",
        ),
        ("title: Made up", r'title: "a\e[31m"', ":2: title: the character U+001B may not stand"),
        ("name: made_up", "name: " + "x" * 101, ":1: name: is too long"),
        ("baseline: guidelines", "baseline: nope", ":7: baseline: unknown recipe 'nope'"),
        ("baseline: guidelines", "baseline: guidlines", "did you mean 'guidelines'?"),
        ("  good: {}", r'  good: {recipe: "a\0b"}', ":9: arms.good.recipe: the character U+0000"),
        ("  good: {}", "  good: {recipe: ../../x}", ":9: arms.good.recipe: '../../x' can't be"),
        ("[sst2, mnli]", "[{name: sst2, config: ../..}]", ":3: tasks.0.config: '../..'"),
        ("[sst2, mnli]", "[{name: sst2, train_split: a/b}]", ":3: tasks.0.train_split: 'a/b'"),
        ("[sst2, mnli]", "[{name: sst2, eval_splits: [a/b]}]", ":3: tasks.0.eval_splits: 'a/b'"),
        ("minilm-l6", "no/such/model", ":4: model: There is no model 'no/such/model'"),
        ("minilm-l6", "./nothere", ":4: model: There is no model './nothere'"),
        ("minilm-l6", "gpt 2", ":4: model: There is no model 'gpt 2'"),
        ("minilm-l6", "minilm-l5", "Did you mean minilm-l6?"),
        ("baseline", "recipes: {guidlines: {}}\nbaseline", "recipes.guidlines: unknown recipe"),
        ("baseline", "report: {plot: {metric: f1}}\nbaseline", "report.plot.metric: unknown key"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = suite(tmp_path, old, new)
    with pytest.raises(SuiteError) as refused:
        load_suite(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_a_profile_s_own_names_are_checked_under_its_name(tmp_path: Path) -> None:
    for old, new, said in (
        ("    recipes:\n      guidelines:", "    recipes:\n      smcc:",
         ":14: profiles.laptop.recipes.smcc: unknown recipe 'smcc'; did you mean 'smc'?"),
        ("    recipes:", "    model: a/b/c\n    recipes:", ":13: profiles.laptop.model: There is"),
        ("    recipes:", "    arms: {dense: {}}\n    recipes:", "profiles.laptop.arms.dense: is"),
        ("    recipes:", '    note: "a\\x07"\n    recipes:', "laptop.note: the character U+0007"),
    ):  # fmt: skip
        with pytest.raises(SuiteError) as refused:
            load_suite(suite(tmp_path, old, new), "laptop")
        assert said in str(refused.value)


def test_a_model_from_the_command_line_is_checked(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"^--set model: There is no model 'a/b/c'"):
        load_suite(suite(tmp_path), None, parse_overrides(("model=a/b/c",)))


def test_generous_names_are_taken(tmp_path: Path) -> None:
    names = ["T = 5.5", "50 %", r"$\alpha$", "a^b", "ünïcode", "GMP (ours)", "_x", "=1", "w/o KD"]
    arms = "".join(f"  '{name}': {{train: {{batch: {k + 2}}}}}\n" for k, name in enumerate(names))
    found = load_suite(suite(tmp_path, "  good: {}\n", arms))
    assert list(found.suite.arms) == [*names, "bad"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arm: good", "arm: goood", "claims.one.arm: {suite} has no arm 'goood' in any profile; "
         "did you mean 'good'?"),
        ("[bad, dense]", "[bad, nope]", "claims.one.against: {suite} has no arm 'nope'"),
        ("suite: made_up", "suite: maed_up", "claims.one.suite: unknown suite 'maed_up'; did you "
         "mean 'made_up'?"),
    ],
)  # fmt: skip
def test_a_claim_about_what_is_not_there(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = suite(tmp_path)
    claims = tmp_path / "claims.yaml"
    claims.write_text(CLAIM)
    assert set(claims_about(path)) == {"one"}
    claims.write_text(CLAIM.replace(old, new))
    with pytest.raises(SuiteError) as refused:
        claims_about(path)
    assert said.format(suite=path) in str(refused.value)


def test_an_arm_of_another_profile_may_be_claimed(tmp_path: Path) -> None:
    path = suite(tmp_path, "    recipes:", "    arms: {other: {}, good: {seeds: 1}}\n    recipes:")
    (tmp_path / "claims.yaml").write_text(CLAIM.replace("[bad, dense]", "[other]"))
    assert set(claims_about(path)) == {"one"}


def test_a_metric_must_be_one_of_a_task(tmp_path: Path) -> None:
    plan = expand(load_suite(suite(tmp_path)), NoPins("fp32"))
    for metric in ("accuracy", "accuracy_m", "accuracy_mm"):
        check_metric(plan, metric)
    with pytest.raises(SuiteError, match="--metric acuracy: no task has it; did you mean 'acc"):
        check_metric(plan, "acuracy")
    with pytest.raises(SuiteError, match="known: accuracy, accuracy_m, accuracy_mm"):
        check_metric(plan, "zzz")
