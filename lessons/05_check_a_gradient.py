# %% [markdown]
# # 5. Check a gradient
#
# **You will** differentiate a cost in three numerical ways, measure how wrong each is, and use the best of
# them to find bugs that were planted in a VAE.
#
# **You will learn** why the error of a difference has the shape of a U, and where its lowest point lies; why
# the complex step needs no such point; what blinds a check; and what no gradient check can see.
#
# **You need** lesson 4, Taylor's formula to third order, complex numbers; about 30 minutes.
#
# **New names** `gradcheck.complex_step`, `gradcheck.central_difference`, `gradcheck.check`,
# `gradcheck.check_pair`, `gradcheck.check_model`, `gradcheck.check_sampler`, `gradcheck.check_kl`,
# `gradcheck.check_scaling`, `bugs.GALLERY`, `bugs.away_from_zero`, `ops.gaussian_kl_backward`
#
# %%
import numpy as np

import minivae as mv
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section
from minivae import bugs, gradcheck

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Take differences, and measure how wrong they are
#
# The cost is lesson 2's KL at mu = 2 as a function of t = logvar, because all its derivatives are known:
#
#     f(t) = 1/2 (4 + e^t - t - 1)        f' = 1/2 (e^t - 1)        f'' = f''' = 1/2 e^t
#
# Taylor's formula says what a difference with step h leaves out, its *truncation*:
#
#     forward  (f(t + h) - f(t)) / h       =  f' + h/2 f'' + ...
#     central  (f(t + h) - f(t - h)) / 2h  =  f' + h^2/6 f''' + ...      the h/2 f'' of both sides cancels
#
# The *rounding* of f works against it: float64 stores f with an error of up to u |f|, u = 2^-53, and the
# difference divides two such errors by h or by 2h. (Roundings on the way to f do the same; leave them out.)
# Truncation and rounding together, and the h where their sum E is least:
#
#     forward  E(h) = h/2 f'' + 2 u |f| / h       f''/2 - 2 u |f| / h^2 = 0      h = 2 (u |f| / f'')^(1/2)
#     central  E(h) = h^2/6 f''' + u |f| / h      h/3 f''' - u |f| / h^2 = 0     h = (3 u |f| / f''')^(1/3)
#
# In a double logarithmic plot each is a U: one arm has the slope 1 or 2, the other the slope -1.
# %%
section("1. Take differences, and measure how wrong they are")


def f(t):
    """The KL at mu = 2 as a function of its log-variance t (n,) -> (n,), in the type of t."""
    return mv.ops.gaussian_kl(np.full_like(t, 2)[:, None], t[:, None])


t = np.ones(400)  # (n,) the same point 400 times, so that the error can be averaged over nearby steps
value, first, second, third = 0.5 * (2 + np.e), 0.5 * (np.e - 1), 0.5 * np.e, 0.5 * np.e
steps = 10.0 ** np.linspace(-16, 0, 65)  # (65,)


def error_curve(slope, t=t):
    """Root mean square relative error of slope(h, t), at 400 steps around each of `steps` -> (65,)."""
    nearby = [(h * 10 ** rng.uniform(-0.1, 0.1, 400)).astype(t.dtype) for h in steps]
    return np.array([np.sqrt(np.mean((slope(h, t) / first - 1) ** 2)) for h in nearby])


def arm(curve, low, high):
    """Slope of a curve between two steps, in the double logarithmic plot."""
    part = (steps > 0.99 * low) & (steps < 1.01 * high)
    return np.polyfit(np.log10(steps[part]), np.log10(curve[part]), 1)[0]


forward = error_curve(lambda h, t: (f(t + h) - f(t)) / h)
central = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h))

