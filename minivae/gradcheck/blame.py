"""From rows to a sentence: which row is the cause, which are its consequences, and which line to look at."""

import numpy as np

from .nodes import handed_over
from .verdicts import UNRELATED


def explain(report, model, check, setting):
    """Write the report's headline, and mark the rows that only follow from an earlier one."""
    alone = {row.name: row for row in report.operations if not row.ok}
    makers = _makers(model, setting)
    causes, wrong_terms = [], set()
    _name_copies(report, check)
    everywhere = "" if alone else _everywhere(report)
    if not alone and all(row.ok for row in report.rows if row.term == "loss"):
        _forgive(report)
    for row in report.rows:
        if row.ok:
            continue
        before = wrong_terms if row.term == "loss" else wrong_terms & {row.term}
        maker = _maker(row, makers)
        own = alone.get(maker)
        if before and not own:
            row.verdict = "follows" if row.verdict == UNRELATED else f"follows: {row.verdict}"
        else:
            causes.append((row, maker, own))
        wrong_terms.add(row.term if row.term != "loss" else "")
    if everywhere:
        report.says = f"every parameter: {everywhere}; the walk is right, look at what backward() returns"
    elif causes:
        report.says = _sentence(causes, alone, makers, check, setting)
    elif alone:
        name, row = next(iter(alone.items()))
        report.says = (
            f"{_function(name, setting)} is wrong by itself: {row.verdict}. This walk is right without it"
        )


def _forgive(report):
    """Nodes of a walk in other units, when every parameter's derivative is right: what wraps it makes up."""
    for row in report.rows:
        if not row.ok:
            row.verdict = f"ok ({row.verdict}; the gradient is right: what wraps the walk makes up for it)"


def _name_copies(report, check):
    """A node or a parameter that was given the very numbers of another one's derivative."""
    given = {t: handed_over(check.calls[t], check.model) for t in ("reconstruction", "kl")}
    given["loss"] = check.grads[None] | {n: g for n, g in check.outer[0].items() if g is not None}
    wrong = set()
    for row in report.rows:
        grads, kind = given[row.term], "parameter" if row.term == "loss" else "node"
        # after a wrong node others may be alike because they follow from it
        first, got = kind == "parameter" or row.term not in wrong, grads.get(row.name)
        if first and row.verdict == UNRELATED and got is not None and np.any(got):
            names = list(grads)
            if kind == "node":  # what comes later may be its copy
                names = names[: names.index(row.name)]
            same = [n for n in names if n != row.name and np.array_equal(grads[n], got)]
            if same:
                row.verdict = f"it is d{same[0]}, another {kind}'s derivative"
        wrong |= set() if row.ok else {row.term}


def _everywhere(report):
    """The verdict of every parameter, if they all have the same one and no node is wrong."""
    verdicts = {row.verdict for row in report.rows if row.term == "loss"}
    if len(verdicts) > 1 or any(not row.ok for row in report.rows if row.term != "loss"):
        return ""
    verdict = next(iter(verdicts), "ok")
    return "" if verdict.startswith(("ok", UNRELATED)) else verdict


def _called(maker, check):
    """Whether the model's walk called the operation of a row."""
    role, _, layer = maker.partition(" > ")[0].partition("(")
    calls = check.calls[None]
    return any(call.role == role and (not layer or call.layer == layer.rstrip(")")) for call in calls)


def _given_another(maker, check, setting):
    """Says which array an operation was handed where another one belongs."""
    heads = {head: setting.values.get(head) for head in check.model.posterior.heads}
    belongs = {
        "sample_backward": {**heads, "eps": setting.eps},
        "kl_backward": heads,
        "nll_backward": {setting.outputs_name: setting.outputs, "x": setting.x},
    }.get(maker.partition(" > ")[0], {})
    arrays = setting.known("mu") | setting.known("outputs") | belongs
    for call in check.calls[None]:
        if call.role != maker.partition(" > ")[0]:
            continue
        for (name, want), got in zip(belongs.items(), call.args[1:], strict=False):
            if want is not None and not _alike(got, want):
                other = next((n for n, array in arrays.items() if _alike(got, array)), "another array")
                return f", but it is handed {other} where {name} belongs"
    return ""


