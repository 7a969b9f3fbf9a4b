from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.report.figures import looks
from smc_bench.report.figures.schedules import curves, draw, figure_of
from smc_bench.suite.expand import Plan, expand
from smc_bench.suite.load import load_suite
from tests.helpers.pins import NoPins

TITLES = ["80 %", "90 %", "97 %"]
SUITE = Path(__file__).parents[3] / "suites" / "figure_schedules.yaml"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return expand(load_suite(SUITE), NoPins())


def test_curves_hold_the_published_sequence_and_rates(plan: Plan) -> None:
    data = curves(plan)
    thirty = data[(data["arm"] == "30 epochs") & (data["target"] == 0.9)].set_index("epoch")
    levels = [0.7000, 0.7843, 0.8407, 0.8750, 0.8926, 0.8991, 0.9000]
    for epoch, level in zip(range(2, 27, 4), levels, strict=True):
        assert thirty.loc[epoch, "sparsity"] == pytest.approx(level, abs=5e-5)
        assert thirty.loc[epoch, "learning_rate"] == pytest.approx(8e-5)
    assert thirty["learning_rate"].iloc[-1] == pytest.approx(8e-6)


def test_length_grows_with_the_target_for_the_guidelines_alone(plan: Plan) -> None:
    ends = curves(plan).groupby(["arm", "target"])["epoch"].max().round(1)
    assert ends["guidelines"].tolist() == [14.0, 22.0, 34.0]
    assert ends["smc-same-steps"].tolist() == [14.0, 22.0, 34.0]
    assert set(ends["30 epochs"]) == {30.0}


def test_figure_is_written(plan: Plan, tmp_path: Path) -> None:
    files = draw(plan, tmp_path)
    assert [path.suffix for path in files] == [".csv", ".png", ".pdf"]
    assert all(path.stat().st_size > 1000 for path in files)


@pytest.mark.parametrize(("columns", "width", "across"), [("one", 3.25, 1), ("two", 6.75, 3)])
def test_figure_has_column_width_and_a_pair_of_panels_for_each_target(
    columns: looks.Width, width: float, across: int, plan: Plan
) -> None:
    figure = figure_of(curves(plan), columns)
    assert figure.get_size_inches()[0] == pytest.approx(width)
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == TITLES
    assert len(figure.axes) == 6
    figure.canvas.draw()
    columns_of = {round(axis.get_position().x0, 2) for axis in figure.axes}
    assert len(columns_of) == across
    arms = list(dict.fromkeys(curves(plan)["arm"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == arms
    look = looks.styles(arms)
    assert [line.get_color() for line in figure.axes[0].get_lines()] == [
        look[arm].colour for arm in arms
    ]
