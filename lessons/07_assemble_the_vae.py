# %% [markdown]
# # 7. Assemble the VAE
#
# **You will** combine encoder, sampling, decoder and loss in one function that returns the loss and its ten
# gradients; check it as a whole; test nine planted bugs with eight checks; and train on ten digits.
#
# **You will learn** why the derivatives with respect to mu and logvar have two parts; what a gradient check
# of the whole model finds, and which other checks are needed; why the loss is a sum over pixels, not a mean.
#
# **You need** lessons 3 (the ELBO), 4 (layers), 5 (gradient checks), 6 (reparameterization); 40 minutes.
#
# **New names** `VAE`, `load_mnist`, `bugs.CHECKS`, `bugs.RIGHT`, `bugs.examine`,
# `bugs.statistics.check_bound`; used again: `ops`, `gradcheck`, `bugs`
#
# %%
from itertools import combinations

import numpy as np

import minivae as mv
from lessons import bugs
from lessons.bugs.statistics import check_bound, check_sampler
from lessons.drawings import lesson07 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import gradcheck, ops

# %% [markdown]
# ## 1. Write forward and backward in two columns
#
# Encoder and decoder have one hidden layer each, with tanh. Read the left column from top to bottom and the
# right column from bottom to top. Each line on the right is the backward pass of the line on its left, from
# lessons 4 and 6. da is the derivative with respect to the input of a tanh: in the line of k it is
# dk (1 - k^2).
#
#     forward                                      backward
#     h      = tanh(x We + be)            (B, H)   dWe = x.T da,  dbe = sum_b da,  da = dh (1 - h^2)
#     mu     = h Wm + bm                  (B, L)   dWm = h.T dmu,      dh += dmu Wm.T
#     logvar = h Wv + bv                  (B, L)   dWv = h.T dlogvar,  dh  = dlogvar Wv.T
#     z      = mu + exp(logvar / 2) eps   (B, L)   dmu += dz,  dlogvar += dz 1/2 exp(logvar / 2) eps   (1)
#     k      = tanh(z Wd + bd)            (B, H)   dWd = z.T da,  dbd = sum_b da,  dz = da Wd.T
#     logits = k Wo + bo                  (B, D)   dWo = k.T dlogits,  dbo = sum_b dlogits,  dk = dlogits Wo.T
#     nll    = sum_d softplus(l) - x l    (B,)     dlogits = dnll (sigmoid(logits) - x)
#     kl     = 1/2 sum_l (mu^2 + e^logvar - logvar - 1)
#                                         (B,)     dmu  = dkl mu,  dlogvar  = dkl 1/2 (e^logvar - 1)   (2)
#     loss   = mean_b (nll + beta kl)              dnll = 1 / B,  dkl = beta / B
#
# mu and logvar are used twice on the left, in z and in kl, so the derivative of each is a sum of two parts:
# (1) through z and (2) through the kl. In the same way dh is a sum of two parts, one from each head. All
# other intermediate results are used once.


# %%
def loss_and_grads(params, x, eps, beta=1.0):
    """x (B, D), eps (B, L) -> (loss, nll, kl), and the gradient of the loss w.r.t. every array of params.

    params: W and b of the encoder's layer, of mu, of logvar, of the decoder's layer, of the output.
    """
    We, be, Wm, bm, Wv, bv, Wd, bd, Wo, bo = params.values()
    B = len(x)
    h = np.tanh(x @ We + be)  # (B, H)
    mu, logvar = h @ Wm + bm, h @ Wv + bv  # (B, L)
    std = np.exp(logvar / 2)  # (B, L)
    z = mu + std * eps  # (B, L)
    k = np.tanh(z @ Wd + bd)  # (B, H)
    logits = k @ Wo + bo  # (B, D)
    nll = ops.bernoulli_nll(logits, x).mean()
    kl = 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=1).mean()

    dlogits = (ops.activation_forward(logits, "sigmoid") - x) / B  # (B, D)
    da_d = dlogits @ Wo.T * (1 - k * k)  # (B, H)
    dz = da_d @ Wd.T  # (B, L)
    dmu = dz + beta / B * mu  # (1) + (2)
    dlogvar = dz * 0.5 * std * eps + beta / B * 0.5 * (np.exp(logvar) - 1)  # (1) + (2)
    da_e = (dmu @ Wm.T + dlogvar @ Wv.T) * (1 - h * h)  # (B, H)
    layers = ((x, da_e), (h, dmu), (h, dlogvar), (z, da_d), (k, dlogits))  # input, derivative of the output
    arrays = [array for inputs, da in layers for array in (inputs.T @ da, da.sum(axis=0))]
    return (nll + beta * kl, nll, kl), dict(zip(params, arrays, strict=True))


