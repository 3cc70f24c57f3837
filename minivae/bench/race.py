"""Races: the training step against other libraries, the product against BLAS, the parts against the machine.

All contenders of a race are alive at once and take turns of a fraction of a second, round after round. A
ratio is formed within a round, between turns that stand near each other, and the median and quartiles are
over rounds: when the machine slows down for a while, both sides of the ratio slow down.
"""

import json
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from .. import arguments
from . import children, machine, measures, opponents
from .opponents import STEPS, Setting

KINDS = ("step", "matmul", "parts", "machine")
SETTINGS = (
    Setting((400,), 20, "relu", 128),
    Setting((200, 200), 50, "tanh", 20),
    Setting((1000,), 50, "relu", 512),
)
RING = 16  # minibatches that are used in turn; a step never finds its data in the nearest cache
TURN = 0.3  # seconds of one turn
TOLERANCE = 1e-3  # of two loss curves in float32, relative: rounding that 50 steps of Adam have amplified
FAR = 256e6  # bytes that no cache holds


def measure(only=KINDS, threads=None, rounds=15, quick=False, say=lambda line: None):
    """Run the races named in `only` -> a dictionary of plain values, every round in it; times in seconds.

    `quick` is a smoke run: one setting, small products, three short rounds, no search for the best number
    of threads. `say` is told what is being measured. Raises ValueError for a bad argument.
    """
    cores = machine.available_cores()
    threads = cores if threads is None else arguments.integer("threads", threads)
    if threads > cores:
        raise ValueError(f"threads must be at most {cores} here, got {threads}")
    rounds = arguments.integer("rounds", rounds)
    for kind in only:
        arguments.one_of("only", kind, KINDS)
    rounds, turn = (min(rounds, 3), TURN / 10) if quick else (rounds, TURN)
    settings = SETTINGS[:1] if quick else SETTINGS
    products = [p for p in measures.PRODUCTS if not quick or (p[-1] == "float32" and p[1] < 1024)]
    results = {"written by": "minivae bench", "machine": machine.describe(), "threads": threads}
    results |= {"versions": machine.versions(), "rounds": rounds, "tolerance": TOLERANCE}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.npz") for i in range(len(settings))]
        if {"step", "parts"} & set(only):
            for setting, file in zip(settings, files, strict=True):
                measures.save(file, *opponents.start(setting, RING))
        if {"machine", "parts", "step"} & set(only):
            say("the machine's limits")
            results["limits"] = limits(threads, settings, rounds, turn / 3, quick)
        if "step" in only:
            results["step"] = []
            for setting, file in zip(settings, files, strict=True):
                say(f"training step, {setting.title}")
                results["step"].append(race(setting, file, threads, rounds, turn, trials=not quick, say=say))
        if "matmul" in only:
            say("products")
            results["matmul"] = matmul(threads, products, rounds, turn / 3)
        if "parts" in only:
            say("parts of the step")
            results["parts"] = parts(settings[0], files[0], threads, rounds, turn)
            floors = machine.floors(settings[0], results["limits"])
            for row in results["parts"]["rows"]:
                row["floor"] = floors.get(row["name"])
        for setting, entry in zip(settings, results.get("step", []), strict=False):
            entry["floor"] = sum(machine.floors(setting, results["limits"]).values()) or None
    return results


# ------------------------------------------------------------------------------ the races


def race(setting, file, threads, rounds, turn, contenders=STEPS, trials=True, say=lambda line: None):
    """One setting's training step by every contender that can be had."""
    rows = []
    with ExitStack() as stack:
        entrants = {}
        for who in contenders:
            say(f"  {who}")
            row = {"name": who}
            rows.append(row)
            counts = thread_counts(threads) if trials and who not in ("numba", "numpy") else [threads]
            try:
                child, tried = _best_child(stack, who, setting, file, counts, turn)
            except children.Unavailable as reason:
                row["missing"] = str(reason)
                continue
            entrants[who] = child, {}
            row |= {"threads": child.threads, "tried": tried, "losses": child.facts["losses"]}
        answers = _rounds(entrants, rounds, turn)
    for row in rows:
        row |= answers.get(row["name"], {})
    reference = next((row["losses"] for row in rows if "losses" in row), None)
    for row in rows:
        if "losses" in row:
            row["loss_difference"] = difference(row["losses"], reference)
            row["agrees"] = row["loss_difference"] <= TOLERANCE
    flops, moved = machine.work_of_step(setting)
    return {"title": setting.title, "flops": flops, "bytes": moved, "rows": rows}


def matmul(threads, products, rounds, turn):
    """Every product by the kernels and by NumPy's BLAS."""
    rows = []
    with ExitStack() as stack:
        sides = {}
        missing = {}
        for who in ("numba", "numpy"):
            try:
                sides[who] = stack.enter_context(children.Child("matmul", threads, who=who))
            except children.Unavailable as reason:
                missing[who] = str(reason)
        for name, m, k, n, layout, dtype in products:
            case = {"m": m, "k": k, "n_out": n, "layout": layout, "dtype": dtype}
            answers = _rounds({who: (child, case) for who, child in sides.items()}, rounds, turn)
            absent = {who: {"missing": reason} for who, reason in missing.items()}
            rows.append({"name": name, **case, "flops": 2 * m * k * n, **answers, **absent})
    return rows


