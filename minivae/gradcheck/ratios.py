"""The names of a constant ratio between got and want: 2, 1/B, beta, B*D, and what each suggests."""

from itertools import product

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


def ratio_names(ratio, sizes, loose=FIT):
    """Names of what a constant ratio may be: "2", "1/B", "beta", "B*D" ...; simplest first."""
    names = {"1": 1.0, "2": 2.0, "1/2": 0.5}
    names |= {**sizes, **{f"1/{n}": 1 / v for n, v in sizes.items()}}
    pairs = list(product(sizes, sizes))
    names |= {f"{a}/{b}": sizes[a] / sizes[b] for a, b in pairs if a != b}
    names |= {f"{a}*{b}": sizes[a] * sizes[b] for a, b in pairs if a <= b}
    names |= {f"1/({a}*{b})": 1 / (sizes[a] * sizes[b]) for a, b in pairs if a <= b}
    names |= {"4": 4.0, "1/4": 0.25, **{f"2*{n}": 2 * v for n, v in sizes.items()}}
    names |= {f"2/{n}": 2 / v for n, v in sizes.items()} | {f"1/(2*{n})": 0.5 / v for n, v in sizes.items()}
    names |= {f"{n}-1": v - 1 for n, v in sizes.items()} | {
        f"1/({n}-1)": 1 / (v - 1) for n, v in sizes.items()
    }
    found = [n for n, value in names.items() if abs(abs(ratio) - value) <= loose * value]
    if found[:1] == ["1"]:
        return ["-1"]
    plain = [n for n in found if n in ("2", "1/2") or n.removeprefix("1/") in sizes]
    return plain or found[:2]


def ratio_words(name, sizes):
    """A ratio's name with its number and a hint."""
    if name in ("2", "1/2"):
        return f"constant ratio {name} (a lost or extra 1/2?)" + ", or added twice" * (name == "2")
    plain = name.removeprefix("1/")
    number = f" = {'1/' * name.startswith('1/')}{sizes[plain]:g}" if plain in sizes else ""
    hint = f" ({RATIO_HINTS[name]})" if name in RATIO_HINTS else ""
    return f"ratio {name}{number}{hint}"
