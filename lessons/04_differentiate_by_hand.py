# %% [markdown]
# # 4. Differentiate by hand
#
# **You will** derive the backward pass of a dense layer, of four activations and of a loss in logits, write
# each beside its forward pass, and chain them into a decoder with one hidden layer.
#
# **You will learn** to derive a gradient index by index and then write it as a matrix product; to check the
# product by its shape; why the gradient of a bias is a sum; why a loss takes logits and not probabilities;
# why the Jacobian is never stored.
#
# **You need** matrix products, partial derivatives, and the chain rule for one variable; about 30 minutes.
#
# **New names** `ops.dense_forward`, `ops.dense_backward`, `ops.activation_forward`,
# `ops.activation_backward`, `ops.bernoulli_nll`, `ops.bernoulli_nll_backward`
#
# %%
import numpy as np

from lessons.drawings import lesson04 as drawings
from lessons.story import beside, guess, number, save, say, section
from minivae import ops

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. Write a dense layer and its derivative side by side
#
# `d` + the name of an array is the derivative of the loss, one number, with respect to (w.r.t.) that array.
# It has the array's shape.
#
#     a_ij = sum_k x_ik W_kj + b_j             forward; i: example, k: input, j: output
#
# Suppose the layers above supply da_ij. The chain rule sums over every a_ij that depends on the variable:
#
#     dx_ik = sum_j da_ij W_kj                 x_ik enters a_ij for every j, with the factor W_kj
#     dW_kj = sum_i da_ij x_ik                 W_kj enters a_ij for every i, with the factor x_ik
#     db_j  = sum_i da_ij                      b_j enters a_ij for every i, with the factor 1
#
# A sum over a shared index is a matrix product. The shared index must be the last of the left factor and the
# first of the right factor. Where it is not, transpose the factor:
#
#     dx = da @ W.T       dW = x.T @ da       db = da.sum(axis=0)
#
# The backward function needs x and W. The forward function returns them in a cache.
# %%
section("1. Write a dense layer and its derivative side by side")


def layer_forward(x, W, b):
    """a = x @ W + b, and the cache that layer_backward takes."""
    return x @ W + b, (x, W)


def layer_backward(da, cache):
    """da -> dx, dW, db."""
    x, W = cache
    return da @ W.T, x.T @ da, da.sum(axis=0)


def loops(x, W, da):
    """The index formulas, literally."""
    dx, dW, db = np.zeros(x.shape), np.zeros(W.shape), np.zeros(W.shape[1])
    for i, k, j in np.ndindex(*x.shape, W.shape[1]):
        dx[i, k] += da[i, j] * W[k, j]
        dW[k, j] += da[i, j] * x[i, k]
    for i, j in np.ndindex(*da.shape):
        db[j] += da[i, j]
    return dx, dW, db


def worst(arrays, others):
    """The largest difference between two lists of arrays, entry by entry."""
    return max(np.abs(array - other).max() for array, other in zip(arrays, others, strict=True))


B, n_in, n_out = 7, 3, 5  # all different; section 2 shows why
x = rng.standard_normal((B, n_in))
W, b = rng.standard_normal((n_in, n_out)), rng.standard_normal(n_out)
da = rng.standard_normal((B, n_out))  # any numbers will do for what the layers above supply
a, cache = layer_forward(x, W, b)
a_library, cache_library = ops.dense_forward(x, W, b)
ours, library = layer_backward(da, cache), ops.dense_backward(da, cache_library)
say("Largest differences over all entries:")
beside("forward: ours, the library's", worst([a], [a_library]), 0, 1e-14, word="expected")
beside("backward: matrices, loops", worst(ours, loops(x, W, da)), 0, 1e-14, word="expected")
beside("backward: ours, the library's", worst(ours, library), 0, 1e-14, word="expected")

guess("The loss will be a mean over the batch. Should db be a mean over the batch, too?")
moved, _ = layer_forward(x, W, b + np.array([0.001, 0, 0, 0, 0]))
difference = (moved.sum() - a.sum()) / B / 0.001  # the loss: sum of a over outputs, mean over the batch
da_of_loss = np.full((B, n_out), 1 / B)
beside("db_0 as a sum of da", da_of_loss.sum(axis=0)[0], difference, 1e-10, word="by differences")
number("db_0 as a mean of da", da_of_loss.mean(axis=0)[0])
say("No: da already contains the 1/B. A mean would divide by B twice, and db would be 7 times too small.")

