// The state of the page, the same for one or two runs, and each run's answer to it: its model's walk.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const [height, width, channels = 1] = data.shape;
const D = height * width * channels;
const pixels = unpack(data.images);
const count = pixels.length / D;
const labelOf = (i) => (data.labels ? data.labels[i] : null);
const kinds = [...new Set(data.labels || [])].sort((a, b) => a - b || (a > b ? 1 : -1));

const byId = (id) => document.getElementById(id);
const element = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });

// the grey of image i, and its noise: the same image is always binarized and corrupted in the same way
const greyOf = (i) => array(D, (d) => pixels[i * D + d] / 255);
const noiseOf = (seed) => {
  const next = generator(seed);
  return {
    pixel: random.uniform(D, next),
    hit: random.uniform(D, next),
    salt: random.uniform(D, next),
    normal: random.normal(D, next),
  };
};

const imageOf = (i) => ({ grey: greyOf(i), noise: noiseOf(i), label: labelOf(i) });

const state = {
  ...imageOf(0),
  image: 0, // its number, or null for a drawing
  plane: "latents", // or "principal"
  manifold: false, // whether the decoder's pictures are behind the map
  hover: null, // the number of the image under the pointer
  ends: [], // A and B
  t: 0.5, // between them
  pen: [height / 2, width / 2], // row and column
  inking: false, // whether the arrow keys draw
};

// ---------------------------------------------------------------------------- a run beside its panels

function viewOf(settings) {
  const params = Object.fromEntries(
    Object.entries(settings.params).map(([name, packed]) => [name, unpack(packed)]),
  );
  const packed = settings.gain ? { gain: unpack(settings.gain), offset: unpack(settings.offset) } : {};
  const model = new Model({ ...settings, ...packed }, params);
  const L = model.sizes.at(-1);
  const parts = {};
  for (const runs of document.querySelectorAll(".runs")) {
    const part = element("div");
    if (data.runs.length > 1) part.append(element("h3", settings.name));
    part.append(runs.querySelector("template").content.cloneNode(true));
    runs.append(part);
    parts[runs.closest("section").id] = (name) => part.querySelector(name);
  }
  // eps: null to draw it anew; moved: z if it was moved by hand; chosen: a latent
  const view = { model, L, parts, shown: {}, eps: null, moved: null, chosen: model.order[0] };
  view.codes = Array.from({ length: count }, (_, i) => codeOf(view, imageOf(i)));
  return view;
}

function codeOf({ model }, { grey, noise, label }) {
  return model.code(model.input(grey, noise).seen, model.condition(label));
}

// the walk of the current image: everything that the panels of a run show
function walk(view) {
  const { model } = view;
  const c = model.condition(state.label);
  const { x, seen } = model.input(state.grey, state.noise);
  view.eps = view.eps || model.posterior.noise(view.L);
  const found = model.forward(seen, view.eps, c, x);
  Object.assign(view, found, { c, seen }, view.moved && model.price(view.moved, found.heads, c, x));
}

const isReal = ({ model }) => !["bernoulli", "categorical"].includes(model.posterior_name);
const planeOf = ({ model }) => model.planes[state.plane] || model.planes.latents;
const project = (view, z) => planeOf(view).axes.map((axis) => sum(map(z, (v, l) => v * axis[l])));

// z with another place in the plane; what lies outside the plane stays
function moveTo(view, z, [a, b]) {
  const { axes } = planeOf(view);
  const [a0, b0] = project(view, z);
  return map(z, (v, l) => v + (a - a0) * axes[0][l] + (b - b0) * axes[1][l]);
}
