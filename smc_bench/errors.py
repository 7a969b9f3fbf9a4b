"""Errors meant for people: what was wrong, where, and what to do about it."""

from __future__ import annotations


class SmcBenchError(Exception):
    """Base of every error that ends in one clear line and no traceback."""


class SuiteError(SmcBenchError):
    """A suite or recipe file is wrong; the message holds file, line and key."""


class MissingDataError(SmcBenchError):
    """Rows or weights that were asked for are in none of the places looked at."""


class CorruptDataError(SmcBenchError):
    """A file's content is not what its pinned hash or its schema says."""


class DamagedError(CorruptDataError):
    """A file among the results is not what its record says; nothing is made from it."""


class StoreError(SmcBenchError):
    """The results folder can't be read or written."""


class ModelError(SmcBenchError):
    """A model can't be used: unknown architecture, or a format that is not safetensors."""


class DivergedError(SmcBenchError):
    """The loss became infinite or not a number."""


class AuditError(SmcBenchError):
    """Measured sparsity of the saved weights is not what the schedule promised."""


class Interrupted(SmcBenchError):
    """The cell was asked to stop; its newest checkpoint is on disk."""


class PeerLostError(SmcBenchError):
    """Another process that trains the same cell is gone; the cell's last checkpoint is on disk."""


class SlurmError(SmcBenchError):
    """SLURM can't be asked, or refused; the message holds its own words."""
