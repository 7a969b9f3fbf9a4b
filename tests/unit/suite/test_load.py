from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from smc_bench.errors import SuiteError
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.length import timeline_of
from smc_bench.suite.load import load_suite
from tests.helpers.pins import NoPins

SUITE = """name: one
title: One
model: google-bert/bert-base-uncased
tasks: [sst2]
sparsity: [0.8, 0.9]
seeds: [1]
baseline: gmp-30ep
arms:
  gmp: {}
  smc: {recipe: smc}
profiles:
  small:
    seeds: [1]
    recipes:
      smc: {train: {rows: 100}}
"""


def plan(tmp_path: Path, old: str = "", new: str = "", profile: str | None = None) -> Plan:
    assert old in SUITE
    path = tmp_path / "one.yaml"
    path.write_text(SUITE.replace(old, new, 1) if old else SUITE + new)
    return expand(load_suite(path, profile), NoPins())


def many(name: str, count: int) -> str:
    return f"{name}: [{', '.join(str(i) for i in range(count))}]"


LEVELS = ", ".join(f"{i / 6000:.5f}" for i in range(1, 6000))
RAMP = "sparsity_schedule: {kind: ramp, start: 0it, end: 100%, every: 1it}"
WRONG = {
    # what is changed, to what, under which profile, and line, key and message of the error
    "grid": ("seeds: [1]", many("seeds", 10_001), None, "6: seeds: .* are 40,004 cells, more than"),
    "grid of levels": ("[0.8, 0.9]", f"[{LEVELS}]\ncompare_at: [scope_sparsity, encoder_sparsity]",
                       None, "5: sparsity: .* are 23,996 cells"),
    "grid of a profile": ("    seeds: [1]", "    " + many("seeds", 10_001), "small",
                          "13: profiles.small.seeds: .* are 40,004 cells"),
    "million events": ("{recipe: smc}", "{recipe: gmp-30ep, train: {duration: 1000000it}, "
                       + RAMP + "}", None,
                       "10: arms.smc.sparsity_schedule: 1,000,000 pruning events, more than"),
    "million events of a profile": ("{rows: 100}}", "{duration: 1000000it}, " + RAMP + "}", "small",
                                    "15: profiles.small.recipes.smc.sparsity_schedule: 1,000,000"),
    "tiny share": ("gmp: {}", "gmp: {recipe: guidelines, sparsity_schedule: {removes: 1e-12}}",
                   None, "9: arms.gmp.sparsity_schedule.removes: must be 0.001 or more"),
    "tiny share of rounds": ("gmp: {}", "gmp: {recipe: smc-lth, sparsity_schedule: "
                             "{removes: 1e-17}}", None,
                             "9: arms.gmp.sparsity_schedule.removes: must be 0.001 or more"),
    "event after the end": ("{recipe: smc}", "{recipe: one-shot-magnitude, sparsity_schedule: "
                            "{at: 100000it}}", None,
                            "10: arms.smc.sparsity_schedule: one-shot pruning at step 100000"),
    "ramp after the end": ("{rows: 100}}", "{duration: 10it}, sparsity_schedule: {start: 11it}}",
                           "small", "15: profiles.small.recipes.smc.sparsity_schedule: a ramp"),
    "endless training": ("{rows: 100}", "{duration: %sit}" % ("9" * 400), "small",
                         "15: profiles.small.recipes.smc.train.duration: .* at most nine digits"),
    "endless memory": ("seeds: [1]", "seeds: [1]\nslurm: {mem: %sGB}" % ("9" * 400), None,
                       "7: slurm.mem: .* is not a memory size"),
    "endless time": ("seeds: [1]", "seeds: [1]\nexecution: {checkpoint_every: 999999999h}", None,
                     "7: execution.checkpoint_every: .* is longer than 30 years"),
    "recomputations": ("gmp: {}", "gmp: {recomputations: 100000}", None,
                       "9: arms.gmp.recomputations: must be 1000 or less"),
    "number for a section": ("{recipe: smc}", "{recipe: smc, train: 4}", None,
                             r"10: arms.smc.train: must be a section such as \{key: value\}"),
    "number under take": ("{rows: 100}}\n", "{rows: 100}}\n    recipe: {train: 4}\n"
                          "    arms: {a: {recipe: smc, take: {schedules: guidelines}}}\n", "small",
                          "16: profiles.small.recipe.train: must be a section"),
    "take of a donor": ("{recipe: smc}", "{take: {schedules: smc}}\nrecipes: {smc: {train: 4}}",
                        None, "11: recipes.smc.train: must be a section"),
    "truth as seed": ("seeds: [1]", "seeds: [true]", None, "6: seeds: true and false mean nothing"),
    "truth as rows": ("{rows: 100}", "{rows: true}", "small",
                      "15: profiles.small.recipes.smc.train.rows: true and false mean nothing"),
    "word as seeds": ("seeds: [1]", "seeds: one", None, "6: seeds.0: must be a whole number"),
    "half a seed": ("seeds: [1]", "seeds: [1.5]", None, "6: seeds.0: must be a whole number"),
    "minutes as seed": ("seeds: [1]", "seeds: [10:30]", None, "6: seeds.0: must be a whole number"),
    "mapping as seeds": ("seeds: [1]", "seeds: {a: 1}", None, "6: seeds: must be a list"),
    "seed twice": ("    seeds: [1]", "    seeds: [1, 01]", "small",
                   "13: profiles.small.seeds: a value stands here twice"),
    "level twice": ("[0.8, 0.9]", "[0.8, .80]", None, "5: sparsity: a value stands here twice"),
    "no arms": ("    seeds: [1]", "    arms: {}", "small", "13: profiles.small.arms: must not be"),
    "empty arm": ("gmp: {}", "gmp:", None, "9: arms.gmp: must be a section"),
    "arm as a kind": ("gmp: {}", "linear:", None, "9: arms.linear: must be a section"),
    "arm in brackets": ("gmp: {}", '"a[b]":', None, r"9: arms.a\[b\]: must be a section"),
    "profile as a kind": ("small:", "ramp: {sparsity: [2]}\n  small:", None,
                          "12: profiles.ramp.sparsity.0: must be below 1"),
    "kind of a round": ("{rows: 100}", "{rows: 100}, sparsity_schedule: {kind: rounds, rund: 1it}",
                        "small", "15: .*sparsity_schedule.rund: unknown key; did you mean 'round'"),
    "other profile": ("title: One", "title: One\ndefault_profile: smal", None,
                      "3: default_profile: there is no profile 'smal'; did you mean 'small'"),
    "equal arms": ("smc: {recipe: smc}", "other: {recipe: gmp-30ep}", None,
                   "10: arms.other: has the same settings as 'gmp'"),
    "encoder out of scope": ("{recipe: smc}", "{recipe: smc, scope: head}\ncompare_at: "
                             "encoder_sparsity", None,
                             "10: arms.smc: compare_at: encoder_sparsity: .* needs the encoder"),
    "compared by row": ("{recipe: smc}", "{recipe: smc, threshold: per_row}\ncompare_at: "
                        "encoder_sparsity", None, "10: arms.smc: .* needs threshold: global"),
    "recipe elsewhere": ("{recipe: smc}", "{recipe: ../recipes/smc}", None,
                         "10: arms.smc.recipe: '../recipes/smc' can't be the name"),
    "recipe too long": ("{recipe: smc}", "{recipe: %s}" % ("x" * 3000), None,
                        "10: arms.smc.recipe: 'x.* is too long: 3000 bytes"),
    "recipe as a list": ("{recipe: smc}", "{recipe: [smc]}", None,
                         "10: arms.smc.recipe: must be the name of a recipe"),
    "control characters": ("title: One", 'titel\u200b: "x"', None, "2: titel.*: unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_suites_end_in_one_line(name: str, tmp_path: Path) -> None:
    old, new, profile, message = WRONG[name]
    tracemalloc.start()
    with pytest.raises(SuiteError, match=f"one.yaml:{message}" if message else "cells") as caught:
        plan(tmp_path, old, new, profile)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000
    assert peak < 100e6


def test_extended_recipes_are_named_where_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    for text, message in (
        ("extends: smcc", "own.yaml:1: extends: unknown recipe 'smcc'; did you mean 'smc'"),
        ("title: x\nextends: [smc]", "own.yaml:2: extends: must be the name of a recipe"),
        ("\nextends: own", "own.yaml:2: extends: recipes extend each other in a circle"),
        ("extends: smc\ntrain: {rows: 08, batch: x}", "own.yaml:2: train.batch: must be a whole"),
        ("extends: smc\nx: &x [*x]", "own.yaml:2: x.0: .* stands inside"),
    ):
        (folder / "own.yaml").write_text(text)
        with pytest.raises(SuiteError, match=message):
            plan(tmp_path, "{recipe: smc}", "{recipe: own}")


def test_a_single_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"

    def load(text: str) -> list[str]:
        path.write_text(text)
        loaded = load_suite(path)
        return [cell.id for cell in expand(loaded, NoPins()).cells.values()]

    lists = SUITE.replace("[0.8, 0.9]", "[0.8]").replace(
        "tasks: [sst2]",
        "tasks: [{name: sst2, eval_splits: [validation]}]\ncompare_at: [encoder_sparsity]\n"
        "execution: {trackers: [wandb]}\nrecipe: {scope: [encoder]}\ndense: {seeds: [2]}",
    )
    single = SUITE.replace("[0.8, 0.9]", "0.8").replace("seeds: [1]", "seeds: 01").replace(
        "tasks: [sst2]",
        "tasks: {name: sst2, eval_splits: validation}\ncompare_at: encoder_sparsity\n"
        "execution: {trackers: wandb}\nrecipe: {scope: encoder}\ndense: {seeds: 2}",
    )  # fmt: skip
    assert load(lists) == load(single)
    assert load(SUITE) == load(SUITE.replace("tasks: [sst2]", "tasks: sst2"))


def test_numbers_that_yaml_1_1_reads_otherwise(tmp_path: Path) -> None:
    found = plan(tmp_path, "seeds: [1]", "seeds: [08, 010, 0x10]")
    assert sorted({e.cell.seed for e in found.entries}) == [8, 10, 16]


def test_movement_prunes_at_every_step_of_a_long_training(tmp_path: Path) -> None:
    """The bound on events leaves room for the longest recipe on the largest task."""
    path = tmp_path / "one.yaml"
    path.write_text(SUITE.replace("sst2", "mnli").replace("{recipe: smc}", "{recipe: movement}"))
    cell = next(e.cell for e in expand(load_suite(path), NoPins()).entries if e.arm == "smc")
    assert len(timeline_of(cell).events) > 100_000
