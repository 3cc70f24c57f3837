// The forward half of minivae/ops.py and minivae/distributions, by the same names, without the batch axis.
// Where the Python sums over pixels or latents, these return the terms, which the page shows one by one.
"use strict";

const LOG_2PI = Math.log(2 * Math.PI);
const sum = (values) => values.reduce((a, b) => a + b, 0);
const array = (n, f) => {
  const y = new Float64Array(n);
  for (let i = 0; i < n; i++) y[i] = f(i);
  return y;
};
const map = (a, f) => array(a.length, (i) => f(a[i], i));

// ---------------------------------------------------------------------------- layers

const ACTIVATIONS = {
  identity: (a) => a,
  relu: (a) => Math.max(a, 0),
  tanh: Math.tanh,
  softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  sigmoid: (a) => {
    const t = Math.exp(-Math.abs(a));
    return (a >= 0 ? 1 : t) / (1 + t);
  },
};

function activation_forward(a, activation) {
  return map(a, ACTIVATIONS[activation]);
}

// y = act(x @ W + b): x (n_in), W (n_in * n_out, row by row), b (n_out) -> y (n_out)
function dense_forward(x, W, b, activation = "identity") {
  const n = b.length;
  const a = Float64Array.from(b);
  for (let i = 0; i < x.length; i++) {
    if (x[i] === 0) continue; // most pixels of a digit
    for (let j = 0; j < n; j++) a[j] += x[i] * W[i * n + j];
  }
  return activation_forward(a, activation);
}

// ---------------------------------------------------------------------------- Gaussian and Laplace q(z|x)

const gaussian_std = (logvar) => map(logvar, (v) => Math.exp(0.5 * v));

// z = mu + std * eps
function gaussian_sample(mu, logvar, eps) {
  const std = gaussian_std(logvar);
  return map(mu, (m, l) => m + std[l] * eps[l]);
}

// KL( N(mu, exp(logvar)) || N(0, 1) ) of every latent
function gaussian_kl(mu, logvar) {
  return map(mu, (m, l) => 0.5 * (m * m + Math.expm1(logvar[l]) - logvar[l]));
}

function gaussian_log_prob(z, mu, logvar) {
  return map(z, (v, l) => -0.5 * (LOG_2PI + logvar[l] + (v - mu[l]) ** 2 * Math.exp(-logvar[l])));
}

// KL( N(mu, exp(logvar)) || Laplace(0, 1) ) of every latent
function gaussian_laplace_kl(mu, logvar) {
  const std = gaussian_std(logvar);
  return map(mu, (m, l) => {
    const r = m / std[l];
    const size = std[l] * Math.sqrt(2 / Math.PI) * Math.exp((-r * r) / 2) + m * erf(r / Math.SQRT2);
    return size + Math.LN2 - 0.5 * (LOG_2PI + 1 + logvar[l]);
  });
}

// Abramowitz and Stegun 7.1.26: the error is below 1.5e-7
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly =
    ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - poly * Math.exp(-x * x));
}

function laplace_sample(mu, logb, eps) {
  return map(mu, (m, l) => m - Math.exp(logb[l]) * Math.sign(eps[l]) * Math.log1p(-2 * Math.abs(eps[l])));
}

// KL( Laplace(mu, exp(logb)) || Laplace(0, 1) ) of every latent
function laplace_kl(mu, logb) {
  return map(mu, (m, l) => {
    const size = Math.abs(m);
    const b = Math.exp(logb[l]);
    return size + b * Math.exp(-size / b) - logb[l] - 1;
  });
}

function laplace_log_prob(z, mu, logb) {
  return map(z, (v, l) => -(Math.abs(v - mu[l]) * Math.exp(-logb[l]) + logb[l] + Math.LN2));
}

// ---------------------------------------------------------------------------- discrete q(z|x)

const bernoulli_sample = (a, eps) => map(activation_forward(a, "sigmoid"), (p, l) => (eps[l] < p ? 1 : 0));

// KL( Bernoulli(sigmoid(a)) || Bernoulli(1/2) ) of every latent
function bernoulli_kl(a) {
  const p = activation_forward(a, "sigmoid");
  const softplus = activation_forward(a, "softplus");
  return map(a, (v, l) => p[l] * v - softplus[l] + Math.LN2);
}

const bernoulli_log_prob = (z, a) => map(activation_forward(a, "softplus"), (s, l) => z[l] * a[l] - s);

// log p of the K categories of each variable, in the places of a
function categorical_log_p(a, K) {
  const log_p = new Float64Array(a.length);
  for (let first = 0; first < a.length; first += K) {
    const part = a.slice(first, first + K);
    const most = Math.max(...part);
    const log_sum = most + Math.log(sum(map(part, (v) => Math.exp(v - most))));
    for (let k = 0; k < K; k++) log_p[first + k] = part[k] - log_sum;
  }
  return log_p;
}

// one-hot at the largest a + eps of each variable
function categorical_sample(a, eps, K) {
  const score = map(a, (v, j) => v + eps[j]);
  return map(score, (v, j) => {
    const first = j - (j % K);
    const part = score.slice(first, first + K);
    return part.indexOf(Math.max(...part)) === j - first ? 1 : 0;
  });
}

// of every variable, to the uniform distribution
function categorical_kl(a, K) {
  const log_p = categorical_log_p(a, K);
  return array(a.length / K, (v) => {
    return Math.log(K) + sum(map(log_p.slice(v * K, (v + 1) * K), (log) => Math.exp(log) * log));
  });
}

// ---------------------------------------------------------------------------- likelihoods

function bernoulli_nll(logits, x) {
  return map(logits, (l, d) => Math.max(l, 0) - x[d] * l + Math.log1p(Math.exp(-Math.abs(l))));
}

// logvar has one entry, or one for each pixel
function gaussian_nll(mean, logvar, x) {
  return map(mean, (m, d) => {
    const v = logvar[logvar.length > 1 ? d : 0];
    return 0.5 * (LOG_2PI + v + (x[d] - m) ** 2 * Math.exp(-v));
  });
}

const laplace_nll = (mean, x) => map(mean, (m, d) => Math.abs(x[d] - m) + Math.LN2);

// the mean squared error of this one image is its variance
function optimal_logvar(mean, x) {
  return [Math.log(Math.max(sum(map(mean, (m, d) => (x[d] - m) ** 2)) / mean.length, 1.2e-38))];
}

// ---------------------------------------------------------------------------- random numbers

const random = {
  uniform: (n, next = Math.random) => array(n, next),
  normal: (n, next = Math.random) => {
    return array(n, () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));
  },
  gumbel: (n, next = Math.random) => array(n, () => -Math.log(-Math.log(next() || 0.5))),
  centred: (n, next = Math.random) => array(n, () => (next() || 0.5) - 0.5), // inside (-1/2, 1/2)
};

// a function like Math.random that repeats itself (mulberry32): every image keeps its pixels and its noise
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

// corrupt x as minivae/inputs.py does, with the noise as an argument
function corrupt(x, kind, amount, noise) {
  if (kind === "none") return x;
  if (kind === "gaussian") {
    const inside = x.every((v) => v >= 0 && v <= 1);
    return map(x, (v, d) => {
      const y = v + amount * noise.normal[d];
      return inside ? Math.min(1, Math.max(0, y)) : y;
    });
  }
  const value = (d) => (kind === "mask" || noise.salt[d] >= 0.5 ? 0 : 1);
  return map(x, (v, d) => (noise.hit[d] < amount ? value(d) : v));
}
