"""The model card of an exported cell: metadata that the Hub reads, and what a reader must know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from smc_bench.engine.schedules.kinds import STORED
from smc_bench.report.escape import code, markdown
from smc_bench.sources.hub import is_commit
from smc_bench.sources.packages import row_of
from smc_bench.store.record import Record
from smc_bench.suite.cell import Cell
from smc_bench.tasks.base import HEADS
from smc_bench.tasks.directions import in_percent, in_words
from smc_bench.tasks.specs import SPECS, Family, TaskSpec

_PIPELINES: dict[Family, str] = {
    "classification": "text-classification",
    "regression": "text-classification",
    "multiple_choice": "multiple-choice",
    "span": "question-answering",
    "language_modelling": "text-generation",
    "generation": "text-generation",
}
_CLASSES: dict[Family, str] = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "multiple_choice": "AutoModelForMultipleChoice",
    "span": "AutoModelForQuestionAnswering",
    "language_modelling": "AutoModelForCausalLM",
    "generation": "AutoModelForCausalLM",
}
# What the Hub calls a metric (metric cards of evaluate), where we say it otherwise.
_HUB_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr"}


@dataclass(frozen=True)
class Shrinking:
    """What a card says of a shrunk model.

    Attributes:
        words: What was left out, and how it was checked.
        stock: Whether transformers itself can load the folder.
    """

    words: str
    stock: bool


def model_card(
    record: Record,
    teacher: Record | None = None,
    note: str | None = None,
    onnx: str | None = None,
    shrunk: Shrinking | None = None,
    *,
    flat_choices: bool = False,
) -> ModelCard:
    """A card made from records alone.

    Args:
        record: A finished cell. One that is not reportable gets a warning and no model-index.
        teacher: That of its teacher, where it has one that is still there.
        note: What the suite's profile says of its results.
        onnx: What was checked on ``model.onnx``, where there is one.
        shrunk: What was left out of the model, where it was shrunk.
        flat_choices: Whether choices are sequences of their own with one score each, as for
            decoders, which have no class for multiple choice.
    """
    cell = Cell.model_validate(record.cell, context={STORED: True})
    spec = SPECS[cell.task.name]
    parts = [_head(record, cell, spec, note), _results_table(record), _sparsity(record)]
    parts += [_recipe(record, cell, teacher), _use(spec, onnx, shrunk, flat_choices)]
    parts += [_provenance(record, cell, shrunk=shrunk is not None)]
    text = "\n".join(line for part in parts for line in part)
    return ModelCard(f"---\n{_metadata(record, cell, spec).to_yaml()}\n---\n\n{text}")


def title(cell: Cell) -> str:
    """What the model is called: the cell's slug and id."""
    return f"{cell.slug}-{cell.id}"


def _metadata(record: Record, cell: Cell, spec: TaskSpec) -> ModelCardData:
    results = list(_results(record, cell, spec)) if record.reportable else []
    tags = ["smc-bench", "dense" if cell.recipe.sparsity_schedule is None else "pruned"]
    return ModelCardData(
        model_name=title(cell) if results else None,
        eval_results=results or None,
        base_model=_base_model(cell),
        datasets=[spec.hub] if spec.hub else None,
        metrics=sorted({_HUB_METRICS.get(name, name) for name in spec.metrics}),
        library_name="transformers",
        pipeline_tag=_PIPELINES[spec.family],
        tags=[*tags, *([] if record.reportable else ["not-reportable"])],
    )


def _base_model(cell: Cell) -> str | None:
    """The pretrained model on the Hub; a local folder's path says nothing to others."""
    packaged = row_of(cell.model, cell.model_pin)
    if packaged:
        return packaged.hub
    return cell.model.partition("@")[0] if cell.model_pin.startswith("hub:") else None


def _results(record: Record, cell: Cell, spec: TaskSpec) -> Iterator[EvalResult]:
    for name, value in record.metrics.items():
        metric, split = _metric_and_split(name, cell, spec)
        pin = cell.data_pins.get(split, "")
        kind, _, revision = pin.partition(":")
        yield EvalResult(
            task_type=_PIPELINES[spec.family],
            dataset_type=spec.hub or spec.dataset,
            dataset_name=spec.name,
            dataset_config=cell.task.config,
            dataset_split=split,
            dataset_revision=revision if kind == "hub" and is_commit(revision) else None,
            dataset_args={"pin": pin, "rows": record.rows.get(split)},
            metric_type=_HUB_METRICS.get(metric, metric),
            metric_name=f"{name} (percent)" if in_percent(name) else name,
            metric_value=round(value, 4),
        )


