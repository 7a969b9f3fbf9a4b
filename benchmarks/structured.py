"""What removed heads and neurons are worth: shrunk models beside zeros alone, in three engines.

    python benchmarks/structured.py                           # pip install 'smc-bench[inference]'
    python benchmarks/structured.py --models minilm-l6 --rounds 3 --to /tmp/quick

Models have random weights in the shapes of MiniLM-L6 and BERT-base: speed asks for no others. Units
are removed unevenly over layers, and one layer loses all heads, until 0.5, 0.7 or 0.9 of the
encoder's weights are gone. Engine by engine all variants are loaded and take turns, in an order
drawn anew each round; a turn is one pass that does not count and ``--repeats`` that do, and its
median is the round's figure. Ratios are taken inside a round, of CPU time (one thread, so that
other processes disturb them little) and of wall clock. The dense model is loaded twice: how far its
copies are apart is the noise.

A model that was measured before is measured anew; what the results hold of others stays, each with
the load of the machine at its time.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from fisher_support import processor
from transformers import BertConfig, BertForSequenceClassification

from smc_bench.errors import SmcBenchError
from smc_bench.export.engines import ENGINES, prepare, version
from smc_bench.export.measure import OPSET, take_turns
from smc_bench.export.onnx import write_onnx
from smc_bench.export.shrink import shrink
from smc_bench.models.components import component_map
from smc_bench.models.units import units

HERE = Path(__file__).parent
SHAPES = {
    "minilm-l6": {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "bert-base": {},
}
SHARES = (0.5, 0.7, 0.9)


def dense_model(name: str) -> Any:
    """Random weights in a model's shape."""
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**SHAPES[name])).eval()


def remove(model: Any, share: float) -> float:
    """Zero units until ``share`` of the encoder's weights is gone; what it came to."""
    random = np.random.default_rng(0)
    parameters = dict(model.named_parameters())
    encoder = sum(parameters[n].numel() for n in component_map(model).in_scope(["encoder"]))
    layers = int(model.config.num_hidden_layers)
    drawn = []
    for unit in units(model):
        # Later layers lose more, and the one in the middle all of its heads.
        first = unit.kind == "head" and unit.layer == layers // 2
        luck = random.random() - 0.4 * unit.layer / (layers - 1)
        drawn.append((not first, luck, unit))
    gone = 0
    with torch.no_grad():
        for _, _, unit in sorted(drawn, key=lambda each: each[:2]):
            if gone + unit.size <= share * encoder:
                gone += unit.size
                for part in unit.members:
                    part.of(parameters[part.tensor]).zero_()
    return gone / encoder


def variants(name: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each variant's name, model, and what is known of it."""
    dense = dense_model(name)
    yield "dense", dense, about(dense, dense)
    yield "dense, again", copy.deepcopy(dense), about(dense, dense)
    for share in SHARES:
        zeroed = copy.deepcopy(dense)
        reached = {"removed": remove(zeroed, share)}
        if name != "bert-base" or share == SHARES[-1]:  # to save memory
            yield f"{share:g} removed, as zeros", zeroed, about(zeroed, zeroed) | reached
        small, what = shrink(zeroed)
        found = about(small, zeroed) | reached | {"units": str(what)}
        yield f"{share:g} removed, shrunk", small, found


def inputs_of(batch: int, tokens: int) -> dict[str, torch.Tensor]:
    """Full sequences of random ids."""
    random = np.random.default_rng(0)
    return {
        "input_ids": torch.from_numpy(random.integers(1000, 30000, (batch, tokens))),
        "attention_mask": torch.ones(batch, tokens, dtype=torch.long),
        "token_type_ids": torch.zeros(batch, tokens, dtype=torch.long),
    }


@torch.no_grad()
def about(model: Any, zeroed: Any) -> dict[str, Any]:
    """Parameters, and how far logits are from the zeroed model's, in float32 and float64."""
    inputs = inputs_of(2, 64)
    far = {}
    for dtype in (torch.float32, torch.float64):
        ours, theirs = (copy.deepcopy(m).to(dtype)(**inputs).logits for m in (model, zeroed))
        far[str(dtype).removeprefix("torch.")] = float((ours - theirs).abs().max())
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "logits differ from the zeroed model's by": far,
    }


