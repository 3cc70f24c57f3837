"""The nodes of a VAE in the order of the way back, each with the derivative that the walk handed over.

    dnll -> dlogits -> decoder, last layer first -> dz -> dmu, dlogvar      the reconstruction
    dkl  ----------------------------------------------> dmu, dlogvar      the kl
    dmu, dlogvar -> encoder, last layer first                              each term by itself

A node's derivative is the one that the next line back was handed: what a layer's `dense_backward` got as dy.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Node:
    """A derivative that was handed over (or, of a parameter, returned)."""

    kind: str  # "node" or "parameter"
    name: str
    term: str
    node: str  # what the probe calls it
    got: object
    encoder: bool = False  # stands before z
    known: dict = field(default_factory=dict)
    others: dict = field(default_factory=dict)
    terms: dict = field(default_factory=dict)


def nodes(model, setting, calls, grads, estimator):
    """Nodes and parameters in the order of the way back."""
    network, found = model.network, []
    heads = model.posterior.heads
    taken = {term: handed_over(calls[term], model) for term in ("reconstruction", "kl")}
    parts = {term: _parts(calls[term], heads) for term in taken}

    def node(name, term, key=None, encoder=False):
        got = taken[term].get(key or name)
        if got is None:
            setting.note(f"d{name} of the {term} was not seen: the way back does not hand it to an operation")
            return
        if key == network.decoder[-1] and got.size == setting.outputs.size:
            got = got.reshape(setting.outputs.shape)  # rows to the layer, samples to the likelihood
        others = {f"d{n}": g for n, g in taken[term].items() if n not in (key or name, "z")}
        known = setting.known("outputs" if key == network.decoder[-1] else name)
        terms = parts[term] if (name,) == network.encoder[-1:] else {}
        found.append(Node("node", name, term, key or name, got, encoder, known, others, terms))

    def layer(name, encoder=False):
        for kind in "Wb":
            parameter(f"{name}.{kind}", encoder)

    def parameter(name, encoder=False):
        others = {f"d{n}": g for n, g in grads[None].items() if n != name and g is not None}
        decay = {"the parameter itself (weight decay?)": np.asarray(model.params[name], float)}
        found.append(Node("parameter", name, "loss", name, grads[None].get(name), encoder, {}, others, decay))

    node("nll", "reconstruction")
    node(setting.outputs_name, "reconstruction", network.decoder[-1])
    for name in model.params:
        if name not in setting.weights:
            parameter(name)
    layer(network.decoder[-1])
    for name in reversed(network.decoder[:-1]):
        node(name, "reconstruction")
        layer(name)
    if not estimator:
        node("z", "reconstruction")
        for head in heads:
            node(head, "reconstruction", encoder=True)
    node("kl", "kl")
    for head in heads:
        node(head, "kl", encoder=True)
    for head in heads:
        layer(head, encoder=True)
    for name in reversed(network.encoder):
        for term in ("reconstruction", "kl"):
            node(name, term, encoder=True)
        layer(name, encoder=True)
    return found


def handed_over(calls, model):
    """Node -> the derivative that the line after it was handed."""
    handed = {}
    for call in calls:
        if call.role == "nll_backward":
            handed.setdefault("nll", np.asarray(call.args[0]))
            result = call.result[0] if isinstance(call.result, tuple) else call.result
            handed.setdefault(model.network.decoder[-1], np.asarray(result))
        elif call.role == "sample_backward":
            handed.setdefault("z", np.asarray(call.args[0]))
            for head, result in zip(model.posterior.heads, call.result, strict=False):
                handed.setdefault(head, np.asarray(result))
        elif call.role == "kl_backward":
            handed.setdefault("kl", np.asarray(call.args[0]))
            for head, result in zip(model.posterior.heads, call.result, strict=False):
                handed.setdefault(head, np.asarray(result))
        elif call.layer:
            handed[call.layer] = np.asarray(call.args[0])
    return handed


def _parts(calls, heads):
    """What each head adds to the encoder's last layer."""
    last = {
        call.layer: call.result[0] for call in calls if call.role == "dense_backward" and call.layer in heads
    }
    return {f"that comes through {head}": part for head, part in last.items() if part is not None}
