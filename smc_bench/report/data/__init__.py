"""Records as one tidy frame, and published curves beside it."""
