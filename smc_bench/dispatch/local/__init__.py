"""Cells on this machine: a bounded pool of worker processes, its capacity, its way to stop."""
