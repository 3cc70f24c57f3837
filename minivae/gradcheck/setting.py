"""Where a model is checked: its arrays in float64, its sizes by name, and what is worth saying beforehand."""

import numpy as np

# entries of a tensor that are all looked at, so that a check of a large model stays within seconds
WORK = 4e8  # multiplications of one tensor's reference


class Setting:
    """x, eps, beta; the sizes B, D, L, S, H; arrays that a wrong derivative may be taken for."""

    def __init__(self, model, x, eps, beta, rng):
        self.x, self.eps = np.asarray(x, float), np.asarray(eps, float)
        self.beta, self.rng, self.notes = beta, rng, []
        self.known_wrong, self.scale = set(), 0.0  # what was looked at closely; the largest derivative so far
        self.weights = {f"{name}.{kind}" for name in model.network.sizes for kind in "Wb"}
        samples = len(self.eps) if self.eps.ndim == 3 else 1
        self.sizes = {
            "B": len(self.x),
            "S": samples,  # before L: where samples are drawn, they are the likelier cause
            "D": model.data_dim,
            "L": model.latent_dim,
            "beta": beta,
        }
        self.sizes |= {"H" if i == 0 else f"H{i + 1}": width for i, width in enumerate(model.hidden)}
        work = len(self.x) * samples * sum(a * b for a, b in model.network.sizes.values())
        self.limit = int(np.clip(WORK / work, 24, 2000))
        bernoulli = type(model.likelihood).__name__ == "Bernoulli"
        self.outputs_name = "logits" if bernoulli else "mean"
        self.values, self.outputs = {}, None
        self.activation = model.activation

    def note(self, text):
        """Say a thing once."""
        if text not in self.notes:
            self.notes.append(text)

    def walked(self, model, values):
        """Take over what the way forward computed at every node."""
        self.values = {name: np.asarray(value, float) for name, value in values.items()}
        rows = self.values[model.network.decoder[-1]]
        self.outputs = rows.reshape(*self.eps.shape[:-1], model.data_dim)
        self.learned = {n: np.asarray(p, float) for n, p in model.params.items() if n not in self.weights}

    def known(self, node, activation=None):
        """Arrays that are near a node in the formulas, by the names they have there."""
        if node in ("mu", "logvar", "z"):
            return self._posterior()
        if node == "outputs":
            return self._likelihood()
        y = self.values.get(node)
        if y is None:
            return {}
        slope = {"relu": y > 0, "tanh": 1 - y * y, "softplus": -np.expm1(-y), "sigmoid": y * (1 - y)}
        activation = activation or self.activation
        slope = slope.get(activation, np.ones_like(y)).astype(float)
        return {f"{activation}'(a)": slope, "y": y, "1 - y": 1 - y, "1 + y": 1 + y, "y^2": y * y}

    def _posterior(self):
        mu, logvar = self.values.get("mu"), self.values.get("logvar")
        if mu is None or logvar is None:
            return {}
        std = np.exp(0.5 * logvar)
        known = {"std": std, "exp(logvar)": std * std, "eps": self.eps, "mu": mu, "logvar": logvar}
        known |= {"std * eps": std * self.eps, "z": self.values["z"], "expm1(logvar)": np.expm1(logvar)}
        return known | {"mu^2": mu * mu, "eps^2": self.eps**2, "1/(1 + logvar)": 1 / (1 + logvar)}

    def _likelihood(self):
        a, x = self.outputs, self.x
        if self.outputs_name == "logits":
            with np.errstate(over="ignore"):
                p = 1 / (1 + np.exp(-a))
            known = {"x": x, "1 - x": 1 - x, "p": p, "1 - p": 1 - p, "p (1 - p)": p * (1 - p), "logits": a}
            return known | {"p - x": p - x}
        known = {"x": x, "mean": a, "mean - x": a - x}
        for logvar in self.learned.values():
            known |= {"exp(-logvar)": np.exp(-logvar), "exp(-logvar / 2)": np.exp(-0.5 * logvar)}
        return known

    def look_for_dead(self, model):
        """What blinds a check, said before it: zero noise, zero weights, units that are off everywhere."""
        advice = "which blinds the check to what it multiplies; use random ones"
        if not self.eps.any():
            self.note(f"dead input: eps is zero everywhere, {advice}")
        if not self.x.any():
            self.note(f"dead input: x is zero everywhere, {advice}")
        for name, param in model.params.items():
            if name.endswith(".W") and not param.any():
                self.note(f"dead input: {name} is zero everywhere, {advice}")
        if not self.beta:
            self.note("beta is 0: the kl's derivative is 0 and cannot be checked")
        if np.ptp(self.values.get("logvar", np.arange(2.0))) == 0:
            self.note(
                "dead input: logvar is the same everywhere, so std and its powers look alike; "
                "use random weights"
            )
        for name in (*model.network.encoder, *model.network.decoder[:-1]):
            if self.activation == "relu" and name in self.values and not self.values[name].any():
                self.note(
                    f"dead input: every unit of {name} is off for every example; nothing flows through it"
                )
