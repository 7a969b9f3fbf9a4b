from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml

from smc_bench.errors import SuiteError
from smc_bench.suite import yaml_tree
from smc_bench.suite.yaml_file import parse_value, read_yaml
from smc_bench.suite.yaml_tree import MAX_BYTES, MAX_VALUES, YamlProblem

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("suites/**/*.yaml"), *ROOT.glob("results/reported/*.yaml")])


@pytest.fixture(params=["with libyaml", "without"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = yaml.CSafeLoader if request.param == "with libyaml" else yaml.SafeLoader
    monkeypatch.setattr(yaml_tree, "_PARSER", loader)


# The words of YAML 1.2.2's core schema (section 10.3.2) and of its change from 1.1.
CORE = {
    "08": 8,
    "010": 10,
    "-07": -7,
    "+5": 5,
    "0o10": 8,
    "0x1F": 31,
    "1e-5": 1e-5,
    "1E5": 1e5,
    ".5": 0.5,
    "6.": 6.0,
    "-0.0": -0.0,
    "999999999999999999": 999999999999999999,
    "true": True,
    "FALSE": False,
    "null": None,
    "~": None,
    "": None,
    "10:30": "10:30",
    "190:20:30": "190:20:30",
    "on": "on",
    "off": "off",
    "yes": "yes",
    "No": "No",
    "1_000": "1_000",
    "0b11": "0b11",
    "2020-01-01": "2020-01-01",
    "=": "=",
    '"010"': "010",
    "'true'": "true",
    "[08, 010, on]": [8, 10, "on"],
}


@pytest.mark.parametrize("text", CORE)
def test_scalars_follow_yaml_1_2(text: str) -> None:
    found = parse_value(text)
    assert found == CORE[text]
    assert type(found) is type(CORE[text])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_say_what_another_loader_reads(path: Path) -> None:
    assert read_yaml(path).data == _numbers(yaml.safe_load(path.read_text()))


def _numbers(value: Any) -> Any:
    """PyYAML follows YAML 1.1, where 1e-5 is a word: the only difference in these files."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+e-?[0-9]+", value):
        return float(value)
    return value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_key_stands_on_its_line(path: Path) -> None:
    file, text = read_yaml(path), path.read_text().splitlines()
    named = {at: line for at, line in file.lines.items() if at and isinstance(at[-1], str)}
    assert named
    for at, line in named.items():
        assert re.search(rf"""["']?{re.escape(str(at[-1]))}["']?:""", text[line - 1])


MERGES = (
    "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}",
    "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b], w: 4}",
    "a: &a {x: {y: 1}}\nb: {x: {z: 2}, <<: *a}",
    "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}",
)


@pytest.mark.parametrize("text", MERGES)
def test_merge_keys_bring_what_pyyaml_brings(text: str, tmp_path: Path) -> None:
    path = tmp_path / "merge.yaml"
    path.write_text(text)
    found = read_yaml(path)
    assert found.data == yaml.safe_load(text)
    assert found.line((list(found.data)[-1], "x")) <= len(text.splitlines())


def test_what_an_alias_brings_is_not_shared(tmp_path: Path) -> None:
    path = tmp_path / "alias.yaml"
    path.write_text("a: &a {x: [1]}\nb: *a")
    data = read_yaml(path).data
    data["a"]["x"].append(2)
    assert data["b"] == {"x": [1]}


def laughs(levels: int, wide: int = 9) -> str:
    first = f"k0: &a0 [{', '.join(['x'] * wide)}]\n"
    return first + "".join(
        f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * wide)}]\n" for i in range(1, levels)
    )


