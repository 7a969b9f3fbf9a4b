"""Saliency of weights: the registry, the simple scorers, SparseGPT."""
