"""python -m lessons bench: time the training step against other libraries and the machine's limits."""

import os
import subprocess
import sys
from functools import partial

from tqdm import tqdm

from minivae import arguments

from . import contenders, race
from .show import publish, require_writable

POOLS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def add_arguments(parser):
    """The options of `bench`."""
    parser.add_argument("--json", metavar="FILE", help="write every number of every round")
    parser.add_argument("--out", metavar="FILE", default="bench.png", help="the PNG (default: %(default)s)")
    parser.add_argument("--threads", metavar="N", type=int, help="threads of every contender (default: all)")
    parser.add_argument(
        "--rounds", metavar="N", type=int, default=15, help="turns of each (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: does it work?")
    text = "what to measure, comma-separated: step, matmul, parts, machine (default: all)"
    parser.add_argument("--only", metavar="NAMES", help=text)


def run(args):
    """Measure, print, and write the files -> exit code."""
    require_writable(args.out, args.json)
    if args.threads is not None:
        threads = arguments.integer("threads", args.threads)
        if threads > contenders.cores():
            raise ValueError(f"threads must be at most {contenders.cores()} here, got {threads}")
        pools = dict.fromkeys(POOLS, str(threads))
        if pools.items() - os.environ.items():  # the libraries read them when they are loaded: start again
            words = ["--threads", str(threads), "--rounds", str(args.rounds), "--out", args.out]
            words += ["--quick"] * args.quick + (["--only", args.only] if args.only else [])
            words += ["--json", args.json] if args.json else []
            command = [sys.executable, "-m", "lessons", "bench", *words]
            return subprocess.run(command, env=os.environ | pools, check=False).returncode
    only = tuple(args.only.split(",")) if args.only else race.KINDS
    progress = partial(tqdm, desc="bench", leave=False, disable=None)
    report = race.measure(only, args.rounds, args.quick, progress)
    publish(report, args.out, args.json)
    return 0
