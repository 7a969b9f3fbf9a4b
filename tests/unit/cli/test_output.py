"""What is printed, and that printing never costs files or exit codes; through the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from smc_bench.cli import run
from smc_bench.cli.main import cli
from smc_bench.dispatch.backend import Outcome
from smc_bench.dispatch.inputs.pins import SourcePins
from smc_bench.report.data.results import Results
from smc_bench.report.tables import tables
from smc_bench.sources import Lock, Roots
from smc_bench.store.store import Store
from smc_bench.suite.expand import expand
from smc_bench.suite.load import load_suite
from tests.helpers.records import finished, skilled, suite_file, write_cell

ARMS = "arms:\n  '{one}': {{}}\n  '{other}': {{distillation: {{temperature: 1.0}}}}\n"
FILES = {
    "table.md", "table.tex", "table.csv", "cells.csv",
    "plot.png", "plot.pdf", "effects.png", "effects.pdf", "against.md", "report.html",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells are planned here and by the command alike."""
    monkeypatch.delenv("SMC_BENCH_DATA_ROOT", raising=False)


def made(folder: Path, one: str = "good", other: str = "bad", **more: str) -> Path:
    """A suite whose cells are finished."""
    suite = suite_file(folder, seeds="1", arms=ARMS.format(one=one, other=other), **more)
    finished(suite, folder / "r", skilled({"dense": 0.9, one: 0.8, other: 0.7}, examples=50))
    return suite


def smc(
    *arguments: object, redirect: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "smc_bench", *map(str, arguments)]
    if redirect:
        command = ["bash", "-c", f'"$@" {redirect}', "bash", *command]
    kept = {"SMC_BENCH_DATA_ROOT", "LC_ALL", "LANG", "PYTHONIOENCODING", "PYTHONUTF8"}
    clean = {key: value for key, value in os.environ.items() if key not in kept}
    return subprocess.run(
        command, capture_output=True, env={**clean, **environment}, timeout=280, check=False
    )


def called(*arguments: object) -> tuple[int, str]:
    """Exit code and all output, in this process."""
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    return done.exit_code, done.output


def reports(folder: Path, profile: str = "default") -> Path:
    return folder / "r" / "reports" / "made_up" / profile


