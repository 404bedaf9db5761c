#!/usr/bin/env python3
"""Launcher: runs the command line from a checkout without installing the package."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
    try:
        from inference_bench.cli.main import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("inference_bench"):
            raise
        sys.exit(
            f"vllm_benchmark.py: the package '{error.name}' is missing; install the dependencies with: pip install -e ."
        )
    main()
