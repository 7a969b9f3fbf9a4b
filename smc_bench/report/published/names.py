"""What publications call tasks, metrics and models, and what these are called here."""

from __future__ import annotations

TASKS: dict[str, tuple[str, str | None] | None] = {
    "SQuADv1.1": ("squad", None),
    "MNLI": ("mnli", None),
    "QQP": ("qqp", None),
    "QNLI": ("qnli", None),
    "SST-2": ("sst2", None),
    "CoLA": ("cola", None),
    "MRPC": ("mrpc", None),
    "STS-B": ("stsb", None),
    "RTE": ("rte", None),
    "CommonsenseQA": ("commonsense_qa", None),
    "WinoGrande": ("winogrande", None),
    "RACE": ("race", "all"),
    "RACE-Middle": ("race", "middle"),
    "RACE-High": ("race", "high"),
    "SQuADv2": None,
    "CoNLL-2003": None,
    "CNN/DM": None,
    "WMT en-ro": None,
    "HP-S2C2": None,
    "ARC": None,
    "HellaSwag": None,
    "MMLU": None,
    "TruthfulQA": None,
    "7-task average": None,
}
"""Published task names: our task, and its configuration where it has several; None: not ours."""

METRICS: dict[str, str | None] = {
    "F1": "f1",
    "EM": "exact_match",
    "acc": "accuracy",
    "dev acc": "accuracy",
    "m-acc": "accuracy_m",
    "mm-acc": "accuracy_mm",
    "mcc": "matthews_correlation",
    "pearson": "pearson",
    "spearman": "spearman",
    "acc single model (leaderboard/test)": None,
    "acc ensemble (leaderboard/test)": None,
    "metric not stated (F1 presumed)": None,
    "score (GLUE)": None,
    "ROUGE-1": None,
    "ROUGE-2": None,
    "ROUGE-L": None,
    "BLEU": None,
    "items per s": None,
}
"""Published metric names: our metric, or None where it is none of ours (test split, not stated)."""

MODELS: dict[str, str | None] = {
    "BERT-base": "google-bert/bert-base-uncased",
    "RoBERTa-base": "FacebookAI/roberta-base",
    "RoBERTa-large": "FacebookAI/roberta-large",
    # Which of its releases is not said, or no suite can name it.
    "BERT-large": None,
    "BERT-mini": None,
    "BERT 12-layer": None,
    "BERT 6-layer": None,
    "BERT 3-layer": None,
    "DistilBERT": None,
    "MobileBERT": None,
    "T5-base": None,
    "Flan-T5-small": None,
    "LLaMA-7B": None,
    "LLaMA-2-7B": None,
    "ESM-1B": None,
}
"""Published model names: the model as suites name it, or None. ``owner/name`` stands for itself."""
