// What the panels show. Every gesture changes `state` and calls `paint`, which repeats the walk of every run.
"use strict";

const number = (v) => (Math.abs(v) < 1e6 ? v.toFixed(2) : v.toExponential(2)).replace("-", "\u2212");
const times = (weight) => (weight === 1 ? "" : `${weight} * `);
const named = (i) => `test image ${i + 1}` + (data.labels ? `, label ${data.labels[i]}` : "");
const show = (canvas, view, x) => picture(canvas, view.model.grey(x), data.shape);

let waiting = false;
function paint() {
  if (!waiting) requestAnimationFrame(paintAll);
  waiting = true;
}

function paintAll() {
  waiting = false;
  picture(byId("draw"), state.grey, data.shape);
  if (document.activeElement === byId("draw")) paintPen(byId("draw"), state.pen);
  byId("image").value = state.image === null ? "" : state.image + 1;
  byId("about").textContent = state.image === null ? "your drawing" : named(state.image);
  if (state.label !== null) byId("label").value = state.label;
  for (const view of views) {
    walk(view);
    for (const panel of [paintEncode, paintPlane, paintSample, paintLoss, paintLine]) panel(view);
  }
}

// whether a panel with many pictures must be painted again: has a value that it depends on changed?
function isNew(view, panel, ...values) {
  const old = view.shown[panel];
  view.shown[panel] = [...values, dark.matches];
  return !old || view.shown[panel].some((value, i) => value !== old[i]);
}

function paintEncode(view) {
  const { model, heads, z } = view;
  const part = view.parts.encode;
  const middle = model.posterior.mean(...heads);
  show(part(".seen"), view, view.seen);
  show(part(".mean"), view, model.likelihood.mean(view.outputs));
  const std = model.posterior.std(...heads);
  const real = isReal(view);
  const bars =
    real && model.prior
      ? { low: map(middle, (m, l) => m - std[l]), high: map(middle, (m, l) => m + std[l]), middle }
      : { low: map(middle, (m) => Math.min(0, m)), high: map(middle, (m) => Math.max(0, m)) };
  view.barAt = paintBars(part(".bars"), { ...bars, dots: z, chosen: view.chosen });
  const l = view.chosen;
  const values = model.heads.map(([name], i) => `${name} = ${number(heads[i][l])}`).join(", ");
  const bar = !model.prior ? "the code" : real ? "mean and standard deviation" : "probability";
  part(".heads").textContent =
    `Bars: ${bar} of each latent; dots: z. Latent ${l + 1} of ${view.L}: ${values}, z = ${number(z[l])}. ` +
    (real ? "Drag a dot to change z." : "Press a bar to change z.");
}

function paintPlane(view) {
  const { model, heads, z } = view;
  const part = view.parts.map;
  const std = model.posterior.std(...heads);
  const { axes, prior } = planeOf(view);
  const covariance = axes.map((u) => axes.map((v) => sum(map(std, (s, l) => s * s * u[l] * v[l]))));
  const points = view.codes.map((code) => project(view, code));
  const marks = points.map((_, i) => ({ text: markOf(labelOf(i)), kind: kinds.indexOf(labelOf(i)) }));
  const ends = state.ends.length === 2 && state.ends.map((end) => codeOf(view, end));
  const line = ends && ends.map((code) => project(view, code));
  const middle = project(view, model.posterior.mean(...heads));
  const place = project(view, z);
  view.plane = paintMap(part(".map"), {
    range: rangeOf(points, prior),
    background: state.manifold && sheetOf(view),
    prior,
    points,
    marks,
    hover: state.hover,
    line,
    at: line && line[0].map((v, i) => v + state.t * (line[1][i] - v)),
    q: [middle, covariance],
    z: place,
  });
  const near = state.hover ?? nearest(points, place);
  show(part(".mean"), view, model.likelihood.mean(view.outputs));
  part(".where").textContent = `decoded from z = (${place.map(number).join(", ")})`;
  picture(part(".near"), greyOf(near), data.shape);
  part(".nearest").textContent = `${state.hover === null ? "nearest" : "under the pointer"}: ${named(near)}`;
}

// what stands for a label on the map: itself if it is short, otherwise a letter; null is a dot
const markOf = (label) => (label?.length > 2 ? String.fromCodePoint(65 + kinds.indexOf(label)) : label);

