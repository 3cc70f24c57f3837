# %% [markdown]
# # 5. Check a gradient
#
# **You will** differentiate a cost numerically in three ways, measure the error of each, and use the best one
# to find bugs that we plant in a VAE.
#
# **You will learn** why a difference quotient has a best step, and how large it is; why the complex step
# needs none; which numbers hide a bug from a check; what no gradient check can find.
#
# **You need** lesson 4, Taylor's formula to third order, complex numbers; about 30 minutes.
#
# **New names** `gradcheck.complex_step`, `gradcheck.central_difference`, `gradcheck.check`,
# `gradcheck.check_pair`, `gradcheck.check_model`, `bugs.GALLERY`, `bugs.away_from_zero`,
# `bugs.statistics.check_sampler`, `bugs.statistics.check_kl`, `bugs.statistics.check_scaling`,
# `ops.gaussian_kl_backward`
#
# %%
import numpy as np

import minivae as mv
from lessons import bugs
from lessons.bugs.statistics import check_kl, check_sampler, check_scaling
from lessons.drawings import lesson05 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import gradcheck

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Take differences and measure their error
#
# The cost is the KL of lesson 2 at mu = 2, as a function of t = logvar. All its derivatives are known:
#
#     f(t) = 1/2 (4 + e^t - t - 1)        f' = 1/2 (e^t - 1)        f'' = f''' = 1/2 e^t
#
# Taylor's formula gives the *truncation error* of a difference with step h:
#
#     forward  (f(t + h) - f(t)) / h       =  f' + h/2 f'' + ...
#     central  (f(t + h) - f(t - h)) / 2h  =  f' + h^2/6 f''' + ...      the h/2 f'' of both sides cancels
#
# The *rounding error* grows when h shrinks: float64 stores f with an error of up to u |f|, u = 2^-53, and the
# difference quotient divides two such errors by h or by 2h. (We ignore the rounding inside f.) Each line
# gives the sum of the truncation and the rounding error, its derivative with respect to h set to 0, and the
# best h:
#
#     forward  h/2 f'' + 2 u |f| / h        f''/2 - 2 u |f| / h^2 = 0      h = 2 (u |f| / f'')^(1/2)
#     central  h^2/6 f''' + u |f| / h       h/3 f''' - u |f| / h^2 = 0     h = (3 u |f| / f''')^(1/3)
#
# On logarithmic axes the error falls with slope -1 until the best step, and then rises with slope 1 or 2.
# %%
section("1. Take differences and measure their error")


def f(t):
    """The KL at mu = 2 as a function of its log-variance t (n,) -> (n,), in the type of t."""
    return mv.ops.gaussian_kl(np.full_like(t, 2)[:, None], t[:, None])


t = np.ones(400)  # (n,) the same point 400 times, to average the error over nearby steps
value, first, second, third = 0.5 * (2 + np.e), 0.5 * (np.e - 1), 0.5 * np.e, 0.5 * np.e
steps = 10.0 ** np.linspace(-16, 0, 65)  # (65,)


def error_curve(slope, t=t):
    """Root mean square relative error of slope(h, t), at 400 steps around each of `steps` -> (65,)."""
    nearby = [(h * 10 ** rng.uniform(-0.1, 0.1, 400)).astype(t.dtype) for h in steps]
    return np.array([np.sqrt(np.mean((slope(h, t) / first - 1) ** 2)) for h in nearby])


def branch(curve, low, high):
    """Slope of a curve between two steps, on logarithmic axes."""
    part = (steps > 0.99 * low) & (steps < 1.01 * high)
    return np.polyfit(np.log10(steps[part]), np.log10(curve[part]), 1)[0]


forward = error_curve(lambda h, t: (f(t + h) - f(t)) / h)
central = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h))

