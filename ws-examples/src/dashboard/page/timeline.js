// A chart of the last minutes: lines over time, with a readout of the values at a moment.

import { clock, marks } from "./units.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190;
const MARGIN = { top: 8, right: 10, bottom: 22, left: 54 };
// The shortest time that a chart shows; the next ones are shown when there is more.
const SPANS = [60_000, 120_000, 180_000, 240_000, 300_000];

export function element(name, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

// Title, readout and plot of a card.
export function fillCard(card, title, unit) {
  card.innerHTML = '<header><h2></h2><p class="readout"></p></header><div class="plot"></div>';
  card.querySelector("h2").append(`${title} `, Object.assign(document.createElement("small"), { textContent: unit }));
  return { readout: card.querySelector(".readout"), plot: card.querySelector(".plot") };
}

// `series`: key of the points, label and colour. A mirrored chart has its second series below the axis.
export class Timeline {
  #card;
  #options;
  #points = [];
  #cursor = null;
  #isLive = true;
  #svg = element("svg", { height: HEIGHT });
  #x = () => 0;
  #y = () => 0;
  #from = 0;

  // `choose` is called with the moment that the visitor points at, or `null`.
  constructor(card, options, choose) {
    this.#card = fillCard(card, options.title, options.unit);
    this.#options = options;
    const { plot, readout } = this.#card;
    plot.append(this.#svg);
    plot.tabIndex = 0;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${options.title}, ${options.unit}. Arrow keys move the readout.`);
    readout.append(moment(), ...options.series.map(({ label, colour }) => key(label, colour)));
    const point = (event) => choose(this.#nearest(event.clientX - plot.getBoundingClientRect().left)?.at ?? null);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointermove", point);
    // A finger that is lifted leaves the readout where it is.
    plot.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && choose(null));
    plot.addEventListener("keydown", (event) => this.#press(event, choose));
    plot.addEventListener("blur", () => choose(null));
    new ResizeObserver(() => this.#draw()).observe(plot);
  }

  show(points, cursor, isLive) {
    this.#points = points;
    this.#cursor = cursor;
    this.#isLive = isLive;
    this.#draw();
  }

  #draw() {
    const width = this.#card.plot.clientWidth;
    if (width === 0) return;
    this.#svg.setAttribute("width", width);
    const { left, right, top, bottom } = MARGIN;
    const inner = { width: width - left - right, height: HEIGHT - top - bottom };
    const scale = this.#scale(inner);
    const clip = element("svg", { x: left, y: top, ...inner });
    clip.append(...this.#options.series.flatMap((series, index) => this.#line(series, index)));
    this.#svg.replaceChildren(...scale, clip, ...this.#drawCursor(inner));
    this.#read();
  }

  // Sets the scales. Returns the grid and the labels of both axes.
  #scale({ width, height }) {
    const { left, top } = MARGIN;
    const { series, format, mirrored, least, isWhole } = this.#options;
    const last = this.#points.at(-1)?.at ?? 0;
    const length = SPANS.find((span) => span >= last - (this.#points[0]?.at ?? 0)) ?? SPANS.at(-1);
    this.#from = last - length;
    this.#x = (at) => ((at - this.#from) / length) * width;
    const shown = this.#points.filter(({ at }) => at >= this.#from);
    const most = Math.max(least, ...series.flatMap(({ key: name }) => shown.map((point) => point[name] ?? 0)));
    const highest = most * 1.1;
    const lowest = mirrored ? -highest : 0;
    const steps = marks(highest, mirrored ? 3 : 4, isWhole);
    const values = mirrored ? [...steps.slice(1).map((value) => -value), ...steps] : steps;
    this.#y = (value) => (1 - (value - lowest) / (highest - lowest)) * height;
    const grid = values.flatMap((value) => {
      const y = Math.round(top + this.#y(value)) + 0.5;
      return [
        element("line", { x1: left, x2: left + width, y1: y, y2: y, class: value === 0 ? "axis" : "grid" }),
        element("text", { x: left - 8, y: y + 3.5, class: "mark end" }, format(Math.abs(value))),
      ];
    });
    return [...grid, ...times(length, width < 420 ? 3 : 6, this.#isLive ? "now" : clock(last)).map(([back, label]) => {
      const place = back === length ? "start" : back === 0 ? "end" : "middle";
      return element("text", { x: left + this.#x(last - back), y: HEIGHT - 5, class: `mark ${place}` }, label);
    })];
  }

  // The line of a series and the area below it, in pieces where a value is unknown.
  #line({ key: name, colour }, index) {
    const sign = this.#options.mirrored && index === 1 ? -1 : 1;
    const zero = this.#y(0).toFixed(1);
    const pieces = [];
    // A line also leads to the first point that is shown.
    for (const point of this.#points.slice(Math.max(0, this.#points.findIndex(({ at }) => at >= this.#from) - 1))) {
      if (point[name] === null) continue;
      const follows = pieces.length > 0 && !point.isFirst;
      if (!follows) pieces.push([]);
      pieces.at(-1).push([this.#x(point.at).toFixed(1), this.#y(sign * point[name]).toFixed(1)]);
    }
    return pieces.flatMap((piece) => {
      const line = `M${piece.map((place) => place.join(" ")).join("L")}`;
      const area = `${line}L${piece.at(-1)[0]} ${zero}L${piece[0][0]} ${zero}Z`;
      return [element("path", { d: area, class: `area ${colour}` }), element("path", { d: line, class: `line ${colour}` })];
    });
  }

  #drawCursor({ height }) {
    const point = this.#cursor === null ? null : this.#at(this.#cursor);
    if (!point || point.at < this.#from) return [];
    const { left, top } = MARGIN;
    const x = left + this.#x(point.at);
    const dots = this.#options.series.map(({ key: name, colour }, index) => {
      if (point[name] === null) return null;
      const sign = this.#options.mirrored && index === 1 ? -1 : 1;
      return element("circle", { cx: x, cy: top + this.#y(sign * point[name]), r: 3.5, class: `dot ${colour}` });
    });
    return [element("line", { x1: x, x2: x, y1: top, y2: top + height, class: "cursor" }), ...dots.filter(Boolean)];
  }

  // The values at the cursor, or the latest ones.
  #read() {
    const { series, format } = this.#options;
    const { readout } = this.#card;
    const point = this.#at(this.#cursor ?? Infinity);
    series.forEach(({ key: name }, index) => {
      readout.children[index + 1].lastChild.textContent = point && point[name] !== null ? format(point[name]) : "–";
    });
    readout.firstChild.textContent = this.#cursor === null || !point ? "" : clock(point.at);
  }

  // The latest point that is not behind a moment.
  #at(moment) {
    return this.#points.findLast(({ at }) => at <= moment);
  }

  #nearest(x) {
    const distance = (point) => Math.abs(this.#x(point.at) + MARGIN.left - x);
    return this.#points.reduce((best, point) => (best && distance(best) <= distance(point) ? best : point), null);
  }

  #press(event, choose) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") choose(null);
    if (!step) return;
    event.preventDefault();
    const now = this.#cursor === null ? this.#points.length - 1 : this.#points.indexOf(this.#at(this.#cursor));
    choose(this.#points[Math.min(this.#points.length - 1, Math.max(0, now + step))]?.at ?? null);
  }
}

// How long ago the marks of the time axis are, and their labels.
function times(length, about, end) {
  const step = [10_000, 15_000, 30_000, 60_000, 120_000, 150_000].find((step) => length % step === 0 && length / step <= about);
  const label = (back) => (back === 0 ? end : length > 60_000 ? `−${back / 60_000} min` : `−${back / 1000} s`);
  return Array.from({ length: length / step + 1 }, (_, index) => [index * step, label(index * step)]);
}

function key(label, colour) {
  const node = document.createElement("span");
  node.className = `key ${colour}`;
  node.append(`${label} `, document.createElement("b"));
  return node;
}

function moment() {
  return Object.assign(document.createElement("span"), { className: "moment" });
}
