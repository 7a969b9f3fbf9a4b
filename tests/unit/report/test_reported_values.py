"""Shipped published numbers against values typed by hand, and against their first copy."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from smc_bench.report.published.reported import Number, read_reported, reported_folders

NUMBERS = read_reported(*reported_folders()).numbers

# The collection that most rows were first typed into; set the variable to compare with it.
COLLECTED = os.environ.get("SMC_BENCH_REPORTED_CSV", "")

# Rows of each publication: those of the collection, and those that were here before it.
ROWS = {
    "nn_pruning EMNLP 2021 2109.04838": 249,
    "oBERT 2203.07259": 162 + 158,
    "APT 2401.12200": 128,
    "GRAIN ACL 2023": 114,
    "SMP 2210.06210": 108,
    "IUNet rebuttal (rerun of SMC-Bench)": 31,
    "Intel Neural Compressor pruning examples": 17,
    "CoFi ACL 2022 2204.00408": 14,
    "Hub model card Intel/bert-base-uncased-sparse-1-2": 10,
    # 46 before; two dense values of the figure became those of the text, which gives four.
    "SMC-Bench 2303.02141": 8 + 46,
    "SparseProp ICML 2023": 7,
    "LLM-Pruner NeurIPS 2023": 6,
    "Hub model card madlag squadv1 x2.44": 2,
    "Hub model card madlag squadv1 x1.16": 2,
    "Hub model card madlag squadv1 x2.01": 2,
    "Hub model card madlag squadv1 x2.32": 2,
    "Hub model card madlag block-sparse 0.07": 2,
    "Hub model card vuiseng9 block-pruning-hybrid": 2,
    "Hub model card Intel 80% 1x4 block Prune OFA": 2,
    "Hub model card yujiepan SST-2 int8 unstructured 80": 2,
    "Movement Pruning 2005.07683": 56,
    "Prune OFA 2111.05754": 30,
    "RoBERTa / fairseq README": 8,
    "fairseq CommonsenseQA README": 1,
    "SparseML legacy GMP recipes": 6,
}

IUNET, OBERT, SMC = "IUNet rebuttal", "oBERT 2203.07259", "SMC-Bench 2303.02141"
# Paper, table, task, metric, sparsity, method, epochs, value; by hand.
TYPED: list[tuple[str, str, str, str, float | None, str, str | None, float]] = [
    (IUNET, "rebuttal", "CommonsenseQA", "acc", 0, "dense", None, 75.76),
    *(
        (IUNET, "rebuttal", "CommonsenseQA", "acc", sparsity, method, None, value)
        for method, values in {
            "OMP (Before)": [26.54, 58.89, 25.88, 19.57, 19.57],
            "SNIP": [18.67, 20.48, 18.84, 19.00, 19.16],
            "GraSP": [21.79, 19.25, 18.43, 17.77, 20.63],
            "OMP (After)": [76.09, 73.87, 30.14, 19.57, 19.57],
        }.items()
        for sparsity, value in zip([20, 36, 48.8, 59, 67.2], values, strict=True)
    ),
    (SMC, "text", "CommonsenseQA", "acc", 0, "dense", None, 77.3),
    (SMC, "text", "WinoGrande", "acc", 0, "dense", None, 76.3),
    (SMC, "text", "RACE-High", "acc", 0, "dense, H and M as in the text", "3", 86.6),
    (SMC, "text", "RACE-Middle", "acc", 0, "dense, H and M as in the text", "3", 82.0),
    (SMC, "Figure", "RACE-Middle", "acc", 0, "dense", "3 (text", 86.6),
    (SMC, "Figure", "RACE-High", "acc", 0, "dense", "3 (text", 82.0),
    (SMC, "Table 1", "HP-S2C2", "acc", 5, "OMP (After), modules pruned: QK", None, 93.62),
    (OBERT, "Table 12", "SQuADv1.1", "EM", 0, "dense", None, 81.22),
    (OBERT, "Table 13", "SQuADv1.1", "EM", 0, "dense", None, 81.42),
    (OBERT, "Table 1 (downstream)", "SQuADv1.1", "EM", 0, "dense (teacher)", None, 81.41),
    (OBERT, "Table 12", "SQuADv1.1", "EM", 90, "oBERT", "10", 80.76),
    (OBERT, "Table 12", "MNLI", "mm-acc", 97, "oBERT", "10", 80.67),
    (OBERT, "Table 12", "QQP", "F1", 80, "oBERT", "30", 88.63),
    (OBERT, "Table 1", "SQuADv1.1", "F1", 80, "LT-BERT", "30", 86.54),
    (OBERT, "Table 5", "CoLA", "mcc", 90, "oBERT, no KD", None, 48.47),
    (OBERT, "Table 7", "SQuADv1.1", "F1", 95, "oBERT", None, 90.29),
    (OBERT, "Table 8", "SQuADv1.1", "F1", None, "oBERT-MobileBERT", None, 90.32),
    (OBERT, "Table 3 / Table 14", "SQuADv1.1", "EM", 90, "oBERT 3 layers 4-block", "30", 71.36),
    ("SMP", "Table 1", "SQuADv1.1", "F1", 97, "SMP-S, no KD", None, 81.4),
    ("GRAIN", "Tables 1 and 7", "CoNLL-2003", "F1", 95, "GRAIN", None, 88.3),
    ("APT", "Table 7", "RTE", "score (GLUE)", 90, "MaP", None, 50.1),
    ("APT", "Table 2", "CNN/DM", "ROUGE-L", 60, "APT", None, 35.8),
    ("CoFi", "README", "RTE", "acc", 96.2, "CoFi (coarse+fine, distilled)", None, 66.1),
    ("SparseProp", "Table 4", "QQP", "acc", 97, "oBERT one-shot uniform + fine-tune", "5", 87.81),
    ("Intel Neural", "eager", "MRPC", "F1", 89.92, "snip-momentum 4x1", None, 89.85),
    ("LLM-Pruner", "README", "WinoGrande", "acc", None, "LLM-Pruner + Alpaca", None, 63.14),
    ("Hub model card madlag squadv1 x2.01", "card", "SQuADv1.1", "EM", 70, "hybrid, rewind-opt",
     None, 82.21),
    ("nn_pruning", "plot data", "SST-2", "acc", 0.54, "hybrid, no teacher", None, 92.78),
]  # fmt: skip


def test_rows_of_each_publication() -> None:
    assert Counter(number.paper for number in NUMBERS) == ROWS


@pytest.mark.parametrize("row", TYPED, ids=lambda row: f"{row[0]}, {row[5]} at {row[4]}")
def test_values_typed_by_hand(row: tuple[object, ...]) -> None:
    paper, table, task, metric, sparsity, method, epochs, value = row
    found = [
        number.value
        for number in NUMBERS
        if number.paper.startswith(str(paper))
        and number.table.startswith(str(table))
        and (number.task, number.metric, number.method) == (task, metric, method)
        and number.sparsity == sparsity
        and (number.epochs or "").startswith(str(epochs or ""))
        and number.seed is None
        and number.statistic == "score"
    ]
    assert found == [value]


def test_speed_and_size_stand_beside_their_value() -> None:
    dense, fast = (
        next(n for n in NUMBERS if n.table == "Table 17" and n.value == value)
        for value in (65.81, 1892.27)
    )
    assert (dense.metric, dense.speedup, dense.size) == ("items per s", 1.0, "384.7 MB gzip")
    assert (fast.speedup, fast.size) == (28.75, "20.3 MB gzip")
    # Throughput over that of the dense model is the speed-up beside it.
    assert fast.value / dense.value == pytest.approx(28.75, abs=0.01)


def test_a_score_of_one_class_is_what_equal_logits_give() -> None:
    # 239 of CommonsenseQA's 1221 development questions have the answer A.
    collapsed = [n.value for n in NUMBERS if n.paper.startswith(IUNET) and n.value == 19.57]
    assert len(collapsed) == 8
    assert round(100 * 239 / 1221, 2) == 19.57


@pytest.mark.skipif(not COLLECTED, reason="SMC_BENCH_REPORTED_CSV does not name the collection")
def test_every_row_of_the_collection_is_here_unchanged() -> None:
    with Path(COLLECTED).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    here = Counter(_told(vars(number)) for number in NUMBERS)
    wanted = Counter(_told(row) for row in rows)
    assert wanted.total() == 870
    assert not wanted - here


def _told(row: dict[str, object]) -> tuple[str, ...]:
    """All but the note, whose remarks on this project's files were left out; numbers as numbers."""
    found = []
    for name in Number.model_fields:
        value = row[name]
        text = "" if value is None else str(value)
        found.append(text if name in {"size", "epochs", "method"} else _plain(text))
    return tuple(
        text for name, text in zip(Number.model_fields, found, strict=True) if name != "note"
    )


def _plain(text: str) -> str:
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text
