"""python -m lessons bugs: list the gallery, print the table, or plant a bug and see what finds it."""

import numpy as np
from tqdm import tqdm

from minivae import arguments
from minivae.gradcheck import check_model

from ..lab.show import wrapped
from .bug import away_from_zero
from .gallery import GALLERY
from .matrix import examine, survey, table


def add_arguments(parser):
    """The options of `bugs`."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--plant", metavar="BUG", nargs="+", help="plant these bugs and run every check on each"
    )
    which.add_argument("--list-bugs", action="store_true", help="list the bugs")
    which.add_argument("--bug-table", action="store_true", help="show which check catches which bug")


def run(args):
    """Carry out the command -> exit code: 1 where a planted bug was found, as it must be."""
    if args.list_bugs:
        lines = (line for name, bug in GALLERY.items() for line in wrapped(f"{name:<28} {bug.title}", 29))
        print("\n".join(lines))
        return 0
    if args.bug_table:
        print("\n".join(table(survey(lambda items: tqdm(items, "bugs", leave=False, disable=None)))))
        return 0
    bugs = [GALLERY[arguments.one_of("--plant", name, GALLERY)] for name in args.plant]
    found = False
    for bug in bugs:
        report = _report(bug)
        lines, caught = about(bug)
        found = found or caught or not report.ok
        print("\n".join([str(report), *lines]), flush=True)
    return int(found)


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


def about(bug):
    """The story of a bug and what every check says about it -> lines, whether any check catches it."""
    found = examine(bug)
    lines = ["", *wrapped(f"{bug.name}: {bug.title}. {bug.story}"), "", "what each check says about it:"]
    for check, (caught, sentence) in found.items():
        lines += wrapped(f"{check:<12} {'CAUGHT' if caught else 'passes'}  {sentence}", 21)
    return lines, any(caught for caught, _ in found.values())
