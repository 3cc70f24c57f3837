"""Train an autoencoder to remove noise

Write the loss of a denoising autoencoder with a tanh code, and its derivatives with respect to both weights.
It encodes a corrupted x, and its target is the clean x:

    loss = 1/2 mean over the batch of |tanh(x~ W) V - x|^2,    x~ = corrupt(x)

corrupt is a function that draws new noise at every call, so call it once. There are no biases.

Where to look: lessons 4 and 12. Write the forward pass first, one array per line, and keep every array: the
backward pass uses x~ and the code again. Then write the derivatives in reverse order.

The formula: let a = x~ W, the code h = tanh(a) and the output y = h V. Then dy = (y - x) / B; dV = h' dy;
dh = dy V'; da = dh (1 - h^2); dW = x~' da. In the backward pass the clean x occurs only in dy.
"""

import numpy as np

from ..calls import Cost, Failed
from ..cases import normal
from . import Exercise, Part


class Corrupt(Cost):
    """corrupt(x), with new noise at every call; noises (calls, B, D)."""

    def __init__(self, noises):
        self.noises, self.shape, self.calls = noises, noises.shape[1:], 0

    def anew(self):
        """The same noises, again from the first."""
        return Corrupt(self.noises)

    f = property(anew)  # as the walk calls it

    def __call__(self, x):
        x = np.asarray(x)
        if x.shape != self.shape:
            raise Failed(f"corrupt is called with an array of shape {x.shape}: it takes x, {self.shape}")
        self.calls += 1
        return x + self.noises[(self.calls - 1) % len(self.noises)].astype(x.dtype)


def draw(rng, n):
    """corrupt, x (B, D), W (D, L), V (L, D)."""
    given = normal(x="BD", W="DL", V="LD")(rng, n)
    noises = rng.standard_normal((3, n.B, n.D))
    return {"corrupt": Corrupt(noises), "x": given["x"], "W": given["W"] / 2, "V": given["V"]}


def denoising_loss_and_grads(corrupt, x, W, V):
    """1/2 mean_b |tanh(corrupt(x) W) V - x|^2 -> loss (a number), dW like W, dV like V.

    corrupt: function, (B, D) -> (B, D), with new noise at every call; x (B, D), W (D, L), V (L, D).
    """
    noisy = corrupt(x)  # (B, D)
    code = np.tanh(noisy @ W)  # (B, L)
    off = code @ V - x  # (B, D)
    dW = noisy.T @ (off @ V.T * (1 - code**2)) / len(x)
    return 0.5 * (off**2).sum(axis=1).mean(), dW, code.T @ off / len(x)


DENOISE = Part(
    denoising_loss_and_grads,
    returns="loss dW dV",
    walk="""
        noisy = corrupt(x)  # (B, D): drawn once
        code = tanh(noisy @ W)  # (B, L)
        y = code @ V  # (B, D)
        off = y - x  # (B, D): the target is the clean x
        loss = 0.5 * (off**2).sum(axis=-1).mean()
        dy = off / len(x)  # (B, D)
        dV = code.T @ dy  # (L, D)
        dcode = dy @ V.T  # (B, L)
        da = dcode * (1 - code**2)  # (B, L)
        dW = noisy.T @ da  # (D, L)
    """,
    slips="""
    off = y - noisy  # the target here is the corrupted x: use the clean x
    off = y - corrupt(x)  # the target here has new noise: use the clean x
    noisy = x  # x is not corrupted: the encoder receives corrupt(x)
    dW = corrupt(x).T @ da
        # corrupt is called again in the backward pass: it draws new noise. Keep x~ from the forward pass
    again = corrupt(x); dV = tanh(again @ W).T @ dy
        # corrupt is called again for dV: it draws new noise. Keep the code from the forward pass
    code = tanh(corrupt(x) @ W)  # corrupt is called twice: the code and dW have different noise
    noisy = corrupt(corrupt(x))  # x is corrupted twice
    noisy = clip(corrupt(x), 0, 1)  # x~ is clipped to [0, 1]: its entries may be any numbers
    dW = x.T @ da  # dW uses the clean x: use x~, the encoder's input
    again = tanh(x @ W); dV = again.T @ dy  # dV uses the code of the clean x: use that of x~
    dy = y - noisy; dy = dy / len(x)  # the target in dy is the corrupted x: use the clean x
    loss = 0.5 * (off**2).mean()
        # the squared error is averaged over pixels too: sum over pixels, average over the batch
    loss = 0.5 * (off**2).mean(); dy = off / x.size
        # loss and gradient are averaged over pixels too: sum over pixels, average over the batch
    loss = 0.5 * (off**2).sum()  # the loss is summed over the batch: take the mean
    loss = 0.5 * (off**2).sum(); dy = off  # loss and gradient are summed over the batch: take the mean
    dy = off  # the gradient lacks the 1/B of the mean over the batch
    loss = (off**2).sum(axis=-1).mean(); dy = 2 * off / len(x)  # the 1/2 is missing, in the loss and in dy
    loss = (off**2).sum(axis=-1).mean()  # the 1/2 of the loss is missing
    dy = 2 * off / len(x)  # dy is twice what it should be: the 1/2 of the loss cancels the 2 of the square
    loss = 0.5 * sqrt((off**2).sum(axis=-1)).mean()  # the square root is wrong: use the squared error
    off = x - y  # y - x has the wrong sign: the loss is the same, but its gradient is not
    da = dcode  # the derivative of tanh is missing: 1 - h^2
    da = dcode * (1 - tanh(code)**2)  # tanh is applied twice: h is tanh(a) already, so the slope is 1 - h^2
    da = dcode * (1 - code)  # the derivative of tanh is 1 - h^2, not 1 - h
    da = dcode * code * (1 - code)  # h (1 - h) is the derivative of the sigmoid: that of tanh is 1 - h^2
    code = noisy @ W; da = dcode  # the tanh is missing
    code = 1 / (1 + exp(-(noisy @ W))); da = dcode * code * (1 - code)  # the code is a sigmoid: use tanh
    y = tanh(code @ V); dy = off / len(x) * (1 - y**2)  # the output has a tanh too: the output is linear
    """,
    cases={"the loss and its derivatives": draw},
)

EXERCISE = Exercise(__doc__, lesson=12, parts=(DENOISE,))