# %% [markdown]
# The library's `VAE` has this dictionary in `params` and a method of the same name. In the check below all
# sizes differ (B = 4, D = 7, H = 5, L = 2), so that a forgotten transpose raises an error, and no bias is
# zero.
# %%
section("1. Write forward and backward in two columns")
rng = np.random.default_rng(0)
model = mv.VAE(data_dim=7, latent_dim=2, hidden=(5,), activation="tanh", backend="numpy", dtype=np.float64)
params = bugs.away_from_zero(model, rng).params
x, eps = (rng.random((4, 7)) < 0.5).astype(float), rng.standard_normal((4, 2))
(loss, *_), grads = loss_and_grads(params, x, eps)
terms, library_grads = model.loss_and_grads(x, eps)
beside("the loss, from the function above", loss, terms.loss, 1e-13, word="library")
difference = max(np.abs(grads[name] - library_grads[name]).max() for name in params)
beside("largest difference of the gradients", difference, 0, 1e-14, word="expected")

# %% [markdown]
# ## 2. Separate the two paths
#
# "Fit good parameters theta and phi for the decoder", says a slide (UvA). But phi are the parameters of the
# encoder. The nll at a fixed z does not depend on phi at all: the encoder learns from the nll only because z
# depends on phi. To separate the two paths, look at the gradient of mu's bias, which is the sum of dmu over
# the batch. At beta = 0 only path (1) is left. At beta = 1, path (2) adds a known number: the batch mean of
# mu, and for the log-variance that of 1/2 (e^logvar - 1).
# %%
section("2. Separate the two paths")
guess("Of the ten arrays of parameters, how many change the nll at a fixed z?")


def nll_at(z, name, array):
    """The nll at a fixed z (B, L), with one of the arrays of parameters replaced."""
    new = params | {name: array}
    k = np.tanh(z @ new["decoder1.W"] + new["decoder1.b"])  # (B, H)
    return ops.bernoulli_nll(k @ new["output.W"] + new["output.b"], x).mean()


z = ops.gaussian_sample(*model.encode(x), eps)  # (B, L)
slopes = {key: gradcheck.complex_step(lambda w, key=key: nll_at(z, key, w), params[key]) for key in params}
moving = [name for name, slope in slopes.items() if np.abs(slope).max() > 0]
beside("arrays that change the nll at a fixed z", len(moving), 4, 0, word="expected")
say(f"{', '.join(moving)}: they belong to the decoder. Now mu's bias, which belongs to the encoder:")
through_z = loss_and_grads(params, x, eps, beta=0.0)[1]
mu, logvar = model.encode(x)  # (B, L)
number("dmu.b[0] through z", through_z["mu.b"][0], "nats per unit")
beside("dmu.b[0] through the kl", grads["mu.b"][0] - through_z["mu.b"][0], mu[:, 0].mean(), 1e-14)
added = (grads["logvar.b"] - through_z["logvar.b"])[0]
beside("dlogvar.b[0] through the kl", added, (0.5 * np.expm1(logvar[:, 0])).mean(), 1e-14)
guess("Set every weight of the decoder to zero. What is the nll, and what is left of dmu.b at beta = 1?")
silent = params | {name: 0 * params[name] for name in ("decoder1.W", "decoder1.b", "output.W", "output.b")}
(_, nll, _), closed = loss_and_grads(silent, x, eps)
beside("nll of the zero decoder", nll, 7 * np.log(2), 1e-13)
beside("dmu.b[0] with the zero decoder", closed["mu.b"][0], mu[:, 0].mean(), 1e-14)
say("""Each of the 7 pixels costs ln 2, like a coin toss. Path (1) is 0 and only the kl is left. In training
it would move mu to 0 and the variance to 1: without a signal from the reconstruction, the posterior
collapses to the prior.""")

