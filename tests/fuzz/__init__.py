"""Damaged and hostile input for the command: `python -m tests.fuzz`, and a sample of it in `tests/test_fuzz.py`."""
