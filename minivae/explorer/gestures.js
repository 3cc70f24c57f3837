// What a pointer or a key does. Two runs answer the same gesture: at the same image, or place of their maps.
"use strict";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onArrow(target, act) {
  target.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    act(...ARROWS[event.key]);
  });
}

// `down` where the pointer is pressed, `move` wherever it goes until it is lifted
function onDrag(target, down, move = down) {
  target.addEventListener("pointerdown", (event) => {
    target.setPointerCapture(event.pointerId);
    down(event.offsetX, event.offsetY);
  });
  target.addEventListener("pointermove", (event) => event.buttons && move(event.offsetX, event.offsetY));
}

// ---------------------------------------------------------------------------- the image

function choose(i) {
  const image = ((i % count) + count) % count;
  Object.assign(state, { image, grey: greyOf(image), noise: noiseOf(image) });
  state.label = labelOf(image) ?? state.label;
  newImage();
}

function newImage() {
  for (const view of views) view.moved = null;
  paint();
}

function again() {
  for (const view of views) view.eps = view.moved = null;
  paint();
}

// ink or erase around a point, in pixels
function dab([row, column]) {
  const r = 0.045 * Math.max(height, width);
  const erase = byId("erase").checked;
  state.grey = map(state.grey, (v, d) => {
    const i = Math.floor(d / channels);
    const y = Math.floor(i / width) + 0.5;
    const x = (i % width) + 0.5;
    const ink = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(y - row, x - column)));
    return erase ? Math.min(v, 1 - ink) : Math.max(v, ink);
  });
  state.image = null;
  state.pen = [row, column];
}

function stroke(to) {
  const [row, column] = state.pen;
  const steps = Math.ceil(2 * Math.hypot(to[0] - row, to[1] - column)) || 1;
  for (let i = 1; i <= steps; i++)
    dab([row + ((to[0] - row) * i) / steps, column + ((to[1] - column) * i) / steps]);
  newImage();
}

// shift the ink so that its centre of mass is in the middle, as in MNIST
function centre() {
  const ink = sum(state.grey) || 1;
  const place = (f) => sum(map(state.grey, (v, d) => v * f(Math.floor(d / channels)))) / ink;
  const up = Math.round(place((i) => Math.floor(i / width)) - (height - 1) / 2);
  const left = Math.round(place((i) => i % width) - (width - 1) / 2);
  state.grey = map(state.grey, (_, d) => {
    const i = Math.floor(d / channels);
    const y = Math.floor(i / width) + up;
    const x = (i % width) + left;
    return y < 0 || x < 0 || y >= height || x >= width
      ? 0
      : state.grey[(y * width + x) * channels + (d % channels)];
  });
  state.image = null;
  newImage();
}

// ---------------------------------------------------------------------------- z

// z of every run at the same place of its map; (x, y) is a fraction of the canvas
function dragTo(x, y) {
  for (const view of views) {
    const { clientWidth, clientHeight } = view.parts.map(".map");
    view.moved = moveTo(view, view.z, view.plane.plane(x * clientWidth, y * clientHeight));
  }
  paint();
}

// change latent l of every run that has it; a discrete one flips, or its variable takes this category
function setLatent(l, value) {
  for (const view of views.filter((v) => l < v.L)) {
    const { posterior_name: kind, categories: K } = view.model;
    view.moved = map(view.z, (v, j) => {
      if (kind === "categorical") return Math.floor(j / K) === Math.floor(l / K) ? +(j === l) : v;
      return j !== l ? v : kind === "bernoulli" ? 1 - v : value;
    });
    view.chosen = l;
  }
  paint();
}

function listenTo(view) {
  const plane = view.parts.map(".map");
  const bars = view.parts.encode(".bars");
  onDrag(plane, (x, y) => {
    state.hover = null;
    dragTo(x / plane.clientWidth, y / plane.clientHeight);
  });
  plane.addEventListener("pointermove", ({ buttons, offsetX, offsetY }) => {
    if (buttons) return;
    const points = view.codes.map((code) => view.plane.pixel(project(view, code)));
    const i = nearest(points, [offsetX, offsetY]);
    state.hover = Math.hypot(points[i][0] - offsetX, points[i][1] - offsetY) < 12 ? i : null;
    paint();
  });
  plane.addEventListener("pointerleave", () => {
    state.hover = null;
    paint();
  });
  plane.addEventListener("dblclick", ({ offsetX, offsetY }) => {
    const points = view.codes.map((code) => view.plane.pixel(project(view, code)));
    choose(nearest(points, [offsetX, offsetY]));
  });
  onArrow(plane, (dx, dy) => {
    const [x, y] = view.plane.pixel(project(view, view.z));
    const step = 0.02 * plane.clientWidth;
    dragTo((x + dx * step) / plane.clientWidth, (y - dy * step) / plane.clientHeight);
  });
  const set = (x, y) => setLatent(...view.barAt(x, y));
  onDrag(bars, set, (x, y) => isReal(view) && set(x, y)); // a discrete latent flips once
  onArrow(bars, (dx, dy) => {
    view.chosen = (view.chosen + dx + view.L) % view.L;
    if (dy) setLatent(view.chosen, view.z[view.chosen] + 0.1 * dy);
    paint();
  });
}

