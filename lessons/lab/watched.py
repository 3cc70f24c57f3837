"""How long each part of a training step takes: the same step, with every operation timed."""

import itertools
import re
import time

import numpy as np

from minivae import Adam
from minivae.backends import namespace

from .contenders import ADAM


class Watched:
    """work() is a training step; this object is the VAE's backend and times each function of `ops`."""

    def __init__(self, library, setting):
        self.ops, self.parts = namespace(library), {}
        self.model, self.adam = setting.model(self), Adam(**ADAM, backend=library)
        self.layers = {id(p): re.sub(r"\d*\.W", "", name) for name, p in self.model.params.items()}
        self.ring = itertools.cycle(list(setting.batches()))

    def __call__(self):
        """Run one training step."""
        _, grads = self.model.loss_and_grads(*next(self.ring))
        self.timed("optimizer", self.adam.step)(self.model.params, grads)

    def __getattr__(self, name):
        return self.timed(name, getattr(self.ops, name))

    def timed(self, name, function):
        """Wrap the function: each call adds its seconds, flops and bytes to its part of the step."""

        def call(*args, **settings):
            start = time.perf_counter()
            result = function(*args, **settings)
            seconds = time.perf_counter() - start
            way = " backward" if "backward" in name else ""
            moved, flops = sum({id(a): a.nbytes for a in _arrays((args, result))}.values()), 0
            if name == "optimizer":
                # reads params, grads and two moments, and writes all but grads
                part, moved = name, moved // 2 * 7
            elif name.startswith("dense"):
                x, W = args[1][:2] if way else args[:2]
                flops = 2 * len(x) * W.size * (2 if way and result[0] is not None else 1)
                layer = self.layers[id(W)]
                part = {"mu": "heads", "logvar": "heads", "output": "decoder"}.get(layer, layer)
                part += way or " forward"
            else:
                part = ("sample" if "sample" in name else "loss") + way
            self.parts[part] = np.add(self.parts.get(part, 0), (seconds, flops, moved))
            return result

        return call if callable(function) else function


def _arrays(value):
    """Yield every array in nested tuples and dictionaries."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays(each)
