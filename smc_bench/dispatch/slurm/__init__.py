"""SLURM: planning, submitting, running and looking at the jobs of a suite."""
