"""Verbs that read: which run they mean, what they print, what the shell offers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from smc_bench.cli.main import VERBS, cli
from smc_bench.cli.session import Session
from smc_bench.plugins import load_plugins
from smc_bench.sources import Roots
from smc_bench.store.reading import parse_record
from smc_bench.store.record import Record
from smc_bench.store.runs import runs
from smc_bench.store.store import Store
from smc_bench.suite.expand import Plan
from tests.helpers.records import skilled, suite_file, write_cell
from tests.helpers.registries import untouched

ROOT = Path(__file__).parents[3]
SKILL = {"dense": 0.9, "good": 0.8, "bad": 0.7}


def smc(*words: object) -> Result:
    done = CliRunner().invoke(cli, [*map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def ran(suite: Path, results: Path, *settings: str, include: tuple[Path, ...] = ()) -> Plan:
    """What ``run`` leaves: records, and the suite that was run."""
    roots = Roots.from_environment(None, results / "cache")
    session = Session(suite, None, settings, roots, Store(results), include)
    plan = session.plan()
    session.remember(plan)
    make = skilled(SKILL)
    for entry in plan.entries:
        correct = make(entry)
        assert correct is not None
        write_cell(session.store, entry, correct)
    return plan


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMC_BENCH_CACHE", str(tmp_path / "r" / "cache"))
    monkeypatch.setenv("SMC_BENCH_RESULTS", str(tmp_path / "r"))
    monkeypatch.delenv("SMC_BENCH_DATA_ROOT", raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return tmp_path / "r"


def seeds(done: Result) -> set[int]:
    assert done.exit_code == 0, done.output
    return {row["seed"] for row in json.loads(done.stdout)["data"]}


def test_names_mean_runs_and_paths_mean_files(results: Path, tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1, 2")
    ran(suite, results, "seeds=[4]")
    ran(suite, results, "seeds=[5]")
    for word in ((), ("made_up",), ("made_up.default",), (suite,)):
        assert seeds(smc("status", *word, "--json")) == {5}
    assert "--set seeds=[5]" in smc("status").stderr
    older = runs(results)[1]
    assert seeds(smc("status", older.id[:8], "--json")) == {4}
    assert seeds(smc("status", "made_up", "--set", "seeds=[4]", "--json")) == {4}
    # Flags that no run had are those of the file, where it is given.
    assert seeds(smc("status", suite, "--set", "seeds=[6]", "--json")) == {6}
    done = smc("status", "made_up", "--set", "seeds=[6]")
    assert done.exit_code == 1
    assert "made_up: no run had --set seeds=[6]; known: made_up --profile default --set" in (
        done.stderr
    )
    # The file has changed: a path shows it, a name the run.
    suite.write_text(suite.read_text().replace("  bad:", "  worse:"))
    rows = json.loads(smc("status", suite, "--json").stdout)["data"]
    assert {row["arm"] for row in rows} == {"dense", "good", "worse"}
    named = smc("status", "made_up", "--json")
    assert {row["arm"] for row in json.loads(named.stdout)["data"]} == {"dense", "good", "bad"}
    assert "give its path to see it as it is" in named.stderr
    misspelt = smc("status", "maed_up")
    assert (misspelt.exit_code, misspelt.stdout) == (1, "")
    assert "did you mean 'made_up'?" in misspelt.stderr


def test_every_verb_with_a_results_folder_takes_the_variable() -> None:
    for name in VERBS:
        command = _command(name)
        for option in getattr(command, "params", []):
            if option.name == "results":
                assert "SMC_BENCH_RESULTS" in (option.envvar or ()), name


def test_a_folder_that_is_not_there_is_said_to_be_missing(results: Path, tmp_path: Path) -> None:
    done = smc("table", "--results", "nowhere")
    assert done.exit_code == 1
    assert f"nowhere: there is no such results folder in {tmp_path / 'elsewhere'}" in done.stderr
    assert "SMC_BENCH_RESULTS" in done.stderr


def test_arms_are_compared_as_they_were_run(results: Path, tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    ran(suite, results, "train.rows=640")
    found = json.loads(smc("compare", "made_up:bad", "made_up:good", "--json").stdout)["data"]
    assert [arm["seeds"] for arm in found["arms"]] == [[[1, 2, 3], [1, 2, 3]]]


PLUGIN = """
from smc_bench.extend import PruningEvent, SparsitySchedule, Timeline, schedule