// the codes and two standard deviations of the prior, with a margin
function rangeOf(points, prior) {
  const all = [...points];
  for (const [m, C] of prior) {
    for (const size of [-2.1, 2.1]) all.push(m.map((v, i) => v + size * Math.sqrt(C[i][i])));
  }
  const [x, y] = [0, 1].map((i) => all.map((p) => p[i]));
  const [x0, x1, y0, y1] = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
  const margin = 0.04 * Math.max(x1 - x0, y1 - y0, 1e-3);
  return { x0: x0 - margin, x1: x1 + margin, y0: y0 - margin, y1: y1 + margin };
}

function nearest(points, to) {
  const far = points.map((p) => p.reduce((total, v, i) => total + (v - to[i]) ** 2, 0));
  return far.indexOf(Math.min(...far));
}

// the decoder's pictures over the plane, painted once for each place, label and z outside the plane
function sheetOf(view) {
  return (g, place, w, h) => {
    const rest = moveTo(view, view.z, [0, 0]);
    if (isNew(view, "sheet", state.plane, state.label, w, h, map(rest, (v) => Math.round(1000 * v)).join())) {
      view.sheet = Object.assign(document.createElement("canvas"), { width: w, height: h });
      paintSheet(view.sheet.getContext("2d"), place, w, h, data.shape, (p) =>
        view.model.grey(view.model.mean(moveTo(view, rest, p), view.c)),
      );
    }
    g.drawImage(view.sheet, 0, 0, w, h);
  };
}

// how z follows from the noise, with its numbers
const SPELLED = {
  gaussian: ([mu, logvar], eps, z) =>
    `mu + std * eps = ${number(mu)} + ${number(Math.exp(logvar / 2))} * ${number(eps)} = ${number(z)}`,
  laplace: ([mu, logb], eps, z) =>
    `mu \u2212 b sign(eps) log(1 \u2212 2|eps|) = ${number(z)} with mu = ${number(mu)}, ` +
    `b = ${number(Math.exp(logb))}, eps = ${number(eps)}`,
  bernoulli: ([a], eps, z) =>
    `${z}: eps = ${number(eps)} is ${z ? "" : "not "}below p = ${number(ACTIVATIONS.sigmoid(a))}`,
  categorical: ([a], eps, z) =>
    `${z}: a + eps = ${number(a)} + ${number(eps)} is ${z ? "" : "not "}the largest of its variable`,
};

function paintSample(view) {
  const { model, heads, eps, z, chosen } = view;
  const part = view.parts.sample;
  part(".noise").hidden = !model.prior;
  part(".from").hidden = !model.prior;
  if (!model.prior) {
    part(".drawn").textContent = "An autoencoder draws nothing: z is the code of x, and there is no prior.";
    return;
  }
  paintNoise(part(".noise"), model.posterior, eps, chosen);
  const ones = model.order.filter((l) => z[l] === 1); // the categories that were drawn
  const order = model.posterior_name === "categorical" ? ones : model.order;
  const shown = [...new Set([chosen, ...order])].slice(0, 5).sort((a, b) => a - b);
  const at = (l) => [heads.map((head) => head[l]), eps[l], z[l]];
  const spell = (l) =>
    view.moved ? `${number(z[l])}, moved by hand` : SPELLED[model.posterior_name](...at(l));
  part(".spelled").replaceChildren(...shown.map((l) => element("li", `z${l + 1} = ${spell(l)}`)));
  part(".drawn").textContent =
    "Curve: the density of eps; dots: the eps of every latent, the large one of the chosen latent.";
  view.draws = view.draws || Array.from({ length: 8 }, () => model.prior.sample(view.L));
  if (!isNew(view, "prior", view.draws, state.label)) return;
  const means = view.draws.map((draw) => model.mean(draw, view.c));
  part(".prior").replaceChildren(...means.map((mean) => show(element("canvas"), view, mean)));
}