@pytest.mark.parametrize(
    ("redirect", "environment"),
    [
        ("", {"PYTHONIOENCODING": "ascii"}),
        ("", {"PYTHONIOENCODING": "latin-1"}),
        ("", {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        (">&-", {}),
        (">&- 2>&-", {}),
    ],
)
def test_no_terminal_costs_the_report(
    tmp_path: Path, redirect: str, environment: dict[str, str]
) -> None:
    suite = made(tmp_path, r"T $\textbf{5.5}$", "a^b ≥ ü")
    done = smc("report", suite, "--results", tmp_path / "r", redirect=redirect, **environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in reports(tmp_path).iterdir()} == FILES
    assert "a^b ≥ ü" in (reports(tmp_path) / "table.md").read_text("utf-8")
    if environment.get("PYTHONIOENCODING"):
        assert rb"a^b \u2265" in done.stdout


def test_a_reader_that_goes_away_costs_nothing(tmp_path: Path) -> None:
    suite = made(tmp_path)
    done = smc(
        "report", suite, "--results", tmp_path / "r", redirect='| true; exit "${PIPESTATUS[0]}"'
    )
    assert (done.returncode, b"Error" in done.stderr) == (0, False), done.stderr
    assert {path.name for path in reports(tmp_path).iterdir()} == FILES


def test_one_output_that_fails_costs_no_other(tmp_path: Path) -> None:
    suite = made(tmp_path)
    reports(tmp_path).mkdir(parents=True)
    for name in ("table.tex", "plot.png"):
        (reports(tmp_path) / name / "in the way").mkdir(parents=True)
    done = smc("report", suite, "--results", tmp_path / "r")
    assert done.returncode == 1
    assert b"not written: table.tex: " in done.stderr
    assert b"not written: plot.png: " in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"| good" in done.stdout
    found = {path.name for path in reports(tmp_path).iterdir() if path.is_file()}
    assert found == FILES - {"table.tex", "plot.png"}


def test_a_full_disk_behind_standard_output_is_an_error_after_the_files(tmp_path: Path) -> None:
    suite = made(tmp_path)
    done = smc("report", suite, "--results", tmp_path / "r", redirect="> /dev/full")
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert {path.name for path in reports(tmp_path).iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table", "--metric", "nonsense"), "--metric nonsense: no task has it"),
        (("plan", "--data-root", "/nope"), "The data root /nope is not a folder"),
        (("run", "--dry-run", "--data-root", "/nope"), "The data root /nope is not a folder"),
        (("plan", "--set", "model=no/such/model"), "There is no model 'no/such/model'"),
        (("plan", "--set", "baseline=nope"), "unknown recipe 'nope'"),
        (("plan", "--profile", "\x1b[31m"), r"there is no profile '\x1b[31m'"),
    ],
)
def test_what_can_not_be_is_an_error_at_once(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    verb, *rest = arguments
    code, text = called(verb, suite_file(tmp_path), "--results", tmp_path / "r", *rest)
    assert code == 1
    assert text.startswith("error: ")
    assert said in text
    assert "\x1b" not in text


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    code, text = called("plot", suite, "--results", tmp_path / "r")
    assert code == 1
    assert "nothing to draw" in text
    assert called("report", suite, "--results", tmp_path / "r")[0] == 0
    assert {path.suffix for path in reports(tmp_path).iterdir()} == {
        ".md",
        ".tex",
        ".csv",
        ".html",
    }


def test_the_page_alone_ends_with_its_path(tmp_path: Path) -> None:
    code, text = called("report", made(tmp_path), "--results", tmp_path / "r", "--html")
    assert (code, text) == (0, f"{reports(tmp_path) / 'report.html'}\n")
    assert [path.name for path in reports(tmp_path).iterdir()] == ["report.html"]
    content = (reports(tmp_path) / "report.html").read_text("utf-8")
    assert content.count("data:image/png;base64,") == 2


def test_a_plan_draws_every_task(tmp_path: Path) -> None:
    _, text = called("plan", suite_file(tmp_path, tasks="sst2, mrpc"), "--draw")
    for task in ("sst2", "mrpc"):
        for arm in ("good", "bad", "dense"):
            assert f"\n{task}, {arm}, target" in text


def test_logs_command_no_terminal(tmp_path: Path) -> None:
    plan = finished(suite_file(tmp_path), tmp_path / "r", skilled({"dense": 0.9}))
    cell = plan.entries[0].cell
    log = Store(tmp_path / "r").folder(cell.folder).path / "worker.log"
    log.write_bytes(b"\x1b]0;pwned\x07 \xff done\n")
    _, text = called("logs", cell.id, "--results", tmp_path / "r")
    assert r"\x1b]0;pwned\x07" in text
    assert not set("\x1b\x07") & set(text)


@pytest.mark.parametrize(
    "error", [RuntimeError("a font"), OSError(28, "disk full"), KeyboardInterrupt]
)
def test_no_report_costs_a_run_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:  # fmt: skip
    session = Mock()
    monkeypatch.setattr(run, "write_report", Mock(side_effect=error))
    run.report_on(session, Outcome(done=["one"]), None)
    assert "not written: report: " in capsys.readouterr().err


@pytest.mark.parametrize("outcome", [Outcome(done=["one"], signal=2), Outcome(failed={"one": "x"})])
def test_no_report_is_drawn_of_what_was_interrupted_or_has_no_result(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Mock()
    monkeypatch.setattr(run, "write_report", write)
    run.report_on(Mock(), outcome, None)
    assert write.call_count == 0


def test_cells_that_were_cut_short_are_counted(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1")
    pins = SourcePins(Roots.from_environment(None, None), Lock.load(tmp_path / "l"), network=False)
    plan, store = expand(load_suite(suite), pins, limit=7), Store(tmp_path / "r")
    for entry in plan.entries[:2]:
        write_cell(store, entry, [1.0, 0.0])
        path = store.folder(entry.cell.folder).path / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"reportable": False}))
    text = tables.markdown(Results.of(plan, store))
    assert "2 of 3 cells were cut short by --limit 7: never reported." in text
    assert "1 of 3 cells have no result yet" in text


@pytest.mark.parametrize(
    "arguments",
    [("x\x1b[31m",), ("plan", "--\x1b[31m"), ("plan", "s.yaml", "--jobs", "\x1b[31m"),
     ("check", "no\x1b[31m.yaml"), ("logs", "\x1b[31m"), ("export", "\x1b[31m")],
)  # fmt: skip
def test_errors_that_repeat_what_was_typed_command_no_terminal(arguments: tuple[str, ...]) -> None:
    code, text = called(*arguments)
    assert code in (1, 2)
    assert r"\x1b[31m" in text
    assert "\x1b" not in text