# %% [markdown]
# ## 3. Check the whole gradient
#
# The complex step for a parameter w, Im loss(w + ih) / h, is exact to rounding. eps is fixed, so the loss is
# a function of the parameters alone. With new noise at every call there would be no function to
# differentiate.
# %%
section("3. Check the whole gradient")


def worst_error(name):
    """The largest error of one array of grads, relative to the array's largest entry."""
    want = gradcheck.complex_step(lambda p: loss_and_grads(params | {name: p}, x, eps)[0][0], params[name])
    return np.abs(grads[name] - want).max() / np.abs(want).max()


beside("worst relative error of the ten gradients", max(map(worst_error, params)), 0, 1e-13, word="expected")
guess("Suppose we leave out one term, the kl's part of dmu. How many of the ten gradients are then wrong?")
forgetful = bugs.GALLERY["dmu-without-kl"].model(data_dim=7)
forgetful.params.update(params)
wrong = forgetful.loss_and_grads(x, eps)[1]
count = sum(np.abs(wrong[name] - grads[name]).max() > 1e-10 for name in params)
beside("wrong gradients", count, 4, 0, word="expected")
say("""They are mu.W and mu.b, and also encoder1.W and encoder1.b, whose derivatives pass through mu. So the
errors of the parameters do not show where the bug is. A check of every intermediate result does:""")
say(gradcheck.check_model(forgetful, x, eps).headline + ".")

# %% [markdown]
# ## 4. Compare the loss with log p(x)
#
# The gradient can be right although the loss is wrong. By lesson 3 the mean of the loss over eps satisfies,
# at beta = 1 and for every x,
#
#     log p(x) = -E_eps[loss] + KL( q(z|x) || p(z|x) )
#
# With one latent we can compute each integral as a sum, over Gauss-Hermite nodes for eps and over a grid for
# z. Both sums are exact to many digits.
# %%
section("4. Compare the loss with log p(x)")
narrow = mv.VAE(data_dim=7, latent_dim=1, hidden=(5,), activation="tanh", backend="numpy", dtype=np.float64)
bugs.away_from_zero(narrow, rng)
one = x[:1]  # (1, D)
nodes, weights = np.polynomial.hermite_e.hermegauss(100)
losses = [loss_and_grads(narrow.params, one, np.array([[node]]))[0][0] for node in nodes]
elbo = -np.dot(losses, weights) / weights.sum()

z, step = np.linspace(-12, 12, 4001, retstep=True)
log_joint = -ops.bernoulli_nll(narrow.decode(z[:, None]), np.tile(one, (4001, 1)))  # log p(x|z) on the grid
log_joint += -0.5 * z**2 - 0.5 * np.log(2 * np.pi)  # + log p(z)
log_p = np.log(np.exp(log_joint).sum() * step)
mu, logvar = (head.item() for head in narrow.encode(one))
log_q = -0.5 * (np.log(2 * np.pi) + logvar + (z - mu) ** 2 * np.exp(-logvar))
gap = (np.exp(log_q) * (log_q - (log_joint - log_p))).sum() * step
beside("ELBO + KL(q || posterior)", elbo + gap, log_p, 1e-10, word="log p(x)")
number("the gap: KL(q || posterior)", gap, "nats")
say("""Lecture notes write -log p(x) = L_rec + L_KLD (Marchioro, equation 10). But the right side is larger
by the gap. check_bound tests the identity above for any model with one latent, here for all four x, and
prints the means:""")
say(check_bound(narrow, x).sentence + ".")

