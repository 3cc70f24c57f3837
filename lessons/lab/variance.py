"""python -m lessons variance: compare the variance and the run time of gradient estimators."""

import minivae as mv

from . import costs, courses, encoders
from .moments import COSTS, Cost
from .show import bar, publish, require_writable

OPTIONS = ("cost", "a", "b", "c", "k", "mu", "std", "dim", "samples", "seeds", "epochs")


def add_arguments(parser):
    """The options of `variance`."""
    cost = parser.add_argument_group("a cost f(z) of z ~ N(mu, std^2) with known exact answers")
    text = f"{' | '.join(formula for formula, _, _ in COSTS.values())} (default: quadratic)"
    cost.add_argument("--cost", metavar="NAME", choices=COSTS, help=text)
    for name in ("a", "b", "c", "k", "mu", "std"):
        default = getattr(Cost("quadratic"), name)
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
    name = args.cost or "quadratic"
    kind, belongs = "a cost", ("cost", *Cost(name).parameters, "dim", "samples")
    if args.model is not None:
        kind, belongs = "--model", ("samples",)
    elif args.train:
        kind, belongs = "--train", ("seeds", "epochs")
    given = {option: getattr(args, option) for option in OPTIONS if getattr(args, option) is not None}
    for option in given.keys() - set(belongs):
        of_another = kind == "a cost" and option in Cost._fields
        raise ValueError(
            f"--{option} has no meaning for {f'--cost {name}' if of_another else kind}; leave it out"
        )
    require_writable(args.out, args.csv)
    if args.threads is not None:
        mv.set_threads(args.threads)
    how = {"seed": args.seed, "progress": bar("variance")}
    if args.model is not None:
        report = encoders.measure(args.model, **given, **how)
    elif args.train:
        report = courses.measure(**given, **how)
    else:
        samples, parameters = given.pop("samples", None), given | {"name": name}
        parameters.pop("cost", None)
        report = costs.measure(Cost(**parameters), samples, **how)
    publish(report, args.out, args.csv)
    return 0