def parts(setting, file, threads, rounds, turn):
    """One setting's step, part by part, on both backends."""
    rows = [{"name": n, "flops": flops, "bytes": moved} for n, flops, moved in machine.work_of_parts(setting)]
    with ExitStack() as stack:
        entrants, missing = {}, {}
        for who in ("numba", "numpy"):
            try:
                child = children.Child("parts", threads, who=who, setting=setting, file=str(file))
                entrants[who] = stack.enter_context(child), {}
            except children.Unavailable as reason:
                missing[who] = {"missing": str(reason)}
        answers = _rounds(entrants, rounds, turn) | missing
    known = {row["name"] for row in rows}
    seen = dict.fromkeys(p for answer in answers.values() for lap in answer.get("parts", []) for p in lap)
    rows += [{"name": name, "flops": 0, "bytes": 0} for name in seen if name not in known]
    return {"title": setting.title, "rows": rows, "backends": answers}


def limits(threads, settings, rounds, turn, quick=False):
    """The machine's own limits: the best product rate, and bytes per second in sets of several sizes."""
    cube = {"m": 1024, "k": 1024, "n_out": 1024, "layout": "NN", "dtype": "float32"}
    rates, sizes = [], {setting.title: machine.working_set(setting) for setting in settings}
    for count in thread_counts(threads):
        with ExitStack() as stack:
            sides = {}
            for who in ("numba", "numpy"):
                with suppress(children.Unavailable):
                    sides[who] = stack.enter_context(children.Child("matmul", count, who=who)), cube
            for who, answer in _rounds(sides, rounds, turn).items():
                if "seconds" in answer:
                    rates.append(
                        {"threads": count, "who": who, "flops": 2 * 1024**3 / min(answer["seconds"])}
                    )
    streams = []
    with suppress(children.Unavailable), children.Child("bandwidth", threads) as child:
        for name, size in {**sizes, "far beyond the caches": FAR / 4 if quick else FAR}.items():
            for how in ("update", "copy"):
                answer = _rounds({how: (child, {"how": how, "size": int(size)})}, rounds, turn)[how]
                if "seconds" in answer:
                    speed = answer["bytes"][0] / min(answer["seconds"])
                    streams.append({"set": name, "size": size, "how": how, "bytes_per_second": speed})
    return {"products": rates, "streams": streams}


# ------------------------------------------------------------------------------ turns and threads


def _rounds(entrants, rounds, turn):
    """name -> (child, what to ask) takes turns -> name -> its answers over rounds, lists by key.

    The order is reversed in every other round. Who fails is out, with the reason under "missing".
    """
    answers = {name: {} for name in entrants}
    counts = {}
    for name, (child, case) in entrants.items():
        try:
            child.turn(1, **case)
            counts[name] = int(np.clip(turn / child.turn(1, **case)["seconds"], 1, 10_000))
        except children.Unavailable as reason:
            answers[name] = {"missing": str(reason)}
    for i in range(rounds):
        for name in list(counts)[:: -1 if i % 2 else 1]:
            child, case = entrants[name]
            try:
                answer = child.turn(counts[name], **case)
            except children.Unavailable as reason:
                del counts[name]
                answers[name] = {"missing": str(reason)}
                continue
            for key, value in answer.items():
                answers[name].setdefault(key, []).append(value)
    return answers


def _best_child(stack, who, setting, file, counts, turn):
    """A contender with the number of threads that suits it best -> child, {threads: seconds of a step}."""
    tried, reason = {}, children.Unavailable("no number of threads gave an answer")
    for count in counts:
        try:
            child = children.Child("step", count, who=who, setting=setting, file=str(file))
            tried[count] = stack.enter_context(child)
        except children.Unavailable as failure:
            reason = failure
            if "not installed" in str(failure):
                break
    if len(tried) < 2:
        medians = dict.fromkeys(tried, 0.0)
    else:
        answers = _rounds({count: (child, {}) for count, child in tried.items()}, 5, turn / 3)
        medians = {c: float(np.median(a["seconds"])) for c, a in answers.items() if "seconds" in a}
    if not medians:
        raise reason
    best = min(medians, key=medians.get)
    for count in set(tried) - {best}:
        tried[count].close()
    return tried[best], medians if len(tried) > 1 else {}


def thread_counts(threads):
    """1, 2, 4, ... and `threads` itself."""
    return sorted({2**i for i in range(threads.bit_length())} | {threads})


def to_json(results):
    """The bytes of a file that carries the mark of `files`."""
    return json.dumps(results, indent=1).encode() + b"\n"


def spread(values):
    """-> median, lower and upper quartile."""
    return tuple(float(q) for q in np.percentile(values, (50, 25, 75)))


def ratio(mine, theirs):
    """The spread of mine / theirs, round by round; who failed has fewer rounds."""
    return spread([a / b for a, b in zip(mine, theirs, strict=False)])


def difference(losses, reference):
    """The largest relative difference of two loss curves."""
    losses, reference = np.array(losses), np.array(reference)
    return float(np.max(np.abs(losses - reference) / np.abs(reference)))
