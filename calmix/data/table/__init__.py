"""Tables of your own: files, what their columns are, and the splits that networks learn from."""
