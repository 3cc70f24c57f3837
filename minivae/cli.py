"""python -m minivae: train a VAE, look at what it learned, check its gradients.

A user error prints one line on standard error and exits with code 2; Ctrl-C exits with 130.
"""

import argparse
import dataclasses
import os
import runpy
import shlex
import sys
from functools import partial
from pathlib import Path

from . import commands, fits, training
from .checkpoints import STATES
from .commands import CHECKED
from .config import Config
from .data import PIXELS
from .estimators import ESTIMATORS


def main(argv=None):
    """Run one command; the exit code is returned."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in ("variance", "bench"):
            raise ValueError(f"this command has moved: python -m lessons {shlex.join(words)}")
        args = vars(parser().parse_args(words))
        if args.keys() & {"plant", "list_bugs", "bug_table"}:
            sys.argv = ["lessons", "bugs", *words[1:]]
            runpy.run_module("lessons", run_name="__main__", alter_sys=True)  # it ends with sys.exit
        return args.pop("command")(**args) or 0
    except training.Interrupted as interrupted:
        print(f"\n{interrupted}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        return 1
    except (ValueError, TypeError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = f"not enough memory: {text}" if isinstance(error, MemoryError) else text
        print(f"python -m minivae: error: {text}", file=sys.stderr)
        return 2


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def path(text):
    """A path that is not empty, so that an unset shell variable does not mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty word")
    return text


def widths(text):
    """ "400" -> (400,), "200,200" -> (200, 200), "none" -> ()."""
    try:
        return () if text == "none" else tuple(int(width) for width in text.split(","))
    except ValueError:
        wanted = "expected widths such as 400 or 200,200, or none"
        raise argparse.ArgumentTypeError(f"{wanted}; got {text!r}") from None


def ending(suffix, text):
    """The path of a file with this suffix."""
    if Path(text).suffix.lower() != suffix:
        raise argparse.ArgumentTypeError(f"expected the path of a {suffix} file, got {text!r}")
    return text


# how the value of an option is parsed, by its name in `--help`
KINDS = {"N": int, "X": float, "WIDTHS": widths, "FILE": path, "DIR": path, "RUN": path}
KINDS |= {"SHAPE": widths, "LABEL": str, "PNG": partial(ending, ".png"), "HTML": partial(ending, ".html")}
UNSET = {"default": argparse.SUPPRESS}  # the command must see whether the option is given


def add(group, flag, kind, text, default=None):
    """Add an option; `kind` is a key of KINDS, or a tuple of choices."""
    if isinstance(kind, tuple):
        reading, text = {"metavar": "NAME", "choices": kind}, f"{text} [{' | '.join(kind)}]"
    else:
        reading = {"metavar": kind, "type": KINDS[kind]}
    if default is not None:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" (default: {shown})"
    return group.add_argument(flag, help=text, default=default, **reading)


def add_settings(group, defaults):
    """Add the fields of Config that `defaults` names."""
    kinds = {int: "N", int | None: "N", float: "X", tuple: "WIDTHS", tuple | None: "SHAPE"}
    for field in dataclasses.fields(Config):
        if field.name in defaults:
            flag, check = "--" + field.name.replace("_", "-"), field.metadata["check"]
            if field.type is bool:
                group.add_argument(flag, action="store_true", help=field.metadata["help"], **UNSET)
                continue
            kind = check if isinstance(check, tuple) else kinds.get(field.type, "FILE")
            action = add(group, flag, kind, field.metadata["help"], defaults[field.name])
            action.default = argparse.SUPPRESS  # --resume must see what is given


def add_fit(sub):
    """The options of `fit`."""
    sub.add_argument("kind", choices=fits.KINDS, help="a mixture, by EM; or probabilistic PCA")
    for option in (
        ("--components", "N", "K of a mixture", 10),
        ("--family", fits.FAMILIES, "p(x|k) of a mixture: a Gaussian with such a covariance", "diagonal"),
        ("--latent", "N", "L of pPCA", 20),
        ("--data", "FILE", "data of your own (default: MNIST)"),
        ("--image-shape", "SHAPE", "of the rows in --data: 28,20, or 32,32,3 for colour"),
        ("--pixels", PIXELS, "use of grey pixels (default: grey; bernoulli: dynamic, drawn once)"),
        ("--steps", "N", "of EM, at most", 200),
        ("--restarts", "N", "runs of EM; the best is kept", 1),
        ("--seed", "N", "seed of everything random", 0),
        ("--out", "DIR", "the run folder (default: the next number under runs/)"),
    ):
        add(sub, *option)
    sub.add_argument("--scale", action="store_true", help="map the range of the data to [0, 1]")
    sub.add_argument("--standardize", action="store_true", help="give columns mean 0 and variance 1")
    sub.add_argument("--overwrite", action="store_true", help="replace the run in --out")


