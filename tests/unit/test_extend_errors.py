"""What is wrong in a plug-in, or in a suite that uses one, is named with file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from smc_bench import plugins
from smc_bench.errors import SmcBenchError, SuiteError
from smc_bench.suite.load import load_suite
from tests.helpers.plugin_texts import HALVES, HEAD, METHOD, SCORER, STAIRS, SUITE, load
from tests.helpers.registries import untouched


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with untouched():
        yield


WRONG = {
    "no method": (HALVES.replace("def timeline", "def other"), "Halves has no method timeline"),
    "no class": (HALVES.replace("(SparsitySchedule)", ""), "must be a class made from"),
    "taken": (HALVES.replace('"halves"', '"ramp"'), "two kinds of sparsity_schedule .* 'ramp'"),
    "version 0": (STAIRS.replace("version=2", "version=0"), "version must be a whole number"),
    "no source": (STAIRS.replace("a test", " "), "source must say where it comes from"),
    "name": (SCORER.replace('"inverse"', '"a/b"'), "scorer 'a/b': can't be a name"),
    "taken method": (METHOD.replace('"own"', '"rigl"'), "two methods are called 'rigl'"),
    "no method class": (METHOD.replace("(ScoredPruning)", ""), "made from PruningMethod"),
    "no event": (METHOD.replace("ScoredPruning", "PruningMethod"), "Own has no method on_event"),
    "inner": (
        HEAD + "def f():\n    @scorer(name='x', version=1, source='y')\n    def g(w, s): pass\nf()",
        "must stand at the top level",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_entry_is_an_error_with_file_and_line(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    before = [dict(table) for table in plugins.REGISTRIES]
    with pytest.raises(SmcBenchError, match=rf"own\.py:[0-9]+: .*{message}"):
        load(tmp_path, text)
    assert before == [dict(table) for table in plugins.REGISTRIES]


BROKEN = {
    "kind": ("sparsity_schedule: {kind: halfs}", "did you mean 'halves'"),
    "key": ("sparsity_schedule: {kind: halves, event: 3}", "unknown key; did you mean 'events'"),
    "rate": ("lr_schedule: {kind: stair, peak: 1}", "did you mean 'stairs'"),
    "method": ("method: owm", "unknown method 'owm'; did you mean 'own'"),
    "option": ("method: own, method_options: {evry: 2}", "unknown key; did you mean 'every'"),
    "value": ("method: own, method_options: {every: x}", "must be a whole number"),
    "no method": ("method_options: {every: 2}", "method_options need a method"),
    "asked by another key": ("method: rigl", "rigl is asked for by regrowth: leave method out"),
    "two methods": ("method: own, scorer: movement", "chooses the masks anew"),
    "fails": ("sparsity_schedule: {kind: fails}", "'fails' failed: ZeroDivisionError"),
    "falls": ("sparsity_schedule: {kind: halves, events: 30}", "outside a training of 20 steps"),
    "no event": ("sparsity_schedule: {kind: odd, how: none}", "ends at a sparsity of 0, but 0.5"),
    "stays below": ("sparsity_schedule: {kind: odd, how: below}", "ends at a sparsity of 0.1, but"),
    "goes beyond": ("sparsity_schedule: {kind: odd, how: beyond}", "ends at a sparsity of 0.7"),
    "half a step": ("sparsity_schedule: {kind: odd, how: half}", "2.5 is not a whole number"),
    "a word": ("sparsity_schedule: {kind: odd, how: word}", "'2' is not a whole number"),
    "a pair": ("sparsity_schedule: {kind: odd, how: pair}", "is not a PruningEvent"),
    "by chance": ("sparsity_schedule: {kind: odd, how: chance}", "another timeline each time"),
    "a ramp too short": (
        "sparsity_schedule: {kind: ramp, start: 50%, end: 60%, every: 100%, end_inclusive: false}",
        "ends at a sparsity of 0, but 0.5",
    ),
    "no rate": ("lr_schedule: {kind: none, peak: 1}", "'none' gives a rate of nan at step 0"),
}


FAILS = """
@schedule(name="fails", version=1, source="a test")
class Fails(SparsitySchedule):
    def timeline(self, target, steps_per_epoch, total):
        return 1 / 0

@schedule(name="odd", version=1, source="a test")
class Odd(SparsitySchedule):
    how: str

    def timeline(self, target, steps_per_epoch, total):
        step = next(COUNT) % total
        events = {
            "none": (), "below": (PruningEvent(2, 0.1),), "beyond": (PruningEvent(2, 0.7),),
            "half": (PruningEvent(2.5, target),), "word": (PruningEvent("2", target),),
            "pair": ((2, target),), "chance": (PruningEvent(step, target),),
        }
        return Timeline(total, steps_per_epoch, events[self.how])

COUNT = __import__("itertools").count()

@schedule(name="none", version=1, source="a test")
class Nothing(RateSchedule):
    def rate(self, step, timeline):
        return float("nan")
"""


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_in_a_suite_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    text, message = BROKEN[name]
    everything = [HALVES, STAIRS, METHOD, FAILS]
    load(tmp_path, HEAD + "".join(part.removeprefix(HEAD) for part in everything))
    suite = tmp_path / "own.yaml"
    suite.write_text(SUITE.replace("first: {}", f"first: {{{text}}}"))
    with pytest.raises(SuiteError, match=rf"own\.yaml:12: arms\.first.*({message})"):
        load_suite(suite)
