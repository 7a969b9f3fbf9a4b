"""Optimal BERT Surgeon: Fisher estimate, saliency and weight update (arXiv 2203.07259)."""
