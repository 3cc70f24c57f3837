"""The words of the command line: every command, every option, and how each is read.

The options of `train` are made from the fields of `Config`, so that neither can have one the other lacks.
"""

import argparse
import dataclasses

from .config import Config
from .distributions import LIKELIHOODS
from .estimators.names import ESTIMATORS
from .ops import ACTIVATIONS


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and which guesses no abbreviations."""

    def __init__(self, *args, **settings):
        super().__init__(*args, allow_abbrev=False, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser():
    """The commands and their options; those of `train` are made from the fields of Config."""
    root = Parser("python -m minivae", description="Variational autoencoders, taught by doing them by hand.")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    train_parser = _command(commands, "train", "train a VAE and leave a run folder")
    settings = train_parser.add_argument_group("what to train")
    for field in dataclasses.fields(Config):
        flag = "--" + field.name.replace("_", "-")
        settings.add_argument(flag, help=_help(field), **_kind(field), default=argparse.SUPPRESS)
    where = train_parser.add_argument_group("where and how")
    where.add_argument(
        "--out", metavar="DIR", type=path, help="the run folder (default: the next number under runs/)"
    )
    where.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    where.add_argument(
        "--resume", metavar="RUN", type=path, help="go on with a run that was cut off, to the same bits"
    )
    _threads(where)

    own = "default: the run's own test draws"
    sub = _run_command(commands, "sample", "draw images from the prior", 0, "default: 0")
    _picture(sub, "sample", 100)
    text = "send test images through encoder and decoder"
    sub = _run_command(commands, "reconstruct", text, 0, "default: 0")
    _picture(sub, "reconstruct", 12)
    text = "measure the ELBO and log p(x) on the test set"
    sub = _run_command(commands, "evaluate", text, None, own)
    text = "importance samples for log p(x), 0 for none (default: %(default)s)"
    sub.add_argument("--samples", metavar="K", type=int, default=100, help=text)
    _variance(_command(commands, "variance", "compare what the estimators of a gradient scatter and cost"))
    _gradcheck(
        _command(commands, "gradcheck", "check every derivative of a model, and say which line is wrong")
    )
    _bench(_command(commands, "bench", "race the training step and its products against other libraries"))
    return root


def _variance(sub):
    cost = sub.add_argument_group("a cost f(z) of z ~ N(mu, std^2), whose exact answers are known")
    cost.add_argument(
        "--cost",
        metavar="NAME",
        choices=("quadratic", "cos", "exp", "kl"),
        default="quadratic",
        help="a z^2 + b z + c | cos(k z) | exp(-k z^2) | log q(z) - log N(z; 0, 1) (default: %(default)s)",
    )
    for name, default in (("a", 1.0), ("b", 0.0), ("c", 0.0), ("k", 1.0), ("mu", 2.0), ("std", 1.0)):
        text = "%(default)s" if name in ("mu", "std") else "of the cost; %(default)s"
        cost.add_argument(f"--{name}", metavar="X", type=float, default=default, help=f"(default: {text})")
    cost.add_argument("--dim", metavar="D", type=int, default=1, help="coordinates added up (default: 1)")
    other = sub.add_argument_group("or a VAE")
    which = other.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="RUN", type=path, help="the ELBO of the VAE in this run folder")
    which.add_argument("--train", action="store_true", help="train the same VAE with each estimator")
    how = sub.add_argument_group("how")
    text = "samples of each estimator (default: 100000 for a cost, 2000 for a model)"
    how.add_argument("--samples", metavar="N", type=int, help=text)
    how.add_argument("--seed", metavar="N", type=int, default=0, help="seed of all draws (default: 0)")
    how.add_argument("--seeds", metavar="N", type=int, default=3, help="--train: runs of each (default: 3)")
    how.add_argument(
        "--epochs", metavar="N", type=int, default=3, help="--train: passes of each run (default: 3)"
    )
    how.add_argument("--csv", metavar="FILE", type=path, help="write the table's numbers")
    how.add_argument(
        "--out", metavar="FILE", type=path, default="variance.png", help="the PNG (default: %(default)s)"
    )
    _threads(how)


def _gradcheck(sub):
    model = sub.add_argument_group("the model")
    model.add_argument("--data-dim", metavar="D", type=int, default=12, help="pixels (default: %(default)s)")
    model.add_argument("--latent", metavar="L", type=int, default=3, help="latents (default: %(default)s)")
    text = "widths of the hidden layers, or none (default: 8,6)"
    model.add_argument("--hidden", metavar="WIDTHS", type=hidden_widths, default=(8, 6), help=text)
    for name, choices, default in (
        ("activation", ACTIVATIONS, "tanh"),
        ("likelihood", tuple(LIKELIHOODS), "bernoulli"),
        ("backend", ("numba", "numpy", "both"), "both"),
        ("dtype", ("float64", "float32"), "float64"),
    ):
        text = f"[{' | '.join(choices)}] (default: {default})"
        model.add_argument(f"--{name}", metavar="NAME", choices=choices, default=default, help=text)
    how = sub.add_argument_group("how")
    how.add_argument("--batch-size", metavar="B", type=int, default=5, help="examples (default: %(default)s)")
    how.add_argument(
        "--samples", metavar="S", type=int, default=1, help="of z for each (default: %(default)s)"
    )
    how.add_argument(
        "--beta", metavar="X", type=float, default=0.7, help="weight of the KL (default: %(default)s)"
    )
    text = "how the gradient crosses the sampling of z (default: %(default)s)"
    how.add_argument("--estimator", metavar="NAME", choices=tuple(ESTIMATORS), default="pathwise", help=text)
    how.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of weights, data and noise (default: 0)"
    )
    how.add_argument("--plot", metavar="FILE", type=path, help="write a PNG with every entry's error")
    bugs = sub.add_argument_group("or a bug on purpose")
    bugs.add_argument("--plant", metavar="BUG", help="plant one of the classical bugs, and see it found")
    bugs.add_argument("--list-bugs", action="store_true", help="name them")
    bugs.add_argument("--bug-table", action="store_true", help="print which check catches which of them")


def _bench(sub):
    sub.add_argument(
        "--json", metavar="FILE", type=path, dest="numbers", help="write every number, raw rounds too"
    )
    sub.add_argument(
        "--out", metavar="FILE", type=path, default="bench.png", help="the PNG (default: %(default)s)"
    )
    sub.add_argument("--threads", metavar="N", type=int, help="threads of every contender (default: all)")
    sub.add_argument(
        "--rounds", metavar="N", type=int, default=15, help="turns of each (default: %(default)s)"
    )
    sub.add_argument("--quick", action="store_true", help="a smoke run: see that it works, not how fast")
    text = "what to measure, comma-separated: step, matmul, parts, machine (default: all)"
    sub.add_argument("--only", metavar="NAMES", type=lambda names: tuple(names.split(",")), help=text)


def _command(commands, name, text):
    sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    sub.set_defaults(command=name)
    return sub


def _run_command(commands, name, text, seed, meaning):
    sub = _command(commands, name, text)
    sub.add_argument("run", metavar="RUN", type=path, help="a run folder, such as runs/1")
    sub.add_argument("--seed", metavar="N", type=int, default=seed, help=f"seed of the draws ({meaning})")
    _threads(sub)
    return sub


def _picture(sub, name, count):
    sub.add_argument("-n", metavar="N", type=int, default=count, help="how many (default: %(default)s)")
    sub.add_argument("--out", metavar="FILE", type=path, help=f"the PNG to write (default: RUN/{name}.png)")


def _threads(group):
    group.add_argument(
        "--threads", metavar="N", type=int, help="threads for the numba backend (default: all)"
    )


def _help(field):
    text, choices, default = field.metadata["help"], field.metadata["choices"], field.default
    if field.name == "hidden":
        default = ",".join(map(str, default))
    names = f" [{' | '.join(choices)}]" if choices else ""
    return text + names + ("" if default is None else f" (default: {default})")


def _kind(field):
    """How one field of Config is read from a word on the command line."""
    if field.metadata["choices"]:
        return {"metavar": "NAME", "choices": field.metadata["choices"]}
    if field.name == "hidden":
        return {"metavar": "WIDTHS", "type": hidden_widths}
    if field.name == "data":
        return {"metavar": "FILE", "type": path}
    return {"metavar": "N" if field.type is int else "X", "type": field.type}


def path(text):
    """A path that is not empty: an unset shell variable must not mean the folder one stands in."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty word")
    return text


def hidden_widths(text):
    """ "400" -> (400,), "200,200" -> (200, 200), "none" -> ()."""
    if text == "none":
        return ()
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected widths such as 400 or 200,200, or none; got {text!r}"
        ) from None
