"""What is committed in results/reproduction is what the committed records give."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from PIL import Image

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "results" / "reproduction"


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        yield _loaded()


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("reports", ROOT / "scripts" / "reports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("made")
    script.write(script.RECORDS, target)
    return target


def files(root: Path, left_out: tuple[str, ...] = ()) -> set[str]:
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    return {str(path) for path in paths if path.parts[0] not in left_out}


def same(one: str, other: str) -> bool:
    """Equal, but for a number's last digits, which may differ between processors."""
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-9)
    except ValueError:
        return False


def test_the_files_are_those_that_the_records_give(script: Any, made: Path) -> None:
    assert files(made) == files(COMMITTED, script.KEPT), "run make reports"
    assert files(made), "no record has a result"


def test_their_texts_are_the_same(script: Any, made: Path) -> None:
    for name in sorted(files(made)):
        if name.endswith(".md"):
            assert (made / name).read_text() == (COMMITTED / name).read_text(), name
        elif name.endswith(".csv"):
            tables = [list(csv.reader((at / name).open())) for at in (made, COMMITTED)]
            for one, other in zip(*tables, strict=True):
                assert all(same(*pair) for pair in zip(one, other, strict=True)), (name, one, other)


def test_their_figures_are_the_same(script: Any, made: Path) -> None:
    figures = [name for name in sorted(files(made)) if name.endswith(".png")]
    for name in figures:
        drawn_by = Image.open(COMMITTED / name).info["Software"]
        if f"version{mpl.__version__}," not in drawn_by:
            pytest.skip(f"{name} was drawn by {drawn_by}, here is {mpl.__version__}")
        one, other = (plt.imread(at / name) for at in (made, COMMITTED))
        assert one.shape == other.shape, name
        assert (one == other).all(), name


def test_the_readme_shows_the_quickstart_as_its_records_have_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("`make quickstart`, accuracy in %:")[2].partition("One seed,")[0]
    table = (COMMITTED / "quickstart" / "laptop" / "table.md").read_text(encoding="utf-8")
    assert numbers(shown) == numbers(table.partition("accuracy in %:")[2].partition("\n- ")[0])
    assert len(numbers(shown)) == 6
    assert "](results/reproduction/quickstart/laptop/plot.png)" in shown


def test_findings_are_filled_from_the_overview(script: Any) -> None:
    overview = (COMMITTED / script.findings.OVERVIEW).read_text(encoding="utf-8")
    page = script.FINDINGS.read_text(encoding="utf-8")
    assert script.findings.filled(page, overview, script.FROM_DOCS) == page, "run make reports"
    for name in ("run", "claims", "mechanism"):
        assert f"<!-- from overview: {name} -->\n\n" in page


def numbers(text: str) -> list[str]:
    """Scores, in the order in which they stand there."""
    return re.findall(r"\d+\.\d\d", text)


def test_records_are_small(script: Any) -> None:
    assert all(path.stat().st_size < 100_000 for path in script.RECORDS.rglob("*.gz"))