def parser():
    """The parser of all commands; the settings of a run are the fields of Config."""
    about = "Variational autoencoders with every derivative written by hand."
    root = Parser("python -m minivae", description=about, allow_abbrev=False)
    group, subs = root.add_subparsers(title="commands", metavar="COMMAND", required=True), {}
    names = ("train", "sample", "reconstruct", "interpolate", "encode", "evaluate", "gradcheck", "fit")
    names += ("explore",)
    of_a_run = (*names[1:6], "explore")
    for name in names:
        function = fits.command if name == "fit" else getattr(commands, name)
        words = {"help": function.__doc__, "description": function.__doc__}
        subs[name] = group.add_parser(name, allow_abbrev=False, **words)
        subs[name].set_defaults(command=function)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    add_settings(subs["train"].add_argument_group("settings"), defaults)
    add_settings(subs["gradcheck"].add_argument_group("settings"), CHECKED)
    backends, estimators, pictures = ("numba", "numpy", "both"), tuple(ESTIMATORS), names[1:4]
    for to, *option in (
        (["train"], "--out", "DIR", "the run folder (default: the next number under runs/)"),
        (["train"], "--resume", "RUN", "continue a stopped run; the result is bit for bit the same"),
        (["train"], "--checkpoint", STATES, "with --resume: the checkpoint to continue from (default: last)"),
        (of_a_run, "run", "RUN", "a run folder, such as runs/1"),
        (of_a_run, "--checkpoint", STATES, "the epoch with the lowest test loss, or the last one", "best"),
        (of_a_run[1:], "--data", "FILE", "new path of the run's data, if the file has moved"),
        ((*names[1:5], "explore"), "--seed", "N", "seed of the random draws", 0),
        *(([name], "--out", "PNG", f"the picture to write (default: RUN/{name}.png)") for name in pictures),
        (["sample"], "-n", "N", "number of samples (default: 100, or 10 per label)"),
        (["sample"], "--label", "LABEL", "sample only this label (conditional models)"),
        (["reconstruct"], "-n", "N", "number of images (default: 12, or all if there are fewer)"),
        (["interpolate"], "-n", "N", "number of pairs of images (default: 6, or all if fewer)"),
        (["interpolate"], "--steps", "N", "pictures per pair, both ends included", 10),
        (["explore"], "--out", "HTML", "the page to write (default: RUN/explorer.html)"),
        (["explore"], "-n", "N", "number of test images in it (default: 500, or all if there are fewer)"),
        (["encode"], "--split", ("test", "train"), "which images", "test"),
        (["encode"], "--out", "FILE", "the .npz to write (default: RUN/codes.npz)"),
        (["evaluate"], "--seed", "N", "seed of the draws (default: the draws of the run's own test)"),
        (["evaluate"], "--samples", "N", "importance samples for log p(x); 0 skips it (default: 100)"),
        (["evaluate"], "--csv", "FILE", "write the numbers of every image to this file"),
        (names[:6], "--threads", "N", "threads for numba (default: all)"),
        (["gradcheck"], "--data-dim", "N", "pixels D", 12),
        (["gradcheck"], "--estimator", estimators, "gradient estimator for the sampling step"),
        (["gradcheck"], "--backend", backends, "compiled kernels, plain NumPy", "both"),
        (["gradcheck"], "--dtype", ("float64", "float32"), "precision", "float64"),
        (["gradcheck"], "--plot", "PNG", "write a picture with the error of every entry"),
    ):
        for name in to:
            add(subs[name], *option)
    add_fit(subs["fit"])
    subs["explore"].add_argument(
        "other", metavar="RUN2", nargs="?", type=path, help="a run to compare it with"
    )
    subs["train"].add_argument("--overwrite", action="store_true", help="replace the run in --out")
    subs["sample"].add_argument(
        "--draws", action="store_true", help="draw x from p(x|z) instead of showing its mean"
    )
    bugs = subs["gradcheck"].add_argument_group("planted bugs (the same as python -m lessons bugs)")
    bugs.add_argument("--plant", metavar="BUG", help="check a model with a classical bug", **UNSET)
    bugs.add_argument("--list-bugs", action="store_true", help="list the bugs", **UNSET)
    bugs.add_argument("--bug-table", action="store_true", help="show which check catches which bug", **UNSET)
    return root
