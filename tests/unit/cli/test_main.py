from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from smc_bench.cli.main import VERBS, cli
from smc_bench.store.store import Store

ROOT = Path(__file__).parents[3]
QUICK = str(ROOT / "suites" / "quickstart.yaml")

# Read elsewhere than by an option: sources/roots.py, dispatch/slurm/options.py, make and the tests.
OTHERS = {"DATA_ROOT", "CACHE", "OFFLINE", "CLUSTERS", "TEST_SLURM", "KEEP_SLURM", "COMPLETE"}
OTHERS |= {"PASS", "REPORTED_CSV"}


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables)


def command(verb: str) -> click.Command:
    found = cli.get_command(click.Context(cli), verb)
    assert found is not None
    return found


def variables() -> dict[str, tuple[str, click.Option]]:
    """Each option's variable as README.md spells it, with its verb."""
    found = {}
    for verb in VERBS:
        for option in command(verb).params:
            if isinstance(option, click.Option):
                words = max(option.opts, key=len)[2:]
                found[f"SMC_BENCH_{verb}_{words}".replace("-", "_").upper()] = (verb, option)
    return found


@pytest.mark.parametrize("name", variables())
def test_every_option_is_also_a_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, option = variables()[name]
    monkeypatch.setenv(name, "1")
    assert option.resolve_envvar_value(click.Context(command(verb))) == "1"


def test_documented_variables_are_read() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    words = {w for p in pages for w in re.findall(r"(?<!\w)_?SMC_BENCH_([A-Z_]+)", p.read_text())}
    assert "INCLUDE" in words
    known = OTHERS | {name.removeprefix("SMC_BENCH_") for name in variables()}
    included = command("check").params
    shared = {w for o in included if isinstance(o, click.Option) for w in (o.envvar or ())}
    known |= {name.removeprefix("SMC_BENCH_") for name in shared}
    assert words <= known | {"VERB_OPTION"}


def test_include_from_the_environment(tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text("import sys\nprint('noise')\nsys.exit(0)")
    for variable in ("SMC_BENCH_INCLUDE", "SMC_BENCH_CHECK_INCLUDE"):
        done = run("check", QUICK, **{variable: str(own)})
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"noise\nerror: {own}:3: failed: SystemExit: 0\n"


def test_settings_from_the_environment(tmp_path: Path) -> None:
    where = ("--data-root", str(tmp_path), "--results", str(tmp_path / "r"), "--json")
    done = run("plan", QUICK, *where, SMC_BENCH_PLAN_SET="seeds=[07,010] train.rows=64")
    assert {row["seed"] for row in json.loads(done.stdout)["data"] if row["arm"] != "dense"} == {
        7,
        10,
    }


@pytest.mark.parametrize(
    ("written", "meant"), [("statsu", "status"), ("chekc", "check"), ("tabel", "table")]
)
def test_a_mistyped_verb_is_answered_with_the_right_one(written: str, meant: str) -> None:
    done = run(written, QUICK)
    assert done.exit_code == 2
    assert f"No such command {written!r}; did you mean {meant!r}?" in done.stderr


PATTERNS = ["**", "*", "", "?", "[a", "[0-9a-f]*", "../..", "A" * 300, "ab\ncd", "é"]


@pytest.mark.parametrize("cell_id", PATTERNS)
def test_an_id_is_no_pattern(cell_id: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.folder("sst2/model-dense-s1-0123456789ab").create({"name": "cell"})
    assert store.by_id("0123") is not None
    assert store.by_id(cell_id) is None
    for arguments in (
        ["logs", cell_id, "--results", str(tmp_path)],
        ["show", cell_id, "--results", str(tmp_path)],
        ["export", cell_id, "--results", str(tmp_path)],
        ["why", QUICK, cell_id, "--results", str(tmp_path)],
    ):
        done = run(*arguments)
        if arguments[0] == "why" and not cell_id:
            assert done.exit_code == 1
            continue
        assert done.exit_code == 1, arguments
        assert len(done.stderr.splitlines()) == 1 or "\n" in cell_id
        assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("verb", ["plan", "check", "status", "run", "table", "report", "cancel"])
def test_what_is_no_suite_ends_every_verb_in_a_line(verb: str, tmp_path: Path) -> None:
    for path in ("/dev/zero", str(tmp_path), str(tmp_path / "none.yaml"), "x" * 300):
        done = run(verb, path, "--results", str(tmp_path / "results"))
        assert done.exit_code == 1
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"error: {path[:100]}")