number("relative error, forward, h = 1e-5", forward[44])
guess("What will h = 1e-12 leave: less, because h is smaller, or more?")
number("relative error, forward, h = 1e-12", forward[16])
say("More: the rounding of f is divided by h. Both arms of both curves rise as predicted:")
beside("slope of forward's truncation", arm(forward, 1e-5, 1e-2), 1, within=0.02)
beside("slope of central's truncation", arm(central, 1e-3, 1e-1), 2, within=0.02)
beside("slope of forward's rounding", arm(forward, 1e-14, 1e-10), -1, within=0.1)
beside("slope of central's rounding", arm(central, 1e-14, 1e-8), -1, within=0.1)
say("Between the arms lies the best step. u bounds a rounding from above, so hold it to a factor of 3:")
bound = 2.0**-53 * value
best = np.log10([2 * np.sqrt(bound / second), np.cbrt(3 * bound / third)])
beside("log10 of the best step, forward", np.log10(steps[forward.argmin()]), best[0], within=0.5)
beside("log10 of the best step, central", np.log10(steps[central.argmin()]), best[1], within=0.5)
number("least relative error, forward", forward.min())
number("least relative error, central", central.min())

# %% [markdown]
# In float32 u is 2^-24, and the best central step 2^(29/3) = 800 times longer. It leaves four or five digits:
# compute a reference in float64, even where the gradient that you check is float32.
# %%
single = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h), t.astype(np.float32))
wanted = best[1] + np.log10(2) * 29 / 3
beside("log10 of the best step, central, float32", np.log10(steps[single.argmin()]), wanted, within=0.5)
number("least relative error, central, float32", single.min())

