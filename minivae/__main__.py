"""python -m minivae: hand the command line to `cli`."""

import os
import sys

os.environ["MPLBACKEND"] = "agg"  # pictures go to files; a backend that is not installed must not matter
for stream in filter(None, (sys.stdout, sys.stderr)):
    stream.reconfigure(errors="backslashreplace")  # a path that the terminal cannot show is no error

try:
    from .cli import main

    sys.exit(main())
except KeyboardInterrupt:  # pressed while the modules were still loading
    sys.exit(130)
