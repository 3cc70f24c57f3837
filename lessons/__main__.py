"""python -m lessons."""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # pictures go to files; a backend that is not installed must not matter

if __name__ == "__main__":
    from .cli import main

    sys.exit(main())
