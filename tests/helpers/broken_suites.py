"""Broken suites for fuzzing: shipped ones changed as text and as data, and nasty arguments."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "suites"
SUITES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "claims.yaml")
RECIPES = sorted((FOLDER / "recipes").glob("*.yaml"))

VALUES: tuple[str, ...] = (
    *("1e400", "-1e400", ".inf", "-.inf", ".nan", "NaN", "nan", "1e-400", "5e-324", "1e308"),
    *("null", "~", "", "[]", "{}", '""', "[[[[1]]]]", "{a: {b: {c: d}}}", "[1,1]", "[null]"),
    *("true", "yes", "on", "off", "[true]", "08", "010", "0x10", "0o7", "1_000", "10:30", "+5"),
    *("9" * 400, "9" * 5000, "-1", "0", "-0", "1.0", "2147483648", "9223372036854775808", "1e18"),
    *('"\\0"', '"\\e[2Jx"', '"\\ud800"', '"\\U0001F4A9"', '"a\\nb"', '"%s"' % ("x" * 5000), "é"),
    *("!!python/name:os.system", "!!binary aGVsbG8=", "!!set {a, b}", "2020-01-01", "!foo bar"),
    *("&z 1", "*z", "&r [*r]", "{<<: {a: 1}}", "{<<: [{a: 1}, {b: 2}]}", "{<<: 5}", "{1: 2}"),
    *("{null: 1}", "{true: 1}", "{[1, 2]: 3}", "{? {a: b} : c}", "{a: 1, a: 2}", "|\n  a\n"),
    *('"../../etc/passwd"', "/etc/passwd", '"a/b"', "smc", "guidelines", "dense", "teacher"),
    *(
        "-5ep",
        "0ep",
        "0it",
        "999999999999ep",
        "999999999it",
        "9" * 400 + "it",
        "1e3it",
        "0.00001ep",
    ),
    *("50%", "200%", "-1%", "10min", "0s", "9" * 400 + "GB", "99999999h", "2:4", "4:8", "1:1"),
    *("{kind: ramp}", "{kind: scaled}", "{kind: rounds, round: 1it}", "{kind: one_shot}"),
    *("{kind: [1]}", "{kind: null}", "{kind: 1}", "{same_steps_as: smc}", "{same_steps_as: [1]}"),
    *("{kind: ramp, start: 0it, end: 100%, every: 1it}", "{same_steps_as: guidelines}"),
    "{kind: rounds, round: 1it, removes: 1e-12}",
    str(list(range(3000))),
)
KEYS: tuple[str, ...] = (
    *("name", "title", "tasks", "model", "sparsity", "seeds", "baseline", "arms", "dense", "slurm"),
    *("compare_at", "profiles", "default_profile", "execution", "report", "recipe", "recipes"),
    *("scope", "scorer", "scorer_options", "threshold", "structure", "recomputations", "regrowth"),
    *("sparsity_schedule", "lr_schedule", "distillation", "train", "evaluation", "by_task", "take"),
    *("extends", "leave_one_out", "add_one_in", "against", "kind", "<<", "duration", "where"),
    *("overrides", "config", "train_split", "eval_splits", "max_length", "mem", "time", "initial"),
    *("teacher_seed", "start", "end", "every", "round", "removes", "paced_from", "cycle", "rows"),
    *("1", "null", "~", '"\\0"', "x" * 2000, "é", "linear", "ramp", '"a[b]"', "on"),
)
DATA: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 10**30, 1.5, 1e308, 5e-324, 1e-300),
    *("", "x", "\x00", "\x1b[31m", "../..", "/etc/passwd", "x" * 3000, "😀", "a\nb", "a/b", "2:4"),
    *([], {}, [[]], [None], {"a": 1}, {"a": {}}, ["encoder", "encoder"], [True], list(range(3000))),
    *({"kind": "ramp"}, {"kind": "rounds", "round": "1it"}, {"kind": "scaled"}, "scaled", "smc"),
    *("999999999999ep", "1it", "0it", "0ep", "100%", "teacher", float("inf"), float("nan")),
)
NUMBERS = ("0", "1", "2", "3", "7", "16", "0.1", "0.5", "0.9", "1e-3", "1000", "4294967295")
"""Some of which may well be right."""
SIGNS = "{}[]:,&*!|>'\"%@`#-? \n\t\x00\x07\x1b\ufeff\u2028é0e."
_VALUE = re.compile(r"(?<=: )[^,{}\[\]#\n]+")
_KEY = re.compile(r"[A-Za-z_]+(?=:)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def broken_text(random: Random, text: str) -> str:
    """One change to the text: a value, a key, a line, some signs, a number, its end."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    kind = random.randrange(10)
    if kind < 4:
        pattern, choice = ((_VALUE, VALUES), (_KEY, KEYS), (_NUMBER, VALUES), (_VALUE, VALUES))[
            kind
        ]
        found = list(pattern.finditer(text))
        if not found:
            return text
        part = random.choice(found)
        return text[: part.start()] + random.choice(choice) + text[part.end() :]
    if kind == 4:
        lines.insert(at, random.choice(lines))
    elif kind == 5:
        lines[at] = " " * random.randrange(6) + lines[at].lstrip()
    elif kind == 6:
        indent = len(lines[at]) - len(lines[at].lstrip())
        lines.insert(at, " " * indent + f"{random.choice(KEYS)}: {random.choice(VALUES)}")
    elif kind == 7:
        signs = list(text)
        for _ in range(random.randrange(1, 6)):
            signs[random.randrange(len(signs))] = random.choice(SIGNS)
        return "".join(signs)
    elif kind == 8:
        return text[: random.randrange(len(text))]
    else:
        n = random.choice([50, 400, 1500, 20000])
        deep = random.choice(["[" * n + "]" * n, "{a: " * n + "1" + "}" * n, "- " * n])
        lines.append(f"{random.choice(KEYS[:30])}: {deep}")
    return "\n".join(lines)


