"""Tables and what a reader must know beside them."""
