// Brings together the connection, the figures and the page.

import { Figures, quantile } from "./figures.js";
import { Histogram } from "./histogram.js";
import { Link } from "./link.js";
import * as lists from "./lists.js";
import { Load } from "./load.js";
import { Timeline } from "./timeline.js";
import { bytes, clock, count, duration, rate, span } from "./units.js";

const at = (id) => document.getElementById(id);
const socketUrl = (path) => new URL(path, location.href.replace(/^http/u, "ws").replace(/[?#].*/u, ""));

const figures = new Figures();
const link = new Link(socketUrl("figures"));
const load = new Load(socketUrl("echo"));
let cursor = null;
let heardAt = 0;
let isDrawing = false;

const both = (name) => [{ key: `${name}In`, label: "↑ in", colour: "in" }, { key: `${name}Out`, label: "↓ out", colour: "out" }];
const timelines = [
  [at("connections"), {
    title: "Connections", unit: "open", format: count, least: 4, isWhole: true,
    series: [{ key: "connections", label: "open", colour: "plain" }],
  }],
  [at("messages"), { title: "Messages", unit: "per second", format: rate, least: 4, mirrored: true, series: both("messages") }],
  [at("bytes"), { title: "Bytes", unit: "per second", format: bytes, least: 1000, mirrored: true, series: both("bytes") }],
].map(([card, options]) => new Timeline(card, options, choose));
const histogram = new Histogram(at("round-trips"));

function choose(moment) {
  cursor = moment;
  draw();
}

// Draws once for all that happens before the next frame.
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawStatus();
    drawLoad();
    if (figures.latest) drawFigures();
  });
}

function drawFigures() {
  const { latest, points } = figures;
  const roundTrips = figures.roundTrips();
  const half = quantile(roundTrips, 0.5);
  drawNow(points.at(-1), half);
  timelines.forEach((timeline) => timeline.show(points, cursor, at("status").dataset.state === "live"));
  histogram.show(roundTrips);
  lists.drawHandshakes(at("handshakes"), latest.handshakes);
  lists.drawRefusals(at("refusals"), latest.handshakes);
  lists.drawCloses(at("closes"), latest.closes);
  lists.drawHealth(at("health"), latest);
  at("uptime").textContent = `The server has run for ${span(latest.at - latest.server)}`;
}

function drawNow({ connections, messagesIn, messagesOut, bytesIn, bytesOut }, half) {
  const perSecond = (value, format) => (value === null ? "–" : `${format(value)}/s`);
  const texts = {
    "now-connections": count(connections),
    "now-messages-in": perSecond(messagesIn, rate),
    "now-messages-out": perSecond(messagesOut, rate),
    "now-bytes-in": perSecond(bytesIn, bytes),
    "now-bytes-out": perSecond(bytesOut, bytes),
    "now-round-trip": half === null ? "–" : `<\u202f${duration(half)}`,
  };
  Object.entries(texts).forEach(([id, text]) => (at(id).textContent = text));
}

function status() {
  const paused = figures.latest ? `Paused at ${clock(figures.latest.at)}, ` : "";
  const silence = Date.now() - heardAt;
  switch (link.state) {
    case "up":
      if (heardAt > 0 && silence < 2_000 + 3 * (figures.latest?.tick ?? 0)) return ["live", "Live"];
      return ["paused", heardAt === 0 ? "Waiting for figures" : `No figures for ${span(silence)}`];
    case "waiting": {
      const seconds = Math.ceil((link.retryAt - Date.now()) / 1000);
      return ["paused", `${paused}reconnecting${seconds > 0 ? ` in ${seconds} s` : ""}`];
    }
    case "offline":
      return ["paused", `${paused}this device is offline`];
    default:
      return [paused ? "paused" : "connecting", paused ? `${paused}reconnecting` : "Connecting"];
  }
}

function drawStatus() {
  const [state, text] = status();
  // The countdown is not read out.
  if (at("status").dataset.state !== state) at("announcer").textContent = text;
  at("status").dataset.state = state;
  const shown = text.charAt(0).toUpperCase() + text.slice(1);
  if (at("status-text").textContent !== shown) at("status-text").textContent = shown;
  at("retry").hidden = link.state !== "waiting";
  at("board").classList.toggle("paused", state === "paused");
}

function drawLoad() {
  at("load-count-value").textContent = load.count;
  at("load-rate-value").textContent = load.rate;
  at("load-start").textContent = load.isOn ? "Stop" : "Start";
  at("load-start").setAttribute("aria-pressed", load.isOn);
  if (load.isOn) at("load-state").textContent = `${load.open} of ${load.count} connections open, ${count(load.echoes)} echoes`;
}

function setLoad() {
  load.count = Number(at("load-count").value);
  load.rate = Number(at("load-rate").value);
  drawLoad();
}

link.addEventListener("state", draw);
link.addEventListener("message", ({ detail }) => {
  heardAt = Date.now();
  figures.add(detail);
  draw();
});
setInterval(draw, 1_000);
at("retry").addEventListener("click", () => link.tryNow());
at("load-count").addEventListener("input", setLoad);
at("load-rate").addEventListener("input", setLoad);
at("load-start").addEventListener("click", () => {
  if (load.isOn) load.stop();
  else load.start();
  at("load-state").textContent = "All demo connections are closed.";
  drawLoad();
});
at("load-wrong").addEventListener("click", () => new WebSocket(socketUrl("nowhere")));
document.addEventListener("pointerdown", ({ target }) => target.closest?.(".plot") || choose(null));

setLoad();
link.open();
