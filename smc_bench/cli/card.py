"""Which measured GPU an estimate goes by: the one named, else the one here."""

from __future__ import annotations

from pathlib import Path

from smc_bench.dispatch import gpus
from smc_bench.errors import StoreError
from smc_bench.store.cards import installed_torch, names, stored
from smc_bench.suite.card import Card


def measured_card(root: Path, named: str | None) -> tuple[Card | None, str | None]:
    """What ``doctor --gpu`` measured of a card, and a line that says why nothing is gone by.

    Args:
        root: Results folder.
        named: Name of a card, or None for the kind that is here. There is a line only where it
            is of use: a card is here and was not measured, or cards were and none is here.

    Raises:
        StoreError: If the card that was named was not measured, or its file is damaged.
    """
    name = named or gpus.card()
    known = names(root)
    if name is None:
        hint = "; ".join(f"--card '{one}'" for one in known)
        return (
            None,
            f"no GPU's rate is gone by; measured ones are taken by {hint}" if hint else None,
        )
    card = stored(root, name)
    if card is not None and (named is not None or card.torch == installed_torch()):
        return card, None
    if named is not None:
        listed = ", ".join(repr(one) for one in known) or "none"
        raise StoreError(f"--card {named!r} was not measured for these results; measured: {listed}")
    why = "not measured yet" if card is None else f"measured with torch {card.torch}, not this one"
    return None, f"{name} was {why}: smc-bench doctor --gpu measures it, for a better estimate"