# %% [markdown]
# ## 2. Check the product by its shape
#
# You need not memorize which factor is transposed: dW has the shape of W and is a product of x and da. Below
# we form every product of two of the arrays x, x.T, W, W.T, da, da.T and keep those with the right shape.
# %%
section("2. Check the product by its shape")
guess("Of the 36 products P @ Q, how many have the shape of dW? How many if B, n_in and n_out are all 4?")


def products(B, n_in, n_out, wanted):
    """Which products of two arrays of the layer exist and have the wanted shape."""
    shapes = {"x": (B, n_in), "W": (n_in, n_out), "da": (B, n_out)}
    shapes |= {name + ".T": shape[::-1] for name, shape in shapes.items()}
    pairs = [(one, other) for one in shapes for other in shapes if shapes[one][1] == shapes[other][0]]
    return [f"{one} @ {other}" for one, other in pairs if (shapes[one][0], shapes[other][1]) == wanted]


found = products(B, n_in, n_out, (n_in, n_out)), products(B, n_in, n_out, (B, n_in))
say(f"With the shape of dW: {', '.join(found[0])}. With the shape of dx: {', '.join(found[1])}.")
beside("products of the shape of dW", len(found[0]), 1, 0, word="expected")
beside("products of the shape of dx", len(found[1]), 1, 0, word="expected")
beside("of the shape of dW, all sizes 4", len(products(4, 4, 4, (4, 4))), 36, 0, word="all")
say("""This works only if the sizes differ. If they are equal, 35 wrong products run without an error. So
check a layer with sizes that all differ, and be careful if all layers of a network have the same width.""")

# %% [markdown]
# ## 3. Differentiate activations from their outputs
#
# y = act(a) acts on each entry separately, so da_ij = dy_ij act'(a_ij). Four derivatives in terms of y:
#
#     relu      y = max(a, 0)            y' = 1 where y > 0, else 0
#     tanh      y = tanh(a)              y' = 1 - y^2
#     sigmoid   y = 1 / (1 + e^-a)       y' = e^-a / (1 + e^-a)^2 = y (1 - y)
#     softplus  y = log(1 + e^a)         y' = e^a / (1 + e^a) = 1 - e^-y,   because e^y = 1 + e^a
#
# So the layer stores y and need not store a. To compute y without overflow, apply the exponential only to
# numbers that are not positive:
#
#     softplus(a) = max(a, 0) + log(1 + e^-|a|)
#     sigmoid(a)  = 1 / (1 + e^-|a|) for a >= 0, e^-|a| / (1 + e^-|a|) below
# %%
section("3. Differentiate activations from their outputs")

a = np.linspace(-20, 20, 400)  # an even number of points, so none is at relu's kink
say("The derivative from y and the derivative from a:")
from_input = {  # the same derivatives in terms of the input
    "relu": (a > 0).astype(float),
    "tanh": 1 / np.cosh(a) ** 2,
    "sigmoid": 1 / (4 * np.cosh(a / 2) ** 2),
    "softplus": 0.5 * (1 + np.tanh(a / 2)),
}
for name, derivative in from_input.items():
    from_output = ops.activation_backward(np.ones_like(a), ops.activation_forward(a, name), name)
    difference = worst([from_output], [derivative])
    beside(f"{name}': largest difference", difference, 0, 4e-15, word="expected")
say("""These differences are absolute. Where tanh is rounded to 1 or -1, or the sigmoid to 1, the derivative
becomes 0. The true derivative is below 1e-15 there, too small to matter in training. The derivative of
softplus keeps its digits even where y is near 0: the library computes -expm1(-y) and not 1 - e^-y.""")

guess("Compute log(1 + e^a) exactly as written, in float64. What is the result at a = 1000? At a = -40?")
far = np.array([1000.0, -40.0])
with np.errstate(over="ignore"):
    naive = np.log(1 + np.exp(far))
stable = ops.activation_forward(far, "softplus")
number("naive softplus(1000)", naive[0])
beside("stable softplus(1000)", stable[0], 1000, 0)
number("naive softplus(-40)", naive[1])
beside("stable softplus(-40) / e^-40", stable[1] / np.exp(-40.0), 1, 1e-12)
say("""e^1000 is larger than the largest float64, about e^709.8. At -40 the naive form adds 4e-18 to 1. The
sum is rounded to 1, and all digits are lost. The stable form uses e^-|a|, which is at most 1, and log1p,
which keeps the digits of small numbers.""")

