// Drawing on canvases: pictures, bars, curves, and the map.
"use strict";

// ten colours for colour-blind readers, after Paul Tol's schemes; labels are written out as well
const PALETTES = {
  light: "332288 117733 2f8f80 3d8fc0 8a7a1e cc6677 aa4499 882255 666666 000000",
  dark: "77aadd 99ddff 44bb99 bbcc33 aaaa00 eedd88 ee8866 ffaabb dddddd ffffff",
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// values in [0, 1] as a picture of shape (h, w) or (h, w, 3): 0 is paper, 1 is ink; colours as they are
function picture(canvas, values, [h, w, channels = 1], ink = "--ink") {
  Object.assign(canvas, { width: w, height: h });
  canvas.classList.add("picture");
  const g = canvas.getContext("2d");
  const pixels = g.createImageData(w, h);
  const from = channels === 3 ? [0, 0, 0] : rgb(css("--paper"));
  const to = channels === 3 ? [255, 255, 255] : rgb(css(ink));
  for (let i = 0; i < h * w; i++) {
    for (let k = 0; k < 3; k++) {
      const v = Math.min(1, Math.max(0, values[channels === 3 ? 3 * i + k : i]));
      pixels.data[4 * i + k] = from[k] + v * (to[k] - from[k]);
    }
    pixels.data[4 * i + 3] = 255;
  }
  g.putImageData(pixels, 0, 0);
  return canvas;
}

// an empty drawing surface in CSS pixels, as sharp as the screen
function surface(canvas) {
  const { clientWidth: w, clientHeight: h } = canvas;
  const dpr = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: Math.round(w * dpr), height: Math.round(h * dpr) });
  const g = canvas.getContext("2d");
  g.scale(dpr, dpr);
  g.font = "12px system-ui, sans-serif";
  Object.assign(g, {
    textAlign: "center",
    textBaseline: "middle",
    fillStyle: css("--soft"),
    strokeStyle: css("--line"),
  });
  return { g, w, h };
}

// where the pen of the arrow keys is
function paintPen(canvas, [row, column]) {
  const g = canvas.getContext("2d");
  g.fillStyle = css("--z");
  g.fillRect(
    Math.min(canvas.width - 1, Math.floor(column)),
    Math.min(canvas.height - 1, Math.floor(row)),
    1,
    1,
  );
}

// a bar for each latent, a tick at its middle, a dot at z -> the latent and the value under a pointer
function paintBars(canvas, { low, high, middle, dots, chosen }) {
  const { g, w, h } = surface(canvas);
  const n = low.length;
  const left = 34;
  const slot = (w - left) / n;
  const all = [0, ...low, ...high, ...(dots || [])];
  const least = Math.min(...all);
  const span = Math.max(...all) - least || 1;
  const y = (v) => h - 8 - ((v - least) / span) * (h - 16);
  for (const v of new Set([least, 0, least + span])) g.fillText(v.toFixed(1), left / 2, y(v));
  stroked(g, () => g.rect(left, y(0), w - left, 0));
  for (let l = 0; l < n; l++) {
    const x = left + (l + 0.5) * slot;
    const wide = Math.max(1, Math.min(slot * 0.6, 40));
    if (l === chosen) block(g, left + l * slot, 0, slot, h, css("--page"));
    block(g, x - wide / 2, y(high[l]), wide, Math.max(1, y(low[l]) - y(high[l])), css("--q"));
    if (middle) block(g, x - wide / 2, y(middle[l]) - 0.5, wide, 1, css("--paper"));
    if (dots) disc(g, x, y(dots[l]), Math.max(2, Math.min(5, slot / 3)), css("--z"));
  }
  return (px, py) => [
    Math.min(n - 1, Math.max(0, Math.floor((px - left) / slot))),
    least + ((h - 8 - py) / (h - 16)) * span,
  ];
}

function disc(g, x, y, r, colour) {
  g.fillStyle = colour;
  g.beginPath();
  g.arc(x, y, r, 0, 7);
  g.fill();
}

function block(g, x, y, w, h, colour) {
  g.fillStyle = colour;
  g.fillRect(x, y, w, h);
}

function stroked(g, draw) {
  g.beginPath();
  draw();
  g.stroke();
}

