"""What is on the page, read back by a parser that is not ours."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import html

from smc_bench.report.claims.verdicts import judge
from smc_bench.report.data.results import Results
from smc_bench.report.figures import plots
from smc_bench.report.html.page import page
from smc_bench.report.statistics.compare import Place
from smc_bench.store.store import Store
from smc_bench.suite.claims import load_claims
from tests.helpers.pages import FAILURE, GOLD, LAYERS, store_of
from tests.helpers.records import suite_file
from tests.unit.report.test_names_in_outputs import ARMS

SKILL = {"dense": 0.93, "good": 0.88, "bad": 0.5, "lost": 0.5}
ARMS_OF = """arms:
  good: {}
  bad: {distillation: {temperature: 1.0}}
  lost: {distillation: {temperature: 2.0}}
"""
CLAIM = {
    "says": "Good is better.", "source": "a made-up text", "mark": "ours", "suite": "made_up",
    "arm": "good", "against": ["bad"], "direction": "better", "effect": 1.0,
    "effect_from": "Taken from nowhere.", "tasks": ["sst2"], "models": ["minilm-l6"],
    "sparsity": {"least": 0.7, "most": 0.9},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Store, Path]:
    folder = tmp_path_factory.mktemp("page")
    suite = suite_file(folder, sparsity="0.7, 0.9", arms=ARMS_OF)
    plan, store = store_of(suite, folder / "r", SKILL, collapsed=["bad"], failed=["lost"])
    return Results.of(plan, store), store, folder


@pytest.fixture(scope="module")
def text(made: tuple[Results, Store, Path]) -> str:
    results, store, folder = made
    claims = folder / "claims.yaml"
    claims.write_text(yaml.safe_dump({"claims": {"good is better": CLAIM}}))
    return page(results, store, verdicts=judge(load_claims(claims), results))


@pytest.fixture(scope="module")
def tree(text: str) -> Any:
    return html.document_fromstring(text)


def words(element: Any) -> str:
    return " ".join(" ".join(element.itertext()).split())


def test_it_fetches_nothing(text: str, tree: Any) -> None:
    for attribute in ("src", "href", "srcset", "action", "data"):
        for value in tree.xpath(f"//@{attribute}"):
            assert value.startswith(("#", "data:"))
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?:", text)
    assert not [name for each in tree.iter() for name in each.attrib if name.startswith("on")]


def test_verdicts_are_sentences_with_their_interval(
    tree: Any, made: tuple[Results, Store, Path]
) -> None:
    (verdict,) = tree.xpath("//article")
    assert words(verdict.find("h3")) == "good is better: supported"
    found = [words(item) for item in verdict.iter("li")]
    for item, sparsity in zip(found, (0.7, 0.9), strict=True):
        effect = made[0].scores.compare(Place("sst2", "", sparsity), "good", "bad").effect
        assert effect is not None
        low, high = effect.interval()
        assert (
            f"On sst2 at sparsity {sparsity}, good scores {effect.value:.2f} points above" in item
        )
        assert f"(95 % interval {low:+.2f} to {high:+.2f}; covers 3 seeds and 400 exam" in item
        assert "Supported." in item


def test_every_point_says_its_score(tree: Any, made: tuple[Results, Store, Path]) -> None:
    points = [words(title) for title in tree.xpath("//figure[@class='chart']//title")]
    summary = made[0].summary.set_index(["arm", "sparsity"])
    for sparsity in (0.7, 0.9):
        row = summary.loc[("good", sparsity)]
        assert (
            f"good, target sparsity {sparsity}: {row['mean']:.2f} ± {row['sd']:.2f} (3 seeds), "
            f"95 % interval {row['low']:.2f} to {row['high']:.2f}" in points
        )
    assert len([point for point in points if point.startswith("good, ")]) == 2
    assert len([point for point in points if point.startswith("bad minus good at ")]) == 2


def test_a_collapsed_score_stands_beside_those_of_constant_answers(tree: Any) -> None:
    first = 100.0 * (GOLD == 0).mean()
    common = max(first, 100.0 - first)
    expected = (
        f"constant output (3 of 3 seeds): always the first class: {first:.2f}; always the "
        f"commonest (class {int(first < 50.0)}): {common:.2f}"
    )
    rows = {words(row[0]): row for row in tree.xpath("(//table[@class='sortable'])[1]/tbody/tr")}
    assert [words(note) for note in rows["bad"].iter("small")] == [expected] * 2
    assert not list(rows["good"].iter("small"))
    opened = [words(cell) for cell in tree.xpath("//details[contains(@class, 'cell')]")]
    assert len([cell for cell in opened if "constant output" in cell]) == 6


def test_a_cell_shows_its_audit_training_layers_settings_and_origin(tree: Any) -> None:
    cells = tree.xpath("//details[contains(@class, 'cell')]")
    (cell, *_) = [c for c in cells if "good sst2, sparsity 0.7, seed 1" in words(c.find("summary"))]
    text = words(cell)
    assert "Audit passed: 70.000 % of the scope is zero in the saved file" in text
    assert "after 3000 steps" in text
    names = [label.split(":")[0] for label in cell.xpath(".//svg/@aria-label")]
    assert names == ["loss", "learning rate", "sparsity of the scope"]
    layers = cell.xpath(".//table[contains(caption, 'by layer')]//tbody/tr")
    assert len(layers) == LAYERS + 2
    assert words(layers[1]) == "layer 0 70.00 % 2,400 8,000"
    captions = [words(caption) for caption in cell.iter("caption")]
    assert captions[-1] == "Settings of its own"
    shared = words(tree.xpath("//details[not(@class)]")[0])
    assert "train.batch" in shared
    assert "git_commit" in words(tree.xpath("//details[not(@class)]")[1])


def test_failures_are_named_with_their_reason(tree: Any) -> None:
    (section,) = tree.xpath("//section[@aria-labelledby='failures']")
    items = [words(item) for item in section.iter("li")]
    assert len(items) == 6
    assert all(item.endswith(f"failed . out_of_memory: {FAILURE}") for item in items)
    for link in section.iter("a"):
        assert tree.get_element_by_id(link.get("href")[1:]) is not None


def test_notes_are_those_of_the_tables(tree: Any) -> None:
    found = [words(item) for item in tree.xpath("//ol[@class='notes']/li")]
    assert any("no better than the best answer that ignores the input" in note for note in found)


def test_hostile_names_are_text(tmp_path: Path) -> None:
    arms = {arm: {"train": {"batch": 2 + k}} for k, arm in enumerate(ARMS)}
    more = yaml.safe_dump({"arms": arms}, allow_unicode=True, sort_keys=False)
    suite = suite_file(tmp_path, seeds="1", sparsity="0.7", arms=more)
    title = '"><img src=x onerror=alert(1)>{{ 7 * 7 }}</title><script>alert(2)</script>'
    suite.write_text(suite.read_text().replace("title: Made up", f"title: {title!r}"))
    skill = {"dense": 0.9} | dict.fromkeys(ARMS, 0.7)
    plan, store = store_of(suite, tmp_path / "r", skill)
    found = html.document_fromstring(page(Results.of(plan, store), store))
    assert words(found.find(".//h1")) == title
    assert not found.xpath("//img")
    assert len(found.xpath("//script")) == 1
    heads = [head.text_content() for head in found.xpath("(//table)[1]/tbody/tr/th")]
    assert heads == [*ARMS, "dense", "ignoring the input"]
    labels = [label.text_content() for label in found.xpath("//fieldset/label")]
    assert labels == ARMS


def test_an_unfinished_suite_has_a_page(tmp_path: Path) -> None:
    plan, store = store_of(suite_file(tmp_path), tmp_path / "r", {})
    found = html.document_fromstring(page(Results.of(plan, store), store))
    assert "0 of 7 cells have a result" in words(found)
    assert not found.xpath("//figure")


def test_static_figures_are_inside(made: tuple[Results, Store, Path], tmp_path: Path) -> None:
    from PIL import Image

    plots.draw(made[0], tmp_path)
    png = (tmp_path / "plot.png").read_bytes()
    found = html.document_fromstring(page(made[0], made[1], figures={"plot": png}))
    (image,) = found.xpath("//img")
    kept = base64.b64decode(image.get("src").partition(",")[2])
    assert Image.open(io.BytesIO(kept)).size == Image.open(io.BytesIO(png)).size
    assert image.get("alt")


def test_two_hundred_cells_stay_below_three_megabytes(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, sparsity=", ".join(f"0.{k}" for k in range(10, 43)), arms=ARMS_OF)
    plan, store = store_of(suite, tmp_path / "r", SKILL | {"lost": 0.6})
    assert len(plan.cells) >= 200
    results = Results.of(plan, store)
    plots.draw(results, tmp_path)
    figures = {name: (tmp_path / f"{name}.png").read_bytes() for name in ("plot", "effects")}
    assert len(page(results, store, figures=figures).encode()) < 3e6
