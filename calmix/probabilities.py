"""What counts as a row of probabilities."""

# How far from one a row may sum. Probabilities that were rounded to bfloat16 are off by up to 2^-8, and reach numpy and
# files as float32: so this is one number for all dtypes. Nothing is rescaled: metrics are those of the numbers given.
SUM_TOLERANCE = 2**-7
