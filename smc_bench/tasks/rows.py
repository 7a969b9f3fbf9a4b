"""What all tasks share: reading rows with errors that name row and column, tokenising, outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smc_bench.errors import CorruptDataError, DivergedError
from smc_bench.tasks.base import Feature, Outputs, Row
from smc_bench.tasks.specs import TaskSpec

# Bounds what the tokenizer holds at a time; MNLI has 392,702 rows.
_CHUNK = 2000
_SHOWN = 120  # characters of a value in a message
_INPUTS = ("input_ids", "token_type_ids")


def check_columns(spec: TaskSpec, index: int, row: Row) -> None:
    """Fail if a row lacks a column of the spec.

    Raises:
        CorruptDataError: Naming the row (from 0) and the column.
    """
    for column in spec.columns:
        if column not in row:
            raise CorruptDataError(f"{spec.name}: row {index} has no column {column!r}")


def bad_value(spec: TaskSpec, index: int, column: str, value: Any, wanted: str) -> CorruptDataError:
    """The error of a value that can't be used, such as the label of an unlabelled test row.

    ``column`` may go on with a path inside of it, such as ``choices.text[2]``.
    """
    name, rest = column, ""
    if column not in spec.columns:
        name = re.split(r"[.\[]", column, maxsplit=1)[0]
        rest = column.removeprefix(name)
    shown = ascii(value)  # as anything may stand here, also what no terminal can show
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return CorruptDataError(f"{spec.name}: row {index}, {name!r}{rest}: {shown} is not {wanted}")


def text_of(spec: TaskSpec, index: int, row: Row, column: str) -> str:
    """The text in a column.

    Raises:
        CorruptDataError: The column holds something else, such as None.
    """
    return text_at(spec, index, column, row[column])


def text_at(spec: TaskSpec, index: int, path: str, value: Any) -> str:
    """A value that must be a text, found at a path such as ``choices.text[2]``.

    Raises:
        CorruptDataError: It is something else, or holds half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise bad_value(spec, index, path, value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        wanted = (
            f"a text: character {error.start} is half of a surrogate pair, which has no UTF-8 "
            "(the file was cut inside a character, or written with errors=surrogate…)"
        )
        raise bad_value(spec, index, path, value, wanted) from None
    return value


def list_at(spec: TaskSpec, index: int, path: str, value: Any) -> list[Any]:
    """A value that must be a list.

    Raises:
        CorruptDataError: It is something else.
    """
    if not isinstance(value, list | tuple):
        raise bad_value(spec, index, path, value, "a list")
    return list(value)


def texts_at(spec: TaskSpec, index: int, path: str, value: Any) -> list[str]:
    """A value that must be a list of texts.

    Raises:
        CorruptDataError: It is something else; names the place in the list.
    """
    found = list_at(spec, index, path, value)
    return [text_at(spec, index, f"{path}[{i}]", item) for i, item in enumerate(found)]


def lists_of(spec: TaskSpec, index: int, row: Row, column: str, keys: Sequence[str]) -> list[Any]:
    """The equally long lists under some keys of a column.

    Raises:
        CorruptDataError: The column holds something else.
    """
    value = row[column]
    if not isinstance(value, Mapping) or any(key not in value for key in keys):
        raise bad_value(spec, index, column, value, f"a pair of lists, {' and '.join(keys)}")
    found = [list_at(spec, index, f"{column}.{key}", value[key]) for key in keys]
    if len({len(items) for items in found}) > 1:
        lengths = " and ".join(str(len(items)) for items in found)
        raise bad_value(
            spec, index, column, value, f"lists of one length ({' and '.join(keys)}: {lengths})"
        )
    return found


def is_integer(value: Any) -> bool:
    """Whether a value is an integer: neither a bool nor a float with an integer's value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def tokenized(
    tokenizer: Any, columns: Sequence[Sequence[str]], **options: Any
) -> Iterator[dict[str, list[int]]]:
    """Token ids (and token types, where the tokenizer makes them) of each text or pair of texts."""
    for at in range(0, len(columns[0]), _CHUNK):
        part = [list(column[at : at + _CHUNK]) for column in columns]
        encoded = tokenizer(*part, return_attention_mask=False, **options)
        keys = [key for key in _INPUTS if key in encoded]
        for i in range(len(part[0])):
            yield {key: encoded[key][i] for key in keys}


def shortened(text: str, tokenizer: Any, limit: int, *, keep_end: bool = False) -> str:
    """``text``, or its beginning (or end) that makes at most ``limit`` tokens."""
    # No tokenizer makes more tokens than there are bytes; so almost no text is tokenised here.
    while len(text.encode()) > limit:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = encoded["offset_mapping"]
        if len(spans) <= limit:
            break
        cut = text[spans[-limit][0] :] if keep_end else text[: spans[limit - 1][1]]
        # A cut can leave more tokens than it seemed; go on, and never stand still.
        text = cut if len(cut) < len(text) else text[1:] if keep_end else text[:-1]
    return text


def check_finite(spec: TaskSpec, example: int, heads: Sequence[NDArray[np.float32]]) -> None:
    """Fail on outputs that are infinite or not a number.

    Raises:
        DivergedError: Naming the row.
    """
    if not all(np.isfinite(head).all() for head in heads):
        raise DivergedError(f"{spec.name}: the model's outputs for row {example} are not finite")


def logits_of_rows(
    spec: TaskSpec, rows: Sequence[Row], features: Sequence[Feature], outputs: Outputs
) -> list[NDArray[np.float32]]:
    """The logits (labels,) of each row, for tasks that make one feature a row, in any order.

    Raises:
        DivergedError: Logits are not finite.
        ValueError: Rows and outputs don't belong together.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for feature, (logits,) in zip(features, outputs, strict=True):
        check_finite(spec, feature["example"], (logits,))
        found[feature["example"]] = logits
    if sorted(found) != list(range(len(rows))):
        raise ValueError(f"{spec.name}: outputs for {len(found)} of {len(rows)} rows")
    return [found[index] for index in range(len(rows))]