@schedule(name="half_way", version=1, source="a test")
class HalfWay(SparsitySchedule):
    def timeline(self, target, steps_per_epoch, total):
        return Timeline(total, steps_per_epoch, (PruningEvent(total // 2, target),))
"""


def test_a_run_with_a_plug_in_is_read_without_its_flag(results: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "my_schedule.py"
    plugin.write_text(PLUGIN)
    arms = "arms:\n  good: {sparsity_schedule: {kind: half_way}, train: {duration: 4it}}\n"
    suite = suite_file(tmp_path, arms=arms)
    with untouched():
        load_plugins([plugin])
        ran(suite, results, include=(plugin,))
    with untouched():
        done = smc("status")
        assert done.stdout == "4 done\n", done.stderr  # three seeds and their teacher
    with untouched():
        assert smc("table", "made_up").exit_code == 0
    plugin.unlink()
    with untouched():
        done = smc("status")
        assert done.exit_code == 1
        assert "the run had --include my_schedule.py: give it again" in done.stderr


def test_a_damaged_run_costs_only_its_name(results: Path, tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1")
    ran(suite, results)
    runs(results)[0].path.write_text("{")
    assert smc("status", "made_up").exit_code == 1
    assert seeds(smc("status", suite, "--json")) == {1}


def test_only_narrows_every_reading_verb(results: Path, tmp_path: Path) -> None:
    ran(suite_file(tmp_path, sparsity="0.8, 0.9", seeds="1, 2"), results)
    only = ("--only", "arm=good", "--only", "sparsity=0.8")
    rows = json.loads(smc("status", *only, "--json").stdout)["data"]
    assert {(row["arm"], row["sparsity"]) for row in rows} == {("dense", 0.0), ("good", 0.8)}
    table = smc("table", *only).stdout
    assert "| good " in table
    assert "| bad " not in table
    assert "| 0.8" in table
    assert "0.9" not in table.split("dense")[0]
    assert smc("report").exit_code == 0
    whole = results / "reports" / "made_up" / "default" / "table.md"
    before = whole.read_text()
    assert smc("report", *only).exit_code == 0
    assert whole.read_text() == before
    (part,) = whole.parent.glob("only-*/table.md")
    assert "| bad " not in part.read_text()
    wrong = smc("status", "--only", "arm=goood")
    assert "did you mean 'good'?" in wrong.stderr


ROWS = {
    "status": {"id", "state", "why", "task", "arm", "sparsity", "seed"},
    "plan": {"id", "state", "task", "arm", "sparsity", "seed", "steps"},
}


def texts(page: str) -> list[str]:
    found: list[str] = []

    class Parser(HTMLParser):
        def handle_data(self, data: str) -> None:
            found.append(data)

    Parser().feed(page)
    return found


@pytest.mark.parametrize("verb", ROWS)
def test_rows_are_the_same_in_every_format(results: Path, tmp_path: Path, verb: str) -> None:
    suite = suite_file(tmp_path, seeds="1")
    ran(suite, results)
    shown = {form: smc(verb, suite, "--format", form).stdout for form in ("csv", "html", "md")}
    rows = json.loads(smc(verb, suite, "--format", "json").stdout)["data"]
    assert ROWS[verb] <= set(rows[0])
    read = list(csv.DictReader(io.StringIO(shown["csv"])))
    assert [row["id"] for row in read] == [row["id"] for row in rows]
    assert list(read[0]) == list(rows[0])

    assert rows[0]["id"] in texts(shown["html"])
    assert len(shown["md"].strip().splitlines()) == len(rows) + 2
    latex = smc(verb, suite, "--format", "tex").stdout
    assert latex.count(r"\\") == len(rows) + 1
    refused = smc(verb, suite, "--json", "--format", "csv")
    assert refused.exit_code == 2


def test_every_json_has_one_envelope(results: Path, tmp_path: Path) -> None:
    suite = suite_file(tmp_path, tasks="squad", seeds="1")
    ran(suite, results)
    calls = {
        "list": (), "plan": (suite,), "status": (), "table": (), "verdict": (),
        "cost": ("--model", "minilm-l6"), "doctor": ("--no-slurm",),
    }  # fmt: skip
    keys = ["format", "version", "verb", "suite", "notes", "data"]
    documented = (ROOT / "docs" / "cli.md").read_text()
    for verb, words in calls.items():
        found = json.loads(smc(verb, *words, "--json").stdout)
        assert list(found) == keys, verb
        assert (found["format"], found["verb"]) == (1, verb)
        assert f"| `{verb}` |" in documented
    assert json.loads(smc("table", "--json").stdout)["suite"] == {
        "name": "made_up", "profile": "default", "model": "minilm-l6"
    }  # fmt: skip
    with_json = {verb for verb in VERBS if any("--json" in o.opts for o in _command(verb).params)}
    assert set(calls) <= with_json
    for key in keys:
        assert f"| `{key}` |" in documented


def _command(verb: str) -> object:
    import click

    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    return found


def offered(*words: object) -> list[str]:
    *before, begun = map(str, words)
    shell = ShellComplete(cli, {}, "smc-bench", "_SMC_BENCH_COMPLETE")
    return [item.value for item in shell.get_completions(before, begun) if item.type == "plain"]


def test_the_shell_is_offered_what_there_is(results: Path, tmp_path: Path) -> None:
    more = "profiles: {laptop: {}, night: {}}"
    suite = suite_file(tmp_path, seeds="1", more=more)
    plan = ran(suite, results)
    assert offered("sta") == ["status"]
    assert "quickstart" in offered("run", "")
    assert offered("status", "made") == ["made_up"]
    assert offered("plan", suite, "--profile", "") == ["laptop", "night", "paper"]
    assert offered("cost", "--task", "squ") == ["squad", "squad_writing"]
    assert offered("plan", suite, "--set", "train.rows") == ["train.rows="]
    key = plan.entries[0].cell.id
    assert offered("logs", key[:6]) == [key]
    assert offered("why", "made_up", key[:6]) == [key]
    assert offered("table", "--only", "s") == ["seed=", "sparsity="]
    assert offered("table", "--only", "arm=") == ["arm=dense", "arm=good", "arm=bad"]
    assert offered("table", "made_up", "--only", "sparsity=0") == ["sparsity=0", "sparsity=0.8"]
    assert offered("table", "none.yaml", "--only", "arm=") == []


def test_variables_that_are_read_are_documented() -> None:
    pages = "".join(p.read_text() for p in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    named = set()
    for path in (ROOT / "smc_bench").rglob("*.py"):
        named |= set(re.findall(r"SMC_BENCH_[A-Z_]*[A-Z]", path.read_text("utf-8")))
    examples = {"SMC_BENCH_VERB_OPTION", "SMC_BENCH_RUN_SET"}
    assert not {name for name in named - examples if name not in pages}


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_each_record_is_checked_once(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking records is most of what these verbs do."""
    suite, checked = suite_file(tmp_path), Counter[Path]()
    plan = ran(suite, tmp_path / "r")

    def counted(content: Any, path: Path) -> Record:
        checked[path] += 1
        return parse_record(content, path)

    monkeypatch.setattr("smc_bench.store.store.parse_record", counted)
    done = smc(verb, suite, "--results", tmp_path / "r")
    assert done.exit_code == 0, done.output
    assert "done" in done.output
    assert set(checked.values()) == {1}
    assert len(checked) == len(plan.cells)
