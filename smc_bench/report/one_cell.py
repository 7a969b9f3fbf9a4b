"""All that a results folder knows of one cell, as plain data and as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from smc_bench.errors import StoreError
from smc_bench.store.files import read_json
from smc_bench.store.packed import read_lines, thinned
from smc_bench.store.store import CellFolder
from smc_bench.tasks.directions import in_percent, lower_is_better

_WIDTH = 60


def known(folder: CellFolder) -> dict[str, Any]:
    """Plain data: ``record`` and ``cell`` as they are stored, null where they are not there.

    Keys: ``id``, ``folder``, ``state``, ``damage`` (why its record can't be believed, else empty),
    ``cell``, ``record``, ``failure``, ``attempts``, ``files`` (bytes by name), ``curve`` (at most
    120 steps of training).
    """
    damage = folder.damage()
    record = None if damage else _json(folder, "record.json")
    failure = folder.failure()
    attempts = sorted((folder.path / "attempts").glob("[0-9]*.json"))
    return {
        "id": folder.path.name.rpartition("-")[2],
        "folder": str(folder.path),
        "state": folder.state(),
        "damage": damage,
        "cell": record["cell"] if record else _json(folder, "cell.json"),
        "record": record,
        "failure": None if failure is None else failure.model_dump(),
        "attempts": [folder.lease(int(path.stem)) for path in attempts],
        "files": dict(_files(folder)),
        "curve": [_finite(point) for point in thinned(read_lines(folder.path / "train.jsonl"))],
    }


def text(cell: Mapping[str, Any]) -> str:
    """What :func:`known` gives, for people."""
    sections = [f"{cell['id']}  {cell['state']}", f"  {cell['folder']}"]
    if cell["record"]:
        sections += _measured(cell["record"])
    if cell["curve"]:
        sections += ["", "training", *_curve(cell["curve"])]
    if cell["cell"]:
        sections += ["", "settings", *_lines(cell["cell"])]
    if cell["record"]:
        sections += ["", "origin", *_origin(cell["record"])]
    sections += [
        "",
        "files",
        *(f"  {name}  {size:,} bytes" for name, size in cell["files"].items()),
    ]
    for number, attempt in enumerate(cell["attempts"], 1):
        told = " ".join(str(attempt.get(key, "-")) for key in ("started", "ended", "how"))
        sections.append(f"  attempt {number}: {told}")
    if cell["failure"]:
        failure = cell["failure"]
        sections += ["", f"failed: {failure['type']} at {failure['time']}: {failure['message']}"]
    return "\n".join(sections)


def _measured(record: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "scores")
    trivial = record["trivial"]
    for name, value in record["metrics"].items():
        beside = f"  (ignoring the input {trivial[name]:.2f})" if name in trivial else ""
        unit = " %" if in_percent(name) else ""
        lower = ", lower is better" if lower_is_better(name) else ""
        yield f"  {name}  {value:.4f}{unit}{lower}{beside}"
    if not record["reportable"]:
        yield "  cut short by --limit: never reported"
    for split, output in record.get("outputs", {}).items():
        if output["all_equal"]:
            yield f"  the output on {split} does not depend on the input ({output['rows']} rows)"
    yield from ("", "sparsity")
    sparsity = record["sparsity"]
    counts = {key: sparsity[key] for key in ("scope", "model")} | sparsity["components"]
    for name, count in counts.items():
        share = count["zeros"] / count["total"] if count["total"] else 0.0
        yield f"  {name:11s}{share:9.4%}  {count['zeros']:,} of {count['total']:,} are zero"
    left = record.get("weights_left", {})
    empty = [name for name, (kept, total) in left.items() if total and not kept]
    if empty:
        yield f"  no weight is left of {', '.join(empty)}"
    if record.get("head_paths"):
        yield "  {:,} of {:,} paths through the head are left".format(*record["head_paths"])
    for event in record["events"]:
        shares = "  ".join(f"{key} {value:.4g}" for key, value in event.items() if key != "step")
        yield f"  pruned at step {event['step']:g}: {shares}"


def _curve(points: list[dict[str, Any]]) -> Iterator[str]:
    for name in ("loss", "lr", "sparsity"):
        values = [point[name] for point in points if point.get(name) is not None]
        if values:
            first, last = f"{values[0]:.3g}", f"{values[-1]:.3g}"
            yield f"  {name:9s}{_bars(values)}  {first} to {last}, at most {max(values):.3g}"


def _bars(values: list[float]) -> str:
    every = max(1, -(-len(values) // _WIDTH))
    shown, top = values[::-1][::every][::-1], max(max(values), 0.0) or 1.0
    return "".join(" ▁▂▃▄▅▆▇█"[min(8, max(0, round(8 * value / top)))] for value in shown)


def _origin(record: Mapping[str, Any]) -> Iterable[str]:
    keys = ("device", "threads", "padding", "total_steps", "prefix_steps", "train_features")
    times = ("train_seconds", "started", "finished", "attempt", "weights_sha256")
    plain = {key: record[key] for key in (*keys, *times) if key in record}
    rows = {"rows": record["rows"], "execution": record.get("execution") or None}
    rows["memory"] = record.get("memory")
    return _lines({**plain, **rows, **record["provenance"]})


def _lines(content: Mapping[str, Any], before: str = "  ") -> Iterator[str]:
    """Settings by dotted key, those that are not set left out."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _lines(value, f"{before}{key}.")
        elif value not in (None, {}, []):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{before}{key}: {shown}"


def _files(folder: CellFolder) -> Iterator[tuple[str, int]]:
    for path in sorted(folder.path.rglob("*")):
        try:
            if path.is_file():
                yield str(path.relative_to(folder.path)), path.stat().st_size
        except OSError:  # of an attempt that has just replaced it
            continue


def _finite(point: Mapping[str, Any]) -> dict[str, float | None]:
    """A step of training; what is no number (a loss that diverged) is null, as JSON has it."""
    return {
        key: value if isinstance(value, int | float) and math.isfinite(value) else None
        for key, value in point.items()
    }


def _json(folder: CellFolder, name: str) -> dict[str, Any] | None:
    try:
        content = read_json(folder.path / name)
    except StoreError:
        return None
    return content if isinstance(content, dict) else None
