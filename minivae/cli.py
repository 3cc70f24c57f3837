"""python -m minivae: train a VAE, look at what it learned, check its gradients.

Every error that a user can make ends as one line on standard error and exit code 2; Ctrl-C ends with 130.
"""

import argparse
import dataclasses
import os
import runpy
import shlex
import sys
from pathlib import Path

from . import commands, training
from .checkpoints import STATES
from .commands import CHECKED
from .config import Config
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
    """A path that is not empty: an unset shell variable must not mean the current folder."""
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


def png(text):
    """The path of a picture."""
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"expected the path of a .png file, got {text!r}")
    return text


# how an option is read, by the name of its value in `--help`
KINDS = {"N": int, "X": float, "WIDTHS": widths, "FILE": path, "DIR": path, "RUN": path, "PNG": png}
KINDS |= {"SHAPE": widths, "LABEL": str}
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


def parser():
    """Every command and its options; the settings of a run among them are the fields of Config."""
    about = "Variational autoencoders, written by hand."
    root = Parser("python -m minivae", description=about, allow_abbrev=False)
    group, subs = root.add_subparsers(title="commands", metavar="COMMAND", required=True), {}
    names = ("train", "sample", "reconstruct", "interpolate", "encode", "evaluate", "gradcheck")
    for name in names:
        function = getattr(commands, name)
        words = {"help": function.__doc__, "description": function.__doc__}
        subs[name] = group.add_parser(name, allow_abbrev=False, **words)
        subs[name].set_defaults(command=function)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    add_settings(subs["train"].add_argument_group("settings"), defaults)
    add_settings(subs["gradcheck"].add_argument_group("settings"), CHECKED)
    backends, estimators, pictures = ("numba", "numpy", "both"), tuple(ESTIMATORS), names[1:4]
    for to, *option in (
        (["train"], "--out", "DIR", "the run folder (default: the next number under runs/)"),
        (["train"], "--resume", "RUN", "continue a run that was stopped, to the same bits"),
        (["train"], "--checkpoint", STATES, "with --resume: where to continue (default: last)"),
        (names[1:6], "run", "RUN", "a run folder, such as runs/1"),
        (names[1:6], "--checkpoint", STATES, "by its test loss the best, or the last", "best"),
        (names[2:6], "--data", "FILE", "where the run's data are now, if they have moved"),
        (names[1:5], "--seed", "N", "seed of the draws", 0),
        *(([name], "--out", "PNG", f"the picture to write (default: RUN/{name}.png)") for name in pictures),
        (["sample"], "-n", "N", "how many (default: 100, or 10 for each label)"),
        (["sample"], "--label", "LABEL", "draw only this label of a conditional model"),
        (["reconstruct"], "-n", "N", "how many (default: 12, or all if there are fewer)"),
        (["interpolate"], "-n", "N", "how many pairs of images", 6),
        (["interpolate"], "--steps", "N", "pictures from one image to the other, both included", 10),
        (["encode"], "--split", ("test", "train"), "which images", "test"),
        (["encode"], "--out", "FILE", "the .npz to write (default: RUN/codes.npz)"),
        (["evaluate"], "--seed", "N", "seed of the draws (default: the run's own test draws)"),
        (["evaluate"], "--samples", "N", "importance samples for log p(x), 0 for none", 100),
        (["evaluate"], "--csv", "FILE", "write the numbers of every image"),
        (names[:6], "--threads", "N", "threads for numba (default: all)"),
        (["gradcheck"], "--data-dim", "N", "pixels D", 12),
        (["gradcheck"], "--estimator", estimators, "gradient estimator for the sampling step", "pathwise"),
        (["gradcheck"], "--backend", backends, "compiled kernels, plain NumPy", "both"),
        (["gradcheck"], "--dtype", ("float64", "float32"), "precision", "float64"),
        (["gradcheck"], "--plot", "PNG", "the picture to write, with the error of every entry"),
    ):
        for name in to:
            add(subs[name], *option)
    subs["train"].add_argument("--overwrite", action="store_true", help="replace the run in --out")
    subs["sample"].add_argument("--draws", action="store_true", help="draw x from p(x|z); else show its mean")
    bugs = subs["gradcheck"].add_argument_group("or a bug on purpose (python -m lessons bugs)")
    bugs.add_argument("--plant", metavar="BUG", help="plant a classical bug, and see it found", **UNSET)
    bugs.add_argument("--list-bugs", action="store_true", help="list them", **UNSET)
    bugs.add_argument("--bug-table", action="store_true", help="which check catches which bug", **UNSET)
    return root