# %% [markdown]
# ## 2. Step off the real line
#
# Put an imaginary step into the same formula of Taylor's:
#
#     f(t + ih) = f + ih f' - h^2/2 f'' - i h^3/6 f''' + ...
#     Im f(t + ih) / h = f' - h^2/6 f''' + ...
#
# Nothing is subtracted, so nothing cancels: h may be 1e-30, where the truncation is of the order of 1e-60 and
# what is left is the rounding of one evaluation.
# %%
section("2. Step off the real line")
guess("Where is the lowest point of the complex step's curve?")
imaginary = error_curve(lambda h, t: f(t + 1j * h).imag / h)
beside("complex step: slope of its truncation", arm(imaginary, 1e-5, 1e-2), 2, within=0.02)
beside("complex step: slope below h = 1e-9", arm(imaginary, 1e-16, 1e-9), 0, within=0.1)
beside("complex step: relative error at h = 1e-16", imaginary[0], 0, within=1e-15)
say("Nowhere: below 1e-8 every step is as good as the next. The library takes h = 1e-30:")
mu, logvar = rng.standard_normal((2, 4, 3))  # (B, L) each
exact = mv.ops.gaussian_kl_backward(np.ones(4), mu, logvar)[1]  # (B, L)
by_complex = gradcheck.complex_step(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
by_central, claimed = gradcheck.central_difference(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
beside("complex_step: largest error", np.abs(by_complex - exact).max(), 0, within=1e-15)
beside("central_difference: largest error", np.abs(by_central - exact).max(), 0, within=claimed.max())
say(
    "central_difference extrapolates ten steps to step 0 (Ridders 1982). The tolerance above is its own "
    "estimate of its error. It asks that f be smooth over its longest step (section 3), and not how f is "
    "written; the complex step asks that every operation in f be analytic at x."
)
guess("f(x) = |x1| + |x2| + |x3| is written with np.abs. What does its complex step say at x1 = 1?")
x = np.array([1.0, -2.0, 0.5])
beside("complex step of np.abs", gradcheck.complex_step(lambda x: np.abs(x).sum(), x)[0], 0, within=0)
report = gradcheck.check(lambda x: np.abs(x).sum(), np.sign(x), x)
beside("what check wants at its worst entry, x2 = -2", report.rows[0].want, -1, within=1e-9)
say("0 where the slope is 1: np.abs returns a real number, without a word. check holds a complex step to a "
    f"difference along a line before it believes it, and says: {report.notes[0]}.")  # fmt: skip

figure, axes = canvas(height=3.6, width=7.0)
for curve, colour, label, x_label, y_label in (
    (forward, BLUE, "forward", 2e-7, 3e-5),
    (central, RED, "central", 1e-13, 3e-8),
    (single, GREY, "central, float32", 1e-12, 2.5e-1),
    (imaginary, GREEN, "complex step", 1e-14, 6e-15),
):
    axes.loglog(steps, curve, color=colour, linestyle=STYLES[colour], linewidth=2)
    axes.text(x_label, y_label, label, color=colour, va="top")
for predicted, label, x_label, y_label in (
    (steps / 2 * second, "truncation $h f''/2$", 1e-15, 1e-12),
    (steps**2 / 6 * third, "truncation $h^2 f'''/6$", 2e-7, 1e-15),
    (bound / steps, "rounding $u |f| / h$", 2e-4, 2e-11),
):
    axes.loglog(steps, predicted / first, color="black", linewidth=0.6, zorder=0)
    axes.text(x_label, y_label, label, va="top", fontsize="small")
axes.set(ylim=(2e-17, 4), xlim=(1e-16, 1), xlabel="step h", ylabel="relative error of the slope")
axes.set_title("A difference has a best step; the complex step needs none", fontsize="medium")
save(figure, "u_curve", dpi=90)

# %% [markdown]
# ## 3. Stand at a kink
#
# max(x, 0) has the slope 0 on one side of its corner and 1 on the other. A central difference that reaches
# across the corner mixes them: where 0 < x < h it is (x + h - 0) / 2h, and not 1.
# %%
section("3. Stand at a kink")
guess("A ReLU's input is x = 1e-6, and h = 1e-5. Its slope is 1. What does the central difference say?")
x, h = 1e-6, 1e-5
beside("central difference beside a kink", (max(x + h, 0) - max(x - h, 0)) / (2 * h), 0.55, within=1e-9)
slope = gradcheck.complex_step(lambda x: np.maximum(x, 0), x)
beside("complex step beside a kink", slope, 1, within=1e-15)
say("The difference would blame a right gradient. The complex step looks at x alone. And on the corner:")
report = gradcheck.check(lambda x: np.maximum(x, 0).sum(), np.zeros(1), np.zeros(1))
number("check accepts the slope 0 at x = 0 (1: yes)", report.ok)
say(f"check says: {report.notes[-1]}.")

# %% [markdown]
# ## 4. Say relative to what
#
# The right derivatives are 1, 1e-9 and 0, and somebody flipped the sign of the second. Is that a small error?
#
# * Absolutely it is 2e-9: a tolerance of 1e-5, the default of torch.autograd.gradcheck, passes it.
# * Entry by entry, |got - want| / (|got| + |want|), it is 1: as wrong as can be. But that measure also blames
#   a right entry that is 0, where a sum that cancels leaves a rounding: 0.1 + 0.2 - 0.3 is 5.6e-17.
# * Over the largest entry it is 2e-9. Held to the complex step, which is good to 2e-16 of that, it is large.
# %%
section("4. Say relative to what")


def large_and_small(x):
    """Its gradient at 0 is (1, 1e-9, 0), the last up to a rounding."""
    return np.exp(x[0]) + 1e-9 * np.exp(x[1]) + (0.1 + 0.2 - 0.3) * x[2]


want = gradcheck.complex_step(large_and_small, np.zeros(3))
right, flipped = np.array([1, 1e-9, 0]), np.array([1, -1e-9, 0])
guess("Which entry of the right gradient does the entrywise measure blame?")
entrywise = np.abs(right - want) / (np.abs(right) + np.abs(want))  # (3,)
beside("right gradient: entrywise error of the third", entrywise[2], 1, within=1e-12)
say("The third, which is 0: a false alarm. Over the largest entry:")
beside("flipped sign: error over the largest entry", np.abs(flipped - want).max(), 2e-9, within=1e-15)
report = gradcheck.check(large_and_small, flipped, np.zeros(3))
number("flipped sign: check passes (1: yes)", report.ok)
say(f"It allows 2^-40 = 9e-13 of the largest entry. {report.headline}.")
number("right one: check passes (1: yes)", gradcheck.check(large_and_small, right, np.zeros(3)).ok)

# %% [markdown]
# ## 5. Keep zeros and ones out
#
# A check sees your derivative only through the numbers that it is fed. Three wrong ones, and what hides them:
#
#     dlogvar = dz std eps, without its 1/2      zero noise: right where eps = 0
#     da = 1 - y^2, without its dy               ones upstream: right where dy = 1
#     dW1 divided by the batch                   a dead input: right where W2 = 0, as at some initializations
# %%
section("5. Keep zeros and ones out")


def without_half(dz, mu, logvar, eps):
    return dz, dz * mv.ops.gaussian_std(logvar) * eps, None


guess("What error will the check see in each, first with these numbers and then with random ones?")
eps, a, upstream = rng.standard_normal((3, 4, 3))  # (B, L), (B, H), (B, H)
for words, noise, error in (("eps = 0", 0 * eps, 0), ("random eps", eps, 1)):
    report = gradcheck.check_pair(mv.ops.gaussian_sample, without_half, mu, logvar, noise)
    beside(f"dlogvar without 1/2, {words}", report.rows[1].error, error, within=1e-12)
for words, dy in (("dy = 1", np.ones((4, 3))), ("random dy", upstream)):
    report = gradcheck.check(lambda a, dy=dy: np.sum(dy * np.tanh(a)), 1 - np.tanh(a) ** 2, a)
    number(f"da without dy, {words}: passes (1: yes)", report.ok)
x, W1, random = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
y = np.tanh(x @ W1)  # (B, H)
for words, W2, error in (("W2 = 0", 0 * random, 0), ("random W2", random, 1 - 1 / 5)):
    grads = {"W1": x.T @ ((1 - y * y) * W2.sum(axis=1)) / 5, "W2": np.tile(y.sum(axis=0)[:, None], 2)}
    report = gradcheck.check(lambda p: np.sum(np.tanh(x @ p["W1"]) @ p["W2"]), grads, {"W1": W1, "W2": W2})
    beside(f"dW1 divided by the batch, {words}", report.rows[0].error, error, within=1e-12)
    say("; ".join([report.headline, *report.notes]))
say("Every bug passes with zeros or ones. With random numbers each shows its factor: 2 - 1, and 1 - 1/B.")

# %% [markdown]
# ## 6. Draw the noise once
#
# A loss that draws its own noise is another function at every call, and a difference divides two unrelated
# draws by 2h. For f(mu) = mean over B of (mu + eps)^2, Var f = (4 mu^2 + 2) / B, and the difference scatters
# by (2 Var f)^(1/2) / 2h.
# %%
section("6. Draw the noise once")
guess("mu = 2, B = 8, h = 1e-5: the slope is 4. How far from it will the differences scatter?")
mu_2h, n = np.array([[[2 + h]], [[2 - h]]]), 10_000
above, below = np.mean((mu_2h + rng.standard_normal((2, n, 8))) ** 2, axis=-1)  # (n,) each
exact = np.sqrt(2 * (4 * 2**2 + 2) / 8) / (2 * h)
beside("scatter of 10,000", np.std((above - below) / (2 * h)), exact, within=5 * exact / np.sqrt(2 * n))
report = gradcheck.check(
    lambda mu: np.mean((mu + rng.standard_normal(8)) ** 2), np.full(1, 4.0), np.full(1, 2.0)
)
number("redrawn noise: check passes (1: yes)", report.ok)
say(f"By 100,000 (held to five standard errors). check calls f twice before it begins: {report.headline}.")

# %% [markdown]
# ## 7. Plant a bug and read the report
#
# `bugs.GALLERY` holds classical bugs, each planted in a small VAE. `check_model` walks back from the loss to
# the first layer, and at every node, for each term of the loss by itself, holds the derivative that the model
# computes to the complex step of its forward pass. What comes after a wrong node is wrong too, so the first
# one says where to look. Each operation is checked alone as well, under a random upstream gradient.
# %%
section("7. Plant a bug and read the report")


def examined(name):
    """A model with that bug, moved away from zero weights, and the report on it."""
    model = bugs.away_from_zero(bugs.GALLERY[name].model(latent_dim=3), np.random.default_rng(0))
    x = (np.random.default_rng(0).random((5, 6)) < 0.5).astype(float)  # (B, D)
    return model, gradcheck.check_model(model, x, np.random.default_rng(1).standard_normal((5, 3)))


guess("The KL's dlogvar lost its -1 and the loss is a mean over B = 5: by how much is each entry off?")
_, offset = examined("dlogvar-without-minus-one")
beside("dlogvar without -1: got - want", offset.first.got - offset.first.want, 0.5 / 5, within=1e-12)
say(f"By 1/2 * 1/B. {offset.headline}")
_, skipped = examined("relu-skipped")
say(f"The way back skips the ReLU: {skipped.headline}")
_, half = examined("dlogvar-without-half")
beside("dlogvar without 1/2: got / want", half.first.got / half.first.want, 2, within=1e-12)
say("The whole report on this one:")
print(half)

figure, axes = canvas(height=3.7, width=8.6)
for report, colour, marker, size, label in (
    (half, BLUE, "o", 5, "1/2 lost"),
    (skipped, RED, "s", 9, "ReLU skipped"),
):
    errors = [max(row.error, 2e-17) for row in report.rows]
    axes.semilogy(errors, marker, color=colour, markersize=size, fillstyle="none", markeredgewidth=1.5)
    at = report.rows.index(report.first)
    axes.annotate(f"{label}:\nfirst wrong", (at - 0.2, errors[at]), (at - 1, 1e-6), color=colour, ha="right",
                  arrowprops={"arrowstyle": "->", "color": colour})  # fmt: skip
terms = {"reconstruction": "nll", "kl": "kl", "loss": "loss"}
names = [f"d{row.name} [{terms[row.term]}]" for row in half.rows]
axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
axes.set(ylabel="error / largest entry", ylim=(3e-18, 60))
axes.set_title(
    "Two bugs on the way from the loss to the first layer: look where it begins", fontsize="medium"
)
save(figure, "way_back")

# %% [markdown]
# ## 8. Look for what no gradient check can see
#
# A gradient check asks whether the derivative belongs to the function, not whether the function is the right
# one. A slide says N(mu, sigma), another N(mu, sigma^2): who samples by the wrong one has std = exp(logvar).
# Lecture notes say mu in the KL where mu^2 belongs. Code averages over the pixels what must be summed. All
# three are rightly differentiated here. What sees them is the spread of samples, the KL against its
# definition by sampling, and what twice the pixels cost.
# %%
section("8. Look for what no gradient check can see")
guess("Three bugs, each with its exact derivative; four checks. How many of the twelve verdicts say WRONG?")
print(f"  {'':<26}{'gradient':>10}{'sampler':>10}{'kl':>10}{'scaling':>10}")
found, worst = [], 0.0
for name in ("std-is-exp-logvar", "kl-mu-not-squared", "nll-averaged-over-pixels"):
    model, report = examined(name)
    verdicts = (
        gradcheck.check_sampler(model.posterior.sample, rng),
        gradcheck.check_kl(model.posterior.kl, rng),
        gradcheck.check_scaling(rng, lambda out, x, m=model: m.likelihood.nll(out, x, m.params)),
    )
    marks = ["right" if ok else "WRONG" for ok in (report.ok, *(v.ok for v in verdicts))]
    print(f"  {name:<26}" + "".join(f"{mark:>10}" for mark in marks))
    found += [str(v) for v in verdicts if not v.ok]
    worst = max(worst, *(row.error for row in report.rows))
beside("verdicts that say WRONG", len(found), 3, within=0)
beside("worst gradient error of the three models", worst, 0, within=1e-12)
say(f"Three, each by another check, and none by the gradient's. They say: {'; '.join(found)}.")
say("The first by hand, 100,000 draws at logvar = 1.5 (to five standard errors of 0.45 %):")
wrong = bugs.GALLERY["std-is-exp-logvar"].ops().gaussian_sample
draws = wrong(np.zeros((100_000, 1)), np.full((100_000, 1), 1.5), rng.standard_normal((100_000, 1)))
beside("variance of z (e^1.5 = 4.48 is right)", draws.var(), np.exp(3), within=5 * np.exp(3) * 2e-5**0.5)

# %% [markdown]
# ## Try on your own
#
# * In section 1 take f(t) + 1000. Which arm moves, which stays, how far does the best step move? (The arm of
#   rounding, by |f + 1000| / |f| = 425; the best steps by that number's square root and cube root.)
# * In section 3 draw the central difference and the complex step for x from -2h to 2h: a ramp and a step.
# * In section 7 examine "noise-redrawn" and "gradients-not-cleared": the report stops before its table. Why?
#
# **Exercises** `python -m lessons start 8` (write complex_step); `python -m lessons start 9` (write the test
# that exposes a sampler's bug, which every gradient check passes).
#
# ## Further reading
#
# * William Squire and George Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998
# * Joaquim Martins, Peter Sturdza and Juan Alonso, "The Complex-Step Derivative Approximation", 2003
# * C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982