def _metric_and_split(name: str, cell: Cell, spec: TaskSpec) -> tuple[str, str]:
    """Metric and evaluation split that a record's key such as ``accuracy_mm`` is of."""
    suffixes = {split.name: split.suffix for split in spec.eval_splits}
    for split in cell.task.eval_splits:
        alone = "" if len(cell.task.eval_splits) == 1 else f"_{split}"
        for metric in spec.metrics:
            if name == metric + suffixes.get(split, alone):
                return metric, split
    return name, cell.task.eval_splits[0]


def _head(record: Record, cell: Cell, spec: TaskSpec, note: str | None) -> Iterator[str]:
    yield f"# {title(cell)}\n"
    if not record.reportable:
        yield (
            f"> **Not a result.** Training was cut short after {cell.limit} steps (`--limit`): "
            "this model shows that the pipeline works and nothing else.\n"
        )
    task = markdown(f"{spec.name} ({spec.source})")
    yield f"{_what(cell)} of {_model(cell)} on {task}, made by smc-bench.\n"
    packaged = row_of(cell.model, cell.model_pin)
    if packaged and packaged.note:
        note_of_model = f"{code(cell.model)}: {markdown(packaged.note)}"
        yield f"**Not the published weights.** {note_of_model}.\n"
    yield from _partial(cell, spec, note)


def _results_table(record: Record) -> Iterator[str]:
    yield "## Results\n"
    percent = all(map(in_percent, record.metrics))
    unit = "percent" if percent else "score"
    yield f"| metric | {unit} | best answer that ignores the input |\n| :--- | ---: | ---: |"
    for name, value in record.metrics.items():
        trivial = record.trivial.get(name)
        called = markdown(name if percent else in_words(name))
        yield f"| {called} | {value:.2f} | {'-' if trivial is None else f'{trivial:.2f}'} |"
    rows = ", ".join(f"{count} of {split}" for split, count in record.rows.items())
    yield f"\nRows used: {markdown(rows)}. One seed: no spread over seeds is in these numbers.\n"


