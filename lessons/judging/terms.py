"""Take a result for a sum of named terms, and say which term is missing, exchanged or wrongly weighted."""

from itertools import combinations

import numpy as np

FIT = 1e-8  # of the largest entry: how well the terms must explain what was got
MOST = 5  # terms in a formula


def as_terms(got, want, terms, formula):
    """The smallest sum of named terms that explains what was got, compared with the right one."""
    flat = {term: np.broadcast_to(np.asarray(a, np.float64), got.shape).ravel() for term, a in terms.items()}
    found = sum_of_terms(got.ravel(), flat, formula)
    if found is None or min(abs(factor) for factor in found.values()) < 1e-6:
        return None  # what is that small is no term but a slight error
    ratios = {found.get(term, 0) / factor for term, factor in formula.items()}
    if set(found) == set(formula) and max(ratios) - min(ratios) < 1e-6:
        return None  # a constant ratio of everything
    asked = f"{_written(found)}, where {_written(formula)} is asked"
    if len(formula) > 1 and not set(found) & set(formula):
        return f"is {asked}"
    return f"{_difference(found, formula)}: it is {asked}"


def sum_of_terms(got, terms, formula):
    """term -> factor, the fewest terms that make up `got` (n,) exactly, those of `formula` first."""
    size = np.max(np.abs(got))
    names = sorted(terms, key=lambda term: term not in formula)
    for count in range(1, min(MOST, len(got) // 2) + 1):
        best = None
        for chosen in combinations(names, count):
            matrix = np.stack([terms[term] for term in chosen], axis=1)
            factors = np.linalg.lstsq(matrix, got, rcond=None)[0]
            if np.max(np.abs(matrix @ factors - got)) <= FIT * size:
                alike = sum(abs(formula.get(t, 0) - f) < 1e-6 for t, f in zip(chosen, factors, strict=True))
                plain = all(abs(f * 12 - round(f * 12)) < 1e-5 for f in factors)
                if best is None or (plain, alike) > best[0]:
                    best = ((plain, alike), dict(zip(chosen, factors.tolist(), strict=True)))
        if best:
            return best[1]
    return None


def _difference(found, formula):
    missing = [t for t in formula if t not in found]
    extra = [t for t in found if t not in formula]
    other = [t for t in found if t in formula and abs(found[t] - formula[t]) > 1e-6]
    if len(missing) == 1 and len(extra) == 1 and not other:
        return f"has {extra[0]} where {missing[0]} belongs"
    words = [f"lacks the {_term(t, formula[t])}" for t in missing]
    words += [f"has the {_term(t, found[t])} too many" for t in extra]
    for term in other:
        if term == "1":
            words.append(f"has the constant {_factor(found[term])}, not {_factor(formula[term])}")
            continue
        ratio = found[term] / formula[term]
        if abs(ratio + 1) < 1e-6:
            words.append(f"has the wrong sign at the term {term}")
        else:
            words.append(f"has {_factor(found[term])} times {term}, not {_factor(formula[term])} times")
    return " and ".join(words)


def _term(term, factor):
    return f"constant {_factor(factor)}" if term == "1" else f"term {term}"


def _written(formula):
    """{"mu^2": 0.5, "1": -0.5} as "1/2 mu^2 - 1/2"."""
    parts = []
    for term, factor in formula.items():
        size = _factor(abs(factor))
        body = size if term == "1" else term if size == "1" else f"{size} {term}"
        sign = ("- " if factor < 0 else "+ ") if parts else ("-" if factor < 0 else "")
        parts.append(sign + body)
    return " ".join(parts) or "0"


def _factor(value):
    for bottom in (1, 2, 3, 4, 6, 8):
        top = value * bottom
        if abs(top - round(top)) < 1e-6 and round(top):
            return f"{round(top)}" if bottom == 1 else f"{round(top)}/{bottom}"
    return f"{value:.4g}"
