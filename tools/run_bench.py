"""Run the deterministic bench of ``tests/bench/`` from anywhere in the checkout.

Usage: ``python tools/run_bench.py --seeds 100 --first 0 --jobs 2``, or ``--seed N`` with
``--show`` and ``--trace``. See docs/testing.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.run import main

if __name__ == "__main__":
    sys.exit(main())
