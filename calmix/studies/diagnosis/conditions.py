"""What the conditions of a diagnosis are made of, and how each part is said. `study` documents the whole paths."""

NO_METHOD = ""  # the method of scores that belong to no method: of random pairs, and of the oracle

ORACLES = {"network": "a network", "neighbours": "nearest neighbours"}  # who says what a mixed row is
SPACES = {"inputs": "inputs", "embedding": "oracle's embedding"}  # where distances are measured
POPULATIONS = {  # which random pairs
    "all": "all pairs",
    "different": "different classes",
    "agreed": "different classes, both ends agreed",  # the oracle sees each parent's own class in the parent
}
CONTROLS = {  # which pairs the lams of a method's mixes are given to
    "none": "as the method mixes",
    "shuffled": "same lams, random pairs",
    "shuffled_within": "same lams, random pairs of the same kind",
}
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the larger parent; pairs in both orders make the others superfluous
CELLS = 10  # of the smaller parent's share, from 0 to 1/2
