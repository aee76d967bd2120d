"""Recognises faces on a robot: which faces are in a camera frame, and who they are."""

import os

__version__ = "0.1.0"

# BLAS reads this when numpy is first imported. Its pool of threads and ONNX Runtime's would fight over the cores, and
# the products here (templates times probes) are too small to gain from a pool.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
