"""Published numbers, and how measured ones compare with them."""
