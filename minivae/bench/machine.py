"""What the machine is, and what a training step asks of it at least.

No program can be faster than its arithmetic at the best rate that a product reaches here, nor faster than its
bytes at the speed of memory:  floor = max(flops / rate, bytes / bandwidth). Flops are those of the products
alone, 2 m k n each; bytes are those of every operand read once and every result written once, in float32.
"""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np

NUMBER = 4  # bytes of a float32


def work_of_parts(setting):
    """(part, flops, bytes) of every part of a training step with one z and Adam, in the order of the step."""
    B, D, L = setting.batch, setting.data, setting.latent
    down = [*zip((D, *setting.hidden[:-1]), setting.hidden, strict=True)]
    up = [*zip((L, *setting.hidden[::-1]), (*setting.hidden[::-1], D), strict=True)]
    heads = [(setting.hidden[-1], L)] * 2
    count = sum(n_in * n_out + n_out for n_in, n_out in (*down, *heads, *up))
    parts = [
        ("encoder forward", *_forward(B, down)),
        ("heads forward", *_forward(B, heads)),
        ("sample", 0, 4 * B * L),  # mu, logvar, eps -> z
        ("decoder forward", *_forward(B, up)),
        ("loss", 0, 2 * B * D + 2 * B * L),
        ("loss backward", 0, 3 * B * D + 4 * B * L),
        ("decoder backward", *_backward(B, up)),
        ("sample backward", 0, 5 * B * L),  # dz, logvar, eps -> dmu, dlogvar
        ("heads backward", *_backward(B, heads)),
        ("encoder backward", *_backward(B, down, input_gradient=False)),
        ("optimizer", 0, 7 * count),  # p, m, v, g read and p, m, v written
        (
            "around them",
            0,
            0,
        ),  # checks, casts, sums of gradients: everything that is not a call of the backend
    ]
    return [(name, flops, NUMBER * numbers) for name, flops, numbers in parts]


def _forward(B, shapes):
    """y = x @ W + b: one product; x, W, b read and y written."""
    flops = sum(2 * B * n_in * n_out for n_in, n_out in shapes)
    return flops, sum(B * n_in + n_in * n_out + n_out + B * n_out for n_in, n_out in shapes)


def _backward(B, shapes, input_gradient=True):
    """dW = x.T @ dy and dx = dy @ W.T, which the first layer need not have."""
    flops = numbers = 0
    for i, (n_in, n_out) in enumerate(shapes):
        asked = input_gradient or i > 0
        flops += 2 * B * n_in * n_out * (1 + asked)
        numbers += 2 * B * n_out + B * n_in + n_in * n_out + n_out  # dy, y, x -> dW, db
        numbers += (n_in * n_out + B * n_in) * asked  # W -> dx
    return flops, numbers


def work_of_step(setting):
    """flops, bytes of a whole training step."""
    parts = work_of_parts(setting)
    return sum(flops for _, flops, _ in parts), sum(moved for _, _, moved in parts)


def working_set(setting):
    """Bytes that a step goes through before it meets the same ones again: p, g, m, v, activations."""
    B, D, L = setting.batch, setting.data, setting.latent
    parameters = next(moved for name, _, moved in work_of_parts(setting) if name == "optimizer") // 7
    return 4 * parameters + NUMBER * B * (3 * D + 2 * sum(setting.hidden) + 6 * L)


def floors(setting, limits):
    """{part: seconds that it takes at least} under measured limits; {} where a limit is missing."""
    rates = [row["flops"] for row in limits["products"]]
    # a step that fits in a cache is held to the speed of that cache
    speeds = [row["bytes_per_second"] for row in limits["streams"] if row["set"] == setting.title]
    if not rates or not speeds:
        return {}
    return {
        name: max(flops / max(rates), moved / max(speeds)) for name, flops, moved in work_of_parts(setting)
    }


# ------------------------------------------------------------------------------ what the machine is


def available_cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe():
    """Processor, cores, system, and how busy the machine is before anything is measured."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"cpu": model, "cores": available_cores(), "system": platform.platform(), "busy": busy()}


def busy(seconds=0.5):
    """The share of all cores' time that others use, watched for a moment; None where nothing tells."""
    try:
        before = _ticks()
        time.sleep(seconds)
        idle, total = (after - b for after, b in zip(_ticks(), before, strict=True))
    except OSError:
        return None
    return 1 - idle / total if total else None


def _ticks():
    """idle, total clock ticks of all cores since the start; idle counts the wait for a disk."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def versions():
    """Versions of Python, of everything that takes part, and of NumPy's BLAS; None for what is missing."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "numba", "torch", "jax"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return found | {"blas": f"{blas.get('name')} {blas.get('version')}"}
