"""Tables and figure of measurements whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from smc_bench.cli.main import cli
from smc_bench.engine.pruning.latency import LatencyTable
from smc_bench.report.data.measured import measurements
from smc_bench.report.data.results import Results
from smc_bench.report.figures.speedup import makers, speedup_figure
from smc_bench.report.tables.measured import markdown
from smc_bench.store.measured import write_measured
from smc_bench.store.store import Store
from tests.helpers.measured import measured_of
from tests.helpers.records import finished, skilled, suite_file

# Milliseconds of dense and of the cell's model, by arm, on either machine.
TIMES = {"good": (12.0, 4.0), "bad": (12.0, 8.0)}


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Path, Results, Store]:
    suite = suite_file(tmp_path, seeds="1, 2")
    store = Store(tmp_path / "results")
    plan = finished(suite, store.root, skilled({"dense": 0.9, "good": 0.88, "bad": 0.7}))
    for entry in plan.entries:
        if entry.arm not in TIMES:
            continue
        times = {("torch", 1): TIMES[entry.arm], ("openvino", 32): (200.0, 100.0)}
        kept = measured_of(entry.cell.id, "0" * 64, times)
        slow = measured_of(
            entry.cell.id, "0" * 64, {("torch", 1): (60.0, 50.0)}, processor="old", load=2.0
        )
        write_measured(store.folder(entry.cell.folder).path, slow.joined(kept))
    return suite, Results.of(plan, store), store


def test_no_table_has_two_machines(measured: tuple[Path, Results, Store]) -> None:
    _, results, store = measured
    text = markdown(results, measurements(results, store))
    first, second = text.split("times on ")[1:]
    assert first.startswith("a processor, 1 thread of 4 cores")
    assert second.startswith("old, 1 thread of 4 cores")
    rows = [line.split(" | ") for line in first.splitlines() if line.startswith("| good")]
    # Median 4 of three rounds of two seeds [quartiles]; 12 / 4, in every round.
    assert rows[0][2:8] == [
        "torch 9.9", "1 x 128", "4.0 [3.7-4.3]", "250.0", "3.00 [3.00-3.00]", "3.00",
    ]  # fmt: skip
    assert rows[1][2:7] == [
        "openvino 9.9", "32 x 128", "100.0 [92.5-107.5]", "320.0", "2.00 [2.00-2.00]",
    ]  # fmt: skip
    assert "| 50.0 [" not in first
    assert "| 4.0 [" not in second
    assert "50.0 [46.2-53.8]*" in second
    assert "other work" in second
    assert "other work" not in first
    sizes = text.split("times on ")[0]
    assert "| good | 0.8 | 10.00 M (50 %) |" in sizes
    assert "300.00 M (25 %) at 128 | 4.00 MB (100 %) | 2 |" in sizes


def test_figure_has_a_panel_a_machine_and_lines_at_dense(
    measured: tuple[Path, Results, Store], tmp_path: Path
) -> None:
    _, results, store = measured
    found = measurements(results, store)
    figure = speedup_figure(results, found, "two")
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert len(axes) == 3
    assert len({axis.get_title() for axis in axes}) == 3
    dense = results.summary.set_index("arm").loc["dense", "mean"]
    lines = [line for line in axes[0].lines if line.get_label() in ("dense", "95 % of dense")]
    assert [float(line.get_ydata()[0]) for line in lines] == pytest.approx([dense, 0.95 * dense])
    assert all(line.get_linestyle() == "--" for line in lines)
    drawn = {c.get_label(): float(c.lines[0].get_xdata()[0]) for c in axes[0].containers}
    assert drawn == {"good": 3.0, "bad": 1.5}
    for name, make in makers(results, found).items():
        make(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_a_damaged_file_costs_itself_alone(
    measured: tuple[Path, Results, Store], tmp_path: Path
) -> None:
    suite, results, store = measured
    words: list[Any] = ["table", suite, "--results", store.root, "--measured"]
    run = CliRunner().invoke
    done = run(cli, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert "12.0" not in done.stdout.split("sizes")[0]
    content = json.loads(run(cli, [*map(str, words), "--json"]).stdout)["data"]
    assert len(content["sizes"]) == 4
    assert len(content["times"]) == 12
    entry = next(entry for entry in results.plan.entries if entry.arm == "good")
    path = store.folder(entry.cell.folder).path / "measured.json"
    path.write_text(path.read_text().replace("4.0", "0.4"))
    done = run(cli, list(map(str, words)))
    assert done.exit_code == 1
    assert f"left out: {path}" in done.stderr
    assert "| bad | 0.8 |" in done.stdout
    assert len(measurements(results, store).sizes) == 3


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, seeds="1")
    store = Store(tmp_path / "results")
    plan = finished(suite, store.root, skilled({"dense": 0.9, "good": 0.8}))
    results = Results.of(plan, store)
    found = measurements(results, store)
    assert "Nothing was measured yet" in markdown(results, found)
    assert makers(results, found) == {}


TABLE = LatencyTable(
    processor="a processor", threads=1, engine="torch", version="2", torch="2", batch=1, length=128,
    layers=2, rest_ms=1.0, heads=((0, 0.0), (12, 2.0)), neurons=((0, 0.0), (32, 2.5)),
    whole_ms=10.0, load=0.1,
)  # fmt: skip


@pytest.mark.parametrize(("processor", "shown"), [("a processor", True), ("another", False)])
def test_what_a_table_predicted_stands_beside_what_it_is_a_table_of(
    tmp_path: Path, processor: str, shown: bool
) -> None:
    table = TABLE.model_copy(update={"processor": processor})
    kept = {"sha256": table.sha256, "table": table.model_dump(mode="json")}
    (tmp_path / "t.json").write_text(json.dumps(kept))
    arms = "{structure: heads+neurons, target: {speedup: 2, table: t.json}}"
    suite = suite_file(
        tmp_path, seeds="1", arms=f"arms:\n  good: {{}}\n  fast: {arms}\n",
        more="recipe: {scope: encoder}",
    )  # fmt: skip
    store = Store(tmp_path / "results")
    plan = finished(suite, store.root, skilled({"dense": 0.9, "good": 0.8, "fast": 0.7}))
    for entry in plan.entries[1:]:
        folder = store.folder(entry.cell.folder).path
        times = {("torch", 1): (12.0, 4.0), ("torch", 32): (12.0, 4.0)}
        write_measured(folder, measured_of(entry.cell.id, "0" * 64, times))
        if entry.arm == "fast":
            record = json.loads((folder / "record.json").read_text())
            record["predicted"] = {"speedup": 2.25, "table_sha256": table.sha256}
            (folder / "record.json").write_text(json.dumps(record))
    text = markdown(results := Results.of(plan, store), measurements(results, store))
    assert ("| CPU | predicted | score |" in text) == shown
    assert ("\n- Predicted: " in text) == shown
    if shown:
        (one,) = [line for line in text.splitlines() if "| fast |" in line and "1 x 128" in line]
        (many,) = [line for line in text.splitlines() if "| fast |" in line and "32 x 128" in line]
        assert one.split(" | ")[-2] == "2.25"
        assert many.split(" | ")[-2] == "-"