def measure(asked: argparse.Namespace, name: str, engines: list[Any]) -> dict[str, Any]:
    """All variants of one model, engine by engine: those of all engines at once take 20 GiB."""
    inputs = inputs_of(asked.batch, asked.tokens)
    known: dict[str, Any] = {}
    logits: dict[str, Any] = {}
    models: dict[str, Any] = {}
    timed: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="structured-") as folder:
        for number, (called, model, found) in enumerate(variants(name)):
            with torch.inference_mode():
                logits[called] = model(**inputs).logits.numpy()
            path = Path(folder) / f"{number}.onnx"
            shape = (asked.batch, asked.tokens)
            if "torch" in engines:
                models[called] = copy.deepcopy(model)  # the exporter wants eager attention
            write_onnx(model, "sequence_classification", path, shape=shape, opset=OPSET)
            known[called] = found
            print(f"  {name}: {called}", file=sys.stderr, flush=True)
        for engine in engines:
            runs = {
                called: prepare(
                    engine, models.get(called), Path(folder) / f"{i}.onnx", inputs, asked.threads
                )
                for i, called in enumerate(known)
            }
            far = {c: float(np.abs(run() - logits[c]).max()) for c, run in runs.items()}
            taken = take_turns(runs, asked.rounds, asked.repeats)
            timed[engine] = {
                "version": version(engine),
                "largest difference from torch's logits": max(far.values()),
                "ms": {called: taken[called][0] for called in known},
                "cpu ms": {called: taken[called][1] for called in known},
            }
            models.clear()
            del runs
            print(f"  {name}: {engine} done", file=sys.stderr, flush=True)
    return {
        "model": name,
        "batch": asked.batch,
        "tokens": asked.tokens,
        "variants": known,
        "engines": timed,
    }


def as_markdown(results: dict[str, Any]) -> str:
    """The tables of one run."""
    lines = ["# What removed heads and neurons are worth", ""]
    lines += ["Written by `benchmarks/structured.py`. Random weights.", ""]
    lines += [
        "- times as fast as the engine's own dense model, in CPU time: median over rounds of "
        "ratios inside a round [quartiles]; after the comma the same in wall clock.",
        "- load averages above 1 mean that other processes had the cores too: read CPU time.",
    ]
    for one in results["measured"]:
        engines = one["engines"]
        lines += ["", f"## {one['model']}, {one['batch']} x {one['tokens']} tokens", ""]
        setting = {**one["setting"], "load average": _words(one["setting"]["load average"])}
        lines += [f"- {name}: {value}" for name, value in setting.items()]
        lines += [f"- skipped {engine}: {why}" for engine, why in one["skipped"].items()]
        lines += [""]
        named = [f"{engine} {content['version']}" for engine, content in engines.items()]
        lines += [f"| variant | parameters | {' | '.join(named)} |"]
        lines += ["| :--- | ---: |" + " ---: |" * len(engines)]
        for called, found in one["variants"].items():
            cells = [_cell(engine, called) for engine in engines.values()]
            millions = f"{found['parameters'] / 1e6:.2f} M"
            lines += [f"| {called} | {millions} | {' | '.join(cells)} |"]
        lines += [""]
        for called, found in one["variants"].items():
            if "units" in found:
                far = found["logits differ from the zeroed model's by"]
                lines += [
                    f"- {called}: {found['removed']:.4f} of the encoder's weights; "
                    f"{found['units']}; logits differ from the zeroed model's by "
                    f"{far['float32']:.1e} (float32), {far['float64']:.1e} (float64)."
                ]
        for engine, content in engines.items():
            far = content["largest difference from torch's logits"]
            dense = statistics.median(content["cpu ms"]["dense"])
            lines += [
                f"- {engine}: dense {dense:.1f} ms of CPU time; logits within {far:.1e} of torch's."
            ]
    return "\n".join(lines) + "\n"


def _words(content: dict[str, Any]) -> str:
    return ", ".join(f"{value} {name}" for name, value in content.items())


def _cell(engine: dict[str, Any], called: str) -> str:
    if called == "dense":
        return "1"
    cpu, wall = (ratios(engine[key]["dense"], engine[key][called]) for key in ("cpu ms", "ms"))
    low, middle, high = np.percentile(cpu, [25, 50, 75])
    return f"{middle:.2f} [{low:.2f}-{high:.2f}], {statistics.median(wall):.2f}"


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times as fast, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--to", type=Path, default=HERE / "results", help="folder for the results")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the results."""
    asked = parse()
    skipped: dict[str, str] = {}
    for engine in asked.engines:
        try:
            version(engine)
        except SmcBenchError as error:
            skipped[engine] = str(error)
    torch.set_num_threads(asked.threads)
    setting = {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "threads": asked.threads,
        "rounds": asked.rounds,
        "passes of a turn": asked.repeats,
    }
    path = asked.to / "structured.json"
    kept = json.loads(path.read_text("utf-8")) if path.is_file() else {"measured": []}
    asked.to.mkdir(parents=True, exist_ok=True)
    for name in asked.models:
        load = round(os.getloadavg()[0], 2)
        found = measure(asked, name, [e for e in asked.engines if e not in skipped])
        loads = {"at the start": load, "at the end": round(os.getloadavg()[0], 2)}
        one = {**found, "setting": {**setting, "load average": loads}, "skipped": skipped}
        kept["measured"] = [m for m in kept["measured"] if key(m) != key(one)] + [one]
        path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        path.with_suffix(".md").write_text(as_markdown(kept), "utf-8")
    print(as_markdown(kept))


def key(one: dict[str, Any]) -> tuple[Any, ...]:
    """What a newer measurement takes the place of."""
    return one["model"], one["batch"], one["tokens"]


if __name__ == "__main__":
    main()
