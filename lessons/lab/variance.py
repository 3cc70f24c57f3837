"""python -m lessons variance: compare the variance and the run time of gradient estimators."""

from functools import partial

from tqdm import tqdm

import minivae as mv

from .show import publish, require_writable

COST = {"a": 1.0, "b": 0.0, "c": 0.0, "k": 1.0, "mu": 2.0, "std": 1.0}


def add_arguments(parser):
    """The options of `variance`."""
    cost = parser.add_argument_group("a cost f(z) of z ~ N(mu, std^2) with known exact answers")
    text = "a z^2 + b z + c | cos(k z) | exp(-k z^2) | log q(z) - log N(z; 0, 1) (default: quadratic)"
    cost.add_argument("--cost", metavar="NAME", choices=("quadratic", "cos", "exp", "kl"), help=text)
    for name, default in COST.items():
        cost.add_argument(f"--{name}", metavar="X", type=float, help=f"(default: {default})")
    cost.add_argument("--dim", metavar="D", type=int, help="number of coordinates in the sum (default: 1)")
    which = parser.add_argument_group("or a VAE").add_mutually_exclusive_group()
    which.add_argument("--model", metavar="RUN", help="the ELBO of the VAE in this run folder")
    which.add_argument("--train", action="store_true", help="train the same VAE with each estimator")
    how = parser.add_argument_group("how")
    text = "samples of each estimator (default: 100000 for a cost, 2000 for a model)"
    how.add_argument("--samples", metavar="N", type=int, help=text)
    how.add_argument("--seed", metavar="N", type=int, default=0, help="seed of all draws (default: 0)")
    how.add_argument("--seeds", metavar="N", type=int, help="--train: runs of each (default: 3)")
    how.add_argument("--epochs", metavar="N", type=int, help="--train: passes of each run (default: 3)")
    how.add_argument("--csv", metavar="FILE", help="write the numbers")
    how.add_argument("--out", metavar="FILE", default="variance.png", help="the PNG (default: %(default)s)")
    how.add_argument("--threads", metavar="N", type=int, help="threads of the kernels (default: all)")


def run(args):
    """Measure one of the three, print, and write the files -> exit code."""
    kind = "--model" if args.model else "--train" if args.train else "a cost"
    belongs = {
        "a cost": ("cost", *COST, "dim", "samples"),
        "--model": ("samples",),
        "--train": ("seeds", "epochs"),
    }
    for name in ("cost", *COST, "dim", "samples", "seeds", "epochs"):
        if getattr(args, name) is not None and name not in belongs[kind]:
            raise ValueError(f"--{name} has no meaning for {kind}; leave it out")
    require_writable(args.out, args.csv)
    if args.threads is not None:
        mv.set_threads(args.threads)
    given = {name: getattr(args, name) for name in belongs[kind] if getattr(args, name) is not None}
    progress = partial(tqdm, desc="variance", leave=False, disable=None)
    if args.model:
        from . import encoders

        report = encoders.measure(args.model, args.samples, args.seed, progress)
    elif args.train:
        from . import courses

        report = courses.measure(seed=args.seed, progress=progress, **given)
    else:
        from . import costs

        given.pop("samples", None)
        report = costs.measure(
            costs.Cost(given.pop("cost", "quadratic"), **given), args.samples, args.seed, progress
        )
    publish(report, args.out, args.csv)
    return 0