# %% [markdown]
# ## 4. Write the loss in logits
#
# Lecture notes write the Bernoulli loss in terms of the probability of a pixel (Marchioro, equation 2). Our
# decoder computes a logit l, and p = sigmoid(l) is p(x = 1|z):
#
#     nll = -x log p - (1 - x) log(1 - p)
#
# With log p = -softplus(-l), log(1 - p) = -softplus(l), and softplus(-l) = softplus(l) - l:
#
#     nll = x (softplus(l) - l) + (1 - x) softplus(l) = softplus(l) - x l
#     dl  = sigmoid(l) - x                     prediction minus target
#
# If we compute p first, the chain rule multiplies two factors. On paper p (1 - p) cancels:
#
#     dnll/dp = (p - x) / (p (1 - p))    and    dp/dl = p (1 - p)
#
# In floating point, for x = 0 and p rounded to 1, they are 1/0 and 0.
# %%
section("4. Write the loss in logits")
guess("x = 0 and the logit grows. Where does -log(1 - p) become infinite? Is -log p right at l = -40, x = 1?")


def through_p(l, x, clip=0):
    """The loss through p and its derivative w.r.t. l, in l's float type; p is clipped to [clip, 1 - clip]."""
    with np.errstate(all="ignore"):
        raw = 1 / (1 + np.exp(-l))
        p = np.clip(raw, clip, 1 - clip)
        loss = -x * np.log(p) - (1 - x) * np.log(1 - p)
        return loss, (p - x) / (p * (1 - p)) * np.where(p == raw, raw * (1 - raw), 0)


def through_logits(l, x):
    """The library's loss and its derivative for one pixel -> loss, dl."""
    l, x = np.full((1, 1), l), np.full((1, 1), x, float)  # (B, D)
    return ops.bernoulli_nll(l, x)[0], ops.bernoulli_nll_backward(np.ones(1), l, x)[0, 0]


fine = np.linspace(10, 45, 350_001)
for dtype, bits in ((np.float64, 53), (np.float32, 24)):
    first = fine[np.isinf(through_p(fine.astype(dtype), dtype(0))[0])][0]
    beside(f"{dtype.__name__}: inf from l = {bits} log 2", first, bits * np.log(2), 2e-4)
number("through p: loss at l = 40, x = 0", through_p(40.0, 0)[0])
number("through p, float32: loss at l = -90, x = 1", through_p(np.float32(-90), np.float32(1))[0])
say(f"At l = 40, p = 1, and (p - x) / (p (1 - p)) times p (1 - p) gives {through_p(40.0, 0)[1]}.")
beside("through p: loss at l = -40, x = 1", through_p(-40.0, 1)[0], 40, 1e-12)
for l, x_one in ((40.0, 0), (-40.0, 1)):
    loss, dl = through_logits(l, x_one)
    beside(f"logits: loss at l = {l:g}, x = {x_one}", loss, 40, 1e-12)
    beside(f"logits: dl at l = {l:g}, x = {x_one}", dl, np.sign(l), 1e-12)
say("""Through p, the loss fails early for x = 0 and late for x = 1. Floats are dense near 0, so p = 4e-18
keeps its digits. With x = 1 the loss is right until e^-l overflows, at l = -89 in float32 and at l = -710 in
float64. But near 1 the spacing of float64 is 1e-16, and 1 + e^-l is rounded to 1 if e^-l is below 2^-53: at
l = 37. In float32, in which many networks are trained, this happens at l = 17. Clipping p hides the infinity,
but learning stops there. The clipped loss is flat, and a pixel whose true loss is 20 nats gets no
gradient.""")
loss, dl = through_p(20.0, 0, clip=1e-7)
beside("clipped: loss at l = 20, x = 0", loss, 7 * np.log(10), 1e-6)
beside("clipped: dl at l = 20, x = 0", dl, 0, 0)


logits = np.linspace(10, 45, 1401)
ways = {
    "from logits": np.array([through_logits(l, 0) for l in logits]).T,  # (2, points): loss, dl
    "through p, float64": through_p(logits, 0),
    "through p, float32": through_p(logits.astype(np.float32), np.float32(0)),
    "through p, clipped at 1e-7": through_p(logits, 0, clip=1e-7),
}
wanted = logits + np.log1p(np.exp(-logits.astype(np.longdouble)))  # the loss, with more digits
errors = {name: np.abs(loss - wanted).astype(float) for name, (loss, _) in ways.items()}
save(drawings.logits(logits, errors, {name: dl for name, (_, dl) in ways.items()}), "logits", dpi=200)

