// The samples of the last minutes, and what follows from them. Counters in a sample are totals, so that a sample that
// did not come costs a point and changes no sum.

// How far back the page looks, in milliseconds.
export const KEPT = 300_000;

export class Figures {
  // For each moment: the gauges, and what was counted per second since the moment before. `null` where that is unknown,
  // because a server has just started.
  points = [];
  #samples = [];

  get latest() {
    return this.#samples.at(-1);
  }

  // Takes a sample. Returns whether it is new: a page that connects again gets the last minutes again.
  add(sample) {
    const last = this.latest;
    const isSame = last?.server === sample.server;
    if (isSame && sample.at <= last.at) return false;
    // Another server, whose clock is behind. What was before cannot be put in order.
    if (last && sample.at <= last.at) this.#forget(this.#samples.length);
    this.#samples.push(sample);
    this.points.push(point(sample, isSame ? last : null));
    const old = this.#samples.findIndex(({ at }) => at >= sample.at - KEPT);
    this.#forget(old);
    return true;
  }

  // The round trips of the last minutes: bucket and count, in the order of the buckets.
  roundTrips() {
    const { latest } = this;
    if (!latest) return [];
    const first = this.#samples.find(({ server }) => server === latest.server);
    const before = new Map(first.round_trips);
    return latest.round_trips
      .map(([bucket, count]) => [bucket, count - (before.get(bucket) ?? 0)])
      .filter(([, count]) => count > 0);
  }

  #forget(count) {
    this.#samples.splice(0, count);
    this.points.splice(0, count);
  }
}

function point(sample, before) {
  const seconds = before ? (sample.at - before.at) / 1000 : 0;
  const rate = (of) => (before ? Math.max(0, of(sample) - of(before)) / seconds : null);
  return {
    at: sample.at,
    connections: sample.connections,
    // Whether no line leads to this point.
    isFirst: !before,
    messagesIn: rate(({ received }) => received.messages),
    messagesOut: rate(({ sent }) => sent.messages),
    bytesIn: rate(({ received }) => received.bytes),
    bytesOut: rate(({ sent }) => sent.bytes),
  };
}

// The bound below which this part of the times is, in microseconds; at most twice the exact value. `null` without any.
export function quantile(buckets, part) {
  const all = buckets.reduce((sum, [, count]) => sum + count, 0);
  let rank = Math.max(1, Math.ceil(part * all));
  const found = buckets.find(([, count]) => (rank -= count) <= 0);
  return found ? 2 ** found[0] : null;
}