# %% [markdown]
# ## 5. Test nine bugs with eight checks
#
# We plant nine bugs, one at a time, in a working VAE. Four are from public code or from questions about it,
# four are typical mistakes in exercises without a public source, and one, the clipped probability, is a
# widespread habit without a single source. (`python -m lessons bugs --list-bugs` prints the story of each.)
# The eight checks are
#
#     gradient     is it equal to the complex step?
#     sampler      has z the right mean, variance and shape of distribution?
#     kl           does it agree with draws of log q - log p?
#     scaling      what do twice the pixels, twice the latents and twice the batch change?
#     logits       is the nll exact at logits of +-40 and +-1000?
#     shapes       do nll and kl return one number for each example?
#     bound        the identity of section 4
#     loss falls   is the loss lower after 150 training steps on toy images?
# %%
section("5. Test nine bugs with eight checks")
NINE = [
    *("std-is-exp-logvar", "kl-without-half", "nll-averaged-over-pixels", "loss-summed-over-batch"),
    *("kl-keeps-axis", "probability-clipped", "dlogvar-without-half", "dmu-without-kl", "db-averaged"),
]
guess("How many of the nine does the gradient check find, and in how many does the loss not fall?")
checks = [check for check in bugs.CHECKS if check != "first step"]  # that one tests the optimizer
findings = {name: bugs.examine(bugs.GALLERY[name]) for name in NINE}
caught = np.array([[findings[name][check][0] for check in checks] for name in NINE])  # (9, 8)
width = max(map(len, NINE))
print(f"  {'':{width}}  " + "  ".join(checks))
for name, marks in zip(NINE, caught, strict=True):
    cells = zip(marks, checks, strict=True)
    print(f"  {name:{width}}  " + "  ".join(f"{'x' if hit else '.':^{len(check)}}" for hit, check in cells))
beside("bugs that the gradient check finds", caught[:, checks.index("gradient")].sum(), 3, 0, word="expected")
beside("bugs that 'the loss falls' finds", caught[:, checks.index("loss falls")].sum(), 1, 0, word="expected")
beside("bugs that some check finds", caught.any(axis=1).sum(), 9, 0, word="expected")
right_code = bugs.examine(bugs.RIGHT)
beside("alarms on the right code", sum(said for said, _ in right_code.values()), 0, 0, word="expected")
enough = next(k for k in range(1, 9) if any(caught[:, c].any(1).all() for c in combinations(range(8), k)))
number("checks needed to find all nine, at least", enough)
say("""The checks gradient, scaling and logits are necessary: each finds a bug that no other check finds. Two
more are needed: kl and sampler, kl and bound, or bound and shapes.""")
say("""In six of the nine bugs the gradient is the right derivative of what the code computes, but the code
computes a wrong value or a wrong shape. And training hides bugs: in these 150 steps on toy images the loss
fails to fall only for dmu-without-kl. Adam divides by the size of a gradient, so it even removes the wrong
factor of db-averaged. The check "loss falls" reports, first for that bug and then for the right code:""")
say(f"{findings['db-averaged']['loss falls'][1]}; {right_code['loss falls'][1]}.")

save(drawings.nine_bugs(caught, NINE, checks), "nine_bugs", dpi=200)

