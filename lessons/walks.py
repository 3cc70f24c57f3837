"""A right answer as text: the lines that a learner would write, and what may be wrong in them.

A line is "name = code". A slip is a line written differently, with the sentence that says what is wrong:
"m = beta1 * old_m + g  # the new gradient needs the weight 1 - beta1". What no table lists is made by
`mutants`: every term, factor, sign, axis and name of a line, left out or exchanged.
"""

import ast
import re
import textwrap
from functools import cache
from itertools import chain, permutations

import numpy as np

from minivae import ops

NAMES = (
    "abs all any arange arctan arctan2 array argmax broadcast_to clip concatenate cos cosh cumsum exp "
    "expm1 eye flip float32 full full_like imag isclose log log10 log1p log2 logaddexp max maximum mean "
    "median min minimum nan nan_to_num ndim ones ones_like pi prod real repeat resize roll round shape "
    "sign sin sinh sqrt square stack std sum swapaxes take tan tanh tile trunc var where zeros zeros_like "
)
NUMPY = {name: getattr(np, name) for name in NAMES.split()} | {"np": np, "ops": ops}
LIMITS = (*range(1, 11), 12, 15, 16, 20, 25, 30, 36, 40, 50, 88, 100, 500, 700)
VARIED = {
    "SMALL": [f"1e-{p}" for p in range(2, 17)],
    "LIMIT": [str(n) for n in LIMITS],
}
WRITTEN = re.compile(
    rf"(?<![\w.'\"])({'|'.join(NAMES.split())})\("
)  # a bare call: the solution shows it with np.
compiled = cache(lambda code: compile(code.strip(), code, "eval"))


@cache
def _lines(text):
    """Pairs (name, code) of a text; "; " separates two lines in one row, comments are dropped."""
    rows = chain.from_iterable(row.split("  #")[0].split("; ") for row in text.strip().splitlines())
    pairs = [row.strip().split(" = ", 1) for row in rows if row.strip()]
    return tuple((name.removesuffix("[...]"), code) for name, code in pairs)


def lines(text):
    """Pairs (name, code) of a text, as a list."""
    return list(_lines(text))


@cache
def remarks(text):
    """name -> what the comment of its line says after the shape: "# (B, L): one for each row"."""
    rows = re.findall(r"^\s*(\w+)\S* = .*  # [^:\n]*: (.+)$", text, re.MULTILINE)
    return {name: f": {words}" for name, words in rows}


@cache
def slips(text):
    """Pairs (lines, sentence) of a table: rows of code, the last of which has "  # " and their sentence.

    The sentence may be on the next line. A row with SMALL is tried with 1e-2 to 1e-16, one with LIMIT with
    the limits at which learners cut.
    """
    found, codes = [], []
    for row in re.sub(r"\n\s*# ", "  # ", text.strip()).splitlines():
        code, _, words = row.strip().partition("  # ")
        codes += [code] * bool(code)
        if words:
            word = next((word for word in VARIED if word in "".join(codes)), "")
            for number in VARIED.get(word, [""]):
                found += [(tuple(lines(c.replace(word, number))), words.replace(word, number)) for c in codes]
            codes = []
    return tuple(found)


def walk(text, given, *changed):
    """Every value of the computation by its name; `changed` lines replace those of their names.

    A changed line of an argument comes first, one with a new name before the next that replaces a line.
    """
    written = lines(text)
    for change in changed:
        new = []
        for name, code in change:
            at = next((i for i, (other, _) in enumerate(written) if other == name), None)
            if at is None and name in given:
                written.insert(0, (name, code))
                continue
            new.append((name, code))
            if at is not None:
                written[at : at + 1], new = new, []
        written += new
    space = NUMPY | given
    with np.errstate(all="ignore"):
        for name, code in written:
            space[name] = eval(compiled(code), space)
    return space


def shown(text):
    """The lines as a learner would write them: exp(a) as np.exp(a), and old_m as m."""
    text = textwrap.dedent(text).strip().replace("old_", "")
    return re.sub(r"(?<![\w.])pi\b", "np.pi", WRITTEN.sub(r"np.\1(", text))


# ------------------------------------------------------------------------------ what a line may have been

