// A trained model in the browser: the forward half of minivae/models, for one example.
"use strict";

// q(z|x): noise, sample, mean and std of every latent; log_prob, and kl by the name of the prior
const POSTERIORS = {
  gaussian: () => ({
    noise: random.normal,
    span: [-4, 4],
    density: (e) => Math.exp((-e * e) / 2) / Math.sqrt(2 * Math.PI),
    sample: gaussian_sample,
    mean: (mu) => mu,
    std: (mu, logvar) => gaussian_std(logvar),
    log_prob: gaussian_log_prob,
    kl: { standard: gaussian_kl, laplace: gaussian_laplace_kl },
  }),
  laplace: () => ({
    noise: random.centred,
    span: [-0.5, 0.5],
    density: () => 1,
    sample: laplace_sample,
    mean: (mu) => mu,
    std: (mu, logb) => map(logb, (v) => Math.SQRT2 * Math.exp(v)),
    log_prob: laplace_log_prob,
    kl: { laplace: laplace_kl },
  }),
  bernoulli: () => ({
    noise: random.uniform,
    span: [0, 1],
    density: () => 1,
    sample: bernoulli_sample,
    mean: (a) => activation_forward(a, "sigmoid"),
    std: spread,
    log_prob: bernoulli_log_prob,
    kl: { bernoulli: bernoulli_kl },
  }),
  categorical: (K) => ({
    noise: random.gumbel,
    span: [-3, 7],
    density: (e) => Math.exp(-e - Math.exp(-e)),
    sample: (a, eps) => categorical_sample(a, eps, K),
    mean: (a) => map(categorical_log_p(a, K), Math.exp),
    std: spread,
    log_prob: (z, a) => map(categorical_log_p(a, K), (log, j) => (z[j] ? log : 0)),
    kl: { categorical: (a) => categorical_kl(a, K) },
  }),
  code: () => ({
    noise: (n) => new Float64Array(n),
    sample: (code) => code,
    mean: (code) => code,
    std: (code) => map(code, () => 0),
  }),
};

// the std of a variable that is 0 or 1, from its mean; a categorical one is drawn like that as well
function spread(a) {
  return map(this.mean(a), (p) => Math.sqrt(p * (1 - p)));
}

// p(z): sample n entries; log_prob, a term for each latent, or a single one for the mixture
const PRIORS = {
  standard: () => ({ sample: random.normal, log_prob: (z) => map(z, (v) => -0.5 * (LOG_2PI + v * v)) }),
  laplace: () => ({
    sample: (n) => map(random.centred(n), (e) => -Math.sign(e) * Math.log1p(-2 * Math.abs(e))),
    log_prob: (z) => map(z, (v) => -Math.abs(v) - Math.LN2),
  }),
  mixture: (K, params) => {
    const [weight, mean, logvar] = ["weight", "mean", "logvar"].map((name) => params[`prior.${name}`]);
    const log_pi = categorical_log_p(weight, weight.length);
    const part = (a, k, L) => a.slice(k * L, (k + 1) * L);
    return {
      sample: (L) => {
        const k = categorical_sample(weight, random.gumbel(weight.length), weight.length).indexOf(1);
        return gaussian_sample(part(mean, k, L), part(logvar, k, L), random.normal(L));
      },
      log_prob: (z) => {
        const L = z.length;
        const joint = map(
          log_pi,
          (log, k) => log + sum(gaussian_log_prob(z, part(mean, k, L), part(logvar, k, L))),
        );
        const most = Math.max(...joint);
        return [most + Math.log(sum(map(joint, (v) => Math.exp(v - most))))];
      },
    };
  },
  bernoulli: () => ({
    sample: (n) => map(random.uniform(n), (u) => (u < 0.5 ? 1 : 0)),
    log_prob: (z) => map(z, () => -Math.LN2),
  }),
  categorical: (K) => ({
    sample: (n) => categorical_sample(new Float64Array(n), random.gumbel(n), K),
    log_prob: (z) => map(z, (v) => -v * Math.log(K)),
  }),
};