def _use(
    spec: TaskSpec, onnx: str | None, shrunk: Shrinking | None, flat_choices: bool
) -> Iterator[str]:
    name = _CLASSES["classification" if flat_choices else spec.family]
    other = "  # T5: AutoModelForSeq2SeqLM" if HEADS[spec.family] == "language_modelling" else ""
    yield "## Use\n"
    if shrunk is None or shrunk.stock:
        yield (
            f"```python\nfrom transformers import AutoTokenizer, {name}{other}\n\n"
            f'model = {name}.from_pretrained("FOLDER")\n'
            f'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```\n'
        )
    else:
        yield (
            "Layers have different shapes, which transformers' own `from_pretrained` refuses; "
            "smc-bench reads them:\n\n"
            "```python\nfrom pathlib import Path\n\nfrom smc_bench.models.load import load_model\n"
            "from transformers import AutoTokenizer\n\n"
            f'model = load_model(Path("FOLDER"), "{HEADS[spec.family]}", {spec.labels}, seed=0, '
            "finished=True).eval()\n"
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```\n'
        )
    if flat_choices:
        yield "It gives one score a sequence: a choice is a sequence, and the highest score wins.\n"
    if shrunk:
        yield (
            f"**Shrunk**: {shrunk.words}. The counts of zeros above are of the pruned model that "
            "it was made from; zeros that are left are stored as zeros.\n"
        )
    else:
        yield "Zeros are stored as zeros: file size and torch's speed are a dense model's.\n"
    if onnx:
        yield f"`model.onnx`: {onnx}.\n"


def _what(cell: Cell) -> str:
    if cell.recipe.sparsity_schedule is None:
        return "A dense fine-tuning"
    scope = ", ".join(cell.recipe.scope)
    method = f"{cell.recipe.method} with " if cell.recipe.method else ""
    how = f"{method}{cell.recipe.scorer}, scope {scope}, target {cell.sparsity:.4g}"
    return f"A pruned fine-tuning ({markdown(how)})"


def _model(cell: Cell) -> str:
    is_path = cell.model_pin.startswith("path:")
    return code(PurePath(cell.model).name if is_path else cell.model)


def _partial(cell: Cell, spec: TaskSpec, note: str | None) -> Iterator[str]:
    """In which ways the numbers are not those of the complete standard data."""
    found = [note] if note else []
    standard = tuple(split.name for split in spec.eval_splits)
    if (cell.task.train_split, cell.task.eval_splits) != (spec.train_split, standard):
        used = ", ".join((cell.task.train_split, *cell.task.eval_splits))
        found.append(f"Not the standard splits: {used}.")
    train, rows = cell.recipe.train.rows, cell.recipe.evaluation.rows
    if train is not None:
        found.append(f"Trained on at most {train} of the {spec.train_rows} training rows.")
    if rows is not None:
        found.append(f"Evaluated on at most {rows} rows of each split, the same for every seed.")
    if found:
        yield "**Partial data.** " + markdown(" ".join(found)) + "\n"


def _sparsity(record: Record) -> Iterator[str]:
    yield "## Sparsity, counted in the saved weights\n"
    yield "| weights | zeros | of | % |\n| :--- | ---: | ---: | ---: |"
    measured = record.sparsity
    named = {
        "scope (what the recipe may prune)": measured.scope,
        "encoder (its Linear weights)": measured.encoder,
        "whole model (all parameters)": measured.model,
    }
    named |= {f"component: {name}": count for name, count in measured.components.items()}
    for name, count in named.items():
        yield f"| {name} | {count.zeros:,} | {count.total:,} | {100 * count.share:.2f} |"
    yield ""


def _recipe(record: Record, cell: Cell, teacher: Record | None) -> Iterator[str]:
    recipe, kd, schedule = cell.recipe, cell.recipe.distillation, cell.recipe.sparsity_schedule
    yield "## Recipe\n"
    scores = teacher.metrics if teacher else {}
    distilled = f"hardness {kd.hardness:g}, temperature {kd.temperature:g}" if kd else "none"
    reached = "".join(f", {name} {value:.2f}" for name, value in scores.items())
    lines = {
        "Sparsity schedule": "none (dense)" if schedule is None else schedule.kind,
        "Pruning events": str(len(record.events)),
        "Learning rate": f"{recipe.lr_schedule.kind}, peak {recipe.lr_schedule.peak:g}",
        "Distillation": distilled,
        "Teacher": f"cell `{cell.teacher}`{reached}" if cell.teacher else "none",
        "Training": f"{record.total_steps} steps of batch {recipe.train.batch}, "
        f"{recipe.train.precision}, {cell.task.max_length} tokens at most",
        "Seed": str(cell.seed),
    }
    yield from (f"- {name}: {text}" for name, text in lines.items())
    content = recipe.model_dump(mode="json", exclude_none=True)
    yield "\n<details><summary>All settings</summary>\n\n```yaml"
    yield yaml.safe_dump(content, sort_keys=False).rstrip()
    yield "```\n\n</details>\n"


def _provenance(record: Record, cell: Cell, *, shrunk: bool) -> Iterator[str]:
    yield "## Provenance\n"
    origin: dict[str, Any] = record.provenance
    dirty = " with uncommitted changes" if origin.get("git_dirty") else ""
    packages = {name: v for name, v in (origin.get("packages") or {}).items() if v}
    pins = {**cell.data_pins, "model": cell.model_pin}
    weights = "SHA-256 of " + (
        "the pruned weights before shrinking" if shrunk else "model.safetensors"
    )
    lines = {
        "Cell": f"`{cell.id}`, finished {record.finished}",
        "Code": f"smc-bench at commit `{origin.get('git_commit') or 'unknown'}`{dirty}",
        "Packages": markdown(", ".join(f"{name} {found}" for name, found in packages.items())),
        "Device": f"{record.device} ({markdown(origin.get('processor') or 'processor unknown')}), "
        f"{record.threads} threads",
        "Pins": ", ".join(f"{markdown(name)} {code(pin)}" for name, pin in pins.items()),
        weights: f"`{record.weights_sha256}`",
    }
    yield from (f"- {name}: {text}" for name, text in lines.items())
