"""`python -m inference_bench.simulator`."""

import sys

from inference_bench.simulator.command import main

if __name__ == "__main__":
    sys.exit(main())
