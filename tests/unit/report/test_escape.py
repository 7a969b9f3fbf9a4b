"""Any text comes back from each format as it was: read by a parser that is not ours."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from smc_bench.names import label_problem
from smc_bench.report import escape
from smc_bench.report.figures import looks

NAMES = [
    "T = 5.5", "50 %", r"$\alpha$", "a^b", "ünïcode", "GMP (ours)", "x^2", "+ embeddings",
    "^^5cinput^^7b/etc/passwd^^7d", '=HYPERLINK("http://x/"&A1,"ok")', "_hidden", "__init__",
    "a | b", "a\\|b", "\\", "\\\\", "`code`", "**bold**", "<b>", "a < b > c", "&amp;", "&#35;",
    "![x](http://evil/x.png)", "[a](b)", "~~x~~", "# 1", "1. x", "- x", "x #", "'quoted", "''",
    r"T $\textbf{5.5}$", "[p]", "*", "--", "---", "!`?`", "{}", "a_1 & b", "α ≥ β", "2 × 3 ± 1",
    "日本語", "a  b", "$", "$$x$$", "#", ">", "> q", "===", "+", "-1", "@me", "\u00a0".join("ab"),
]  # fmt: skip

signs = st.sampled_from(list("\\{}$&#%_^~<>|\"'`*[]()!-+=@:;,.?/ 01aZ"))
names = st.one_of(
    st.sampled_from(NAMES),
    st.text(signs, min_size=1, max_size=12),
    st.text(min_size=1, max_size=12),
).filter(lambda text: label_problem(text) is None)
many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def inline_text(token: object) -> str:
    """The text of an inline token; any markup in it is a failure."""
    found = ""
    for child in token.children:  # type: ignore[attr-defined]
        assert child.type in ("text", "text_special"), child
        found += child.content
    return found


@many
@given(names, names)
def test_markdown_has_the_name_in_its_cell(name: str, other: str) -> None:
    table = pd.DataFrame([[escape.markdown(other), "1.00"]], columns=["x", "y"])
    table.index = pd.Index([escape.markdown(name)], name="arm")
    tokens = MARKDOWN.parse(table.to_markdown(disable_numparse=True))
    inline = [inline_text(token) for token in tokens if token.type == "inline"]
    assert inline == ["arm", "x", "y", name.strip(), other.strip(), "1.00"]


@many
@given(names)
def test_markdown_has_the_name_in_headings_and_items(name: str) -> None:
    for before, kind, text in (
        ("# ", "heading_open", escape.markdown(name)),
        ("- ", "bullet_list_open", escape.markdown_line(name)),
        ("", "paragraph_open", escape.markdown_line(name)),
    ):
        tokens = MARKDOWN.parse(before + text)
        assert tokens[0].type == kind
        (inline,) = [token for token in tokens if token.type == "inline"]
        assert inline_text(inline) == name
        blocks = {t.type for t in tokens if t.type.endswith("_open")}
        assert blocks <= {kind, "paragraph_open", "list_item_open"}


@many
@given(names)
def test_markdown_has_the_name_as_code(name: str) -> None:
    (_, inline, _) = MARKDOWN.parse(f"Suite {escape.code(name)}, more")
    (code,) = [child for child in inline.children or [] if child.type == "code_inline"]
    assert code.content == name


@many
@given(st.lists(names, min_size=1, max_size=4))
def test_csv_has_the_names_and_nothing_that_a_spreadsheet_runs(found: list[str]) -> None:
    numbers = [-1.5 * k for k in range(len(found))]
    text = escape.to_csv(pd.DataFrame({"arm": found, "value": numbers}))
    back = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype={"arm": str})
    assert [escape.from_csv_text(cell) for cell in back["arm"]] == found
    assert list(back["value"]) == numbers  # a negative number is one, not a text
    assert not [cell for cell in back["arm"] if cell.startswith(tuple("=+-@\t\r＝＋－＠"))]


LATEX = {
    r"\textbackslash{}": "\\", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"{\char34}": '"',
    r"\textasciigrave{}": "`", r"\ ": " ", r"\,": "\u202f", "{[}": "[", "{]}": "]", "{*}": "*",
    "{}": "", "~": "\u00a0", r"\textendash{}": "–", r"\textemdash{}": "—", r"\ldots{}": "…",
    r"\textquoteleft{}": "‘", r"\textquoteright{}": "’", r"\textquotedblleft{}": "“",
    r"\textquotedblright{}": "”",
} | {f"\\{sign}": sign for sign in "&%$#_{}"}  # fmt: skip
PLAIN = re.compile(r"[^\\{}$&#%_^~<>|\"`\[\]*]")


def read_latex(text: str) -> str:
    """Text mode as TeX reads it; anything but known macros and plain letters is a failure."""
    found = ""
    while text:
        macro = next((m for m in sorted(LATEX, key=len)[::-1] if text.startswith(m)), None)
        if macro is not None:
            found, text = found + LATEX[macro], text[len(macro) :]
            continue
        formula = re.match(r"\$[^$]+\$", text)
        if formula:  # one sign of our own table
            found += next(k for k, v in escape._LATEX.items() if v == formula[0])
            text = text[formula.end() :]
            continue
        assert PLAIN.fullmatch(text[0]), text
        assert text[:2] not in ("--", "''", ",,", "  "), text  # TeX makes one sign of two
        found, text = found + text[0], text[1:]
    return found


@many
@given(names)
def test_latex_has_the_name(name: str) -> None:
    import unicodedata

    written = escape.latex(name)
    found = read_latex(written).replace("µ", "μ")
    assert found == unicodedata.normalize("NFC", name).replace("µ", "μ")
    assert "^^" not in written  # TeX reads ^^5c as a backslash before anything else
    assert "\n" not in escape.latex_comment(f"{name}\nx")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(tmp_path: Path) -> None:
    latin = [name for name in NAMES if all(ord(c) < 256 or c in escape._LATEX for c in name)]
    rows = "\n".join(
        rf"{escape.latex(name)} & \textbf{{{escape.latex(name)}}} \\" for name in latin
    )
    body = f"\\begin{{tabular}}{{ll}}\n{rows}\n\\end{{tabular}}\n"
    head = "\\documentclass{article}\n\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{head}{body}\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_figures_show_the_names_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, found: list[str]
) -> None:
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    kept: list[Figure] = []

    def draw() -> Figure:
        figure, axis = plt.subplots()
        for name in found:
            axis.errorbar([0, 1], [0, 1], yerr=[[0.1, 0.1], [0.1, 0.1]], label=looks.label(name))
        axis.set_title(found[0])
        looks.legend(figure, [axis])
        kept.append(figure)
        return figure

    path = tmp_path_factory.mktemp("figure") / "plot.pdf"
    with mpl.rc_context({"text.usetex": False, "text.parse_math": True}):
        looks.saving(draw)(path)
    assert path.read_bytes().startswith(b"%PDF")
    texts = kept[0].legends[0].get_texts()
    assert [text.get_text() for text in texts] == found
    for text in [*texts, kept[0].axes[0].title]:
        assert not text.get_parse_math()
    assert kept[0].axes[0].title.get_text() == found[0]


def test_an_arm_and_a_line_of_one_name_are_both_in_the_legend() -> None:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots()
    axis.errorbar([0], [0], yerr=[1], label="dense-like")
    axis.axhline(0.5, label="dense-like")
    looks.legend(figure, [axis])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense-like"] * 2
    plt.close(figure)


def test_markdown_stays_readable() -> None:
    for text in ("commonsense_qa", "T=5.5 h=1.0", "guidelines - scope", "+ head", "50 %", "R&D"):
        assert escape.markdown(text) == text