def broken_data(random: Random, text: str) -> str:
    """Up to three changes to what the text says, written anew."""
    try:
        data = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return broken_text(random, text)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        places = list(_places(data))
        if not places:
            break
        holder, key = random.choice(places)
        kind = random.random()
        if kind < 0.6:
            holder[key] = copy.deepcopy(random.choice(DATA))
        elif kind < 0.75:
            other, its = random.choice(places)
            holder[key] = copy.deepcopy(other[its])
        elif kind < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[random.choice([*KEYS, 1, None, True, 2.5])] = copy.deepcopy(holder[key])
    return str(yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if _is_list(value) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def broken_suite(random: Random, folder: Path) -> Path:
    """Write a broken suite into a folder, now and then with a broken recipe beside it."""
    path = folder / "suite.yaml"
    path.write_bytes(_broken(random, random.choice(SUITES)))
    beside = folder / "recipes"
    beside.mkdir(exist_ok=True)
    for old in beside.iterdir():
        old.unlink()
    if random.random() < 0.25:
        recipe = random.choice(RECIPES)
        (beside / recipe.name).write_bytes(_broken(random, recipe))
    return path


def _broken(random: Random, path: Path) -> bytes:
    text = path.read_text(encoding="utf-8")
    text = (broken_data if random.random() < 0.45 else broken_text)(random, text)
    if random.random() < 0.25 and text:
        text = broken_text(random, text)
    return text.encode("utf-8", "surrogatepass")


def broken_arguments(random: Random, ids: list[str]) -> list[str]:
    """Arguments of a verb that takes a suite, some of them as nobody should write them."""
    found: list[str] = []
    for _ in range(random.randrange(1, 4)):
        kind = random.randrange(4)
        value = random.choice([*VALUES, *map(json.dumps, DATA)])
        key = ".".join(random.choice([*KEYS, ""]) for _ in range(random.choice([1, 1, 2, 2, 3])))
        if kind < 2:
            found += ["--set", random.choice([f"{key}={value}", key, f"={value}", value])]
        elif kind == 2:
            found += ["--profile", random.choice(["laptop", "paper", key, value, "", "lapto"])]
        else:
            which = random.choice(["arm", "seed", "sparsity", "id", "task", "compare_at", key])
            found += ["--only", f"{which}={random.choice([value, *ids, '**', '', '50%', 'nan'])}"]
    return [text.replace("\x00", "") for text in found]
