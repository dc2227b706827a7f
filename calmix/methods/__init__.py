"""One published method a file; `table.METHODS` lists them, and `wrappers` makes methods from methods."""
