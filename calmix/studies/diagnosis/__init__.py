"""Do wrong labels grow with distance, and what does each method do about it? And mixup as a Taylor series."""
