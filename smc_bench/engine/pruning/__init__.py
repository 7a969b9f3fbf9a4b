"""Which weights go: masks, events, calibration data, methods and scorers, and the audit after."""
