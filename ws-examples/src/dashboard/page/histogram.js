// Round-trip times: how many are in each bucket. The bounds of the buckets are powers of two.

import { quantile } from "./figures.js";
import { element, fillCard } from "./timeline.js";
import { count, duration, marks } from "./units.js";

const HEIGHT = 190;
const MARGIN = { top: 8, right: 10, bottom: 22, left: 54 };
const FEWEST = 7;
const GAP = 3;

export class Histogram {
  #card;
  #svg = element("svg", { height: HEIGHT });
  #empty = Object.assign(document.createElement("p"), { className: "empty muted" });
  #buckets = [];
  #chosen = null;
  #bucketAt = () => null;

  constructor(card) {
    this.#card = fillCard(card, "Round trips", "of pings, last minutes");
    const { plot } = this.#card;
    this.#empty.textContent = "None yet. The server pings connections that are silent for two seconds.";
    plot.append(this.#svg, this.#empty);
    const choose = (bucket) => {
      this.#chosen = bucket;
      this.#draw();
    };
    const point = (event) => choose(this.#bucketAt(event.clientX - plot.getBoundingClientRect().left));
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && choose(null));
    document.addEventListener("pointerdown", ({ target }) => plot.contains(target) || choose(null));
    new ResizeObserver(() => this.#draw()).observe(plot);
  }

  show(buckets) {
    this.#buckets = buckets;
    this.#draw();
  }

  #draw() {
    const width = this.#card.plot.clientWidth;
    this.#empty.hidden = this.#buckets.length > 0;
    this.#read();
    if (width === 0) return;
    this.#svg.setAttribute("width", width);
    const { left, right, top, bottom } = MARGIN;
    const inner = { width: width - left - right, height: HEIGHT - top - bottom };
    const highest = 1.1 * Math.max(4, ...this.#buckets.map(([, number]) => number));
    const steps = marks(highest, 4, true);
    const y = (value) => top + (1 - value / highest) * inner.height;
    const grid = steps.flatMap((value) => {
      const at = Math.round(y(value)) + 0.5;
      return [
        element("line", { x1: left, x2: left + inner.width, y1: at, y2: at, class: value === 0 ? "axis" : "grid" }),
        element("text", { x: left - 8, y: at + 3.5, class: "mark end" }, count(value)),
      ];
    });
    this.#svg.replaceChildren(...grid, ...this.#bars(inner, y));
  }

  #bars(inner, y) {
    const [first, length] = this.#range();
    const each = inner.width / length;
    const x = (bucket) => MARGIN.left + (bucket - first) * each;
    this.#bucketAt = (at) => this.#buckets.find(([bucket]) => at >= x(bucket) && at < x(bucket + 1))?.[0] ?? null;
    const bars = this.#buckets.map(([bucket, number]) => {
      const height = Math.max(2, y(0) - y(number));
      const chosen = bucket === this.#chosen ? " chosen" : "";
      return element("rect", {
        x: x(bucket) + GAP / 2, y: y(0) - height, width: Math.max(1, each - GAP), height, rx: 2, class: `bar${chosen}`,
      });
    });
    // Labels stand at the bounds. As many as there is room for.
    const every = Math.ceil(56 / each);
    const bounds = Array.from({ length: length + 1 }, (_, index) => first + index);
    const labels = bounds.filter((_, index) => index % every === 0).map((bound) => {
      const place = bound === first ? "start" : bound === first + length ? "end" : "middle";
      return element("text", { x: x(bound), y: HEIGHT - 5, class: `mark ${place}` }, duration(lower(bound)));
    });
    return [...bars, ...(this.#buckets.length > 0 ? labels : [])];
  }

  // The first bucket that is shown, and their number: those with times, and some around them.
  #range() {
    if (this.#buckets.length === 0) return [0, FEWEST];
    const [first, last] = [this.#buckets[0][0], this.#buckets.at(-1)[0]];
    const length = Math.max(FEWEST, last - first + 3);
    return [Math.max(0, first - Math.ceil((length - (last - first + 1)) / 2)), length];
  }

  #read() {
    const { readout } = this.#card;
    const all = this.#buckets.reduce((sum, [, number]) => sum + number, 0);
    const chosen = this.#buckets.find(([bucket]) => bucket === this.#chosen);
    if (chosen) {
      const [bucket, number] = chosen;
      readout.textContent = `${duration(lower(bucket))} to ${duration(2 ** bucket)}: ${count(number)} of ${count(all)}`;
    } else if (all > 0) {
      const [half, most] = [0.5, 0.95].map((part) => duration(quantile(this.#buckets, part)));
      readout.textContent = `half below ${half}, 95 % below ${most}`;
    } else {
      readout.textContent = "";
    }
  }
}

// The lower bound of a bucket, in microseconds.
function lower(bucket) {
  return bucket === 0 ? 0 : 2 ** (bucket - 1);
}
