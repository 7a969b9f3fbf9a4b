"""Tables of ``inference.py``: times, gains over dense, and what pruned embeddings add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from inference_models import DENSE, VARIANTS, Variant, variants_of

BASELINE = "openvino-bf16"
# The same encoder with and without pruned embeddings.
PAIRS = tuple((v, Variant(v.encoder)) for v in VARIANTS if v.embeddings or v.again)


def as_markdown(results: dict[str, Any]) -> str:
    """All tables of one run."""
    lines = ["# What zeros are worth at inference", "", "Written by `benchmarks/inference.py`.", ""]
    lines += [f"- {key}: {value}" for key, value in results["setting"].items()]
    lines += [f"- skipped {engine}: {why}" for engine, why in results["skipped"].items()]
    lines += [
        "- Times are ms of a whole forward pass: median of the rounds [quartiles].",
        "- Ratios are medians over rounds of ratios inside a round [least to most]; above 1 is "
        "faster than what it is compared with.",
    ]
    for one in results["measured"]:
        lines += ["", f"## {one['model']}, {one['batch']} x {one['tokens']} tokens", ""]
        lines += [*_times(one), "", *_gains(one), "", *_embeddings(one), "", *_notes(one)]
    return "\n".join(lines) + "\n"


def ratio(slow: list[float], fast: list[float]) -> str:
    """Median and range of the rounds' own ratios."""
    found = np.asarray(slow) / np.asarray(fast)
    return f"{np.median(found):.2f} [{found.min():.2f}-{found.max():.2f}]"


def _table(first: str, engines: list[str], rows: dict[str, list[str]]) -> Iterator[str]:
    yield f"| {' | '.join([first, *engines])} |"
    yield "|" + "|".join([" :--- ", *[" ---: "] * len(engines)]) + "|"
    yield from (f"| {' | '.join([name, *cells])} |" for name, cells in rows.items())


def _times(one: dict[str, Any]) -> Iterator[str]:
    def shown(ms: list[float]) -> str:
        low, middle, high = np.percentile(ms, [25, 50, 75])
        return f"{middle:.1f} [{low:.1f}-{high:.1f}]"

    engines = one["engines"]
    rows = {
        v.name: [shown(e["ms"][v.name]) for e in engines.values()]
        for v in variants_of(one["model"])
    }
    yield from _table("ms", list(engines), rows)


def _gains(one: dict[str, Any]) -> Iterator[str]:
    engines = one["engines"]
    rows = {}
    variants = variants_of(one["model"])
    for variant in variants[1:]:
        rows[f"{variant.name} v the engine's own dense"] = [
            ratio(e["ms"][DENSE.name], e["ms"][variant.name]) for e in engines.values()
        ]
    if BASELINE in engines:
        strong = engines[BASELINE]["ms"][DENSE.name]
        for variant in variants:
            rows[f"{variant.name} v OpenVINO dense bf16"] = [
                ratio(strong, e["ms"][variant.name]) for e in engines.values()
            ]
    yield from _table("times as fast", list(engines), rows)


def _embeddings(one: dict[str, Any]) -> Iterator[str]:
    engines = one["engines"]
    rows = {
        f"{with_tables.name} v {without.name}": [
            ratio(e["ms"][without.name], e["ms"][with_tables.name]) for e in engines.values()
        ]
        for with_tables, without in PAIRS
        if with_tables in variants_of(one["model"])
    }
    yield from _table("what pruned embeddings add (dense again: noise)", list(engines), rows)


def _notes(one: dict[str, Any]) -> Iterator[str]:
    for name, engine in one["engines"].items():
        far = engine["largest difference from torch's logits"]
        yield (
            f"- {name} {engine['version']}: peak {engine['peak GiB']} GiB, all variants loaded; "
            f"logits at most {far:.1e} from torch's (largest logit {engine['largest logit']:.2g})"
        )