number("relative error, forward, h = 1e-5", forward[44])
guess("Is the error at h = 1e-12 smaller, because h is smaller, or larger?")
number("relative error, forward, h = 1e-12", forward[16])
say("Larger: the rounding error of f is divided by h. Both branches of both curves have the predicted slope:")
beside("slope of forward's truncation", branch(forward, 1e-5, 1e-2), 1, 0.02, word="predicted")
beside("slope of central's truncation", branch(central, 1e-3, 1e-1), 2, 0.02, word="predicted")
beside("slope of forward's rounding", branch(forward, 1e-14, 1e-10), -1, 0.1, word="predicted")
beside("slope of central's rounding", branch(central, 1e-14, 1e-8), -1, 0.1, word="predicted")
say("The best step is near the crossing of the branches. u |f| is only a bound, so we allow a factor of 3:")
bound = 2.0**-53 * value
best = np.log10([2 * np.sqrt(bound / second), np.cbrt(3 * bound / third)])
at_forward, at_central = np.log10(steps[[forward.argmin(), central.argmin()]])
beside("log10 of the best step, forward", at_forward, best[0], 0.5, word="predicted")
beside("log10 of the best step, central", at_central, best[1], 0.5, word="predicted")
number("least relative error, forward", forward.min())
number("least relative error, central", central.min())

# %% [markdown]
# In float32, u is 2^-24. So the best central step is 2^(29/3) = 813 times longer, and only four or five
# digits are right. Compute the reference in float64 even if the gradient under test is float32.
# %%
single = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h), t.astype(np.float32))
at_single = np.log10(steps[single.argmin()])
longer = best[1] + np.log10(2) * 29 / 3
beside("log10 of the best step, central, float32", at_single, longer, 0.5, word="predicted")
number("least relative error, central, float32", single.min())