USUAL = (2, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 50, 80, 100)  # for a lower and an upper limit that differ
COMMON = """
    logvar = 2 * logvar  # logvar is read as log std: e^logvar is the variance itself
    logvar = log(exp(logvar) + SMALL)
    logvar = 2 * log(exp(0.5 * logvar) + SMALL)
        # SMALL is added to the variance or to std, which is never 0: that changes small ones
    logvar = 2 * log(maximum(exp(0.5 * logvar), SMALL))  # std is cut off at SMALL: it may be smaller
    beta = beta or 1.0  # beta = 0 counts as 1: `beta or 1` and `if beta` take 0 for missing
"""  # slips of every part that has the argument
CHANGED = """
    X = clip(X, -LIMIT, LIMIT)  # X is clipped at +-LIMIT: it may be any number
    X = minimum(X, LIMIT)  # X is clipped at LIMIT from above: it may be any number
    X = maximum(X, -LIMIT)  # X is clipped at -LIMIT from below: it may be any number
    X = abs(X)  # the sign of X is lost
    X = -X  # X has the wrong sign
    X = maximum(X, 0)  # negative X are cut off at 0
    X = round(X)  # X is rounded to whole numbers
    X = X.astype(float32).astype(float)  # X is rounded to float32
    X = 1 + 0 * X  # X is missing, as if it was 1
    X = X.sum() + 0 * X  # X is summed over everything, and each entry has its own
    X = X.mean() + 0 * X  # X is averaged over everything, and each entry has its own
    X = X[:1] + 0 * X  # the first of X is used for all, X[0] where X belongs
    X = X[-1:] + 0 * X  # the last of X is used for all, X[-1] where X belongs
    X = X[::-1]  # X is used in reverse order
    X = X[..., :1] + 0 * X  # the first column of X is used for all columns
    X = X.mean(axis=0) + 0 * X  # X is averaged over its first axis
    X = X.mean(axis=-1, keepdims=True) + 0 * X  # X is averaged over its last axis
    X = X.reshape(X.shape[1], X.shape[0], -1).swapaxes(0, 1)
        # samples and rows of X are mixed up by a reshape: it is (S, B, ...)
""" + "".join(
    f"X = clip(X, -{a}, {b})  # X is clipped at -{a} and {b}: it may be any number\n"
    for a, b in permutations(USUAL, 2)
)  # of every array among the arguments, X
OTHER_CALLS = {
    "exp": ("expm1", "sqrt", "log"),
    "log": ("log2", "log10", "log1p", "exp"),
    "log1p": ("log", "exp"),
    "expm1": ("exp",),
    "sqrt": ("square", "abs"),
    "tanh": ("tan", "sinh", "exp"),
    "maximum": ("minimum",),
    "abs": (),
}
OTHER_SUMS = {
    ".mean({})": "{a} is averaged, expected a sum",
    ".sum()": "the sum runs over all axes, and the batch is one of them",
    ".prod({})": "the entries are multiplied, expected their sum",
    ".max({})": "the largest entry is taken, expected the sum of all",
    "[..., 0]": "only the first entry of the last axis counts: does a return end the loop?",
    "[..., -1]": "only the last entry of the last axis counts: = where += belongs?",
    "[..., :-1].sum({})": "the last entry is left out of the sum: does a loop end one too early?",
    "[..., 1:].sum({})": "the first entry is left out of the sum: does a loop start at 1?",
    "[0]": "only the first row counts: does a return end the loop?",
    "[-1]": "only the last row counts: = where += belongs?",
    "[1:].sum({})": "the first row is left out of the sum",
    "[:-1].sum({})": "the last row is left out of the sum",
    ".sum({}, keepdims=True)": "the sum keeps its axis (keepdims), which will broadcast",
    "": "the sum is missing",
}
OTHER_MEANS = {".sum({})": "the sum is taken, expected the mean", "": "the mean is missing"}
FACTORS = {"2 * ({})": "twice", "0.5 * ({})": "half of", "-({})": "minus", "({}) ** 2": "the square of"}


def mutants(name, text, names):
    """Pairs ((name, code), words) of what this line may have been; names: what it may take by mistake."""
    tree = ast.parse(text.strip(), mode="eval").body
    text = text.strip()
    for pattern, words in FACTORS.items():
        yield (name, pattern.format(text)), f"it is {words} what it should be"
    fixed = set()  # numbers that say an axis, a shape or an index
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword | ast.Slice):
            fixed |= set(ast.walk(node))
        if isinstance(node, ast.Subscript):
            fixed |= set(ast.walk(node.slice))
    for node in ast.walk(tree):
        if not hasattr(node, "col_offset") or node in fixed:
            continue
        start, end = node.col_offset, node.end_col_offset
        for new, words in _others(node, lambda part: ast.get_source_segment(text, part), names):
            yield (name, f"{text[:start]}({new}){text[end:]}"), words


def _others(node, said, names):
    """Pairs (code, words) for one node of a line; `said` gives the text of a node."""
    if isinstance(node, ast.BinOp):
        yield from _other_operations(node, said(node.left), said(node.right))
    elif isinstance(node, ast.Call):
        yield from _other_calls(node, said)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield said(node.operand), f"{said(node.operand)} lacks its minus sign"
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        a = said(node.value)
        yield a, f"{a} is not transposed"
        yield f"{a}.reshape({a}.T.shape)", f"{a} is reshaped, expected {a}.T: a reshape mixes up the entries"
    elif isinstance(node, ast.Subscript):
        yield said(node.value), f"{said(node.slice)} is missing after {said(node.value)}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        c = said(node)
        for new in (f"{2 * node.value:g}", f"{node.value / 2:g}", f"-{c}"):
            yield new, f"{new} is used where {c} belongs" if new[0] != "-" else f"{c} has the wrong sign"
    elif isinstance(node, ast.Name):
        for other in names:
            if other != node.id and node.id not in NUMPY:
                yield other, f"{other} is used where {node.id} belongs"
        if node.id in names:
            yield f"abs({node.id})", f"the absolute value of {node.id} is used"


