"""The report as one page for a browser: what goes into it, and its file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smc_bench.cli.common import Session

if TYPE_CHECKING:
    from smc_bench.report.data.results import Results
    from smc_bench.report.outputs import Make, Written


def write_page(
    session: Session, results: Results, folder: Path, written: Written, figures: Mapping[str, Make]
) -> None:
    """Write ``report.html``; what can't be made of its parts is noted, and costs only itself.

    Args:
        session: The invocation.
        results: The suite's finished cells.
        folder: Where the page goes.
        written: Takes note of the file and of what is missing.
        figures: What writes each static figure, by file name.
    """
    from smc_bench.report.html.page import FILE, page
    from smc_bench.report.outputs import text

    parts: dict[str, Any] = {}

    def take(name: str, make: Callable[[], Any]) -> None:
        parts[name] = make()

    makers: dict[str, Callable[[], Any]] = {
        "verdicts": lambda: _verdicts(session, results),
        "answers": lambda: _answers(session, results),
        "curves": lambda: _curves(session, results),
    }
    for name, part in makers.items():
        written.attempt(f"{name} in {FILE}", partial(take, name, part))
    images: dict[str, bytes] = {}
    for name, draw in figures.items():
        if name.endswith(".png"):
            written.attempt(f"{name} in {FILE}", partial(_image, images, name, draw))

    def make(path: Path) -> None:
        text(path, page(results, session.store, figures=images, **parts))

    written.files(folder, {FILE: make})


def _verdicts(session: Session, results: Results) -> Any:
    from smc_bench.report.claims.verdicts import judge
    from smc_bench.report.data.measured import measurements
    from smc_bench.suite.claims import claims_about

    return judge(claims_about(session.suite), results, lambda: measurements(results, session.store))


def _answers(session: Session, results: Results) -> Any:
    from smc_bench.report.published.against import against_reported

    return against_reported(results, *_published(session))


def _curves(session: Session, results: Results) -> Any:
    from smc_bench.report.data.curves import published_curves

    return published_curves(results.plan, *_published(session))


def _published(session: Session) -> tuple[Any, Any]:
    """Published numbers, and the settings that make a cell one of their methods."""
    from smc_bench.report.published.reported import read_reported, reported_folders
    from smc_bench.report.tables.methods import read_methods

    folders = reported_folders(session.store.root)
    return read_reported(*folders), read_methods(folders)


def _image(images: dict[str, bytes], name: str, draw: Make) -> None:
    """A figure's PNG with the fewest bytes that look alike: figures have few colours."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        draw(path)
        with Image.open(path) as image:
            few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        images[path.stem] = path.read_bytes()
