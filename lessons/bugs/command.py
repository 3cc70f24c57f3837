"""python -m lessons bugs: list the gallery, print the table, or plant a bug and see what finds it."""

import textwrap

import numpy as np

from minivae import arguments
from minivae.gradcheck import check_model

from ..lab.show import bar
from ..story import columns, wrapped
from .bug import away_from_zero
from .gallery import GALLERY
from .matrix import examine, survey, table


def add_arguments(parser):
    """The options of `bugs`."""
    which = parser.add_mutually_exclusive_group(required=True)
    text = "plant these bugs and run every check on each"
    which.add_argument("--plant", metavar="BUG", nargs="+", help=text)
    which.add_argument("--list-bugs", action="store_true", help="list the bugs")
    which.add_argument("--bug-table", action="store_true", help="show which check catches which bug")


def run(args):
    """Carry out the command -> exit code: 1 where a planted bug was found, as it must be."""
    if args.list_bugs:
        print("\n".join(_row(name, 28, bug.title) for name, bug in GALLERY.items()))
        return 0
    if args.bug_table:
        print("\n".join(table(survey(bar("bugs")))))
        return 0
    found = False
    for bug in [GALLERY[arguments.one_of("--plant", name, GALLERY)] for name in args.plant]:
        report, findings = _report(bug), examine(bug)
        found = found or not report.ok or any(caught for caught, _ in findings.values())
        print(report, "", wrapped(f"{bug.name}: {bug.title}. {bug.story}"), sep="\n")
        print("\nwhat each check says about it:")
        for check, (caught, sentence) in findings.items():
            print(_row(f"{check:<12} {'CAUGHT' if caught else 'passes'}", 20, sentence), flush=True)
    return int(found)


def _row(name, width, text):
    """A name and beside it a text, wrapped in its own column."""
    return textwrap.fill(f"{name:<{width}} {text}", columns(), subsequent_indent=" " * (width + 1))


def _report(bug):
    """`check_model` on a model with the bug, away from zero weights."""
    rng = np.random.default_rng(0)
    model = away_from_zero(
        bug.model(data_dim=12, latent_dim=3, hidden=bug.settings.get("hidden", (8, 6))), rng
    )
    x = rng.standard_normal((5, 12))
    if model.likelihood.support == (0.0, 1.0):
        x = (x > 0).astype(float)
    return check_model(model, x, rng.standard_normal((5, 3)), beta=0.7)