# %% [markdown]
# ## 6. Resolve two ambiguities of the slides
#
# For the same density two lectures write N(mu, sigma) (UvA, Bonvicini), one writes N(mu, sigma^2)
# (Marchioro), and two write both (Brown, Isachenko). If you mistake one for the other, you confuse
# exp(logvar), the variance, with exp(logvar / 2), the standard deviation. The second ambiguity is in the loss
# |x - x^|^2 + KL (Marchioro, Bonvicini; Brown writes a weight lambda before the KL). The nll of a Gaussian is
#
#     -log N(x; x^, s^2) = |x - x^|^2 / (2 s^2) + D/2 log(2 pi s^2)
#
# so the squared error is, up to a constant, the nll for the variance s^2 = 1/2. For unit variance the nll is
# *half* the squared error plus a constant.
# %%
section("6. Resolve two ambiguities of the slides")
n = 100_000
z = ops.gaussian_sample(np.zeros((n, 1)), np.full((n, 1), 1.5), rng.standard_normal((n, 1)))  # (n, 1)
within = 4 * np.exp(0.75) / np.sqrt(2 * n)  # 4 standard errors of a standard deviation
beside("standard deviation of z at logvar = 1.5", z.std(), np.exp(0.75), within)
say("For a sampler that uses exp(logvar) as sigma, check_sampler reports:")
say(check_sampler(bugs.GALLERY["std-is-exp-logvar"].ops().gaussian_sample, rng).sentence)
target, mean = rng.standard_normal((1, 7)), rng.standard_normal((1, 7))
squared = ((target - mean) ** 2).sum()
half, unit = (ops.gaussian_nll(mean, np.log(variance), target).item() for variance in (0.5, 1.0))
beside("squared error + D/2 log(pi): variance 1/2", squared + 3.5 * np.log(np.pi), half, 1e-12)
beside("half of it + D/2 log(2 pi): variance 1", 0.5 * squared + 3.5 * np.log(2 * np.pi), unit, 1e-12)
say("""The loss |x - x^|^2 + lambda KL (Brown) is, up to a constant, the negative ELBO for variance 1/2 if
lambda = 1, and twice the negative ELBO for variance 1 if lambda = 2. If the plain squared error is used for
unit variance, check_bound reports:""")
say(bugs.examine(bugs.GALLERY["squared-error-without-half"])["bound"][1] + ".")

# %% [markdown]
# ## 7. Take ten steps
#
# We train on ten real digits, one of each class, in black and white. The network has 784 pixels, 30 hidden
# units on each side and 2 latents. We use plain gradient descent, w = w - lr dw for every parameter w, with
# new noise in each step. At the start the decoder predicts about 1/2 for every pixel, which costs 784 ln 2 =
# 543.4 nats.
# %%
section("7. Take ten steps")
mnist = mv.load_mnist()
first = [np.argmax(mnist.y_train == digit) for digit in range(10)]
digits = (mnist.x_train[first] >= 128).astype(float)  # (10, 784)
model = mv.VAE(latent_dim=2, hidden=(30,), activation="tanh", backend="numpy", dtype=np.float64, seed=0)
params = model.params


def descend(steps, lr, beta=1.0):
    """Gradient descent on `params` -> (steps, 3): loss, nll, kl before each step."""
    course = []
    for _ in range(steps):
        terms, grads = loss_and_grads(params, digits, rng.standard_normal((10, 2)), beta)
        for name, param in params.items():
            param -= lr * grads[name]
        course.append(terms)
    return np.array(course)


guess("The loss starts near 543. Where is it after ten steps with lr = 0.01: near 540, 440 or 100?")
for step, (loss, *_) in enumerate(descend(10, 0.01), 1):
    number(f"loss at step {step}", loss, "nats per image")
own = np.random.default_rng(1)
after = [loss_and_grads(params, digits, own.standard_normal((10, 2)))[0][0] for _ in range(200)]
number("loss after ten steps, mean of 200 draws", np.mean(after), "nats per image")
after_ten = model.reconstruct(digits)

