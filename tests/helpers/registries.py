"""Registries as they were, after a test that loads plug-ins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from smc_bench import plugins


@contextmanager
def untouched() -> Iterator[None]:
    kept = [dict(table) for table in plugins.REGISTRIES]
    try:
        yield
    finally:
        for table, old in zip(plugins.REGISTRIES, kept, strict=True):
            table.clear()
            table.update(old)
        for name in [n for n in sys.modules if n.startswith("smc_bench_plugin_")]:
            del sys.modules[name]
        plugins.load_entry_points.cache_clear()