const gaussian = (logvar) => ({
  mean: (outputs) => outputs,
  nll: (mean, x, params) => gaussian_nll(mean, logvar(mean, x, params), x),
});
const learned = gaussian((mean, x, params) => params["output.logvar"]);
const LIKELIHOODS = {
  bernoulli: { mean: (logits) => activation_forward(logits, "sigmoid"), nll: bernoulli_nll },
  gaussian: gaussian(() => [0]),
  "gaussian-shared": learned,
  "gaussian-pixel": learned,
  "gaussian-optimal": gaussian(optimal_logvar),
  laplace: { mean: (outputs) => outputs, nll: laplace_nll },
};

class Model {
  // settings as minivae/explorer/__init__.py writes them; params: layer name -> flat array
  constructor(settings, params) {
    Object.assign(this, settings, {
      params,
      prior_name: settings.prior,
      posterior_name: settings.posterior,
      likelihood_name: settings.likelihood,
    });
    this.posterior = POSTERIORS[settings.posterior](settings.categories);
    this.prior = settings.prior && PRIORS[settings.prior](settings.categories, params);
    this.likelihood = LIKELIHOODS[settings.likelihood];
  }

  // the grey image of the page, in [0, 1] -> what the model is trained on, and what it sees of it
  input(grey, noise) {
    let x = map(grey, (v, d) => (this.gain ? v * this.gain[d] + this.offset[d] : v));
    if (this.likelihood === LIKELIHOODS.bernoulli) x = map(x, (v) => Math.min(1, Math.max(0, v)));
    if (this.pixels === "dynamic" || this.pixels === "static")
      x = map(x, (v, d) => (noise.pixel[d] < v ? 1 : 0));
    if (this.pixels === "threshold") x = map(x, (v) => (v > 0.5 ? 1 : 0));
    return { x, seen: corrupt(x, this.corruption, this.corruption_amount, noise) };
  }

  // back to the grey of the page
  grey(x) {
    return this.gain ? map(x, (v, d) => (v - this.offset[d]) / this.gain[d]) : x;
  }

  // the label as c (C), which is empty for a model without a condition
  condition(label) {
    return this.classes.map((name) => (name === label ? 1 : 0));
  }

  layers(stack, x) {
    for (const [name, activation] of stack) {
      x = dense_forward(x, this.params[`${name}.W`], this.params[`${name}.b`], activation);
    }
    return x;
  }

  // x (D), c (C) -> the heads of q(z|x), each (L): mu and logvar for the Gaussian; the code of an autoencoder
  encode(x, c) {
    const h = this.layers(this.encoder, [...x, ...c]);
    return this.heads.map((head) => this.layers([head], h));
  }

  // z (L), c (C) -> logits or means (D)
  decode(z, c) {
    return this.layers(this.decoder, [...z, ...c]);
  }

  mean(z, c) {
    return this.likelihood.mean(this.decode(z, c));
  }

  // E[z|x]
  code(x, c) {
    return this.posterior.mean(...this.encode(x, c));
  }

  // the KL to the prior, a term for each latent, or one if it does not separate; an autoencoder's penalty
  kl(z, heads) {
    if (!this.prior) return this.penalty === "l1" ? map(heads[0], Math.abs) : [];
    if (this.sampled_kl) {
      const log_q = this.posterior.log_prob(z, ...heads);
      const log_p = this.prior.log_prob(z);
      return log_p.length === 1 ? [sum(log_q) - log_p[0]] : map(log_q, (q, l) => q - log_p[l]);
    }
    return this.posterior.kl[this.prior_name](...heads);
  }

  // the part of the walk from z on
  price(z, heads, c, x) {
    const outputs = this.decode(z, c);
    return { z, outputs, nll: this.likelihood.nll(outputs, x, this.params), kl: this.kl(z, heads) };
  }

  // the whole walk, as VAE.forward
  forward(seen, eps, c, x = seen) {
    const heads = this.encode(seen, c);
    return { heads, ...this.price(this.posterior.sample(...heads, eps), heads, c, x) };
  }
}

// numbers as minivae/explorer/__init__.py packs them: bytes, float32, or int16 with a scale for each column
function unpack({ type, data, scale }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  if (type === "uint8") return bytes;
  if (type === "float32") return new Float32Array(bytes.buffer);
  const units = new Float32Array(unpack({ type: "float32", data: scale }));
  return Float32Array.from(new Int16Array(bytes.buffer), (n, i) => n * units[i % units.length]);
}
