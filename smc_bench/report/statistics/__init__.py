"""Intervals, paired comparisons and what can be told apart."""
