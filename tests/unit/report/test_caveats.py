"""What footnotes say of collapsed models: only what was measured."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from smc_bench.report.data.results import Results
from smc_bench.report.tables import tables
from smc_bench.store.store import Store
from smc_bench.suite.expand import Plan
from tests.helpers.records import finished, skilled, suite_file

SKILL = {"dense": 0.9, "good": 0.8, "bad": 0.7}
HEAD = {"bert.pooler.dense.weight": 147_456, "classifier.weight": 768}


def plan_of(folder: Path, **changes: str) -> Plan:
    return finished(suite_file(folder, **changes), folder / "r", skilled(SKILL))


def change(folder: Path, plan: Plan, arm: str, **content: Any) -> None:
    """Write other values into the records of an arm; ``sparsity`` is that of the head."""
    for entry in plan.entries:
        if entry.arm != arm:
            continue
        path = Store(folder / "r").folder(entry.cell.folder).path / "record.json"
        record = json.loads(path.read_text())
        head = content.get("head")
        if head:
            record["sparsity"]["components"]["head"] = head
        record |= {key: value for key, value in content.items() if key != "head"}
        path.write_text(json.dumps(record))


def answer(folder: Path, plan: Plan, arm: str, said: list[int], correct: list[float]) -> None:
    """Let an arm give these answers."""
    score = {"accuracy": 100.0 * sum(correct) / len(correct)}
    change(folder, plan, arm, metrics=score)
    for entry in plan.entries:
        if entry.arm == arm:
            path = Store(folder / "r").folder(entry.cell.folder).path / "predictions.json.gz"
            rows = {"validation": {"predictions": said, "correct": correct}}
            path.write_bytes(gzip.compress(json.dumps(rows).encode()))


def text(folder: Path, plan: Plan) -> str:
    return tables.markdown(Results.of(plan, Store(folder / "r")))


def test_a_head_without_a_path_is_told_though_its_layers_have_weights(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    few = {"zeros": 148_187, "total": 148_224}
    change(tmp_path, plan, "bad", head=few, head_paths=[0, 294_912])
    assert "- bad at 0.8: 3 of 3 seeds: no path of non-zero weights leads through the head" in text(
        tmp_path, plan
    )
    change(tmp_path, plan, "bad", head_paths=[1, 294_912])
    assert "no path" not in text(tmp_path, plan)
    # Where no weight is left at all, the note on the head's weights has said so.
    change(tmp_path, plan, "bad", head=few | {"zeros": 148_224}, head_paths=[0, 294_912])
    assert "no path" not in text(tmp_path, plan)


def test_a_head_with_few_weights_left_is_counted_and_nothing_more_said(tmp_path: Path) -> None:
    """Four weights of 148,224 told the classes apart: 79.7 where constant answers score 50.9."""
    plan = plan_of(tmp_path)
    change(tmp_path, plan, "bad", head={"zeros": 148_220, "total": 148_224})
    found = text(tmp_path, plan)
    assert "- bad: of 148,224 weights of the head are left 4 at 0.8.\n" in found
    assert "can't depend" not in found


def test_only_a_head_without_any_weight_can_not_see_the_input(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    change(tmp_path, plan, "bad", head={"zeros": 148_224, "total": 148_224})
    assert (
        "- bad: of 148,224 weights of the head are left 0 at 0.8. With 0 the output can't depend "
        "on the input (biases are not pruned).\n"
    ) in text(tmp_path, plan)


def test_an_emptied_tensor_is_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    left = {name: (total, total) for name, total in HEAD.items()} | {"classifier.weight": (0, 768)}
    left["encoder.weight"] = (200, 1000)  # as the record counts by component
    head = {"zeros": 768, "total": sum(HEAD.values())}
    change(tmp_path, plan, "bad", weights_left=left, head=head)
    assert "- bad at 0.8: no weight is left of classifier.weight.\n" in text(tmp_path, plan)


def test_a_constant_model_is_named_with_the_answer_it_equals(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, tasks="commonsense_qa")
    answer(tmp_path, plan, "bad", [0] * 10, [1.0, 1.0] + [0.0] * 8)
    change(tmp_path, plan, "bad", trivial={"accuracy": 30.0})
    found = text(tmp_path, plan)
    assert (
        "- bad at 0.8: 3 of 3 seeds: one answer to every example; equals always answering the "
        "first choice (20.00), the best such answer scores 30.00.\n"
    ) in found
    assert (
        "- bad at 0.8: ± 0.00: models that answer everything alike have no spread over seeds"
    ) in found
    assert "- good at 0.8: 3 of 3" not in found


def test_a_constant_output_is_said_to_be_measured_where_it_was(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    answer(tmp_path, plan, "bad", [1] * 10, [1.0] * 5 + [0.0] * 5)
    check = {"rows": 10, "all_equal": True, "one_class": True}
    change(tmp_path, plan, "bad", outputs={"train": check, "validation": check})
    found = text(tmp_path, plan)
    assert (
        "the same output for all 10 evaluated inputs (measured); equals always answering class 1 "
        "(50.00)."
    ) in found


@pytest.mark.parametrize("dense", [50.0, 49.0])
def test_scores_that_ignoring_the_input_reaches_are_named(dense: float, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, seeds="1")
    answer(tmp_path, plan, "dense", [1, 0] * 50, [1.0] * int(dense) + [0.0] * (100 - int(dense)))
    answer(tmp_path, plan, "bad", [1, 0] * 5, [1.0] * 4 + [0.0] * 6)
    found = text(tmp_path, plan)
    assert (
        "- sst2: no better than the best answer that ignores the input (50.00): "
        f"dense ({dense:.2f}); bad at 0.8 (40.00). With such a dense model, recovery and "
        "differences to it say nothing.\n"
    ) in found


def test_a_sound_suite_has_no_doubts(tmp_path: Path) -> None:
    found = text(tmp_path, plan_of(tmp_path))
    for word in ("no better", "one answer", "are left", "± 0.00", "One seed"):
        assert word not in found
