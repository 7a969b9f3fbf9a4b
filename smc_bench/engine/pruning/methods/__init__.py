"""Pruning methods that act while training: movement pruning and RigL."""
