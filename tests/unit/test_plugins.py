from __future__ import annotations

import os
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from smc_bench import plugins
from smc_bench.engine.pruning.scorers.registry import SCORERS
from smc_bench.engine.pruning.scorers.simple import load_scorer
from smc_bench.errors import SmcBenchError
from smc_bench.tasks import registry
from smc_bench.tasks.specs import SPECS
from tests.helpers.registries import untouched

PLUGIN = """
from dataclasses import dataclass, replace
from smc_bench.tasks.glue import Classification
from smc_bench.tasks.registry import register
from smc_bench.tasks.specs import SPECS

@dataclass
class Extra:  # dataclasses look their module up by name
    value: int = 1

class Own(Classification):
    pass

register(replace(SPECS["sst2"], name="own_task"), Own)
"""


SCORER = """
from smc_bench.engine.pruning.scorers.registry import ScorerSpec, register

def inverse(weights, statistics):
    return {name: -weight.abs() for name, weight in weights.items()}

register(ScorerSpec("inverse", 1, f"{__name__}:inverse", "a test"))
"""


@pytest.fixture(autouse=True)
def restored():
    with untouched():
        yield


def test_plugin_with_a_scorer(tmp_path: Path) -> None:
    path = tmp_path / "scorer.py"
    path.write_text(SCORER)
    assert plugins.load_file(path) == ["inverse"]
    assert load_scorer("inverse").__name__ == "inverse"


def test_plugin_file(tmp_path: Path) -> None:
    path = tmp_path / "my-tasks.py"
    path.write_text(PLUGIN)
    assert plugins.load_file(path) == ["own_task"]
    assert type(registry.get_task("own_task")).__name__ == "Own"
    assert plugins.load_file(str(path)) == []


@pytest.mark.parametrize("text", ["1 / 0", "def", PLUGIN.replace("own_task", "cola"), PLUGIN + "x"])
def test_failing_plugin_leaves_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    before, scorers = dict(SPECS), dict(SCORERS)
    with pytest.raises(
        SmcBenchError, match=r"bad\.py:[0-9]+: (failed: \w+Error: |task 'cola' is already)"
    ):
        plugins.load_file(path)
    assert before == SPECS
    assert scorers == SCORERS
    path.write_text(PLUGIN)
    assert plugins.load_file(path) == ["own_task"]


LEAVES = {
    "import sys\nsys.exit(0)": "2: failed: SystemExit: 0",
    "raise SystemExit": "1: failed: SystemExit",
    "\nraise KeyboardInterrupt": "2: failed: KeyboardInterrupt",
    "class B(BaseException): pass\nraise B('x')": "2: failed: B: x",
    "raise GeneratorExit": "1: failed: GeneratorExit",
    "def f(): f()\nf()": "1: failed: RecursionError: .*",
    "\n\ndef f(:": "3: failed: SyntaxError: .*",
    "{}['x']": "1: failed: KeyError: 'x'",
    "raise ValueError('a\\nb\\x1b[2J')": r"1: failed: ValueError: a b\\x1b\[2J",
    "import no_such_module_anywhere": "1: failed: ModuleNotFoundError: .*",
}


@pytest.mark.parametrize("text", LEAVES)
def test_a_plugin_can_not_end_the_program(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(SmcBenchError) as caught:
        plugins.load_file(path)
    assert re.fullmatch(f"{re.escape(str(path))}:{LEAVES[text]}", str(caught.value))
    assert str(caught.value).isprintable()


def test_what_a_registry_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(PLUGIN.replace("own_task", "cola"))
    with pytest.raises(SmcBenchError) as caught:
        plugins.load_file(path)
    said = str(caught.value)
    assert "task 'cola' is already registered" in said
    assert "Error" not in said.removeprefix(str(path))


def test_what_a_plugin_prints_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loud.py"
    path.write_text("print('noise')\n" + SCORER)
    assert plugins.load_file(path) == ["inverse"]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "noise\n")


@pytest.mark.parametrize("name", ["none.py", "notes.txt", "folder.py", "pipe.py"])
def test_what_is_no_plugin(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(SmcBenchError, match="is not a Python file"):
        plugins.load_file(tmp_path / name)


def test_a_link_to_itself_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    with pytest.raises(SmcBenchError, match=r"loop\.py is "):
        plugins.load_file(tmp_path / "loop.py")


def test_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smc_own_tasks.py").write_text(
        PLUGIN + "\ndef more():\n    register(replace(SPECS['sst2'], name='more_tasks'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    offered = [
        EntryPoint("a", "smc_own_tasks", plugins.ENTRY_POINTS),
        EntryPoint("b", "smc_own_tasks:more", plugins.ENTRY_POINTS),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: offered)
    assert plugins.load_entry_points() == ("more_tasks", "own_task")
    assert plugins.load_entry_points() == ("more_tasks", "own_task")
    assert registry.get_task("more_tasks").spec.metrics == ("accuracy",)


def test_failing_entry_point_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [EntryPoint("odd", "smc_bench.no_such_module", plugins.ENTRY_POINTS)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: offered)
    with pytest.raises(SmcBenchError, match="entry point 'odd' of an unknown package: failed"):
        plugins.load_entry_points()


@pytest.mark.parametrize("leaving", ["sys.exit(0)", "raise KeyboardInterrupt"])
def test_an_entry_point_can_not_end_the_program(
    leaving: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smc_leaves.py").write_text(f"import sys\n{leaving}")
    monkeypatch.syspath_prepend(tmp_path)
    offered = [EntryPoint("odd", "smc_leaves", plugins.ENTRY_POINTS)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: offered)
    with pytest.raises(SmcBenchError, match=r"entry point 'odd' .* failed: (System|Keyboard)"):
        plugins.load_entry_points()
