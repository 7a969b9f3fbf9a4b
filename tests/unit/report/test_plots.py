"""Structure of the figures: what is drawn where, in which colour, at which size."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.colors import to_rgb

from smc_bench.report.data.curves import Curve
from smc_bench.report.data.results import Results
from smc_bench.report.figures import looks, plots
from smc_bench.suite.expand import Entry
from tests.helpers.records import results_of, skilled, suite_file

SKILL = {"dense": 0.92, "good": 0.88, "bad": 0.78}
CURVE = Curve("sst2", "published", (0.5, 0.75, 0.9), (80.0, 75.0, 70.0))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    suite = suite_file(tmp_path, sparsity="0.7, 0.8, 0.9", tasks="sst2, qnli")
    return results_of(suite, tmp_path / "r", skilled(SKILL))


def test_each_panel_has_arms_with_intervals_dense_chance_and_published(results: Results) -> None:
    figure = plots.scores_figure(results, "two", [CURVE])
    panels = {axis.get_title(): axis for axis in figure.axes}
    assert set(panels) == {"sst2", "qnli"}
    lines = {line.get_label(): line for line in panels["sst2"].get_lines()}
    assert lines["dense"].get_linestyle() == "-"
    assert lines["ignoring the input"].get_linestyle() == ":"
    assert lines["published"].get_linestyle() == "--"
    assert list(lines["published"].get_xdata()) == [0.75, 0.9]
    assert "published" not in {line.get_label() for line in panels["qnli"].get_lines()}
    bars = {bars.get_label(): bars for bars in panels["sst2"].containers}
    assert set(bars) == {"good", "bad"}
    summary = results.summary
    row = summary[(summary["task"] == "sst2") & (summary["arm"] == "good")].iloc[0]
    segment = bars["good"].lines[2][0].get_segments()[0]
    assert list(segment[:, 1]) == pytest.approx([row["low"], row["high"]])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["bad", "dense", "good", "ignoring the input", "published"]


def test_effects_are_paired_differences_to_the_baseline_arm(results: Results) -> None:
    figure = plots.effects_figure(results, "two")
    assert figure is not None
    axis = figure.axes[0]
    assert "minus good" in axis.get_ylabel()
    shown = [bars for bars in axis.containers if bars.get_label() == "bad"]
    assert len(shown) == 3
    place = results.scores.places("sst2", "")[0]
    effect = results.scores.compare(place, "bad", "good").effect
    assert effect is not None
    segment = shown[0].lines[2][0].get_segments()[0]
    assert list(segment[:, 1]) == pytest.approx(list(effect.interval()))


@pytest.mark.parametrize("skill", [{"good": 0.97, "bad": 0.95}, {"good": 0.3, "bad": 0.2}])
def test_no_point_or_interval_is_cut_off(skill: dict[str, float], tmp_path: Path) -> None:
    """Neither above the dense model nor below the answer that ignores the input."""
    found = results_of(suite_file(tmp_path), tmp_path / "r", skilled({"dense": 0.8} | skill))
    axis = plots.scores_figure(found, "two").axes[0]
    bottom, top = axis.get_ylim()
    pruned = found.summary[found.summary["arm"] != "dense"]
    assert bottom < pruned["low"].min()
    assert top > pruned["high"].max()


@pytest.mark.parametrize(("columns", "width"), [("one", 3.25), ("two", 6.75)])
def test_figures_have_column_width_and_vector_text(
    columns: looks.Width, width: float, results: Results, tmp_path: Path
) -> None:
    paths = plots.draw(results, tmp_path / "out", columns=columns)
    assert sorted(path.name for path in paths) == [
        "effects.pdf", "effects.png", "plot.pdf", "plot.png",
    ]  # fmt: skip
    pdf = (tmp_path / "out" / "plot.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Subtype /Image" not in pdf
    assert f"/MediaBox [ 0 0 {72 * width:g} ".encode() in pdf
    assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]


def test_colours_stay_with_the_arm_and_can_be_told_apart() -> None:
    one = looks.styles(["guidelines", "smc", "x"])
    other = looks.styles(["y", "smc", "guidelines"])
    assert one["smc"] == other["smc"]
    assert one["guidelines"] == other["guidelines"]
    many = looks.styles(["smc", *"abcdefghijklmnop"])
    assert len(set(many.values())) == 17
    colours = [to_rgb(colour) for colour in looks.COLOURS]
    # Seen without red-green difference (mean of both) every pair still differs somewhere.
    seen = [((0.6 * r + 0.4 * g), b, 0.2 * r + 0.7 * g + 0.1 * b) for r, g, b in colours]
    for i, first in enumerate(seen):
        for second in seen[i + 1 :]:
            assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 0.1


def test_an_unfinished_suite_can_be_drawn(tmp_path: Path) -> None:
    suite = suite_file(tmp_path)
    plots.draw(results_of(suite, tmp_path / "r", lambda entry: None), tmp_path / "out")
    assert (tmp_path / "out" / "plot.pdf").exists()


def test_published_numbers_are_drawn_only_where_sparsity_is_counted_as_they_count(
    tmp_path: Path,
) -> None:
    suite = suite_file(
        tmp_path,
        sparsity="0.7, 0.8, 0.9",
        more="compare_at: [scope_sparsity, encoder_sparsity, model_sparsity]",
    )
    found = results_of(suite, tmp_path / "r", skilled(SKILL))
    figure = plots.scores_figure(found, "two", [CURVE])
    shown = {
        axis.get_xlabel(): "published" in {line.get_label() for line in axis.get_lines()}
        for axis in figure.axes
    }
    assert shown == {
        "sparsity of each arm's scope": True,
        "encoder sparsity": False,
        "whole-model sparsity": False,
    }


def test_fifteen_arms_stay_at_their_sparsity_and_leave_the_panel_its_height(tmp_path: Path) -> None:
    names = [f"arm number {i}" for i in range(15)]
    arms = "arms:\n" + "".join(
        f"  {name}: {{distillation: {{temperature: {i + 1}}}}}\n" for i, name in enumerate(names)
    )
    suite = suite_file(tmp_path, sparsity="0.2, 0.8322, 0.8658, 0.8926", seeds="1", arms=arms)
    skill = {"dense": 0.9} | {name: 0.85 - 0.02 * i for i, name in enumerate(names)}
    found = results_of(suite, tmp_path / "r", skilled(skill))
    with mpl.rc_context(looks.STYLE):
        figure = plots.scores_figure(found, "two")
        figure.canvas.draw()
    bars = [bars.lines[0] for bars in figure.axes[0].containers]
    drawn = [x for line in bars for x in line.get_xdata()]
    nearest = [min(abs(x - level) for level in (0.2, 0.8322, 0.8658, 0.8926)) for x in drawn]
    assert max(nearest) < (0.8926 - 0.8658) / 4
    looks_of = {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in bars}
    assert len(looks_of) == 15
    panel = figure.axes[0].get_position()
    assert panel.height * figure.get_size_inches()[1] > 2.0
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < figure.axes[0].get_tightbbox().y0
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


def test_points_are_at_their_sparsity_and_ticks_at_the_tested_ones(tmp_path: Path) -> None:
    names = [f"a{k}" for k in range(6)]
    each = [f"  a{k}: {{distillation: {{temperature: {k + 1}}}}}\n" for k in range(6)]
    arms = "arms:\n" + "".join(each)
    suite = suite_file(tmp_path, sparsity="0.2, 0.83, 0.87, 0.9", seeds="1", arms=arms)
    found = results_of(suite, tmp_path / "r", skilled({"dense": 0.9} | dict.fromkeys(names, 0.8)))
    with mpl.rc_context(looks.STYLE):
        figure = plots.scores_figure(found, "two")
        figure.canvas.draw()
    axis = figure.axes[0]
    assert list(axis.get_xticks()) == pytest.approx([0.2, 0.83, 0.87, 0.9])
    # All are named but those that would touch; the last one always is.
    boxes = [text.get_window_extent() for text in axis.get_xticklabels() if text.get_text()]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert axis.get_xticklabels()[-1].get_text() == "0.9"
    marker = looks.STYLE["lines.markersize"] * figure.dpi / 72.0
    for bars in axis.containers:
        line = bars.lines[0]
        assert list(line.get_xdata()) == [0.2, 0.83, 0.87, 0.9]
        drawn = line.get_transform().transform(line.get_xydata())[:, 0]
        true = axis.transData.transform(line.get_xydata())[:, 0]
        assert abs(drawn - true).max() <= marker / 2.0 + 1e-6


def test_two_arms_never_look_the_same() -> None:
    found = looks.styles(["guidelines", "encoder only", "smc", "everything", "x"])
    assert len(set(found.values())) == 5


def test_a_single_sparsity_is_a_place_and_no_axis(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, sparsity="0.9")
    figure = plots.scores_figure(results_of(suite, tmp_path / "r", skilled(SKILL)), "two")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["0.9"]


def test_legend_takes_the_columns_that_fit() -> None:
    assert looks.fitting([1.0] * 4, 4.0) == 4
    # In columns of two and one: (1, 1), (3).
    assert looks.fitting([1.0, 1.0, 3.0], 4.0) == 2
    assert looks.fitting([5.0, 5.0], 4.0) == 1


def test_what_one_seed_says_has_hollow_markers(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, sparsity="0.7, 0.8")
    made = skilled(SKILL)

    def some(entry: Entry) -> list[float] | None:
        return None if entry.target == 0.8 and entry.cell.seed > 1 else made(entry)

    found = results_of(suite, tmp_path / "r", some)
    for figure in (plots.scores_figure(found, "two"), plots.effects_figure(found, "two")):
        assert figure is not None
        hollow = [
            line
            for line in figure.axes[0].get_lines()
            if line.get_markerfacecolor() == "white" and len(line.get_xdata())
        ]
        # In the first figure one of each arm at 0.8, in the second the one difference there.
        assert len(hollow) == len({bars.get_label() for bars in figure.axes[0].containers})
        assert all(len(line.get_xdata()) == 1 for line in hollow)
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert plots.ONE_SEED in labels


def test_figures_of_several_seeds_have_no_hollow_markers(results: Results) -> None:
    figure = plots.scores_figure(results, "two")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert plots.ONE_SEED not in labels
