"""python -m minivae: hand the command line to `cli`."""

import sys

try:
    from .cli import main

    sys.exit(main())
except KeyboardInterrupt:  # pressed while the modules were still loading
    sys.exit(130)
