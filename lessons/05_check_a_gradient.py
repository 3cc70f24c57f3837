# %% [markdown]
# # 5. Check a gradient
#
# **You will** differentiate a cost numerically in three ways, measure the error of each, and use the best of
# them to find bugs that were planted in a VAE.
#
# **You will learn** why the error of a difference plotted against its step is a U, and where its minimum is;
# why the complex step has no such minimum; what hides a bug from a check; and what no gradient check can see.
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
from lessons.story import BLUE, GREEN, GREY, RED, STYLES, beside, canvas, guess, number, save, say, section
from minivae import gradcheck

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Take differences and measure their error
#
# The cost is lesson 2's KL at mu = 2 as a function of t = logvar, because all its derivatives are known:
#
#     f(t) = 1/2 (4 + e^t - t - 1)        f' = 1/2 (e^t - 1)        f'' = f''' = 1/2 e^t
#
# Taylor's formula gives the *truncation error* of a difference with step h:
#
#     forward  (f(t + h) - f(t)) / h       =  f' + h/2 f'' + ...
#     central  (f(t + h) - f(t - h)) / 2h  =  f' + h^2/6 f''' + ...      the h/2 f'' of both sides cancels
#
# The *rounding error* has the opposite effect: float64 stores f with an error of up to u |f|, u = 2^-53, and
# the difference divides two such errors by h or by 2h. (We leave out roundings inside f.) The sum of both
# errors, and the h that minimizes it:
#
#     forward  h/2 f'' + 2 u |f| / h        f''/2 - 2 u |f| / h^2 = 0      h = 2 (u |f| / f'')^(1/2)
#     central  h^2/6 f''' + u |f| / h       h/3 f''' - u |f| / h^2 = 0     h = (3 u |f| / f''')^(1/3)
#
# In a double logarithmic plot each is a U: one branch has the slope 1 or 2, the other the slope -1.
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
    """Slope of a curve between two steps, in the double logarithmic plot."""
    part = (steps > 0.99 * low) & (steps < 1.01 * high)
    return np.polyfit(np.log10(steps[part]), np.log10(curve[part]), 1)[0]


forward = error_curve(lambda h, t: (f(t + h) - f(t)) / h)
central = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h))

number("relative error, forward, h = 1e-5", forward[44])
guess("Is the error at h = 1e-12 smaller, because h is smaller, or larger?")
number("relative error, forward, h = 1e-12", forward[16])
say(
    "Larger: the rounding error of f is divided by h. Both branches of both curves have the predicted slopes:"
)
beside("slope of forward's truncation", branch(forward, 1e-5, 1e-2), 1, 0.02, word="predicted")
beside("slope of central's truncation", branch(central, 1e-3, 1e-1), 2, 0.02, word="predicted")
beside("slope of forward's rounding", branch(forward, 1e-14, 1e-10), -1, 0.1, word="predicted")
beside("slope of central's rounding", branch(central, 1e-14, 1e-8), -1, 0.1, word="predicted")
say("Between the branches is the best step. u is an upper bound, so we allow a factor of 3:")
bound = 2.0**-53 * value
best = np.log10([2 * np.sqrt(bound / second), np.cbrt(3 * bound / third)])
at_forward, at_central = np.log10(steps[[forward.argmin(), central.argmin()]])
beside("log10 of the best step, forward", at_forward, best[0], 0.5, word="predicted")
beside("log10 of the best step, central", at_central, best[1], 0.5, word="predicted")
number("least relative error, forward", forward.min())
number("least relative error, central", central.min())

# %% [markdown]
# In float32 u is 2^-24, and the best central step is 2^(29/3) = 800 times longer. Four or five digits remain:
# compute a reference in float64, even for a gradient that is computed in float32.
# %%
single = error_curve(lambda h, t: (f(t + h) - f(t - h)) / (2 * h), t.astype(np.float32))
at_single = np.log10(steps[single.argmin()])
longer = best[1] + np.log10(2) * 29 / 3
beside("log10 of the best step, central, float32", at_single, longer, 0.5, word="predicted")
number("least relative error, central, float32", single.min())

