"""Which names are taken, as people write them, and which are refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smc_bench import names
from smc_bench.errors import SmcBenchError

GOOD = [
    "T = 5.5", "50 %", r"$\alpha$", "a^b", "ünïcode", "GMP (ours)", "+ embeddings", "w/o KD",
    "_hidden", "=1+1", "日本語", "✔️ ours", "50\u00a0%", "naïve", "नमस्ते", "x" * 200,
]  # fmt: skip
BAD = [
    "", " ", "\t", "\u00a0", "a\nb", "a\rb", "a\tb", "\x1b[31mred", "\x00", "\x7f", "\x85",
    "\u2028", "\u2029", "\ud800", "\u202eabc", "a\u2066b", "a\u200bb", "\ufeffa", "a\u00adb",
    "\u2800", "\u3164", "a\U000e0041", "\ue000", "\u0378", " a", "a ", "..", "../x", "x\\..\\y",
    "\u0301a", "x" * 201, "é" * 101,
]  # fmt: skip
GOOD_PATHS = ["paper", "my laptop", "ünïcode", "v2.1", "GMP (ours)", "a+b", "x" * 100]
BAD_PATHS = [
    *BAD, "a/b", "/abs", "a\\b", ".hidden", "-x", "a.", ".", "C:x", "a*b", "a?b", '"a"', "a|b",
    "a<b", "con", "NUL", "com1", "aux.txt", "x" * 101, "$x", "a`b", "~x",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_people_write_is_taken(name: str) -> None:
    assert names.label_problem(name) is None


@pytest.mark.parametrize("name", BAD)
def test_what_nobody_can_see_or_tell_apart_is_refused(name: str) -> None:
    problem = names.label_problem(name)
    assert problem is not None
    assert problem.isprintable()


@pytest.mark.parametrize("name", GOOD_PATHS)
def test_names_of_folders(name: str, tmp_path: Path) -> None:
    assert names.path_problem(name) is None
    names.below(tmp_path, name).mkdir()


@pytest.mark.parametrize("name", BAD_PATHS)
def test_no_name_leads_out_of_a_folder(name: str, tmp_path: Path) -> None:
    assert names.path_problem(name) is not None
    with pytest.raises(SmcBenchError):
        names.below(tmp_path, "a", name)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_refused_or_one_folder_below(text: str) -> None:
    root = Path("/results/reports")
    if names.path_problem(text) is not None:
        with pytest.raises(SmcBenchError) as refused:
            names.below(root, text)
        assert str(refused.value).isprintable()
        return
    path = names.below(root, text)
    assert path.parent == path.resolve().parent == root
    assert path.name == text


@pytest.mark.parametrize(
    "pair",
    [("a", "A"), ("é", "e\u0301"), ("a b", "a  b"), ("a b", "a\u00a0b"), ("straße", "STRASSE"),
     ("ﬁt", "fit"), ("✔", "✔\ufe0f"), ("Å", "\u212b")],
)  # fmt: skip
def test_twins_are_found(pair: tuple[str, str]) -> None:
    assert names.twins(["other", *pair]) == pair
    assert names.twins(["a", "b", "ab"]) is None


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_nothing_that_is_shown_commands_a_terminal(text: str) -> None:
    shown = names.visible(text)
    kinds = {unicodedata.category(c) for c in shown if c not in "\n\t"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode()  # no lone surrogates
    assert names.visible("ünï ±▁日本") == "ünï ±▁日本"
    assert names.visible("\x1b[2J\u202e") == r"\x1b[2J\u202e"
