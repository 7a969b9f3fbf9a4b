from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from smc_bench.errors import SmcBenchError
from smc_bench.tasks import registry
from smc_bench.tasks.glue import Classification, Regression
from smc_bench.tasks.specs import SPECS


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch):
    specs, implementations = dict(SPECS), dict(registry.IMPLEMENTATIONS)
    yield
    for table, kept in ((SPECS, specs), (registry.IMPLEMENTATIONS, implementations)):
        table.clear()
        table.update(kept)


def test_every_spec_has_its_task() -> None:
    assert registry.all_names() == sorted(SPECS)
    for name in registry.all_names():
        assert registry.get_task(name).spec is SPECS[name]


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(SmcBenchError, match="'winograde'; did you mean 'winogrande'"):
        registry.get_task("winograde")
    with pytest.raises(SmcBenchError, match=r"known: .*cola.*squad"):
        registry.get_task("zzz")


def test_light_modules_load_nothing_heavy() -> None:
    code = (
        "import sys, smc_bench.tasks.specs, smc_bench.tasks.registry as r; r.all_names(); "
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'numpy', 'scipy', 'sklearn'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_glue_spec_needs_no_class() -> None:
    registry.register(replace(SPECS["sst2"], name="tone"))
    assert type(registry.get_task("tone")) is Classification
    registry.register(replace(SPECS["stsb"], name="nearness"))
    assert type(registry.get_task("nearness")) is Regression
    registry.register(replace(SPECS["race"], name="quiz"))
    with pytest.raises(SmcBenchError, match="family 'multiple_choice' need a class"):
        registry.get_task("quiz")


def test_implementation_by_path() -> None:
    spec = replace(SPECS["sst2"], name="tone")
    registry.register(spec, "smc_bench.tasks.glue:Regression")
    assert type(registry.get_task("tone")) is Regression
    registry.register(spec, "smc_bench.tasks.glue:Regression")  # the same again is no harm
    for other in ("smc_bench.tasks.glue:Classification", None):
        with pytest.raises(SmcBenchError, match="'tone' is already registered"):
            registry.register(spec, other)
    registry.register(replace(spec, name="lost"), "smc_bench.tasks.glue:Nothing")
    with pytest.raises(SmcBenchError, match=r"'lost'.*can't be imported"):
        registry.get_task("lost")
