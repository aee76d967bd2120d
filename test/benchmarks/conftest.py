"""The benchmarks are programs of their own; their modules are found where the programs find them."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

for folder in (BENCHMARKS, BENCHMARKS / "contenders"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
