"""Lengths with units: ``30ep`` (epochs), ``3000it`` (steps), ``80%`` (of training), ``10min``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

# Nine digits are more than any training is long; without a bound 400 of them are an infinity.
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]+)?)"
_TRAINING = re.compile(rf"\s*{_NUMBER}\s*(ep|it|%)\s*")
_CLOCK = re.compile(rf"\s*{_NUMBER}\s*(s|min|h)\s*")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}

Unit = Literal["ep", "it", "%"]


def split_duration(text: str) -> tuple[float, str]:
    """Number and unit of a training duration, for example ``(30.0, "ep")``.

    Raises:
        ValueError: If ``text`` is not a number followed by ``ep``, ``it`` or ``%``.
    """
    match = _TRAINING.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a training duration: write epochs as 30ep, steps as 3000it, "
            "or a share of training as 80%, with at most nine digits"
        )
    return float(match[1]), match[2]


def to_steps(text: str, steps_per_epoch: int, total: int | None = None) -> int:
    """A training duration in whole optimizer steps, rounded to the nearest.

    Args:
        text: The duration, for example ``2ep``.
        steps_per_epoch: Optimizer steps of one epoch, at least 1.
        total: Steps of the whole training, needed for ``%``.

    Raises:
        ValueError: If a ``%`` has no total to be a part of.
    """
    number, unit = split_duration(text)
    if unit == "it":
        return round(number)
    if unit == "ep":
        return round(number * steps_per_epoch)
    if total is None:
        raise ValueError(
            f"{text!r} is a share of training, but the length of training follows from it"
        )
    return round(number / 100.0 * total)


def to_seconds(text: str) -> float:
    """A clock duration such as ``10min`` in seconds.

    Raises:
        ValueError: If ``text`` is not a number followed by ``s``, ``min`` or ``h``.
    """
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a clock time: write 90s, 10min or 4h")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds >= 1e9:
        raise ValueError(f"{text!r} is longer than 30 years")
    return seconds


def _must_have_unit(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write {value}ep (epochs) or {value}it (steps)")
    return value


def _canonical(text: str) -> str:
    number, unit = split_duration(text)
    return f"{_decimal(number)}{unit}"


def _canonical_clock(text: str) -> str:
    return f"{_decimal(to_seconds(text))}s"


def _decimal(number: float) -> str:
    """Twelve significant digits, never as 1e-05, which is read back as no duration."""
    text = f"{number:.12g}"
    return text if "e" not in text else f"{number:.15f}".rstrip("0").rstrip(".")


Duration = Annotated[
    str,
    BeforeValidator(_must_have_unit),
    AfterValidator(_canonical),
    WithJsonSchema({"type": "string", "title": "duration", "pattern": rf"^{_TRAINING.pattern}$"}),
]
"""A training duration, kept in one spelling (``30.0ep`` and ``30 ep`` become ``30ep``)."""

ClockTime = Annotated[
    str,
    AfterValidator(_canonical_clock),
    WithJsonSchema({"type": "string", "title": "clock time", "pattern": rf"^{_CLOCK.pattern}$"}),
]
"""A clock duration, kept in seconds (``10min`` becomes ``600s``)."""
