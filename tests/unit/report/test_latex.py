"""Tables for papers: what is in them, and that TeX sets them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from smc_bench.report.data.results import Results
from smc_bench.report.tables import tables
from smc_bench.report.tables.latex import PREAMBLE
from smc_bench.suite.expand import Entry
from tests.helpers.records import results_of, skilled, suite_file
from tests.unit.report.test_names_in_outputs import ARMS

SKILL = {"dense": 0.92, "good": 0.88, "bad": 0.6}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("latex")
    suite = suite_file(folder, sparsity="0.7, 0.9", tasks="sst2, qnli")
    made = skilled(SKILL)

    def some(entry: Entry) -> list[float] | None:
        lost = entry.arm == "bad" and entry.target == 0.9 and entry.cell.seed == 3
        return None if lost else made(entry)

    return results_of(suite, folder / "r", some)


def rows(text: str) -> dict[str, list[str]]:
    """Rows of the first table by their first field."""
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if "&" in line]
    return {first: rest for first, *rest in lines}


def test_a_table_has_caption_label_dense_trivial_and_size(results: Results) -> None:
    text = tables.latex(results)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert labels == ["tab:made-up-sst2", "tab:made-up-qnli"]
    captions = re.findall(r"\\caption\{(.*)\}", text)
    assert "sst2: accuracy in percent, mean and standard deviation over seeds" in captions[0]
    dense = results.summary["mean"][0]
    assert rows(text)["dense"] == [rf"\multicolumn{{2}}{{c}}{{\num{{{dense:.2f}}}}}"]
    assert rows(text)["ignoring the input"] == [r"\multicolumn{2}{c}{\num{50.00}}"]
    # Of the 2,000 made-up parameters 700 and 900 are zero: 0.0013 and 0.0011 millions.
    assert rows(text)[r"parameters $\neq 0$ (millions)"] == [
        r"{\num{0.0013}}",
        r"{\num{0.0011}}",
    ]


def test_scores_are_numbers_of_siunitx_with_text_in_braces(results: Results) -> None:
    found = rows(tables.latex(results))
    summary = results.summary.set_index(["task", "arm", "sparsity"])
    good = summary.loc[("sst2", "good", 0.7)]
    assert found["good"][0] == (rf"\bfseries {good['mean']:.2f} {{\,$\pm$\,{good['sd']:.2f}}}")
    bad = summary.loc[("sst2", "bad", 0.9)]
    assert found["bad"][1] == rf"{bad['mean']:.2f} {{\,$\pm$\,{bad['sd']:.2f}\,(2/3)}}"


def test_columns_have_room_for_every_digit(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, sparsity="0.7", seeds="1")
    results = results_of(suite, tmp_path / "r", lambda entry: [float(entry.arm == "good")] * 40)
    assert "S[table-format=3.2]" in tables.latex(results)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("recovery", [False, True])
def test_tex_sets_them(results: Results, tmp_path: Path, recovery: bool) -> None:
    if not _has("siunitx.sty") or not _has("booktabs.sty"):
        pytest.skip("no siunitx or booktabs here")
    compile_tables(tables.latex(results, recovery=recovery), tmp_path)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_tex_sets_every_kind_of_name(tmp_path: Path) -> None:
    if not _has("siunitx.sty") or not _has("booktabs.sty"):
        pytest.skip("no siunitx or booktabs here")
    arms = {arm: {"train": {"batch": 2 + k}} for k, arm in enumerate(ARMS)}
    text = yaml.safe_dump({"arms": arms}, allow_unicode=True, sort_keys=False)
    suite = suite_file(tmp_path, seeds="1", sparsity="0.7, 0.8", arms=text)
    title = "A [title] of 50 % & $x^2$ _with_ #1 {braces} \\\\ and ~more"
    suite.write_text(suite.read_text().replace("title: Made up", f"title: '{title}'"))
    skill = {"dense": 0.9} | dict.fromkeys(ARMS, 0.7)
    found = results_of(suite, tmp_path / "r", skilled(skill, examples=40))
    compile_tables(tables.latex(found), tmp_path)


def _has(file: str) -> bool:
    asked = subprocess.run(["kpsewhich", file], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


def compile_tables(text: str, folder: Path) -> None:
    """Set a document of the tables; TeX's own words where it can't."""
    head = "\n".join([r"\documentclass{article}", *PREAMBLE, r"\begin{document}", ""])
    (folder / "t.tex").write_text(head + text + "\\end{document}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=folder, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
