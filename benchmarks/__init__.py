"""What calmix costs, as ratios measured in one run: `make bench`. The tables are in docs/performance.md."""

import os

# before torch is imported: one thread, and no chatter of the profiler on the terminal
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", KINETO_LOG_LEVEL="99")
