// A connection that comes back: full-jitter back-off, a heartbeat, and attention to the browser's own events.

const FIRST_DELAY = 500;
const LONGEST_DELAY = 20_000;
// After this time with a connection, the next failure counts as the first one.
const STABLE_AFTER = 10_000;
// Silence after which the server is asked for a sign of life, and how long it may take.
const SILENCE = 25_000;
const PATIENCE = 8_000;
const CONNECT_LIMIT = 10_000;

// Events of a link: "up", "down", "message" with `detail` = the parsed JSON, and "state" whenever `state` or `retryAt`
// has changed.
export class Link extends EventTarget {
  state = "closed"; // "connecting", "up", "waiting", "offline", "closed"
  retryAt = 0;
  failures = 0;
  #url;
  #socket = null;
  #retry = 0;
  #watch = 0;
  #openedAt = 0;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.tryNow());
    addEventListener("offline", () => this.#suspect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
    // A page that is kept for the back button has lost its connection.
    addEventListener("pageshow", (event) => event.persisted && this.tryNow());
  }

  open() {
    if (this.state === "closed") this.#connect();
  }

  // Connects at once if the link waits.
  tryNow() {
    if (this.state === "waiting" || this.state === "offline") this.#connect();
  }

  // Ends the connection and begins a new one.
  restart() {
    this.#discard();
    this.failures = 0;
    this.#connect();
  }

  // Whether it was handed to the browser. Whether it arrives shows the server's answer.
  send(value) {
    if (this.state !== "up") return false;
    this.#socket.send(JSON.stringify(value));
    return true;
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#set("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#expect(CONNECT_LIMIT);
    socket.onopen = () => {
      this.#openedAt = Date.now();
      this.#set("up");
      this.#heard();
      this.dispatchEvent(new Event("up"));
    };
    socket.onmessage = ({ data }) => {
      this.#heard();
      const message = JSON.parse(data);
      if (message.type !== "pong") this.dispatchEvent(new CustomEvent("message", { detail: message }));
    };
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  #lost(code, reason) {
    const wasUp = this.state === "up";
    this.#discard();
    if (wasUp && Date.now() - this.#openedAt >= STABLE_AFTER) this.failures = 0;
    // The random delay spreads the clients of a server that has just restarted.
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(this.failures, 16));
    const delay = Math.random() * ceiling;
    this.failures += 1;
    this.retryAt = Date.now() + delay;
    this.#retry = setTimeout(() => this.#connect(), delay);
    this.#set(navigator.onLine ? "waiting" : "offline");
    if (wasUp) this.dispatchEvent(new CustomEvent("down", { detail: { code, reason } }));
  }

  #discard() {
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #heard() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#ask(), SILENCE);
  }

  #ask() {
    if (this.send({ type: "ping" })) this.#expect(PATIENCE);
  }

  // The connection counts as lost if nothing arrives within this time.
  #expect(limit) {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(1006, "no answer"), limit);
  }

  // The page is visible again. Timers may have slept, and the network may have changed.
  #wake() {
    this.tryNow();
    this.#ask();
  }

  #suspect() {
    if (this.state === "waiting") this.#set("offline");
    else this.#ask();
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
