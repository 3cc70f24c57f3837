"""How large each derivative would be if nothing cancelled or saturated: what its rounding is relative to.

The way back in absolute values, with every slope of an activation put at its bound 1: |dx| <= |dy| @ |W|.T.
Where tanh saturates the
true derivative may be 1e-20 of this, and 1 - y^2 is rounding; no check may blame that.
"""

import numpy as np

LOG1P = 1.0  # softplus of complex numbers is only good to the rounding of 1, however small it is


def natural_sizes(model, setting, calls):
    """(term or "loss", name) -> largest entry of that bound; 0 where nothing was seen."""
    network, sizes, heads = model.network, {}, model.posterior.heads
    params = {name: np.abs(np.asarray(param, float)) for name, param in model.params.items()}
    outputs = _largest_upstream(calls, "nll_backward")
    kl = _largest_upstream(calls, "kl_backward")
    setting_x = setting.values
    up = np.full(setting_x[network.decoder[-1]].shape, outputs * _nll_slope(setting))
    sizes["reconstruction", setting.outputs_name] = sizes["reconstruction", "nll"] = float(
        np.max(up, initial=0)
    )
    for name in setting.learned:
        spread = np.exp(-np.minimum(setting.learned[name], 700))
        sizes["loss", name] = (
            outputs * float(np.max(1 + (setting.outputs - setting.x) ** 2 * spread)) * up.size
        )
    decoder = list(network.decoder)
    for i in range(len(decoder) - 1, -1, -1):
        given = setting_x[decoder[i - 1]] if i else setting_x["z"].reshape(-1, model.latent_dim)
        up = _through(decoder[i], up, given, params, sizes)
        sizes["reconstruction", decoder[i - 1] if i else "z"] = float(np.max(up))
    up = up.reshape(-1, *setting_x[heads[0]].shape)
    by_head = {heads[0]: up.sum(axis=0)}
    noise = np.abs(setting.eps.reshape(up.shape))
    with np.errstate(over="ignore"):
        std = np.exp(0.5 * setting_x[heads[-1]])
    for head in heads[1:]:
        by_head[head] = (up * (0.5 * std * noise)).sum(axis=0)
    slopes = {heads[0]: np.abs(setting_x[heads[0]]), heads[-1]: 0.5 * (std * std + 1)}
    terms = {"reconstruction": by_head, "kl": {h: kl * slopes[h] for h in heads}}
    sizes["kl", "kl"] = kl
    both = {head: sum(part[head] for part in terms.values()) for head in heads}
    _encoder(model, setting, terms | {"loss": both}, params, sizes)
    return sizes


def _encoder(model, setting, terms, params, sizes):
    encoder, values = model.network.encoder, setting.values
    for term, by_head in terms.items():
        up = 0.0
        for head, dhead in by_head.items():
            sizes[term, head] = float(np.max(dhead))
            given = values[encoder[-1]] if encoder else setting.x
            up = up + _through(head, dhead, given, params, sizes if term == "loss" else {})
        for i in range(len(encoder) - 1, -1, -1):
            sizes[term, encoder[i]] = float(np.max(up))
            given = values[encoder[i - 1]] if i else setting.x
            up = _through(encoder[i], up, given, params, sizes if term == "loss" else {})


def _through(layer, up, given, params, sizes):
    """|dy| -> |dx|; the bounds of dW and db are left in `sizes`."""
    sizes["loss", f"{layer}.W"] = float(np.max((np.abs(given) + LOG1P).T @ up))
    sizes["loss", f"{layer}.b"] = float(np.max(up.sum(axis=0)))
    return up @ params[f"{layer}.W"].T


def _nll_slope(setting):
    if setting.outputs_name == "logits":
        return 1.0
    precision = [np.exp(-np.minimum(v, 700)) for v in setting.learned.values()] or [1.0]
    return float(np.max(np.abs(setting.outputs - setting.x) * precision[0]))


def _largest_upstream(calls, role):
    sizes = [np.max(np.abs(c.args[0])) for c in calls if c.role == role and np.size(c.args[0])]
    return float(max(sizes, default=0.0)) * bool(sizes)