# %% [markdown]
# ## 5. Chain the pieces into a decoder
#
# We build the decoder of a VAE with one hidden layer: z (B, L), h (B, H), logits (B, D). The backward pass
# calls the backward functions in reverse order. Each takes the derivative of the loss w.r.t. its output and
# returns the derivatives w.r.t. its inputs:
#
#     h      = tanh(z @ W1 + b1)               dz, dW1, db1 <- dh
#     logits = h @ W2 + b2                     dh, dW2, db2 <- dlogits
#     nll    = bernoulli_nll(logits, x)        dlogits      <- dnll
#     loss   = mean(nll)                       dnll = 1/B for every example
# %%
section("5. Chain the pieces into a decoder")

B, L, H, D = 7, 2, 3, 5
x = (rng.random((B, D)) < 0.5).astype(float)
shapes = {"z": (B, L), "W1": (L, H), "b1": (H,), "W2": (H, D), "b2": (D,)}
params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def forward(z, W1, b1, W2, b2):
    """The loss, and what backward needs."""
    h, cache1 = ops.dense_forward(z, W1, b1, "tanh")  # (B, H)
    logits, cache2 = ops.dense_forward(h, W2, b2)  # (B, D)
    return ops.bernoulli_nll(logits, x).mean(), (cache1, cache2, logits, h)


