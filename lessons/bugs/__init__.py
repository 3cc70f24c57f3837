"""Classical bugs of variational autoencoders: plant one, find it, and learn which check catches which.

bug         what a bug is: a change to right code, with its story
gallery     the bugs
statistics  checks of what the code computes: sampler, KL, scaling, bound, logits, shapes
matrix      every bug against every check
command     python -m lessons bugs

bug = GALLERY["kl-without-half"]
bug.model()              a small VAE that has it
bug.ops()                a namespace like `minivae.ops` that has it, for the `backend` of your own model
examine(bug)             what each check says about it
print(*table(), sep="\n")
"""

from .bug import Bug, away_from_zero, patched
from .gallery import GALLERY
from .matrix import CHECKS, RIGHT, examine, survey, table

__all__ = ["CHECKS", "GALLERY", "RIGHT", "Bug", "away_from_zero", "examine", "patched", "survey", "table"]