# %% [markdown]
# ## 2. Take an imaginary step
#
# Put an imaginary step into Taylor's formula:
#
#     f(t + ih) = f + ih f' - h^2/2 f'' - i h^3/6 f''' + ...
#     Im f(t + ih) / h = f' - h^2/6 f''' + ...
#
# No two values of f are subtracted, so no digits cancel, and h can be 1e-30. Then the truncation error is
# about 1e-60, and only the rounding error of one evaluation is left.
# %%
section("2. Take an imaginary step")
guess("At which h is the error of the complex step smallest?")
imaginary = error_curve(lambda h, t: f(t + 1j * h).imag / h)
beside("complex step: slope of its truncation", branch(imaginary, 1e-5, 1e-2), 2, 0.02, word="predicted")
beside("complex step: slope below h = 1e-9", branch(imaginary, 1e-16, 1e-9), 0, 0.1, word="predicted")
number("complex step: relative error at h = 1e-16", imaginary[0])
say("There is no best step: every h from 1e-8 down to 1e-300 is equally good. The library uses h = 1e-30:")
mu, logvar = rng.standard_normal((2, 4, 3))  # (B, L) each
exact = mv.ops.gaussian_kl_backward(np.ones(4), mu, logvar)[1]  # (B, L)
complex_slope = gradcheck.complex_step(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
central_slope, claimed = gradcheck.central_difference(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
beside("complex_step: largest error", np.abs(complex_slope - exact).max(), 0, 1e-15, word="expected")
error = np.abs(central_slope - exact).max()
beside("central_difference: largest error", error, 0, claimed.max(), word="expected")
say("""central_difference computes difference quotients with ten steps and extrapolates them to step 0
(Ridders 1982). The tolerance printed above is its own estimate of its error. f must be smooth over the
longest step; section 3 shows why. The complex step needs operations that are analytic at x.""")
guess("f(x) = |x1| + |x2| + |x3| is written with np.abs. What is its complex step at x1 = 1?")
x = np.array([1.0, -2.0, 0.5])
wrong_slope = gradcheck.complex_step(lambda x: np.abs(x).sum(), x)[0]
beside("complex step of np.abs, where the slope is 1", wrong_slope, 0, 0, word="expected")
report = gradcheck.check(lambda x: np.abs(x).sum(), np.sign(x), x)
number("check accepts the right gradient (1: yes)", report.ok)
say(f"""0, because np.abs(x + ih) is a real number: the imaginary part is lost without a warning. Before
`check` relies on a complex step, it tests whether the value of f is complex, and it compares the slope along
a random line with differences. Here it reports: {report.notes[0]}.""")

curves = dict(zip(drawings.CURVES, (forward, central, single, imaginary), strict=True))
branches = (steps / 2 * second, steps**2 / 6 * third, bound / steps)
predicted = {name: branch / first for name, branch in zip(drawings.PREDICTED, branches, strict=True)}
save(drawings.u_curve(steps, curves, predicted), "u_curve", dpi=200)

# %% [markdown]
# ## 3. Differentiate at a kink
#
# max(x, 0) has slope 0 on the left of its kink and slope 1 on the right. A central difference across the kink
# mixes both slopes: for 0 < x < h it is (x + h - 0) / 2h instead of 1.
# %%
section("3. Differentiate at a kink")
guess("A ReLU's input is x = 1e-6, where its slope is 1. What is the central difference with h = 1e-5?")
x, h = 1e-6, 1e-5
beside("central difference beside a kink", (max(x + h, 0) - max(x - h, 0)) / (2 * h), 0.55, 1e-9)
slope = gradcheck.complex_step(lambda x: np.maximum(x, 0), x)
beside("complex step beside a kink", slope, 1, 1e-15)
say("""A check by differences would reject a right gradient. The complex step evaluates f at x + ih, so it
never crosses the kink. What does `check` accept exactly at the kink?""")
for slope in (0.0, 1.0):
    report = gradcheck.check(lambda x: np.maximum(x, 0).sum(), np.full(1, slope), np.zeros(1))
    number(f"check accepts the slope {slope:g} at x = 0 (1: yes)", report.ok)
say("It accepts the slope of either side.")

# %% [markdown]
# ## 4. Choose what an error is relative to
#
# The right derivatives are 1, 1e-9 and 0. In the gradient under test, the second one has the wrong sign. Is
# this a small error?
#
# * The absolute error is 2e-9. A tolerance of 1e-5, the default of torch.autograd.gradcheck, accepts it.
# * The entrywise error |got - want| / (|got| + |want|) is 1, the largest possible value. But a right entry
#   can have the error 1, too: if got is 0 and rounding makes want 5.6e-17, like 0.1 + 0.2 - 0.3.
# * The error relative to the largest entry is 2e-9. This is large, because the complex step has an error of
#   only about 2e-16 of the largest entry.
# %%
section("4. Choose what an error is relative to")


def large_and_small(x):
    """Its gradient at 0 is (1, 1e-9, 0), the last up to rounding."""
    return np.exp(x[0]) + 1e-9 * np.exp(x[1]) + (0.1 + 0.2 - 0.3) * x[2]


want = gradcheck.complex_step(large_and_small, np.zeros(3))
right, flipped = np.array([1, 1e-9, 0]), np.array([1, -1e-9, 0])
guess("Which entry of the right gradient does the entrywise measure reject?")
entrywise = np.abs(right - want) / (np.abs(right) + np.abs(want))  # (3,)
beside("right gradient: entrywise error of the third", entrywise[2], 1, 1e-12, word="expected")
say("The third, which is 0: a false alarm. The flipped sign has this error relative to the largest entry:")
beside("flipped sign: error / largest entry", np.abs(flipped - want).max(), 2e-9, 1e-15, word="expected")
report = gradcheck.check(large_and_small, flipped, np.zeros(3))
number("flipped sign: check passes (1: yes)", report.ok)
say(f"`check` tolerates 1e-11 of the largest entry. Its report: {report.headline}.")
number("right gradient: check passes (1: yes)", gradcheck.check(large_and_small, right, np.zeros(3)).ok)

# %% [markdown]
# ## 5. Avoid zeros and ones
#
# A check tests a derivative only at the numbers that it gets. Here are three wrong derivatives, each with the
# numbers that hide its error:
#
#     dlogvar = dz std eps, without its 1/2      right where eps = 0
#     da = 1 - y^2, without its dy               right where dy = 1
#     dW1 divided by the batch size              right where W2 = 0, as in some initializations
# %%
section("5. Avoid zeros and ones")


def without_half(dz, mu, logvar, eps):
    return dz, dz * mv.ops.gaussian_std(logvar) * eps, None


guess("Which relative error does the check report for each, with these numbers and with random numbers?")
eps, a, upstream = rng.standard_normal((3, 4, 3))  # (B, L), (B, H), (B, H)
for words, noise, error in (("eps = 0", 0 * eps, 0), ("random eps", eps, 1)):
    report = gradcheck.check_pair(mv.ops.gaussian_sample, without_half, mu, logvar, noise)
    beside(f"dlogvar without 1/2, {words}", report.rows[1].error, error, 1e-12, word="expected")
for words, dy in (("dy = 1", np.ones((4, 3))), ("random dy", upstream)):
    report = gradcheck.check(lambda a, dy=dy: np.sum(dy * np.tanh(a)), 1 - np.tanh(a) ** 2, a)
    number(f"da without dy, {words}: passes (1: yes)", report.ok)
x, W1, random = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
y = np.tanh(x @ W1)  # (B, H)
for words, W2, error in (("W2 = 0", 0 * random, 0), ("random W2", random, 1 - 1 / 5)):
    grads = {"W1": x.T @ ((1 - y * y) * W2.sum(axis=1)) / 5, "W2": np.tile(y.sum(axis=0)[:, None], 2)}
    report = gradcheck.check(lambda p: np.sum(np.tanh(x @ p["W1"]) @ p["W2"]), grads, {"W1": W1, "W2": W2})
    beside(f"dW1 divided by the batch, {words}", report.rows[0].error, error, 1e-12, word="expected")
    say("; ".join([report.headline, *report.notes]) + ".")
say("""With zeros or ones, all three bugs pass the check. With random numbers the relative error of the first
and the third shows the wrong factor: 2 - 1 = 1 for the missing 1/2, and 1 - 1/B = 0.8 for the division by
B.""")

# %% [markdown]
# ## 6. Draw the noise once
#
# A loss that draws its own noise is a different function at every call. A central difference then divides the
# difference of two independent values by 2h. For f(mu) = mean over B of (mu + eps)^2 the variance is
# Var f = (4 mu^2 + 2) / B. So the central difference has the standard deviation (2 Var f)^(1/2) / 2h.
# %%
section("6. Draw the noise once")
guess("For mu = 2, B = 8 and h = 1e-5 the slope is 4. How large is the standard deviation of the difference?")
mu_2h, n = np.array([[[2 + h]], [[2 - h]]]), 10_000
above, below = np.mean((mu_2h + rng.standard_normal((2, n, 8))) ** 2, axis=-1)  # (n,) each
exact = np.sqrt(2 * (4 * 2**2 + 2) / 8) / (2 * h)
beside("std of 10,000 differences", np.std((above - below) / (2 * h)), exact, 5 * exact / np.sqrt(2 * n))
report = gradcheck.check(
    lambda mu: np.mean((mu + rng.standard_normal(8)) ** 2), np.full(1, 4.0), np.full(1, 2.0)
)
number("redrawn noise: check passes (1: yes)", report.ok)
say(f"About 100,000. Therefore `check` first calls f twice. Here it reports: {report.headline}.")

# %% [markdown]
# ## 7. Plant a bug and read the report
#
# `bugs.GALLERY` holds common bugs, each planted in a small VAE. `check_model` follows the backward pass from
# the loss to the first layer. At every node, and for each term of the loss separately, it compares the
# model's derivative with the complex step of the forward pass. If one derivative is wrong, everything
# computed from it is wrong, too. So the first wrong derivative shows where to look. `check_model` also checks
# each operation alone, with a random upstream gradient.
# %%
section("7. Plant a bug and read the report")


def examined(name):
    """A model with that bug, its weights moved away from zero, and the report on it (B = 5, D = 6, L = 3)."""
    model = bugs.away_from_zero(bugs.GALLERY[name].model(latent_dim=3), np.random.default_rng(0))
    x = (np.random.default_rng(0).random((5, 6)) < 0.5).astype(float)  # (B, D)
    return model, gradcheck.check_model(model, x, np.random.default_rng(1).standard_normal((5, 3)))


guess("""The dlogvar of the KL, 1/2 (e^logvar - 1), lacks its -1, and the loss is a mean over B = 5. How large
is the error of each entry?""")
_, offset = examined("dlogvar-without-minus-one")
error = offset.first.got - offset.first.want
beside("dlogvar without -1: got - want", error, 0.5 / 5, 1e-12, word="expected")
say(f"It is 1/2 * 1/B in every entry. The report says: {offset.headline}.")
_, skipped = examined("relu-skipped")
say(f"In the next model the backward pass skips the slope of the ReLU. The report says: {skipped.headline}.")
_, half = examined("dlogvar-without-half")
beside("dlogvar without 1/2: got / want", half.first.got / half.first.want, 2, 1e-12, word="expected")
say("The whole report on this third model:")
print(half)

titles = "dlogvar of the sampling lacks its 1/2 (red: wrong)", "The decoder skips the slope of its ReLU"
figure = drawings.backward_passes(dict(zip(titles, (half, skipped), strict=True)))
save(figure, "backward_pass", dpi=200)

# %% [markdown]
# ## 8. Find the bugs that pass every gradient check
#
# A gradient check tests whether the derivative belongs to the function, not whether the function is right.
#
# * Some slides write N(mu, sigma) (UvA, Bonvicini), others N(mu, sigma^2) (Marchioro). Code that confuses
#   them has std = exp(logvar).
# * Lecture notes write mu in the KL instead of mu^2 (Marchioro, equation 4).
# * Some code averages the nll over the pixels instead of summing it.
#
# In each of the three models below, the function is wrong, and the derivative is right for this wrong
# function. Other checks find these bugs: they test the variance of samples, compare the KL with an average of
# log q - log p over draws, and compare the nll before and after the number of pixels is doubled.
# %%
section("8. Find the bugs that pass every gradient check")
guess("Four checks test three bugs, each with its exact derivative. How many of the 12 verdicts are WRONG?")
print(f"  {'':<26}{'gradient':>10}{'sampler':>10}{'kl':>10}{'scaling':>10}")
found, worst = [], 0.0
for name in ("std-is-exp-logvar", "kl-mu-not-squared", "nll-averaged-over-pixels"):
    model, report = examined(name)
    verdicts = (
        check_sampler(model.posterior.sample, rng),
        check_kl(model.posterior.kl, rng),
        check_scaling(rng, lambda out, x, m=model: m.likelihood.nll(out, x, m.params)),
    )
    marks = ["right" if ok else "WRONG" for ok in (report.ok, *(v.ok for v in verdicts))]
    print(f"  {name:<26}" + "".join(f"{mark:>10}" for mark in marks))
    found += [str(v) for v in verdicts if not v.ok]
    worst = max(worst, *(row.error for row in report.rows))
beside("verdicts that are WRONG", len(found), 3, 0, word="expected")
beside("worst gradient error of the three models", worst, 0, 1e-12, word="expected")
say(f"Three, each from a different check and none from the gradient check: {'; '.join(found)}.")
say("The first bug measured directly, with 100,000 draws at logvar = 1.5, to five standard errors:")
wrong = bugs.GALLERY["std-is-exp-logvar"].ops().gaussian_sample
noise = np.random.default_rng(2).standard_normal((100_000, 1))
draws = wrong(np.zeros((100_000, 1)), np.full((100_000, 1), 1.5), noise)
within = 5 * np.exp(3) * np.sqrt(2 / 100_000)
beside("variance of z (right: e^1.5 = 4.48)", draws.var(), np.exp(3), within, word="e^3")

# %% [markdown]
# ## Try on your own
#
# * In section 1 use f(t) + 1000. Which branch moves, and how far does the best step move? (The rounding
#   branch rises by the factor |f + 1000| / |f| = 425. The best steps grow by its square root and its cube
#   root.)
# * In section 3 plot the central difference and the complex step for x from -2h to 2h. The difference rises
#   linearly from -h to h; the complex step jumps at 0.
# * In section 7 examine "noise-redrawn" and "gradients-not-cleared". Why does the report have no table?
#
# **Exercises** `python -m lessons start 8` (write `complex_step`), `python -m lessons start 9` (write a test
# that finds a bug in a sampler, one that every gradient check accepts).
#
# ## Further reading
#
# * William Squire and George Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998
# * Joaquim Martins, Peter Sturdza and Juan Alonso, "The Complex-Step Derivative Approximation", 2003
# * C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982
