"""Reproduce, extend and check the claims of arXiv 2312.13547 on pruning language models.

From Python: :func:`open_results`, :func:`load_suite` and :func:`plan` (docs/api.md). They are
imported when first asked for, so that ``import smc_bench`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smc_bench.api import ResultsFolder, load_suite, open_results, plan
    from smc_bench.errors import SmcBenchError

__version__ = "0.1.0"

__all__ = ["ResultsFolder", "SmcBenchError", "__version__", "load_suite", "open_results", "plan"]

_FROM = {"SmcBenchError": "smc_bench.errors"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_FROM.get(name, "smc_bench.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
