"""The site: builds strictly, without torch, and has every key that a file may hold."""

import html
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from smc_bench.cli.main import VERBS
from smc_bench.engine.recipe import Recipe, Training
from smc_bench.engine.schedules.settings import RampSchedule, ScaledSchedule
from smc_bench.store.record import Failure, Record
from smc_bench.suite.cell import Cell
from smc_bench.suite.claims import Claim
from smc_bench.suite.schema import Profile, Suite, TaskEntry
from smc_bench.suite.slurm_section import SuiteSlurm

ROOT = Path(__file__).parents[2]
TOOLS = ("zensical", "mkdocstrings_handlers.python")
NO_TORCH = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"the site needs no {name}")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def missing() -> list[str]:
    return [name for name in TOOLS if find_spec(name.partition(".")[0]) is None]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if missing():
        pytest.skip(f"{', '.join(missing())} is not here: pip install 'smc-bench[docs]'")
    target = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-c", NO_TORCH, str(ROOT / "docs/site/build.py"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / "site"


def words(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("reference/suites", Suite),
        ("reference/suites", Profile),
        ("reference/suites", TaskEntry),
        ("reference/suites", SuiteSlurm),
        ("reference/recipes", Recipe),
        ("reference/recipes", Training),
        ("reference/recipes", RampSchedule),
        ("reference/recipes", ScaledSchedule),
        ("record", Record),
        ("record", Cell),
        ("record", Failure),
        ("verdicts", Claim),
    ],
)
def test_every_key_has_a_row(site, page, model):
    text = (site / page / "index.html").read_text(encoding="utf-8")
    rows = set(re.findall(r"<td><code>([^<]+)</code></td>", text))
    assert set(model.model_fields) - rows == set()


def test_every_verb_has_a_section(site):
    text = (site / "reference/cli/index.html").read_text(encoding="utf-8")
    assert set(VERBS) - set(re.findall(r'<h2 id="([\w-]+)"', text)) == set()


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("engine", "smc_bench.engine.run.run_cell"),
        ("store", "smc_bench.store.store.Store"),
        ("suite", "smc_bench.suite.load.load_suite"),
        ("report", "smc_bench.report.data.frame.frame"),
    ],
)
def test_the_api_is_there(site, page, name):
    assert f'id="{name}"' in (site / "api" / page / "index.html").read_text(encoding="utf-8")


def test_no_page_shows_what_should_have_been_replaced(site):
    for page in site.rglob("*.html"):
        text = words(page)
        assert "<!-- keys" not in text, page
        assert not re.search(r":(class|func|mod|data|meth): ", text), page


def test_a_dead_link_is_an_error(tmp_path):
    """What the strict build refuses, shown on a site of one page."""
    if missing():
        pytest.skip(f"{', '.join(missing())} is not here: pip install 'smc-bench[docs]'")
    (tmp_path / "pages").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: x\ndocs_dir: pages\n")
    (tmp_path / "pages" / "index.md").write_text("# x\n\n[gone](gone.md)\n")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "mkdocs.yml"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode != 0
    (tmp_path / "pages" / "index.md").write_text("# x\n")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
