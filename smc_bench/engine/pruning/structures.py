"""Structures of sparsity: which weights are kept or pruned as one.

``block4``: four consecutive weights of a row (arXiv 2203.07259, 4-block); ``N:M``: of each M
consecutive weights of a row, N stay (arXiv 2104.08378); ``heads``, ``neurons``, ``layers`` and
``heads+neurons``: whole units of the blocks (:mod:`smc_bench.models.units`), so that the model can
become smaller. No torch here.
"""

from __future__ import annotations

import re
from typing import Literal

UnitKind = Literal["head", "neuron", "layer"]

UNSTRUCTURED, BLOCK4 = "unstructured", "block4"
_UNITS: dict[str, tuple[UnitKind, ...]] = {
    "heads": ("head",),
    "neurons": ("neuron",),
    "layers": ("layer",),
    "heads+neurons": ("head", "neuron"),
}
_PATTERN = re.compile(r"([1-9][0-9]?):([1-9][0-9]?)")


def checked(structure: str) -> str:
    """A structure's name.

    Raises:
        ValueError: If it is none.
    """
    named = {UNSTRUCTURED, BLOCK4, *_UNITS}
    if structure not in named and kept_of(structure) is None:
        raise ValueError(
            f"{structure!r} is no structure: write unstructured, block4, N:M as 2:4, "
            f"{', '.join(list(_UNITS)[:-1])} or {list(_UNITS)[-1]}"
        )
    return structure


def unit_kinds(structure: str) -> tuple[UnitKind, ...]:
    """Kinds of whole units that a structure removes; none for structures within a tensor."""
    return _UNITS.get(structure, ())


def unit_problem(structure: str, scope: tuple[str, ...], threshold: str) -> str | None:
    """Why units can't be removed so, in words; None where they can."""
    where = f"structure: {structure}"
    if scope != ("encoder",):
        return f"{where} removes units of the encoder's blocks: scope: encoder alone"
    if threshold == "per_row":
        return f"{where} has no rows: use threshold: global or per_layer"
    if threshold == "per_layer" and unit_kinds(structure) == ("layer",):
        return f"{where} has one unit in each layer: use threshold: global"
    return None


def within_tensors(structure: str) -> str:
    """What scorers of single weights see: units are single weights, whose saliencies add up."""
    return UNSTRUCTURED if unit_kinds(structure) else structure


def kept_of(structure: str) -> tuple[int, int] | None:
    """(N, M) of a pattern ``N:M``, or None for anything else."""
    match = _PATTERN.fullmatch(structure)
    if match is None or int(match[1]) >= int(match[2]):
        return None
    return int(match[1]), int(match[2])


def pattern_sparsity(structure: str) -> float | None:
    """1 - N/M of a pattern, or None."""
    pattern = kept_of(structure)
    return None if pattern is None else 1.0 - pattern[0] / pattern[1]


def group_size(structure: str) -> int:
    """Weights that go together: 4 for ``block4``, else 1."""
    return 4 if structure == BLOCK4 else 1


def row_multiple(structure: str) -> int:
    """What the length of every row must be a multiple of."""
    pattern = kept_of(structure)
    return group_size(structure) if pattern is None else pattern[1]
