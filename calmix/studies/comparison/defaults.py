"""What a comparison is where nothing else is said. PyTorch is not loaded for it."""

DEFAULT_SEEDS, DEFAULT_FOLDS, DEFAULT_REPEATS = 5, 5, 2
FEW_TEST_ROWS = 200  # of a table, below which folds test every row where neither seeds nor folds are given