# %% [markdown]
# ## 8. Find what the loss can reach, and whether to sum or average
#
# Two lower limits are known before training. The best decoder that ignores z predicts each pixel's mean m_d
# over the ten images, which costs sum_d H(m_d) with H(m) = -m log m - (1 - m) log(1 - m). And no model gets
# below ln 10: the probabilities of ten different images add up to at most 1, so the mean of -log p(x) is at
# least ln 10, and the mean loss is an upper bound on it. If the mean loss is below ln 10, there is a bug.
#
# A mean squared error instead of the sum "just changes by a multiplicative constant", and "constant terms can
# be neglected in the loss", say lecture notes (Marchioro). This is right for a factor of the whole loss and
# for an added constant. But a mean over pixels divides only the nll: nll / 784 + kl = (nll + 784 kl) / 784.
# So it gives the kl the weight beta = 784, whatever the likelihood, and also divides the learning rate by
# 784.
# %%
section("8. Find what the loss can reach, and whether to sum or average")
m = digits.mean(axis=0)  # (784,)
inside = m[(m > 0) & (m < 1)]
mean_floor = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum()
number("lower limit of a decoder that ignores z", mean_floor, "nats per image")
number("lower limit of any model of ten images: ln 10", np.log(10), "nats per image")
model.start_output_at(m)  # the biases would learn this first, and slowly
good = descend(3000, 0.003)
learned = model.reconstruct(digits)
loss, nll, kl = good[-100:].mean(axis=0)
number("loss after 3000 steps", loss, "nats per image")
number("kl after 3000 steps", kl, "nats per image")
number("loss / 784, nats per pixel", loss / 784)
number("its lower limit: ln 10 / 784", np.log(10) / 784)
number("nll / 784 + kl", nll / 784 + kl)
say("""The loss is below the first limit, so the latents are used, and above the second. If we divide the
whole loss by 784, we get the same bound in nats per pixel, and both limits are divided by 784 as well. But
nll / 784 + kl is not a bound on -log p(x) in either unit: nearly all of it is kl.""")
guess("""Now we train on, with the nll averaged over the 784 pixels and the kl unchanged. What happens to the
kl of 6.1 nats?""")
collapsed = descend(1000, 3e-5, beta=784.0)
forgotten = model.reconstruct(digits)
_, nll, kl = collapsed[-100:].mean(axis=0)
number("kl after 1000 steps with the mean over pixels", kl, "nats per image")
number("nll after 1000 steps with the mean over pixels", nll, "nats per image")
mu, logvar = model.encode(digits)
beside("smallest standard deviation of q(z|x)", np.exp(logvar / 2).min(), 1, 0.05, word="prior")
beside("largest standard deviation of q(z|x)", np.exp(logvar / 2).max(), 1, 0.05, word="prior")
number("largest |mu|", np.abs(mu).max())
say("""The posterior has collapsed to the prior: every image has nearly the same q(z|x), so z carries almost
no information about the image. The nll is even above the first limit: z is now only noise, but the decoder
still depends on it and learns only slowly to ignore it. So sum over pixels and latents, and average over the
batch.""")

names = "ten digits", "10 steps", "3000 steps", "then mean\nover pixels"
rows = dict(zip(names, (digits, after_ten, learned, forgotten), strict=True))
figure = drawings.ten_digits(np.vstack([good, collapsed])[:, 1:], len(good), mean_floor, rows)
save(figure, "ten_digits", dpi=200)

# %% [markdown]
# ## Try on your own
#
# - In `loss_and_grads` remove the `0.5` in path (1) of dlogvar. Section 1 stops at once with an error; the
#   ten steps of section 7 alone would not show it.
# - Use zeros for the noise in `descend`: this trains an autoencoder with a penalty. After 3000 steps its
#   loss is near 68 instead of 77. But measured with the noise, it is near 117: what it minimized was not a
#   bound.
# - Use lr = 0.05 in the ten steps. The loss jumps, here to infinity, with other noise to several thousand:
#   the step is too long for some parameters. RMSProp and Adam (lesson 8) adapt the step to each parameter.
#
# **Exercise** `python -m lessons start 15`: write `loss_and_grads`, line by line or with the functions of
# `ops`.
#
# ## Further reading
#
# - D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2014
# - D. J. Rezende, S. Mohamed and D. Wierstra, "Stochastic Backpropagation and Approximate Inference in Deep
#   Generative Models", 2014
# - S. R. Bowman et al., "Generating Sentences from a Continuous Space", 2016, on posterior collapse
