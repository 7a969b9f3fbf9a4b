r"""Text of people's own, written so that each format shows it as it is.

Names, titles and notes are data: nothing in them is markup, a formula or a command. Escaped are

- LaTeX: every character that TeX reads as more than itself; Greek and common signs as their macros.
- Markdown (CommonMark with GitHub's tables, strikethrough and formulas): every sign that could open
  markup, with a backslash.
- HTML: Jinja2 escapes the five signs of markup; before it, what no reader can see is spelled out.
- CSV: a text that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV
  Injection"), and so does one that begins with an apostrophe: take one leading apostrophe away to
  have the text. Numbers are not touched.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from smc_bench.names import visible

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",  # \textquotedbl is not in every font encoding
    "`": r"\textasciigrave{}",
    # After the end of a row (\\) these would belong to it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\u00a0": "~",
    "\u202f": r"\,",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "·": r"$\cdot$",
    "°": r"$^{\circ}$",
    "²": r"$^{2}$",
    "³": r"$^{3}$",
    "−": r"$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "∈": r"$\in$",
    "∅": r"$\emptyset$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}

# Greek letters that have a macro of their own; others look like Latin ones.
_SMALL = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi"
_LATER = "pi rho varsigma sigma tau upsilon varphi chi psi omega"
_CAPITAL = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
_GREEK = {
    letter: rf"$\{name}$"
    for letters, names in (
        ("αβγδεζηθικλμνξ", _SMALL),
        ("πρςστυφχψω", _LATER),
        ("ΓΔΘΛΞΠΣΥΦΨΩ", _CAPITAL),
    )
    for letter, name in zip(letters, names.split(), strict=True)
}
_LATEX |= _GREEK | {"µ": r"$\mu$"}


def latex(text: str) -> str:
    """One line of text for LaTeX's text mode.

    Letters outside of ASCII stay: pdfLaTeX reads UTF-8 and sets Latin ones, LuaLaTeX all of a font.
    """
    composed = unicodedata.normalize("NFC", _one_line(text))
    written = "".join(_LATEX.get(character, character) for character in composed)
    # TeX makes one sign of two of these, and one space of two.
    for sign in "-',":
        written = written.replace(2 * sign, f"{sign}{{}}{sign}").replace(
            2 * sign, f"{sign}{{}}{sign}"
        )
    return written.replace("  ", " \\ ").replace("  ", " \\ ")


def latex_comment(text: str) -> str:
    """A line that TeX skips; nothing in it can end it."""
    # TeX reads ^^M as the end of a line even here; a space between takes it apart.
    return f"% {_one_line(text).replace('^^', '^ ^')}"


def markdown(text: str) -> str:
    """Text within a line, a heading or a cell of a table."""
    text = _one_line(text)
    return "".join(_markdown(text, at) for at in range(len(text)))


def markdown_line(text: str) -> str:
    """Text that begins a line or an item of a list, where more signs open markup."""
    text = _one_line(text)
    opener = re.match(r">|[-+=#](?=[\s#=-]|$)|\d{1,9}(?=[.)](?:\s|$))", text)
    if opener is None:
        return markdown(text)
    first, rest = text[: opener.end()], text[opener.end() :]
    if first.isdigit():
        return f"{first}\\{rest[0]}{markdown(rest[1:])}"
    return f"\\{first}{markdown(rest)}"


_MARKUP = frozenset("\\`*[]<|~$")


def _markdown(text: str, at: int) -> str:
    character = text[at]
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    special = character in _MARKUP
    if character == "_":  # within a word it opens nothing
        special = not (before.isalnum() and after.isalnum())
    elif character == "&":  # only an entity is more than itself
        special = re.match(r"&[#A-Za-z0-9]+;", text[at:]) is not None
    elif character == "#":  # signs at the end of a heading vanish
        special = not text[at:].strip("# ")
    elif character == "!":
        special = after == "["
    elif character == ">":
        special = False
    return f"\\{character}" if special else character


def code(text: str) -> str:
    """Text as code, in a line of Markdown that is not in a table."""
    text = _one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


_FORMULA = tuple("=+-@\t\r\n＝＋－＠'")


def csv_text(text: str) -> str:
    """Text of a cell of a CSV file; :func:`from_csv_text` gives it back."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_csv_text(text: str) -> str:
    """What :func:`csv_text` was given."""
    return text[1:] if text.startswith("'") else text


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV: texts by :func:`csv_text`, numbers as they are."""
    safe = table.map(lambda value: csv_text(value) if isinstance(value, str) else value)
    safe.columns = [csv_text(str(name)) for name in table.columns]
    return safe.to_csv(index=False, lineterminator="\n")


def page_text(value: Any) -> Any:
    """A value as a template shows it, before it is escaped: control characters spelled out.

    Markup stays as it is, so it has to be our own.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return visible(value, keep="\n\t")


def _one_line(text: str) -> str:
    r"""Without line breaks, and nothing that a terminal or a parser takes for a command."""
    shown = "".join(" " if c.isspace() and c not in _SPACES_KEPT else c for c in text)
    return visible(shown, keep="")


_SPACES_KEPT = " \u00a0\u202f"
