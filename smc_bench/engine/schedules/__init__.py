"""Durations, and schedules of sparsity and learning rate over them. No torch."""
