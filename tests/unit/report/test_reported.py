from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

import pytest

from smc_bench.errors import CorruptDataError
from smc_bench.report.published.names import METRICS, TASKS
from smc_bench.report.published.reported import read_reported, reported_folders
from smc_bench.tasks.specs import SPECS

SHIPPED = read_reported(*reported_folders())
HEADER = (
    "paper,table,model,task,metric,statistic,seed,seeds,sparsity,method,epochs,value,error,mark,"
    "source\n"
)
ROW = "oBERT 1,T1,BERT-base,SQuADv1.1,F1,score,,3,90,oBERT,30,88.31,,verbatim,example.org/readme\n"


def test_all_numbers_are_there_and_each_has_source_and_mark() -> None:
    assert len(SHIPPED.numbers) == 1175
    for number in SHIPPED.numbers:
        assert number.source
        assert number.mark in {"verbatim", "digitised", "second-hand"}
        assert (number.error is not None) or number.mark != "digitised"
    assert sum(number.mark == "digitised" for number in SHIPPED.numbers) == 44


def test_nothing_is_claimed_of_the_paper_whose_cells_are_unknown() -> None:
    assert not [n for n in SHIPPED.numbers if "2312.13547" in n.paper or "2210.06384" in n.paper]
    assert "no results cell" in SHIPPED.unknown["guidelines 2312.13547"]


def test_published_means_and_deviations_follow_from_the_published_runs() -> None:
    runs, summary = defaultdict(list), {}
    for n in SHIPPED.numbers:
        key = (n.task, n.metric, n.sparsity)
        if n.seed is not None:
            runs[key].append(n.value)
        elif n.table == "Table 1 (downstream)" and n.epochs == "30":
            summary[key, n.statistic] = n.value
    assert len(runs) == 16
    for key, values in runs.items():
        assert len(values) == 3
        assert statistics.mean(values) == pytest.approx(summary[key, "score"], abs=0.011)
        if (key, "sd") in summary:
            spread = {statistics.stdev(values), statistics.pstdev(values)}
            assert min(abs(s - summary[key, "sd"]) for s in spread) < 0.012


def test_names_map_to_tasks_and_metrics_that_exist() -> None:
    for name, _ in filter(None, TASKS.values()):
        assert name in SPECS
    known = {
        f"{m}{s.suffix}" for spec in SPECS.values() for m in spec.metrics for s in spec.eval_splits
    }
    assert {name for name in METRICS.values() if name} <= known
    for number in SHIPPED.numbers:
        metric, task = METRICS[number.metric], TASKS[number.task]
        # CoFi's README does not say which of MNLI's two sets its accuracy is of.
        if metric is None or task is None or number.paper.startswith("CoFi"):
            continue
        spec = SPECS[task[0]]
        assert metric in {f"{m}{s.suffix}" for m in spec.metrics for s in spec.eval_splits}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEADER + ROW.replace("verbatim", "digitised"), ":2: a digitised number needs the error"),
        (HEADER + ROW.replace("SQuADv1.1", "SQuAD1.1"), "did you mean 'SQuADv1.1'?"),
        (HEADER + ROW.replace("F1", "f2"), ":2: metric: unknown metric"),
        (HEADER + ROW.replace("88.31", "high"), ":2: value: "),
        (HEADER + ROW.replace("verbatim", "certain"), ":2: mark: "),
        (HEADER + ROW.replace("example.org/readme", ""), ":2: source: "),
        ("# why\n" + HEADER + ROW.replace(",90,", ",190,"), ":3: sparsity: "),
        (HEADER.replace("paper,", "papers,") + ROW, ":1: the columns must be paper,"),
        (HEADER + ROW + ROW.replace("88.31", "88.32"), ":3: the same cell of a table as "),
        (HEADER + ROW.replace("BERT-base", "Bert-base"), "did you mean 'BERT-base'?"),
        (HEADER + ROW.replace(",90,", ",0.9,"), ":2: sparsity: 0.9 looks like a share"),
        (HEADER + ROW.replace("88.31", "0.8831"), ":2: 0.8831 looks like a share"),
        (HEADER + ROW.replace("88.31", "108.31"), ":2: 108.31 is no F1: percent from 0 to 100"),
        (HEADER + ROW.replace("88.31", "nan"), ":2: value: "),
        (HEADER.strip() + ",speed\n" + ROW, ":1: the columns must be paper,"),
        (HEADER.strip() + ",speedup\n" + ROW.strip() + ",-2\n", ":2: speedup: "),
        (HEADER, "say why in a first line, # paper: reason"),
    ],
)
def test_a_wrong_file_is_one_clear_error(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(CorruptDataError) as caught:
        read_reported(tmp_path)
    assert expected in str(caught.value)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_units_of_metrics_that_are_no_share_of_rows(tmp_path: Path) -> None:
    rows = [
        ROW.replace("F1", "items per s").replace("88.31", "1892.27"),
        ROW.replace("SQuADv1.1,F1", "CoLA,mcc").replace("88.31", "-2.5"),
        ROW.replace(",90,", ",,").replace("T1", "T2"),
        ROW.replace("BERT-base", "prajjwal1/bert-tiny"),
    ]
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows))
    rate, correlation, unknown, tiny = read_reported(tmp_path).numbers
    assert (rate.value, correlation.value, unknown.sparsity) == (1892.27, -2.5, None)
    assert not abs(unknown.share - 0.9) < 1
    assert tiny.ours == "prajjwal1/bert-tiny"


def test_one_file_adds_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "reported"
    folder.mkdir()
    (folder / "mine.csv").write_text(HEADER + ROW)
    found = read_reported(*reported_folders(tmp_path))
    assert len(found.numbers) == 1176
    mine = next(n for n in found.numbers if n.paper == "oBERT 1")
    assert mine.answers("squad", "plain_text", "f1")
    assert not mine.answers("squad", "plain_text", "exact_match")


def test_a_copy_of_a_file_says_nothing_new_and_a_changed_one_contradicts(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "a.csv").write_text(HEADER + ROW)
    assert read_reported(one, two).numbers == read_reported(one).numbers
    (two / "a.csv").write_text(HEADER + ROW.replace("88.31", "88.32"))
    with pytest.raises(CorruptDataError, match="the same cell of a table as"):
        read_reported(one, two)
