"""Finished cells in formats of others: a Hugging Face folder, ONNX, a model card."""
