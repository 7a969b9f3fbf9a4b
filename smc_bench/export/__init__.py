"""Finished cells in formats of others (a folder, ONNX, a shrunk model, a card), and measured."""