function listenToDrawing(draw) {
  const place = (x, y) => [(y / draw.clientHeight) * height, (x / draw.clientWidth) * width];
  const begin = (x, y) => {
    state.pen = place(x, y);
    stroke(state.pen);
  };
  onDrag(draw, begin, (x, y) => stroke(place(x, y)));
  onArrow(draw, (dx, dy) => {
    const [row, column] = state.pen;
    const to = [Math.min(height, Math.max(0, row - dy)), Math.min(width, Math.max(0, column + dx))];
    if (state.inking) stroke(to);
    else state.pen = to;
    paint();
  });
  draw.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    state.inking = !state.inking;
    if (state.inking) stroke(state.pen);
  });
}

// ---------------------------------------------------------------------------- start

const CLICKS = {
  previous: () => choose((state.image ?? 0) - 1),
  next: () => choose((state.image ?? -1) + 1),
  clear: () => {
    Object.assign(state, { grey: new Float64Array(D), image: null });
    newImage();
  },
  centre,
  again,
  prior: () => {
    for (const view of views) view.draws = null;
  },
  a: () => (state.ends = [{ ...state }, state.ends[1]]),
  b: () => (state.ends = [state.ends[0], { ...state }]),
};

const CHANGES = {
  image: ({ value }) => value && choose(value - 1),
  label: ({ value }) => {
    state.label = value;
    newImage();
  },
  plane: ({ value }) => (state.plane = value),
  manifold: ({ checked }) => (state.manifold = checked),
  t: ({ value }) => (state.t = +value),
};

const views = data.runs.map(viewOf);

function start() {
  for (const [events, acts] of [
    ["click", CLICKS],
    ["input", CHANGES],
  ]) {
    for (const [id, act] of Object.entries(acts)) {
      byId(id).addEventListener(events, () => {
        act(byId(id));
        paint();
      });
    }
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.target.closest("button, input, select, summary, a")) again();
  });
  addEventListener("resize", paint);
  dark.addEventListener("change", paint);
  listenToDrawing(byId("draw"));
  views.forEach(listenTo);

  const classes = views.map(({ model }) => model.classes).find((names) => names.length) || [];
  state.label = state.label ?? classes[0] ?? null;
  if (!views.every(isReal)) state.plane = byId("plane").value = "principal";
  state.ends = [
    0,
    Math.max(0, data.labels ? data.labels.findIndex((label) => label !== data.labels[0]) : count - 1),
  ];
  state.ends = state.ends.map(imageOf);
  byId("labels").hidden = !classes.length;
  byId("label").append(...classes.map((name) => element("option", name)));
  byId("planes").hidden = views.every((view) => view.L < 3);
  byId("image").max = count;
  document.querySelector("main").className = views.length > 1 ? "two" : "one";
  const letters = kinds.filter((label) => label.length > 2).map((label) => `${markOf(label)}: ${label}`);
  byId("legend").textContent = letters.join(", ");
  for (const [panel, lines] of Object.entries(data.lines)) {
    byId(panel).append(...Object.entries(lines).map(linesOf));
  }
  byId("walk").append(...views.map(({ model }) => walkOf(model)));
  paint();
  for (const view of views) setTimeout(measure, 100, view);
}

// a function of the library: its name, its formula, and on demand its text
function linesOf([name, [formula, source]]) {
  const details = element("details");
  const summary = element("summary");
  summary.append(
    element("code", name),
    Object.assign(element("span", ` ${formula}`), { className: "formula" }),
  );
  details.append(summary, element("pre", source));
  return details;
}

function walkOf(model) {
  const line = element("div");
  const [first, ...hidden] = model.sizes.slice(0, -1);
  const L = model.sizes.at(-1);
  const link = (text, panel) => Object.assign(element("a", text), { href: `#${panel}` });
  const widths = hidden.map((n) => `${n} ${model.encoder[0][1]} \u2192 `);
  const c = model.classes.length ? ", label" : "";
  const heads = model.heads.map(([name]) => name).join(", ");
  line.append(
    `${model.name} (epoch ${model.epoch}): x ${first}${c} \u2192 ${widths.join("")}`,
    link(`${heads} ${L}`, "encode"),
    " \u2192 ",
  );
  line.append(
    link(model.prior ? "z ~ q(z|x)" : "z", "sample"),
    `${c} \u2192 ${widths.reverse().join("")}${first} \u2192 `,
    link(model.prior ? `nll + ${times(model.beta)}kl` : "nll", "loss"),
  );
  return line;
}

start();