function paintLoss(view) {
  const { model, nll, kl } = view;
  const part = view.parts.loss;
  const total = sum(nll);
  const price = sum(kl);
  const [weight, name] = model.prior ? [model.beta, "kl"] : [model.penalty_weight, "penalty"];
  const both = `nll + ${times(weight)}${name} = ${number(total)} + ${times(weight)}${number(price)} = `;
  const result = element("b", `${number(total + weight * price)} nats`);
  part(".total").replaceChildren(kl.length ? both : "nll = ", result);
  part(".kl").hidden = kl.length < 2;
  const chosen = Math.floor((view.chosen * kl.length) / view.L); // of the variables, if z is one-hot
  const bars = { low: map(kl, (v) => Math.min(0, v)), high: map(kl, (v) => Math.max(0, v)), chosen };
  if (kl.length > 1) paintBars(part(".kl"), bars);
  const each = array(height * width, (i) => sum(nll.slice(i * channels, (i + 1) * channels)));
  const least = Math.min(...each);
  const most = Math.max(...each);
  const shares = map(each, (v) => (v - least) / (most - least || 1));
  picture(part(".cost"), shares, [height, width], "--cost");
  const costly = [...each].sort((p, q) => q - p).slice(0, 20);
  part(".costly").textContent =
    `the ${costly.length} most expensive pixels: ${number(sum(costly))} of ${number(total)} nats`;
  part(".mean-loss").textContent =
    (kl.length > 1 ? `Bars: the ${name} of each latent. ` : "") +
    `Mean of the ${count} images here: ${view.means ? `${termsOf(view.means)}; ` : ""}` +
    `by NumPy, with other draws, ${termsOf(model.here)}. ` +
    `By evaluate, of all ${model.all.images}: ${termsOf(model.all)}.` +
    (model.likelihood_name === "gaussian-optimal" ? " Here the variance is that of one image." : "");
}

const termsOf = ({ nll, kl }) =>
  `nll ${number(nll)}` + (kl === undefined ? "" : ` + kl ${number(kl)} = ${number(nll + kl)}`);

// the mean loss of the images in the page, a few at a time, to compare with `evaluate`
function measure(view, i = 0, nll = 0, kl = 0) {
  const { model } = view;
  const end = Math.min(count, i + 25);
  for (; i < end; i++) {
    const { x, seen } = model.input(greyOf(i), noiseOf(i));
    const eps = model.posterior.noise(view.L, generator(-1 - i));
    const found = model.forward(model.prior ? x : seen, eps, model.condition(labelOf(i)), x);
    nll += sum(found.nll);
    kl += sum(found.kl);
  }
  if (i < count) return setTimeout(measure, 0, view, i, nll, kl);
  view.means = model.prior ? { nll: nll / count, kl: kl / count } : { nll: nll / count };
  paint();
}

function paintLine(view) {
  if (!isNew(view, "line", state.ends, state.t)) return;
  const { model, codes } = view;
  const part = view.parts.interpolate;
  const [a, b] = state.ends.map((end) => codeOf(view, end));
  const c = model.condition(state.ends[0].label); // a line keeps its first label
  const pointOf = (t) => map(a, (v, l) => (1 - t) * v + t * b[l]);
  const decoded = (t) => show(element("canvas"), view, model.mean(pointOf(t), c));
  const steps = Array.from({ length: 11 }, (_, i) => decoded(i / 10));
  steps[Math.round(10 * state.t)].classList.add("here");
  const [first, last] = state.ends.map(({ grey }) => picture(element("canvas"), grey, data.shape));
  part(".strip").replaceChildren(element("span", "A"), first, ...steps, last, element("span", "B"));
  show(part(".now"), view, model.mean(pointOf(state.t), c));
  view.gap = view.gap ?? middleOf(codes.slice(0, 100).map((code) => gapOf(codes, code)));
  part(".way").textContent =
    `z at t = ${number(state.t)}, decoded. The nearest code of a test image is ` +
    `${number(gapOf(codes, pointOf(state.t)))} away; from code to code it is typically ${number(view.gap)}.`;
}

const middleOf = (values) => values.sort((p, q) => p - q)[values.length >> 1];

// the distance from z to the nearest code other than itself
function gapOf(codes, z) {
  const others = codes.filter((code) => code !== z);
  if (!others.length) return 0;
  return Math.sqrt(Math.min(...others.map((code) => sum(map(code, (v, l) => (v - z[l]) ** 2)))));
}
