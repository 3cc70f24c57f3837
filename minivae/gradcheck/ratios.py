"""The names of a constant ratio between got and want: 2, 1/B, beta, B*D, and what each suggests."""

from itertools import combinations, permutations

# of the largest entry: how well a hypothesis must explain what was got, never finer than what is allowed
FIT = 1e-7

RATIO_HINTS = {
    "B": "a sum where a mean is asked?",
    "1/B": "a mean where a sum is asked?",
    "D": "a sum over pixels where a mean is asked?",
    "1/D": "a mean over pixels where a sum is asked?",
    "L": "a sum over latents where a mean is asked?",
    "1/L": "a mean over latents where a sum is asked?",
    "S": "samples of z added, not averaged?",
    "1/S": "samples of z averaged twice, or where a sum is asked?",
    "beta": "beta counted once too often?",
    "1/beta": "beta is missing",
}


def _table(sizes):
    """Name -> number in three ranks: one size; a few of them, or a fraction; what fits only by chance."""
    plain = {"1": 1.0, "2": 2.0, "1/2": 0.5} | sizes | {f"1/{n}": 1 / v for n, v in sizes.items()}
    counts = {n: v for n, v in sizes.items() if n != "beta"}
    likely = {"4": 4.0, "1/4": 0.25, "3/2": 1.5, "2/3": 2 / 3}
    for n, v in counts.items():
        likely |= {f"{n}/({n}-1)": v / (v - 1), f"({n}-1)/{n}": (v - 1) / v}
    products = {f"{n}^2": v * v for n, v in sizes.items()}
    products |= {f"{a}*{b}": sizes[a] * sizes[b] for a, b in combinations(sizes, 2)}
    likely |= products | {f"1/({n})": 1 / v for n, v in products.items()}
    if "beta" in sizes:
        likely |= {"sqrt(beta)": sizes["beta"] ** 0.5, "1/sqrt(beta)": sizes["beta"] ** -0.5}
    for n, v in sizes.items():
        likely |= {f"2*{n}": 2 * v, f"2/{n}": 2 / v, f"1/(2*{n})": 0.5 / v}
    chance = {f"{a}/{b}": sizes[a] / sizes[b] for a, b in permutations(sizes, 2)}
    for n, v in counts.items():
        chance |= {f"{n}-1": v - 1, f"1/({n}-1)": 1 / (v - 1)}
    return plain, likely, chance


def ratio_names(ratio, sizes, loose=FIT):
    """Names of what a constant ratio may be: "2", "1/B", "beta", "B*D" ...; simplest first.

    sizes   name -> number, none of them 0 or 1
    """
    for rank, names in enumerate(_table(sizes)):
        found = [n for n, value in names.items() if abs(abs(ratio) - value) <= loose * abs(value)]
        if found[:1] == ["1"]:
            return ["-1"]
        if found:
            return found if rank == 0 else found[:1]
    return []


def ratio_words(name, sizes):
    """A ratio's name with its number and a hint."""
    if name in ("2", "1/2"):
        return f"constant ratio {name} (a lost or extra 1/2?)" + ", or added twice" * (name == "2")
    plain, likely, chance = _table(sizes)
    if name not in plain:  # one of many names: the number is what is sure
        number = f"{(likely | chance)[name]:.6g}"
        return f"constant ratio {number}" + f" ({name}?)" * (name not in (number, "3/2"))
    one = name.removeprefix("1/")
    hint = f" ({RATIO_HINTS[name]})" if name in RATIO_HINTS else ""
    return f"ratio {name} = {'1/' * name.startswith('1/')}{sizes[one]:g}{hint}"
