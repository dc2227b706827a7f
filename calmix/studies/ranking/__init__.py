"""Many comparisons together: which methods rank higher over data sets, and which of them differ beyond chance."""
