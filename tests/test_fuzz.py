"""Wrong inputs by the thousand: the kernels give NumPy's answer or its kind of error, and write nowhere else.

Each case runs on both backends, on two equal blocks of memory: its arrays are views into a block, with other
numbers around them and between their entries. All cases run in a child process, so that a crash is a failed
test and not the end of pytest. By hand: python tests/test_fuzz.py SEED CASES.
"""

import copy
import mmap
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import numpy as np
from fuzzing import KERNELS, Case, half, kernel, same

import minivae as mv
from minivae import kernels, ops


def change(case, params, grads, state):
    """Put something wrong, or only something else, among what the next step receives."""
    place = case.pick(params, grads, state)
    name = case.pick(*place)
    old = place[name][0]
    if not isinstance(old, np.ndarray):  # changed before
        return
    shapes = old.shape[::-1], (3, 2), (50, 40), (1,), ()
    shape = case.pick(old.shape, *shapes) if case.chance(0.5) else old.shape
    what = case.pick("array", "array", "alias", "gone", "mapped", "frozen", "transposed", "in place")
    if what == "gone":
        del place[name]
    elif what == "alias":
        other = case.pick(params, grads, state)
        place[name] = case.pick(*other.values())
    elif what == "mapped":
        memory = mmap.mmap(-1, max(old.nbytes, 1), prot=mmap.PROT_READ)
        place[name] = [np.frombuffer(memory, old.dtype, old.size).reshape(old.shape)] * 2
    elif what == "frozen":
        for array in place[name]:
            array.flags.writeable = False
    elif what == "transposed":
        place[name] = [array.T for array in place[name]]
    elif what == "in place":
        for array in place[name]:
            if array.flags.c_contiguous:
                array.shape = -1
    else:
        place[name] = case.array(shape, old.dtype)


def steps(case):
    """Three steps of one optimizer on each backend, with a change before the second and the third."""
    make = case.pick(mv.SGD, mv.RMSProp, mv.Adam)
    pair = [make(0.1, backend=backend) for backend in ("numpy", "numba")]
    d = case.pick("f4", "f4", "f8")
    shapes = {name: tuple(case.rng.integers(1, 9, case.pick(1, 2))) for name in "abc"}
    odd, case.odd = case.odd, 0
    params, grads = ({name: case.array(shape, d) for name, shape in shapes.items()} for _ in range(2))
    case.odd = odd
    for step in range(3):
        state = {key: [one.state[key] for one in pair] for key in pair[0].state}
        if step:
            change(case, params, grads, state)
            for i, optimizer in enumerate(pair):
                optimizer.state = half(state, i)
        if case.chance(0.1):
            with suppress(MemoryError):  # a state may be given that is broadcast from one number
                pair = [copy.deepcopy(optimizer) for optimizer in pair]
        case.run("step", pair[0].step, pair[1].step, params, grads)
        assert pair[0].t == pair[1].t
        same("state", pair[0].state, pair[1].state)


# ------------------------------------------------------------------------------ models


def spoiled(value, how):
    """A result of another shape or type; of a tuple one part."""
    if isinstance(value, tuple) and value:
        return (*value[:-1], spoiled(value[-1], how)) if how % 2 else (spoiled(value[0], how), *value[1:])
    if not isinstance(value, np.ndarray):
        return value
    makes = (
        lambda v: np.stack([v] * len(v)), lambda v: v[:1], lambda v: v[0], np.transpose, lambda v: v.sum(),
        lambda v: None, lambda v: v.tolist(), lambda v: v[..., :1], lambda v: v[..., None], lambda v: v[:0],
        lambda v: np.broadcast_to(v[:1], v.shape), lambda v: v.astype("f8"), lambda v: v.astype("O"),
        lambda v: v.astype(v.dtype.newbyteorder()), np.asfortranarray, lambda v: v.astype("c16"),
        lambda v: np.repeat(v, 50, axis=-1), lambda v: v.view(np.recarray), lambda v: np.ma.masked_array(v),
    )  # fmt: skip
    return makes[how % len(makes)](value)


def methods(thing):
    return [name for name in dir(thing) if not name.startswith("_") and callable(getattr(thing, name))]


def model(case):
    """One model on each backend, in which one method, hook, estimator or traced array gives another shape."""
    settings = {
        "likelihood": case.pick("bernoulli", "gaussian", "gaussian-shared", "laplace"),
        "posterior": case.pick("gaussian", "gaussian", "laplace", "bernoulli"),
        "activation": case.pick(*ops.ACTIVATIONS), "dtype": case.pick(np.float32, np.float64),
    }  # fmt: skip
    lead, how = case.pick((), (3,)), int(case.rng.integers(1000))
    x = case.rng.random((5, 4))
    place = case.pick("likelihood", "posterior", "at", "estimator", "trace", "weights")
    if place == "estimator":
        settings["posterior"] = "gaussian"
    which = int(case.rng.integers(1000))

    def run(backend):
        vae = mv.VAE(4, 2, (3,), backend=backend, **settings)
        rng = np.random.default_rng(0)
        eps = vae.posterior.noise(rng, (*lead, 5, vae.latent_dim))
        if place in ("likelihood", "posterior"):
            part = getattr(vae, place)
            name = methods(part)[which % len(methods(part))]
            original = getattr(part, name)
            setattr(part, name, lambda *args: spoiled(original(*args), how))
            return vae.loss_and_grads(x, eps)
        if place == "estimator":
            pathwise = mv.estimators.named("pathwise")
            return vae.loss_and_grads(x, eps, estimator=lambda *args: spoiled(pathwise(*args), how))
        if place == "at":
            nodes = ("encoder1", "mu", "z", "decoder1", "output", "outputs", "nll", "kl")
            node = nodes[which % len(nodes)]
            trace = vae.forward(x, eps, at=lambda name, v: spoiled(v, how) if name == node else v)[1]
            return vae.backward(trace)
        trace = vae.forward(x, eps)[1]
        if place == "weights":
            weights = np.ones_like(trace.nll), np.ones_like(trace.kl)
            return vae.backward(trace, weights=spoiled(weights, how))
        arrays = [name for name in trace._fields if isinstance(getattr(trace, name), np.ndarray | tuple)]
        name = arrays[which % len(arrays)]
        return vae.backward(trace._replace(**{name: spoiled(getattr(trace, name), how)}))

    what = f"model {place} {which} {how % 19} {settings}"
    case.run(what, lambda: run("numpy"), lambda: run("numba"))


def main(seed, cases):
    raised = Counter()
    for number in range(cases):
        rng = np.random.default_rng((seed, number))
        case = Case(rng, rng.choice([0, 0.03, 0.1]))
        try:
            if number % 10 == 9:
                model(case)
            elif number % 10 > 6:
                steps(case)
            else:
                name, twin, args = kernel(case)
                result = case.run(name, twin, getattr(kernels, name), *args)
                raised[name, isinstance(result, Exception)] += 1
        except AssertionError as error:
            if "-v" not in sys.argv:
                print(number, str(error).strip().replace("\n", " | ")[:400])
                continue
            raise
    for name in KERNELS:
        assert min(raised[name, False], raised[name, True]) > cases / 200, raised
    print("done")


def test_wrong_inputs_harm_nothing():
    """3,000 cases. glibc ends the child if the heap is damaged."""
    command = [sys.executable, __file__, "11", "3000"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "MALLOC_CHECK_": "3"}
    )
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stdout + result.stderr


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
