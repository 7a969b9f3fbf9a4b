"""Structures of sparsity: which weights are kept or pruned as one.

``block4``: four consecutive weights of a row (arXiv 2203.07259, 4-block); ``N:M``: of each M
consecutive weights of a row, N stay (arXiv 2104.08378). No torch here.
"""

from __future__ import annotations

import re

UNSTRUCTURED, BLOCK4 = "unstructured", "block4"
_PATTERN = re.compile(r"([1-9][0-9]?):([1-9][0-9]?)")


def checked(structure: str) -> str:
    """A structure's name.

    Raises:
        ValueError: If it is none.
    """
    if structure not in {UNSTRUCTURED, BLOCK4} and kept_of(structure) is None:
        raise ValueError(f"{structure!r} is no structure: write unstructured, block4 or N:M as 2:4")
    return structure


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
