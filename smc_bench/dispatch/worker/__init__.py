"""A worker process: command line, context over a cell's folder, ranks, trackers."""
