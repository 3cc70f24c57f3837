"""Good and bad luck, made on purpose: noise that is off by a chosen number of standard errors."""

import numpy as np


class Adjusted(np.random.Generator):
    """A generator whose normal noise is off by some standard errors, in its last column or in every one."""

    def __init__(self, seed, mean, variance, every=False):
        super().__init__(np.random.PCG64(seed))
        self.mean, self.variance, self.every = mean, variance, every

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """Noise with exactly that mean and variance along its first axis."""
        e = np.array(super().standard_normal(size, dtype))
        if out is not None or e.ndim == 0 or len(e) < 100:
            return e
        part = e if e.ndim == 1 or self.every else e[..., -1]
        part[...] = (part - part.mean(axis=0)) / part.std(axis=0)
        part *= np.sqrt(1 + self.variance * np.sqrt(2 / len(e)))
        part += self.mean / np.sqrt(len(e))
        return e

    def normal(self, loc=0.0, scale=1.0, size=None):
        """By the standard one."""
        return loc + scale * self.standard_normal(size)
