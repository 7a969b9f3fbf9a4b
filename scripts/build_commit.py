"""Build hook: a wheel says which commit it was built from, as a checkout does by itself.

Records of a cell name the commit of the code that made it. An installed wheel has no git around it,
or somebody else's; so ``smc_bench/_built_from.json`` goes into it (and into a source archive, of
which a wheel is then made). A build outside of git says nothing.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "smc_bench/_built_from.json"


class CustomBuildHook(BuildHookInterface):
    """Called by hatchling for each wheel and source archive."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file; an editable install is a checkout, and a source archive has it."""
        commit = self._git("rev-parse", "HEAD")
        ours = self._git("ls-files", "--error-unmatch", "pyproject.toml") is not None
        if version == "editable" or commit is None or not ours:
            return
        dirty = bool(self._git("status", "--porcelain", "--untracked-files=no"))
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "built_from.json"
        path.write_text(json.dumps({"git_commit": commit, "git_dirty": dirty}) + "\n")
        build_data["force_include"][str(path)] = NAME

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _git(self, *words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *words], cwd=self.root, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()
