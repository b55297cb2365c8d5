// What the page knows about its rooms. No part of the page is touched here.

// Older messages are forgotten.
const MOST_ENTRIES = 600;
// A person who is said to type, and then falls silent, stops typing after this time.
export const TYPING_LASTS = 6_000;

export class Room {
  entries = []; // { kind: "message" | "note" | "missed", ... } in the order of the log
  people = new Map(); // id -> name
  typing = new Map(); // id -> { name, until }
  last = null; // position of the newest message that has arrived
  unread = 0;
  draft = "";
  isIn = false;
  wasIn = false;
  #refs = new Map(); // ref -> entry
  #arriving = null; // what arrives between the request to enter and the answer
  #gone = new Set(); // who leaves in that time

  constructor(name, about = "") {
    this.name = name;
    this.about = about;
  }

  // What to ask the server.
  enter() {
    this.isIn = false;
    this.#arriving = [];
    this.#gone.clear();
    return { type: "enter", room: this.name, ...(this.last ? { from: this.last } : {}) };
  }

  lost() {
    this.isIn = false;
    this.typing.clear();
    // What arrived before the connection was lost stays; the next answer counts from there.
    this.#arriving?.forEach((entry) => this.#add(entry));
    this.#arriving = null;
  }

  // The answer: { position, recovered: "fresh" | "all" | "some" | "none", here }. Returns the own messages to send again.
  entered({ position, recovered, here }, mine) {
    const arrived = this.#arriving ?? [];
    this.#arriving = null;
    const isNew = (entry) => !this.#refs.get(entry.ref)?.at;
    const foreign = arrived.filter((entry) => isNew(entry) && !mine(entry.id)).length;
    if (this.wasIn && recovered !== "fresh" && (foreign > 0 || recovered !== "all")) {
      this.#push({ kind: "missed", count: foreign, isLost: recovered !== "all", forgotten: recovered === "none" });
    }
    arrived.forEach((entry) => this.#add(entry));
    if (position) this.last = position;
    this.people = new Map(here.filter(({ id }) => !this.#gone.has(id)).map(({ id, name }) => [id, name]));
    this.isIn = this.wasIn = true;
    return { count: foreign, again: this.entries.filter((entry) => entry.pending && !entry.failed) };
  }

  // A message of the log. Returns its entry if it is new and shows now.
  said(at, message) {
    if (this.last && !isLater(at, this.last)) return null;
    this.last = at;
    this.typing.delete(message.id);
    const entry = { kind: "message", at, ...message };
    if (this.#arriving) {
      this.#arriving.push(entry);
      return null;
    }
    return this.#add(entry);
  }

  // An own message that the server does not have yet.
  say(id, name, text) {
    const ref = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");
    const entry = { kind: "message", id, name, text, ref, time: Date.now(), pending: true };
    this.#refs.set(ref, entry);
    return this.#push(entry);
  }

  pendingMessage(ref) {
    const entry = this.#refs.get(ref);
    return entry?.pending ? entry : null;
  }

  joined(id, name) {
    const isNew = this.isIn && !this.people.has(id);
    this.people.set(id, name);
    if (isNew) this.#note(name, "joined");
  }

  left(id) {
    const name = this.people.get(id);
    this.people.delete(id);
    this.typing.delete(id);
    if (this.#arriving) this.#gone.add(id);
    if (name && this.isIn) this.#note(name, "left");
  }

  // Who is here, told by the server as a whole.
  here(people) {
    const now = new Set(people.map(({ id }) => id));
    [...this.people.keys()].filter((id) => !now.has(id)).forEach((id) => this.left(id));
    people.forEach(({ id, name }) => this.joined(id, name));
  }

  types(id, name, on) {
    if (on) this.typing.set(id, { name, until: Date.now() + TYPING_LASTS });
    else this.typing.delete(id);
  }

  // Forgets those who have fallen silent. Whether any did.
  silence() {
    const before = this.typing.size;
    for (const [id, { until }] of this.typing) if (until <= Date.now()) this.typing.delete(id);
    return this.typing.size !== before;
  }

  isEmpty() {
    return !this.entries.some((entry) => entry.kind === "message");
  }

  // The own message comes back with its position, and takes its place in the log. One that was sent twice shows once.
  #add(entry) {
    const known = this.#refs.get(entry.ref);
    if (known && !known.pending) return null;
    if (known) {
      this.entries.splice(this.entries.indexOf(known), 1);
      Object.assign(known, entry, { pending: false, failed: null });
      return this.#push(known);
    }
    this.#refs.set(entry.ref, entry);
    return this.#push(entry);
  }

  // Joins and leaves between two messages share a line. Who left and came back at once is not worth one.
  #note(name, what) {
    const last = this.entries.findLast((entry) => !entry.pending);
    const note = last?.kind === "note" ? last : this.#push({ kind: "note", time: Date.now(), changes: new Map() });
    if (note.changes.has(name)) note.changes.delete(name);
    else note.changes.set(name, what);
  }

  // Own messages that wait stay at the end.
  #push(entry) {
    const waiting = this.entries.findIndex((other) => other.pending);
    if (entry.pending || waiting < 0) this.entries.push(entry);
    else this.entries.splice(waiting, 0, entry);
    while (this.entries.length > MOST_ENTRIES) this.#refs.delete(this.entries.shift().ref);
    return entry;
  }
}

// Whether the position `at`, which is "EPOCH-OFFSET", comes after `last`. Another epoch is always news.
function isLater(at, last) {
  const [epoch, offset] = at.split("-");
  const [lastEpoch, lastOffset] = last.split("-");
  return epoch !== lastEpoch || BigInt(offset) > BigInt(lastOffset);
}
