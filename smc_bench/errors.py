"""Errors meant for people: what was wrong, where, and what to do about it."""

from __future__ import annotations

import errno
import re


class SmcBenchError(Exception):
    """Base of every error that ends in one clear line and no traceback."""


class SuiteError(SmcBenchError):
    """A suite or recipe file is wrong; the message, always one line, holds file, line and key."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class MissingDataError(SmcBenchError):
    """Rows or weights that were asked for are in none of the places looked at."""


class CorruptDataError(SmcBenchError):
    """A file's content is not what its pinned hash or its schema says."""


class DamagedError(CorruptDataError):
    """A file among the results is not what its record says; nothing is made from it."""


class StoreError(SmcBenchError):
    """The results folder can't be read or written."""


class FullDiskError(StoreError):
    """There is no room for what is to be written; what was finished before is there whole."""


class ModelError(SmcBenchError):
    """A model can't be used: unknown architecture, or a format that is not safetensors."""


class DivergedError(SmcBenchError):
    """The loss became infinite or not a number."""


class AuditError(SmcBenchError):
    """Measured sparsity of the saved weights is not what the schedule promised."""


class Interrupted(SmcBenchError):
    """The cell was asked to stop; its newest checkpoint is on disk."""


class RankLostError(SmcBenchError):
    """Another process that trains the same cell is gone; the cell's last checkpoint is on disk."""


class SlurmError(SmcBenchError):
    """SLURM can't be asked, or refused; the message holds its own words."""


def disk_is_full(error: OSError) -> bool:
    """Whether a file could not be written for want of room, on the disk or in a quota."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def said(error: OSError) -> str:
    """What the system says, and of which file: of a copy that found no room, the target."""
    name = error.filename
    if error.filename2 and disk_is_full(error):  # shutil names the source first
        name = error.filename2
    return f"{name}: {error.strerror or error}" if name else str(error.strerror or error)


def one_line(text: str, most: int = 1000) -> str:
    """Text as one line that a terminal can show: breaks as spaces, other controls escaped, cut."""
    words = " ".join(text.splitlines())
    # A word that nobody reads may not push out what is said of it.
    words = re.sub(r"\S{300,}", lambda word: f"{word[0][:150]}…{word[0][-60:]}", words)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return shortened(shown, most)


def shortened(text: str, most: int) -> str:
    """At most so many characters, with … where some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