# %% [markdown]
# ## 2. Step off the real line
#
# Put an imaginary step into Taylor's formula:
#
#     f(t + ih) = f + ih f' - h^2/2 f'' - i h^3/6 f''' + ...
#     Im f(t + ih) / h = f' - h^2/6 f''' + ...
#
# Nothing is subtracted, so nothing cancels. h can be 1e-30, where the truncation error is about 1e-60 and
# only the rounding error of one evaluation is left.
# %%
section("2. Step off the real line")
guess("Where is the minimum of the complex step's curve?")
imaginary = error_curve(lambda h, t: f(t + 1j * h).imag / h)
beside("complex step: slope of its truncation", branch(imaginary, 1e-5, 1e-2), 2, 0.02, word="predicted")
beside("complex step: slope below h = 1e-9", branch(imaginary, 1e-16, 1e-9), 0, 0.1, word="predicted")
number("complex step: relative error at h = 1e-16", imaginary[0])
say("There is none: below 1e-8 every step is equally good. The library uses h = 1e-30:")
mu, logvar = rng.standard_normal((2, 4, 3))  # (B, L) each
exact = mv.ops.gaussian_kl_backward(np.ones(4), mu, logvar)[1]  # (B, L)
complex_slope = gradcheck.complex_step(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
central_slope, claimed = gradcheck.central_difference(lambda lv: mv.ops.gaussian_kl(mu, lv).sum(), logvar)
beside("complex_step: largest error", np.abs(complex_slope - exact).max(), 0, 1e-15, word="expected")
error = np.abs(central_slope - exact).max()
beside("central_difference: largest error", error, 0, claimed.max(), word="expected")
say("""central_difference extrapolates ten steps to step 0 (Ridders 1982). The tolerance above is its own
estimate of its error. It needs an f that is smooth over its longest step (section 3). The complex step
needs every operation in f to be analytic at x.""")
guess("f(x) = |x1| + |x2| + |x3| is written with np.abs. What is its complex step at x1 = 1?")
x = np.array([1.0, -2.0, 0.5])
beside("complex step of np.abs", gradcheck.complex_step(lambda x: np.abs(x).sum(), x)[0], 0, 0)
report = gradcheck.check(lambda x: np.abs(x).sum(), np.sign(x), x)
number("check accepts the right gradient (1: yes)", report.ok)
say(f"""0, where the slope is 1: np.abs silently returns a real number. check compares a complex step with a
difference along a line before it uses it, and reports: {report.notes[0]}.""")

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
# ## 3. Differentiate at a kink
#
# max(x, 0) has the slope 0 on one side of its kink and 1 on the other. A central difference that reaches
# across the kink mixes them: where 0 < x < h it is (x + h - 0) / 2h, and not 1.
# %%
section("3. Differentiate at a kink")
guess("A ReLU's input is x = 1e-6, where its slope is 1. What is the central difference with h = 1e-5?")
x, h = 1e-6, 1e-5
beside("central difference beside a kink", (max(x + h, 0) - max(x - h, 0)) / (2 * h), 0.55, 1e-9)
slope = gradcheck.complex_step(lambda x: np.maximum(x, 0), x)
beside("complex step beside a kink", slope, 1, 1e-15)
say("The difference would reject a right gradient. The complex step stays at x. Exactly at the kink:")
for slope in (0.0, 1.0):
    report = gradcheck.check(lambda x: np.maximum(x, 0).sum(), np.full(1, slope), np.zeros(1))
    number(f"check accepts the slope {slope:g} at x = 0 (1: yes)", report.ok)
say("It accepts the slope of either side.")

# %% [markdown]
# ## 4. Choose what an error is relative to
#
# The right derivatives are 1, 1e-9 and 0, and in the gradient under test the second has the wrong sign. Is
# that a small error?
#
# * The absolute error is 2e-9. A tolerance of 1e-5, the default of torch.autograd.gradcheck, accepts it.
# * Entry by entry, |got - want| / (|got| + |want|) is 1, the largest possible. But this measure also rejects
#   a right entry that is 0, where a sum that cancels leaves a rounding error: 0.1 + 0.2 - 0.3 is 5.6e-17.
# * Relative to the largest entry it is 2e-9. Compared with the complex step, whose error is 2e-16 of that,
#   this is large.
# %%
section("4. Choose what an error is relative to")


def large_and_small(x):
    """Its gradient at 0 is (1, 1e-9, 0), the last up to rounding."""
    return np.exp(x[0]) + 1e-9 * np.exp(x[1]) + (0.1 + 0.2 - 0.3) * x[2]


want = gradcheck.complex_step(large_and_small, np.zeros(3))
right, flipped = np.array([1, 1e-9, 0]), np.array([1, -1e-9, 0])
guess("Which entry of the right gradient does the entrywise measure reject?")
entrywise = np.abs(right - want) / (np.abs(right) + np.abs(want))  # (3,)
beside("right gradient: entrywise error of the third", entrywise[2], 1, 1e-12)
say("The third, which is 0: a false alarm. Relative to the largest entry:")
beside("flipped sign: error / largest entry", np.abs(flipped - want).max(), 2e-9, 1e-15)
report = gradcheck.check(large_and_small, flipped, np.zeros(3))
number("flipped sign: check passes (1: yes)", report.ok)
say(f"The tolerance of check is 2^-40 = 9e-13 of the largest entry. {report.headline}.")
number("right gradient: check passes (1: yes)", gradcheck.check(large_and_small, right, np.zeros(3)).ok)

# %% [markdown]
# ## 5. Avoid zeros and ones
#
# A check sees a derivative only at the numbers it is given. Three wrong derivatives, and what hides them:
#
#     dlogvar = dz std eps, without its 1/2      zero noise: right where eps = 0
#     da = 1 - y^2, without its dy               ones upstream: right where dy = 1
#     dW1 divided by the batch size              a dead input: right where W2 = 0, as in some initializations
# %%
section("5. Avoid zeros and ones")


def without_half(dz, mu, logvar, eps):
    return dz, dz * mv.ops.gaussian_std(logvar) * eps, None


guess("What error will the check see in each, first with these numbers and then with random ones?")
eps, a, upstream = rng.standard_normal((3, 4, 3))  # (B, L), (B, H), (B, H)
for words, noise, error in (("eps = 0", 0 * eps, 0), ("random eps", eps, 1)):
    report = gradcheck.check_pair(mv.ops.gaussian_sample, without_half, mu, logvar, noise)
    beside(f"dlogvar without 1/2, {words}", report.rows[1].error, error, 1e-12)
for words, dy in (("dy = 1", np.ones((4, 3))), ("random dy", upstream)):
    report = gradcheck.check(lambda a, dy=dy: np.sum(dy * np.tanh(a)), 1 - np.tanh(a) ** 2, a)
    number(f"da without dy, {words}: passes (1: yes)", report.ok)
x, W1, random = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
y = np.tanh(x @ W1)  # (B, H)
for words, W2, error in (("W2 = 0", 0 * random, 0), ("random W2", random, 1 - 1 / 5)):
    grads = {"W1": x.T @ ((1 - y * y) * W2.sum(axis=1)) / 5, "W2": np.tile(y.sum(axis=0)[:, None], 2)}
    report = gradcheck.check(lambda p: np.sum(np.tanh(x @ p["W1"]) @ p["W2"]), grads, {"W1": W1, "W2": W2})
    beside(f"dW1 divided by the batch, {words}", report.rows[0].error, error, 1e-12)
    say("; ".join([report.headline, *report.notes]))
say("Every bug passes with zeros or ones. With random numbers each shows its factor: 2 - 1, and 1 - 1/B.")

# %% [markdown]
# ## 6. Draw the noise once
#
# A loss that draws its own noise is another function at every call, and a difference divides the difference
# of two independent draws by 2h. For f(mu) = mean over B of (mu + eps)^2, Var f = (4 mu^2 + 2) / B, so the
# difference has the standard deviation (2 Var f)^(1/2) / 2h.
# %%
section("6. Draw the noise once")
guess("mu = 2, B = 8, h = 1e-5: the slope is 4. What is the standard deviation of the difference?")
mu_2h, n = np.array([[[2 + h]], [[2 - h]]]), 10_000
above, below = np.mean((mu_2h + rng.standard_normal((2, n, 8))) ** 2, axis=-1)  # (n,) each
exact = np.sqrt(2 * (4 * 2**2 + 2) / 8) / (2 * h)
beside("std of 10,000 differences", np.std((above - below) / (2 * h)), exact, 5 * exact / np.sqrt(2 * n))
report = gradcheck.check(
    lambda mu: np.mean((mu + rng.standard_normal(8)) ** 2), np.full(1, 4.0), np.full(1, 2.0)
)
number("redrawn noise: check passes (1: yes)", report.ok)
say(f"About 100,000. check calls f twice before it starts: {report.headline}.")

# %% [markdown]
# ## 7. Plant a bug and read the report
#
# `bugs.GALLERY` holds classical bugs, each planted in a small VAE. `check_model` follows the backward pass
# from the loss to the first layer. At every node, for each term of the loss separately, it compares the
# model's derivative with the complex step of the forward pass. Everything after a wrong node is wrong too, so
# the first wrong node shows where to look. Each operation is also checked alone, with a random upstream
# gradient.
# %%
section("7. Plant a bug and read the report")


def examined(name):
    """A model with that bug, its weights moved away from zero, and the report on it."""
    model = bugs.away_from_zero(bugs.GALLERY[name].model(latent_dim=3), np.random.default_rng(0))
    x = (np.random.default_rng(0).random((5, 6)) < 0.5).astype(float)  # (B, D)
    return model, gradcheck.check_model(model, x, np.random.default_rng(1).standard_normal((5, 3)))


guess("The KL's dlogvar lacks its -1, and the loss is a mean over B = 5. How large is the error of an entry?")
_, offset = examined("dlogvar-without-minus-one")
beside("dlogvar without -1: got - want", offset.first.got - offset.first.want, 0.5 / 5, 1e-12)
say(f"1/2 * 1/B. {offset.headline}")
_, skipped = examined("relu-skipped")
say(f"The backward pass skips the ReLU: {skipped.headline}")
_, half = examined("dlogvar-without-half")
beside("dlogvar without 1/2: got / want", half.first.got / half.first.want, 2, 1e-12)
say("The whole report on this one:")
print(half)

figure, axes = canvas(height=3.7, width=8.6)
for report, colour, marker, size, label in (
    (half, BLUE, "o", 5, "1/2 missing"),
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
axes.set_title("Two bugs in the backward pass: the first wrong derivative shows the place", fontsize="medium")
save(figure, "way_back")

# %% [markdown]
# ## 8. Find what no gradient check can see
#
# A gradient check tests whether the derivative belongs to the function, not whether the function is right.
# A slide writes N(mu, sigma), another N(mu, sigma^2); a sampler that follows the wrong one has std =
# exp(logvar). Lecture notes have mu in the KL instead of mu^2. Some code averages over the pixels what must
# be summed. In the three models below the derivative of each such function is exact. Other checks find the
# bugs: the variance of samples, the KL compared with its definition by sampling, and the loss of twice the
# pixels.
# %%
section("8. Find what no gradient check can see")
guess("Three bugs, each with its exact derivative; four checks. How many of the twelve verdicts are WRONG?")
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
beside("verdicts that are WRONG", len(found), 3, 0)
beside("worst gradient error of the three models", worst, 0, 1e-12, word="expected")
say(f"Three, each from another check, and none from the gradient check: {'; '.join(found)}.")
say("The first one directly, with 100,000 draws at logvar = 1.5 (to five standard errors of 0.45 %):")
wrong = bugs.GALLERY["std-is-exp-logvar"].ops().gaussian_sample
noise = np.random.default_rng(2).standard_normal((100_000, 1))
draws = wrong(np.zeros((100_000, 1)), np.full((100_000, 1), 1.5), noise)
beside("variance of z (e^1.5 = 4.48 is right)", draws.var(), np.exp(3), 5 * np.exp(3) * 2e-5**0.5)

# %% [markdown]
# ## Try on your own
#
# * In section 1 use f(t) + 1000. Which branch moves, and how far does the best step move? (The rounding
#   branch by |f + 1000| / |f| = 425, the best steps by the square root and the cube root of that.)
# * In section 3 plot the central difference and the complex step for x from -2h to 2h: a ramp and a step.
# * In section 7 examine "noise-redrawn" and "gradients-not-cleared": the report stops before its table. Why?
#
# **Exercises** `python -m lessons start 8` (write complex_step); `python -m lessons start 9` (write a test
# that finds a sampler's bug, which every gradient check passes).
#
# ## Further reading
#
# * William Squire and George Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", 1998
# * Joaquim Martins, Peter Sturdza and Juan Alonso, "The Complex-Step Derivative Approximation", 2003
# * C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982