BROKEN = {
    "laughs": (laughs(9), 1, "more than 20,000 values"),
    "merged laughs": ("a: &a {x: 1}\nb: {<<: [" + "*a, " * 21000 + "*a]}", 2, "20,000"),
    "deep by aliases": (
        "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{k: *a{i - 1}}}\n" for i in range(1, 60)),
        1,
        "more than 40 levels",
    ),
    "itself": ("a: 1\nb: &b {c: *b}", 2, r"b\.c: \*b stands inside"),
    "itself, merged": ("b: &b {<<: *b}", 1, r"b\.<<: \*b stands inside"),
    "list in itself": ("a: &n [*n]", 1, r"a\.0: \*n stands inside"),
    "no anchor": ("a: 1\nb: *c", 2, "b: nothing above is marked &c"),
    "levels": ("a: 1\nb: " + "[" * 2000 + "]" * 2000, 2, "more than 40 levels"),
    "levels of keys": ("a: 1\nb: " + "{a: " * 2000 + "1" + "}" * 2000, 2, "more than 40 levels"),
    "levels of lines": ("b:\n  " + "- " * 2000, 2, "more than 40 levels"),
    "digits": ("seeds: [1,\n " + "9" * 5000 + "]", 2, r"seeds\.1: .*5,000 digits"),
    "19 digits": ("rows: 1234567890123456789", 1, "rows: .* 19 digits"),
    "large": ("a: 1\npeak: 1e999", 2, "peak: the number 1e999 is too large"),
    "infinite": ("a: 1\npeak: -.inf", 2, "peak: -.inf is no finite number"),
    "not a number": ("a: 1\npeak: .NaN", 2, "peak: .NaN is no finite number"),
    "twice": ("a: 1\nb: {c: 1,\n c: 2}", 3, r"b\.c: stands twice"),
    "twice merged": ("b: {<<: {a: 1}, <<: {a: 1}}", 1, "stands twice"),
    "merge of a number": ("a: 1\nb: {<<: 5}", 2, "takes keys of a section"),
    "number as key": ("a: 1\n5: 2", 2, "the key 5 is no word: write it in quotes"),
    "null as key": ("a: {~: 1}", 1, "a: the key ~ is no word"),
    "empty key": ("a:\n  : 1", 2, "not valid YAML"),
    "truth as key": ("true: 1", 1, "the key true is no word"),
    "list as key": ("? [a]\n: 1", 1, "a key must be a word"),
    "long key": ("x" * 101 + ": 1", 1, "more than 100 characters"),
    "tag": ("a: 1\nb: !!python/object/apply:os.system [id]", 2, "b: tags such as .* are not read"),
    "tag of a key": ("!!str a: 1", 1, "a key must be a word"),
    "tab": ("a:\n\tb: 1", 2, "not valid YAML: found character"),
    "documents": ("a: 1\n---\nb: 1", 2, "a second document starts here"),
    "open": ("a: 1\nb: {c: 1", 2, "not valid YAML"),
    "NUL": ("a: 1\nb: x\0y", 2, r"the character U\+0000"),
    "escaped NUL": ('a: 1\nb: "x\\0"', 2, r"b: the character U\+0000"),
    "escape": ('a: 1\nb: "\\e[2J"', 2, r"b: the character U\+001B"),
    "surrogate": ('a: 1\nb: "\\ud800"', 2, r"Unicode character|U\+D800"),
    "empty": ("", 1, "the file must hold keys"),
    "comment": ("# nothing\n", 1, "the file must hold keys"),
    "list": ("- a", 1, "the file must hold keys"),
    "word": ("a", 1, "the file must hold keys"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_one_line_with_file_line_and_key(name: str, tmp_path: Path) -> None:
    text, line, message = BROKEN[name]
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    tracemalloc.start()
    with pytest.raises(SuiteError, match=message) as caught:
        read_yaml(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = re.match(rf"{re.escape(str(path))}:([0-9]+): ", str(caught.value))
    assert found is not None
    # libyaml marks what is open where it begins or where the text ends.
    assert int(found[1]) in ({line, line + 1} if name in ("open", "levels of lines") else {line})
    assert str(caught.value).isprintable()
    assert peak < 50e6


def test_a_bounded_file_is_read(tmp_path: Path) -> None:
    """The bounds leave room: 1,000 arms, 20 levels, an alias 100 times."""
    path = tmp_path / "large.yaml"
    arms = "".join(f"  arm {i}: {{train: {{rows: {i + 1}}}}}\n" for i in range(1000))
    deep = "{a: " * 20 + "1" + "}" * 20
    path.write_text(f"arms:\n{arms}deep: {deep}\na: &a [1, 2]\nb: [{', '.join(['*a'] * 100)}]\n")
    assert read_yaml(path).data == yaml.safe_load(path.read_text())


def test_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml(path).data == {"name": "x"}


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_bytes("name: x".encode("utf-16"))
    with pytest.raises(SuiteError, match=r"other.yaml:1: is not UTF-8 text \(byte 0\)"):
        read_yaml(path)
    path.write_bytes(b"name: x\ntitle: \xff\n")
    with pytest.raises(SuiteError, match=r"other.yaml:2: is not UTF-8 text \(byte 15\)"):
        read_yaml(path)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_text("a: 1\n" + "#" * MAX_BYTES)
    for path, message in (
        (tmp_path, "it is a folder"),
        (tmp_path / "pipe.yaml", "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path / "large.yaml", "is larger than 256 KiB"),
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("a\0b"), "null"),
    ):
        with pytest.raises(SuiteError, match=message) as caught:
            read_yaml(path)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["*a", "[1", "1\n--- 2", "\ud800", "9" * 5000, "[" * 2000, "@"])
def test_values_of_the_command_line_are_bounded_alike(text: str) -> None:
    with pytest.raises(YamlProblem):
        parse_value(text)
    with pytest.raises(YamlProblem, match="too long"):
        parse_value(" " * (MAX_BYTES + 1))


def test_values_are_counted() -> None:
    def listed(count: int) -> str:
        return f"[{', '.join(['1'] * count)}]"

    assert len(parse_value(listed(MAX_VALUES - 1))) == MAX_VALUES - 1
    with pytest.raises(YamlProblem, match="more than 20,000"):
        parse_value(listed(MAX_VALUES))
