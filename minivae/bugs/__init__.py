"""The classical bugs of variational autoencoders, to plant, to find, and to learn which check sees which.

bug      what a bug is: a patch of the right code, with its story
gallery  the bugs
matrix   every bug against every check
command  what `python -m minivae gradcheck` does

bug = GALLERY["kl-without-half"]
bug.model()          a small VAE that has it
bug.ops()            a namespace like `ops` that has it, for the `backend` of your own model
examine(bug)         what each check says of it
survey()             that for the whole gallery
print(*table(), sep="\\n")
"""

from .bug import Bug, away_from_zero, patched
from .gallery import GALLERY
from .matrix import CHECKS, RIGHT, examine, survey, table

__all__ = ["CHECKS", "GALLERY", "RIGHT", "Bug", "away_from_zero", "examine", "patched", "survey", "table"]