def _other_operations(node, a, b):
    """Pairs (code, words) for a + b, a - b, a * b, a / b, a ** b or a @ b."""
    kind, A, B = type(node.op), f"({a})", f"({b})"
    if kind is ast.Add:
        yield A, f"the term {b} is missing"
        yield B, f"the term {a} is missing"
        yield f"{A} - {B}", f"{b} has the wrong sign"
        yield f"{B} - {A}", f"{a} has the wrong sign"
        yield f"{A} * {B}", f"{a} and {b} are multiplied, and must be added"
    elif kind is ast.Sub:
        yield A, f"the term - {b} is missing"
        yield f"-{B}", f"the term {a} is missing"
        yield f"{A} + {B}", f"{b} has the wrong sign"
        yield f"{B} - {A}", f"{a} - {b} has the wrong sign"
    elif kind is ast.Mult:
        yield B, f"the factor {a} is missing"
        yield A, f"the factor {b} is missing"
        yield f"{A} / {B}", f"it is divided by {b}, and must be multiplied"
        yield f"{B} / {A}", f"it is divided by {a}, and must be multiplied"
        yield f"{A} + {B}", f"{a} and {b} are added, and must be multiplied"
        yield f"{A} * {B} * {B}", f"the factor {b} is applied twice"
        yield f"{A} * {A} * {B}", f"the factor {a} is applied twice"
    elif kind is ast.Div:
        yield A, f"the division by {b} is missing"
        yield f"{A} * {B}", f"it is multiplied by {b}, and must be divided"
        yield f"{B} / {A}", f"{a} and {b} are divided the wrong way round"
        yield f"{A} / {B} ** 2", f"it is divided by {b} twice"
        yield f"{A} / sqrt({b})", f"it is divided by the root of {b}, not by {b}"
        for small in VARIED["SMALL"]:
            yield f"{A} / ({b} + {small})", f"{small} is added to {b}: that changes small values"
    elif kind is ast.Pow:
        yield A, f"the power {b} of {a} is missing"
        yield f"{A} * {B}", f"{a} is multiplied by {b}: it must be raised to that power (**)"
        yield f"abs({a})", f"the absolute value of {a} is used where its power {b} belongs"
    elif kind is ast.MatMult:
        for left, right in (("a", "b.T"), ("a.T", "b"), ("b", "a"), ("b", "a.T"), ("b.T", "a")):
            new = f"{left} @ {right}".replace("a", "\0").replace("b", b).replace("\0", a).replace(".T.T", "")
            yield new, f"{new} is computed where {a} @ {b} belongs"
        yield f"{A} * {B}", f"{a} and {b} are multiplied entry by entry (*), and need a matrix product (@)"
        yield f"{A}[:, :-1] @ {B}[:-1]", "the last one is left out of the sum in the product"
        yield f"{A}[:, 1:] @ {B}[1:]", "the first one is left out of the sum in the product"


def _other_calls(node, said):
    text, function = said(node), node.func
    if isinstance(function, ast.Attribute) and function.attr in ("sum", "mean"):
        inner, axis = said(function.value), ", ".join(map(said, node.args + node.keywords))
        for pattern, words in (OTHER_SUMS if function.attr == "sum" else OTHER_MEANS).items():
            if pattern.format(axis) != f".{function.attr}({axis})":
                yield f"({inner})" + pattern.format(axis).replace("(, ", "("), words.format(a=inner)
        yield (
            f"({inner}).{function.attr}() + 0 * {text}",
            f"the {function.attr} runs over everything: see {text}",
        )
        for other in [other for other in ("axis=0", "axis=1", "axis=-1") if other != axis]:
            code = f"({inner}).{function.attr}({other})"
            yield code, f"the {function.attr} runs over {other}, expected {axis or 'all axes'}"
    elif isinstance(function, ast.Name) and function.id in OTHER_CALLS and node.args:
        first, rest = said(node.args[0]), "".join(f", {said(a)}" for a in node.args[1:])
        yield first, f"the {function.id} is missing around {first}"
        for other in OTHER_CALLS[function.id]:
            yield f"{other}({first}{rest})", f"{other} is used where {function.id} belongs"
        for small in VARIED["SMALL"] if function.id in ("exp", "log", "sqrt") else ():
            new = f"exp({first}) + {small}" if function.id == "exp" else f"{function.id}({first} + {small})"
            yield new, f"{small} is added in {text}: that changes small values"
            if function.id == "exp" and first.startswith("-"):
                of = f"exp({first[1:]})"
                yield (
                    f"1 / ({of} + {small})",
                    f"{small} is added to {of}, which is never 0: that changes small ones",
                )
                yield f"1 / maximum({of}, {small})", f"{of} is cut off at {small}: it may be smaller"
        for scale, words in (("-", "has the wrong sign"), ("2 * ", "is doubled"), ("0.5 * ", "is halved")):
            yield f"{function.id}({scale}({first}){rest})", f"the argument of {text} {words}"
