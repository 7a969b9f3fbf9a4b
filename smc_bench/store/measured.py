"""What was measured of a cell's weights beside its record: sizes, MACs, latency by machine.

One file a cell, ``measured.json``, written whole. It names the weights that it is about and carries
a hash of its own content, so that a changed file, or one of weights that are there no more, is
never taken for a measurement of these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smc_bench.errors import DamagedError, StoreError
from smc_bench.store.files import content_sha256, read_json, write_json

MEASURED = "measured.json"
VERSION = 1

Count = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False, strict=True)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Size(_Kept):
    """What a model takes.

    Attributes:
        parameters: All of them.
        encoder_parameters: Those of the encoder, biases and LayerNorm included.
        encoder_macs: Multiply-adds of the encoder's matrix products for one sequence.
        length: Tokens of that sequence.
        gzip_bytes: The safetensors file, packed.
    """

    parameters: Count
    encoder_parameters: Count
    encoder_macs: Annotated[int, Field(ge=0, strict=True)]
    length: Count
    gzip_bytes: Count


class Machine(_Kept):
    """Where times were taken; times of two machines are never set side by side.

    Attributes:
        processor: Its name, as Linux has it.
        cores: How many it has.
        threads: How many an engine was given.
    """

    processor: str
    cores: Count
    threads: Count


class Speed(_Kept):
    """Times of one engine at one shape: one figure a round, dense and measured in turn.

    Attributes:
        machine: Where.
        engine: ``torch``, ``onnxruntime`` or ``openvino``.
        version: Of the engine.
        batch: Sequences.
        length: Tokens of each.
        shrunk: Whether removed units were left out, or run as zeros.
        dense_ms: Median wall-clock milliseconds of each round, of the same model with nothing
            removed.
        ms: The same of the cell's model.
        dense_cpu_ms: CPU time, summed over threads.
        cpu_ms: The same of the cell's model.
        load: Load average of the machine when it began; above ``threads`` others were at work.
        time: When, in UTC.
    """

    machine: Machine
    engine: Literal["torch", "onnxruntime", "openvino"]
    version: str
    batch: Count
    length: Count
    shrunk: bool
    dense_ms: Annotated[tuple[Positive, ...], Field(min_length=1)]
    ms: Annotated[tuple[Positive, ...], Field(min_length=1)]
    dense_cpu_ms: tuple[Annotated[float, Field(ge=0.0, strict=True)], ...]
    cpu_ms: tuple[Annotated[float, Field(ge=0.0, strict=True)], ...]
    load: Annotated[float, Field(ge=0.0)]
    time: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What a newer measurement takes the place of."""
        return self.machine, self.engine, self.version, self.batch, self.length, self.shrunk


class Measured(_Kept):
    """All that was measured of one cell.

    Attributes:
        version: Of this format.
        cell_id: The cell.
        weights_sha256: Of the weights that were measured, as in the cell's record.
        size: Of the model that was timed.
        dense: Of the same model with nothing removed.
        units: Heads and neurons removed, and all there were.
        speeds: By machine, engine and shape.
    """

    version: Literal[1] = 1
    cell_id: str
    weights_sha256: Digest
    size: Size
    dense: Size
    units: dict[Literal["heads", "neurons"], tuple[int, int]]
    speeds: tuple[Speed, ...] = ()

    def joined(self, older: Measured | None) -> Measured:
        """This one, with those times of an older one that it has not taken anew."""
        if older is None or older.weights_sha256 != self.weights_sha256:
            return self
        new = {speed.key for speed in self.speeds}
        kept = tuple(speed for speed in older.speeds if speed.key not in new)
        return self.model_copy(update={"speeds": (*kept, *self.speeds)})


def write_measured(folder: Path, measured: Measured) -> Path:
    """Write the file of a cell's folder, whole."""
    path = folder / MEASURED
    write_json(path, packed_measured(measured))
    return path


def packed_measured(measured: Measured) -> dict[str, Any]:
    """All that was measured of a cell as JSON, with a hash of its content."""
    content = measured.model_dump(mode="json")
    return {**content, "sha256": content_sha256(content)}


def read_measured(folder: Path, cell_id: str, weights_sha256: str) -> Measured | None:
    """What was measured of a cell, or None where nothing was.

    Args:
        folder: The cell's.
        cell_id: Its id.
        weights_sha256: Of its weights, by its record.

    Raises:
        DamagedError: The file was changed, or is about other weights; says what to do.
    """
    path = folder / MEASURED
    try:
        content = read_json(path)
    except StoreError as error:
        raise _damaged(path, str(error).removeprefix(f"{path}: ").split(";")[0]) from None
    if content is None and not path.exists():
        return None
    return checked_measured(content, path, cell_id, weights_sha256)


def checked_measured(content: Any, path: Path, cell_id: str, weights_sha256: str) -> Measured:
    """What was measured of a cell, as JSON that has its own hash.

    Args:
        content: As :func:`packed_measured` gives it.
        path: Where it is from, for people.
        cell_id: The cell's id.
        weights_sha256: Of its weights, by its record.

    Raises:
        DamagedError: It was changed, or is about other weights; says what to do.
    """
    if not isinstance(content, dict):
        raise _damaged(path, "is not an object")
    known = content.get("version")
    if isinstance(known, int) and known > VERSION:
        raise StoreError(f"{path}: written by a newer smc-bench (version {known}): update it")
    content = dict(content)
    stated = content.pop("sha256", None)
    if stated != content_sha256(content):
        raise _damaged(path, "was changed after it was written")
    try:
        found = Measured.model_validate_json(_text(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"{where}: {first['msg']}") from None
    if (found.cell_id, found.weights_sha256) != (cell_id, weights_sha256):
        raise _damaged(path, "is about other weights than the cell's record")
    return found


def _text(content: dict[str, Any]) -> str:
    import json

    return json.dumps(content)


def _damaged(path: Path, what: str) -> DamagedError:
    return DamagedError(
        f"{path}: {what}: it is not used; remove it and measure again (smc-bench measure)"
    )
