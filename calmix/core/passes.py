"""The passes of a training step, by name. PyTorch is not loaded for them."""

BATCH_NORM = ("mixed", "clean", "both")  # which passes of a step move the running statistics of batch norm
