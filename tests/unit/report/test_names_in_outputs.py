"""Arms with every kind of name, through the whole report: each file has each name, as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from smc_bench.report import escape
from smc_bench.report.claims import text as verdict_text
from smc_bench.report.claims.verdicts import judge
from smc_bench.report.data.results import Results
from smc_bench.report.figures import plots, schedules
from smc_bench.report.published import text as against_text
from smc_bench.report.tables import tables
from smc_bench.suite.claims import load_claims
from tests.helpers.records import results_of, skilled, suite_file

ARMS = [
    r"T $\textbf{5.5}$", "50 %", r"$\alpha$", "a^b_c", "ünïcode", "_hidden", "+ embeddings",
    '=HYPERLINK("http://x/"&A1,"ok")', "a | b\\|c", "<script>alert(1)</script>",
    "![x](http://evil/x.png)", "`code` **bold**", "[p] ~~x~~", "ignoring the input", "-1", "'q'",
]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("names")
    arms = {arm: {"train": {"batch": 2 + k}} for k, arm in enumerate(ARMS)}
    text = yaml.safe_dump({"arms": arms}, allow_unicode=True, sort_keys=False)
    suite = suite_file(folder, seeds="1", sparsity="0.7, 0.8", arms=text)
    skill = {"dense": 0.9} | {arm: 0.5 + 0.02 * k for k, arm in enumerate(ARMS)}
    return results_of(suite, folder / "r", skilled(skill, examples=40))


def cells(text: str) -> list[list[str]]:
    """Rows of all tables in a text of Markdown, without their heads."""
    rows: list[list[str]] = []
    within = False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        within = within or token.type == "td_open"
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and within:
            assert not any(
                c.type in ("image", "html_inline", "link_open") for c in token.children or []
            )
            rows[-1].append("".join(child.content for child in token.children or []))
        if token.type == "td_close":
            within = False
    return [row for row in rows if row]


def test_markdown(results: Results) -> None:
    assert [row[0] for row in cells(tables.markdown(results))] == ARMS
    assert {row[1] for row in cells(against_text.markdown(results, []))} <= set(ARMS)


def test_verdicts(results: Results, tmp_path: Path) -> None:
    claim = {
        "says": "One is *better* than | the other.", "source": "a_made_up_<source>", "mark": "ours",
        "suite": "made_up", "arm": ARMS[0], "against": ARMS[1:], "direction": "better",
        "effect": 1.0, "effect_from": "ours", "tasks": ["sst2"], "models": ["minilm-l6"],
        "sparsity": {"least": 0.75, "most": 0.9},
    }  # fmt: skip
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps({"claims": {"one | *two*": claim}}))
    found = cells(verdict_text.markdown(results, judge(load_claims(path), results)))
    assert found[0][0] == "one | *two*"
    assert [row[2] for row in found[1:]] == [f"{ARMS[0]} - {other}" for other in ARMS[1:]]


def test_csv(results: Results, tmp_path: Path) -> None:
    tables.write(results, tmp_path)
    for name in ("table.csv", "cells.csv"):
        table = pd.read_csv(tmp_path / name, dtype={"arm": str}, keep_default_na=False)
        assert list(dict.fromkeys(map(escape.from_csv_text, table["arm"]))) == ["dense", *ARMS]
        assert not [arm for arm in table["arm"] if arm[0] in "=+-@"]
    schedules.draw(results.plan, tmp_path)
    table = pd.read_csv(tmp_path / "schedules.csv", dtype={"arm": str})
    assert list(dict.fromkeys(map(escape.from_csv_text, table["arm"]))) == ARMS


def test_latex(results: Results) -> None:
    _, body, _ = tables.latex(results).split("\\midrule\n")
    names = [line.split(" & ")[0] for line in body.splitlines()]
    assert names == [escape.latex(arm) for arm in ARMS]


def test_figures(results: Results, tmp_path: Path) -> None:
    files = plots.draw(results, tmp_path)
    assert {path.name for path in files} == {
        "plot.png", "plot.pdf", "effects.png", "effects.pdf",
    }  # fmt: skip
    legend = plots.scores_figure(results, "two").legends[0].get_texts()
    hollow = "hollow: one seed, evaluation noise only"
    assert [text.get_text() for text in legend] == [*ARMS, hollow, "dense", "ignoring the input"]
    assert not any(text.get_parse_math() for text in legend)
    effects = plots.effects_figure(results, "two")
    assert f"minus {ARMS[0]}" in effects.axes[0].get_ylabel()
    assert [text.get_text() for text in effects.legends[0].get_texts()] == [*ARMS[1:], hollow]


def test_schedules(results: Results) -> None:
    figure = schedules.figure_of(schedules.curves(results.plan))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ARMS
