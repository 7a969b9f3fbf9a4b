"""Neighbours of two recipes, one guideline swapped at a time: arms that nobody writes out.

    arms: {leave_one_out: guidelines, against: smc}
    arms: {add_one_in: guidelines, against: smc}

The first gives the arm ``guidelines`` and, for each of its guidelines, an arm with that one alone
replaced by what ``smc`` has (``guidelines - scope``); the second gives ``smc`` and, for each
guideline, an arm with that one alone added (``smc + scope``). Both may stand together, and beside
arms that are written out.
"""

from __future__ import annotations

from typing import Any

from smc_bench.suite.yaml_file import KeyPath, YamlFile

GUIDELINES: dict[str, tuple[KeyPath, ...]] = {
    "schedules": (("sparsity_schedule",), ("lr_schedule",), ("train", "duration")),
    "scope": (("scope",),),
    "distillation": (("distillation",),),
}
"""The settings that each guideline of arXiv 2312.13547 decides; all others stay the recipe's."""

LEAVE_ONE_OUT, ADD_ONE_IN, AGAINST = "leave_one_out", "add_one_in", "against"


def with_ablations(file: YamlFile) -> YamlFile:
    """The same suite with neighbours written out, in its arms and in those of its profiles.

    Raises:
        SuiteError: Naming file, line and key of what is wrong.
    """
    lines = dict(file.lines)
    data = {**file.data, **_expanded(file, file.data, (), lines)}
    profiles = data.get("profiles")
    if isinstance(profiles, dict):
        data["profiles"] = {
            name: {**profile, **_expanded(file, profile, ("profiles", name), lines)}
            if isinstance(profile, dict)
            else profile
            for name, profile in profiles.items()
        }
    return YamlFile(file.path, data, lines)


def _expanded(
    file: YamlFile, section: dict[str, Any], at: KeyPath, lines: dict[KeyPath, int]
) -> dict[str, Any]:
    """``{"arms": ...}`` where a section has arms to generate, else nothing."""
    arms, at = section.get("arms"), (*at, "arms")
    if not isinstance(arms, dict) or not {LEAVE_ONE_OUT, ADD_ONE_IN, AGAINST} & set(arms):
        return {}
    against = _recipe(file, arms, AGAINST, at)
    if not {LEAVE_ONE_OUT, ADD_ONE_IN} & set(arms):
        file.fail((*at, AGAINST), f"needs {LEAVE_ONE_OUT} or {ADD_ONE_IN} beside it")
    generated: dict[str, dict[str, Any]] = {}
    for key, sign in ((LEAVE_ONE_OUT, "-"), (ADD_ONE_IN, "+")):
        if key not in arms:
            continue
        recipe = _recipe(file, arms, key, at)
        base, donor = (recipe, against) if key == LEAVE_ONE_OUT else (against, recipe)
        found: dict[str, dict[str, Any]] = {base: {"recipe": base}}
        for guideline in GUIDELINES:
            found[f"{base} {sign} {guideline}"] = {"recipe": base, "take": {guideline: donor}}
        for name in found:
            lines[(*at, name)] = lines[(*at, key)]
        generated |= found
    written = {k: v for k, v in arms.items() if k not in (LEAVE_ONE_OUT, ADD_ONE_IN, AGAINST)}
    for name in written.keys() & generated.keys():
        lines[(*at, name)] = file.line((*at, name))
        file.fail((*at, name), "is also the name of a generated arm: rename it")
    return {"arms": generated | written}


def _recipe(file: YamlFile, arms: dict[str, Any], key: str, at: KeyPath) -> str:
    if key not in arms:
        file.fail(at, f"the key {key!r} is missing: the recipe that settings are swapped with")
    if not isinstance(arms[key], str):
        file.fail((*at, key), "must be the name of a recipe")
    return str(arms[key])
