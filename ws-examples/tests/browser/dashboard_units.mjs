// Tests the parts of the dashboard that need no browser. It prints `ok` at the end.

import assert from "node:assert/strict";
import { runLaws, load } from "./laws.mjs";

const { Figures, KEPT, quantile } = await load("dashboard/page/figures.js");
const units = await load("dashboard/page/units.js");

// A sample of a server that was started at 0.
const sample = (at, messages, more = {}) => ({
  server: 0, at, tick: 1000, connections: 1, round_trips: [],
  received: { messages, bytes: 10 * messages }, sent: { messages: 2 * messages, bytes: 0 }, ...more,
});

const laws = {
  "rates come from totals, also over a sample that did not come"() {
    const figures = new Figures();
    [sample(1000, 0), sample(2000, 10), sample(4000, 30)].forEach((taken) => assert(figures.add(taken)));
    assert.deepEqual(figures.points.map(({ messagesIn }) => messagesIn), [null, 10, 10]);
    assert.deepEqual(figures.points.at(-1), {
      at: 4000, connections: 1, isFirst: false, messagesIn: 10, messagesOut: 20, bytesIn: 100, bytesOut: 0,
    });
  },

  "samples that come again change nothing"() {
    const figures = new Figures();
    const taken = [sample(1000, 1), sample(2000, 2)];
    taken.forEach((each) => figures.add(each));
    assert.deepEqual(taken.map((each) => figures.add(each)), [false, false]);
    assert.equal(figures.points.length, 2);
  },

  "the counters of another server begin anew"() {
    const figures = new Figures();
    [sample(1000, 50), sample(2000, 60), sample(9000, 1, { server: 8000 })].forEach((taken) => figures.add(taken));
    assert.deepEqual(figures.points.map(({ isFirst }) => isFirst), [true, false, true]);
    assert.equal(figures.points.at(-1).messagesIn, null);
    // If its clock is behind, nothing before it can be shown.
    figures.add(sample(3000, 0, { server: 2500 }));
    assert.deepEqual(figures.points.map(({ at }) => at), [3000]);
  },

  "what is older than five minutes is forgotten"() {
    const figures = new Figures();
    for (let at = 0; at <= 2 * KEPT; at += 1000) figures.add(sample(at, at));
    assert.equal(figures.points.length, KEPT / 1000 + 1);
    assert.equal(figures.points[0].at, KEPT);
    assert.equal(figures.points[0].isFirst, false);
  },

  "round trips are those of the last minutes"() {
    const figures = new Figures();
    figures.add(sample(1000, 0, { round_trips: [[7, 5], [9, 1]] }));
    figures.add(sample(2000, 0, { round_trips: [[3, 2], [7, 5], [9, 4]] }));
    assert.deepEqual(figures.roundTrips(), [[3, 2], [9, 3]]);
    assert.deepEqual(new Figures().roundTrips(), []);
  },

  "a quantile is the bound of its bucket"() {
    const buckets = [[1, 3], [7, 1]];
    assert.deepEqual([0, 0.75, 0.76, 1].map((part) => quantile(buckets, part)), [2, 2, 128, 128]);
    assert.equal(quantile([], 0.5), null);
  },

  "numbers have at most three digits, or all of a number below ten thousand"() {
    const { count, rate, bytes, duration, span } = units;
    assert.deepEqual([0, 9_999, 10_000, 123_456, 999_600, 5e9].map(count), ["0", "9,999", "10k", "123k", "1M", "5G"]);
    assert.deepEqual([0, 0.25, 9.96, 1234.4].map(rate), ["0", "0.3", "10", "1,234"]);
    const spaced = (text) => text.replaceAll("\u202f", " ");
    assert.deepEqual([0, 999, 1000, 53_340, 2.5e6].map((value) => spaced(bytes(value))), ["0 B", "999 B", "1 kB", "53.3 kB", "2.5 MB"]);
    assert.deepEqual([2, 512, 1024, 4096, 2 ** 21].map((value) => spaced(duration(value))), ["2 µs", "512 µs", "1 ms", "4.1 ms", "2.1 s"]);
    assert.deepEqual([0, 59_000, 61_000, 3_660_000, 90_000_000].map((value) => spaced(span(value))), ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
  },

  "marks of an axis are round and few"() {
    assert.deepEqual(units.marks(4.4, 4, true), [0, 2, 4]);
    assert.deepEqual(units.marks(1.1, 4, true), [0, 1]);
    assert.deepEqual(units.marks(110, 4), [0, 50, 100]);
    assert.deepEqual(units.marks(715, 3), [0, 250, 500]);
    for (let end = 0.5; end < 1e7; end *= 1.07) {
      const marks = units.marks(end, 4);
      assert(marks.length >= 2 && marks.length <= 5 && marks.at(-1) <= end * 1.001, `${end}: ${marks}`);
    }
  },
};

runLaws(laws);
