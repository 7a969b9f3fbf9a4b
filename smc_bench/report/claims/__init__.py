"""Claims judged by what is finished."""