// the density of the noise, and where each eps was drawn from it
function paintNoise(canvas, { span: [low, high], density }, eps, chosen) {
  const { g, w, h } = surface(canvas);
  const x = (e) => 10 + ((e - low) / (high - low)) * (w - 20);
  const most = density(low < 0 ? 0 : 0.5);
  const grid = Array.from({ length: 201 }, (_, i) => low + (i / 200) * (high - low));
  stroked(g, () => grid.forEach((e) => g.lineTo(x(e), h - 22 - (density(e) / most) * (h - 34))));
  for (const e of [low, 0, high]) g.fillText(e, x(e), h - 8);
  eps.forEach((e, l) => l !== chosen && disc(g, x(e), h - 22, 3, css("--soft")));
  disc(g, x(eps[chosen]), h - 22, 6, css("--z"));
}

// the part of the plane that a canvas shows, with one scale for both axes, and the way between it and pixels
function placeOf({ x0, x1, y0, y1 }, w, h) {
  const unit = Math.min(w / (x1 - x0), h / (y1 - y0));
  const mx = (x0 + x1) / 2;
  const my = (y0 + y1) / 2;
  return {
    unit,
    pixel: ([a, b]) => [w / 2 + (a - mx) * unit, h / 2 - (b - my) * unit],
    plane: (px, py) => [mx + (px - w / 2) / unit, my - (py - h / 2) / unit],
  };
}

// the ellipse of a normal distribution in the plane, at `size` standard deviations
function ellipse(g, { pixel, unit }, mean, [[a, b], [, c]], size) {
  const half = (a + c) / 2;
  const root = Math.hypot((a - c) / 2, b);
  const radii = [half + root, half - root].map((v) => size * Math.sqrt(Math.max(0, v)) * unit);
  stroked(g, () => g.ellipse(...pixel(mean), ...radii, -0.5 * Math.atan2(2 * b, a - c), 0, 7));
}

// codes as labels or dots; the prior; the line from A to B; q(z|x) and z
function paintMap(canvas, { range, background, prior, points, marks, hover, line, at, q, z }) {
  const { g, w, h } = surface(canvas);
  const place = placeOf(range, w, h);
  const paper = css("--paper");
  if (w < 400) g.font = "10px system-ui, sans-serif";
  if (background) background(g, place, w, h);
  const colours = PALETTES[dark.matches ? "dark" : "light"].split(" ").map((hex) => `#${hex}`);
  Object.assign(g, { lineWidth: 3, lineJoin: "round", strokeStyle: paper });
  points.forEach((point, i) => {
    const [x, y] = place.pixel(point);
    const { text, kind } = marks[i];
    const colour = colours[kind % colours.length];
    if (!text) return disc(g, x, y, 3, colour);
    if (background) g.strokeText(text, x, y);
    g.fillStyle = colour;
    g.fillText(text, x, y);
  });
  Object.assign(g, { lineWidth: 1.5, strokeStyle: css("--soft") });
  g.setLineDash([5, 4]);
  for (const size of prior.length > 1 ? [1] : [1, 2])
    prior.forEach((part) => ellipse(g, place, ...part, size));
  g.setLineDash([]);
  if (line) {
    const ends = line.map(place.pixel);
    const [x, y] = place.pixel(at);
    g.strokeStyle = css("--ink");
    stroked(g, () => ends.forEach((end) => g.lineTo(...end)));
    block(g, x - 4, y - 4, 8, 8, css("--ink"));
    ends.forEach((end, i) => g.fillText("AB"[i], end[0], end[1] - 10));
  }
  if (hover !== null) {
    g.strokeStyle = css("--ink");
    stroked(g, () => g.arc(...place.pixel(points[hover]), 9, 0, 7));
  }
  Object.assign(g, { lineWidth: 2.5, strokeStyle: css("--q") });
  for (const size of [1, 2]) ellipse(g, place, ...q, size);
  disc(g, ...place.pixel(z), 7, paper);
  disc(g, ...place.pixel(z), 5, css("--z"));
  return place;
}

// a sheet of decoded pictures behind the map
function paintSheet(g, place, w, h, shape, decode) {
  const cell = Math.max(w, h) / 16;
  const one = document.createElement("canvas");
  g.globalAlpha = 0.6;
  for (let x = 0; x < w; x += cell) {
    for (let y = 0; y < h; y += cell) {
      picture(one, decode(place.plane(x + cell / 2, y + cell / 2)), shape);
      g.drawImage(one, x, y, cell, cell);
    }
  }
  g.globalAlpha = 1;
}