def _alike(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=0)


def _sentence(causes, alone, makers, check, setting):
    row, maker, own = causes[0]
    shown, text = row.verdict, ""
    activation = next((r for name, r in alone.items() if name.startswith("activation")), None)
    if own and maker.startswith("dense") and activation:
        maker, own = activation.name, activation
    if own:
        text = f"It comes from {_function(maker, setting)}, which is wrong by itself"
        if shown.startswith(UNRELATED):
            shown = own.verdict
        elif own.verdict not in (shown, UNRELATED):
            text += f": {own.verdict}"
    elif row.name in ("nll", "kl"):
        text = "The model's backward makes it, before any operation is called"
    elif _only_outside(row, check):
        text = "Operation by operation it is right; the model's own walk, or what wraps it, changes it"
    else:
        if not maker:
            known = "Every operation is right by itself"
        elif _called(maker, check):
            known = f"{_function(maker, setting)} is right by itself{_given_another(maker, check, setting)}"
        else:
            known = f"The model does not call {_function(maker, setting).partition(chr(39))[0]}"
        text = f"{known}; look at the lines of the model's walk back that stand between it and {_named(row)}"
    kind = "parameter" if row.term == "loss" else "node"
    text = f"the first wrong {kind} on the way back is {_named(row)}: {shown}. {text}"
    # the same operation in other layers is the same line of code
    role = causes[0][1].partition("(")[0] if own else None
    rest = [(r, m) for r, m, _ in causes[1:] if not (own and m.startswith(role))]
    also = dict.fromkeys(
        f"{_named(r)} ({alone[m].verdict if r.verdict == UNRELATED and m in alone else r.verdict})"
        for r, m in rest
    )
    if also:
        text += f". Also: {'; '.join(list(also)[:3])}" + "; ..." * (len(also) > 3)
    return text


def _named(row):
    return f"d{row.name}" + ("" if row.term == "loss" else f" of the {row.term}")


def _only_outside(row, check):
    """Whether the plain walk's own gradient differs from what the model returns."""
    plain, outer = check.grads[None].get(row.name), check.outer[0].get(row.name)
    if row.term != "loss" or plain is None or outer is None or np.shape(plain) != np.shape(outer):
        return False
    return not np.allclose(plain, outer, rtol=1e-6, atol=1e-9 * np.max(np.abs(plain), initial=0))


def _makers(model, setting):
    """(term, node) -> the operation's row that makes its derivative."""
    network, heads = model.network, model.posterior.heads
    makers = {("reconstruction", setting.outputs_name): f"nll_backward > {setting.outputs_name}"}
    for name in setting.learned:
        makers["loss", name] = f"nll_backward > {name}"
    after = network.decoder[-1]
    for name in (*reversed(network.decoder[:-1]), "z"):
        makers["reconstruction", name] = f"dense_backward({after}) > x"
        after = name
    for head in heads:
        makers["reconstruction", head] = f"sample_backward > {head}"
        makers["kl", head] = f"kl_backward > {head}"
    after = heads[0]
    for name in reversed(network.encoder):
        makers["reconstruction", name] = makers["kl", name] = f"dense_backward({after}) > x"
        after = name
    for name in network.sizes:
        for kind in "Wb":
            makers["loss", f"{name}.{kind}"] = f"dense_backward({name}) > {kind}"
    return makers


def _maker(row, makers):
    return makers.get((row.term, row.name), "")


FUNCTIONS = {"sample_backward": "gaussian_sample_backward", "kl_backward": "gaussian_kl_backward"}


def _function(maker, setting):
    """ "kl_backward > mu" -> "gaussian_kl_backward's dmu"."""
    role, _, part = maker.partition(" > ")
    nll = "bernoulli_nll_backward" if setting.outputs_name == "logits" else "gaussian_nll_backward"
    part = "logvar" if part == "output.logvar" else part
    return f"{FUNCTIONS.get(role, nll if role == 'nll_backward' else role)}'s d{part}"
