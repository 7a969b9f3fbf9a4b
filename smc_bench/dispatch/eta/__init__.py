"""How long runs take: predicted from finished cells, renewed while they run."""