def backward(caches):
    """The lines of forward, in reverse."""
    cache1, cache2, logits, _ = caches
    dnll = np.full(B, 1 / B)  # (B,)
    dlogits = ops.bernoulli_nll_backward(dnll, logits, x)  # (B, D)
    dh, dW2, db2 = ops.dense_backward(dlogits, cache2)
    dz, dW1, db1 = ops.dense_backward(dh, cache1)
    return {"z": dz, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


loss, caches = forward(**params)
grads = backward(caches)
number("loss", loss, "nats")
say("One entry of each gradient beside a central difference, (loss(+h) - loss(-h)) / 2h with h = 1e-5:")
for name, array in params.items():
    bump = np.zeros(array.shape)
    bump.flat[-1] = 1e-5
    up, down = (forward(**{**params, name: array + sign * bump})[0] for sign in (1, -1))
    last, difference = grads[name].flat[-1], (up - down) / 2e-5
    beside(f"last entry of d{name} {array.shape}", last, difference, 1e-9, word="by differences")

# %% [markdown]
# A slide speaks of "parameters theta and phi for the decoder" (UvA). But phi belongs to the encoder; the
# decoder has theta = (W1, b1, W2, b2). The mean nll depends on phi only through z, so for this term the
# backward pass of the encoder needs only dz from the decoder. (In a VAE the KL adds a second term.) For an
# encoder z = x @ V:
# %%
dV, V = x.T @ grads["z"], np.zeros((D, L))  # (D, L) each; z = z + x @ V has the same derivative for every V
V[-1, -1] = 1e-5
up, down = (forward(**{**params, "z": params["z"] + sign * x @ V})[0] for sign in (1, -1))
beside("last entry of dV (5, 2)", dV[-1, -1], (up - down) / 2e-5, 1e-9, word="by differences")

# %% [markdown]
# **Forward mode** applies the chain rule in the other direction. It lets one entry change at the rate 1 and
# computes the rate of change of everything that depends on this entry. So one pass gives the derivatives of
# all values w.r.t. one entry. One pass of reverse mode gives the derivatives of one output w.r.t. all
# entries, and a loss is one output.
# %%
guess("How many passes does forward mode need for all these derivatives, and how many does reverse mode?")


def tangent(moved):
    """The rate of change of the loss if the arrays change at the rates in `moved`."""
    rate = {name: np.zeros(array.shape) for name, array in params.items()} | moved
    _, _, logits, h = caches
    a = params["z"] @ params["W1"] + params["b1"]  # (B, H)
    rate_a = rate["z"] @ params["W1"] + params["z"] @ rate["W1"] + rate["b1"]  # (B, H)
    rate_logits = rate_a / np.cosh(a) ** 2 @ params["W2"] + h @ rate["W2"] + rate["b2"]  # (B, D)
    p = 0.5 * (1 + np.tanh(logits / 2))  # sigmoid(logits)
    return ((p - x) * rate_logits).sum(axis=1).mean()


passes, slow = 0, {name: np.zeros(array.shape) for name, array in params.items()}
for name, array in params.items():
    for index in np.ndindex(array.shape):
        moved = np.zeros(array.shape)
        moved[index] = 1
        slow[name][index] = tangent({name: moved})
        passes += 1
difference = worst(grads.values(), slow.values())
beside("reverse minus forward mode", difference, 0, 1e-14, word="expected")
beside("passes of forward mode", passes, B * L + L * H + H + H * D + D, 0, word="entries")
say("Reverse mode needs one pass for any number of entries. It is also known as backpropagation.")

steps = (  # an array, the operation that takes it, its other inputs, and their derivatives
    (f"z\n{B, L}", "dense\ntanh", f"W1 {L, H}\nb1 {(H,)}", f"dW1 {L, H}\ndb1 {(H,)}"),
    (f"h\n{B, H}", "dense", f"W2 {H, D}\nb2 {(D,)}", f"dW2 {H, D}\ndb2 {(D,)}"),
    (f"logits\n{B, D}", "Bernoulli\nnll", f"x {B, D}", ""),
    (f"nll\n{(B,)}", "mean", "", ""),
    ("loss\n()", "", "", ""),
)
title = "Data flows right, derivatives flow left, each in the shape of its array"
save(drawings.shapes(steps, title), "shapes", dpi=200)

# %% [markdown]
# ## 6. Multiply by the Jacobian without storing it
#
# The derivatives of all entries of a w.r.t. all entries of W form the Jacobian J, with B n_out rows and
# n_in n_out columns:
#
#     J_ij,kl = derivative of a_ij w.r.t. W_kl = x_ik where j = l, else 0
#
# The chain rule needs a row vector times this matrix, dW_kl = sum_ij da_ij J_ij,kl. This is called a
# vector-Jacobian product. Without the zeros it is sum_i da_il x_ik, which is x.T @ da. Every backward
# function of this library computes the vector-Jacobian product of its forward function.
# %%
section("6. Multiply by the Jacobian without storing it")
guess("784 inputs, 400 outputs, 128 examples, float64: how many bytes do dW and the full Jacobian take?")

x, da = rng.standard_normal((B, n_in)), rng.standard_normal((B, n_out))
jacobian = np.zeros((B, n_out, n_in, n_out))
for i, j, k in np.ndindex(B, n_out, n_in):
    jacobian[i, j, k, j] = x[i, k]
product = da.ravel() @ jacobian.reshape(B * n_out, n_in * n_out)  # (n_in * n_out,)
_, dW, _ = ops.dense_backward(da, ops.dense_forward(x, W, b)[1])
difference = worst([product], [dW.ravel()])
beside("vector @ Jacobian minus dW", difference, 0, 1e-14, word="expected")
beside("share of the Jacobian that is 0", (jacobian == 0).mean(), 1 - 1 / n_out, 1e-15)
number("Jacobian of the large layer", 8 * (128 * 400) * (784 * 400) / 1e9, "GB")
number("dW of the large layer", 8 * 784 * 400 / 1e9, "GB")
say("The Jacobian takes 128 GB; 399 of 400 entries are 0. dW takes 2.5 MB. x.T @ da skips all these zeros.")

# %% [markdown]
# ## Try on your own
#
# - Use "softplus" in the hidden layer. `backward` needs no change, because the cache holds the activation.
#   What must change in `tangent`?
# - Average the loss over the pixels, too. Which derivatives change, and by which factor? Can a check of
#   shapes find the difference?
# - Share a matrix: W2 = W1.T, with D = L. Now the loss depends on W1 twice. How do you get its derivative
#   from dW1 and dW2?
#
# **Exercises** `python -m lessons start 5` (activations), `python -m lessons start 6` (the dense layer),
# `python -m lessons start 7` (the Bernoulli loss in logits).
#
# ## Further reading
#
# - Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986.
# - Griewank and Walther, "Evaluating derivatives", second edition, 2008: forward and reverse mode, and their
#   cost.
# - Baydin, Pearlmutter, Radul, Siskind, "Automatic differentiation in machine learning: a survey", 2018.
# - Goldberg, "What every computer scientist should know about floating-point arithmetic", 1991.
# - Maechler, "Accurately computing log(1 - exp(-|a|))", 2012: log1p and expm1.
