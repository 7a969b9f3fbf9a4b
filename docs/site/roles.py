"""A Griffe extension: docstrings name their targets by Sphinx's roles, pages show them as code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|mod|data|meth|attr|exc):(?=`)")


class Roles(Extension):
    """Takes the roles away before a docstring is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for each object of a package once it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub("", obj.docstring.value)
