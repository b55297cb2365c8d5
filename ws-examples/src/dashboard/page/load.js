// Load on the echo server: connections of this tab that send messages.

const STEP = 50;
// One connection is replaced after this time, so that handshakes and closes can be seen.
const REPLACE_AFTER = 3_000;
const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;
// A connection with so many bytes in the browser's buffer sends no more.
const MOST_WAITING = 64 * 1024;
const TEXT = "The quick brown fox jumps over the lazy dog. ".repeat(12);

export class Load {
  count = 0;
  rate = 0;
  echoes = 0;
  #url;
  #sockets = new Set();
  #timer = 0;
  #due = 0;
  #steps = 0;
  #openAgainAt = 0;
  #failures = 0;

  constructor(url) {
    this.#url = url;
  }

  get isOn() {
    return this.#timer !== 0;
  }

  get open() {
    return [...this.#sockets].filter(({ readyState }) => readyState === WebSocket.OPEN).length;
  }

  start() {
    this.echoes = 0;
    this.#openAgainAt = 0;
    this.#timer ||= setInterval(() => this.#step(), STEP);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#closeAllBut(0);
  }

  #step() {
    this.#steps += 1;
    this.#closeAllBut(this.count);
    if (this.#sockets.size < this.count && performance.now() >= this.#openAgainAt) this.#open();
    if (this.#steps % (REPLACE_AFTER / STEP) === 0) this.#replace();
    this.#send();
  }

  #open() {
    const socket = new WebSocket(this.#url);
    this.#sockets.add(socket);
    socket.onopen = () => (this.#failures = 0);
    socket.onmessage = () => (this.echoes += 1);
    socket.onclose = () => {
      if (!this.#sockets.delete(socket)) return;
      const delay = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures);
      this.#failures += 1;
      this.#openAgainAt = performance.now() + delay * (0.5 + Math.random() / 2);
    };
  }

  // Each connection sends its part of what is due.
  #send() {
    const open = [...this.#sockets].filter(({ readyState }) => readyState === WebSocket.OPEN);
    this.#due += (open.length * this.rate * STEP) / 1000;
    const number = Math.floor(this.#due);
    this.#due -= number;
    for (let sent = 0; sent < number; sent += 1) {
      const socket = open[Math.floor(Math.random() * open.length)];
      if (socket.bufferedAmount < MOST_WAITING) socket.send(TEXT.slice(0, 1 + Math.random() * TEXT.length));
    }
  }

  #replace() {
    const [oldest] = this.#sockets;
    if (oldest?.readyState !== WebSocket.OPEN) return;
    this.#sockets.delete(oldest);
    oldest.close(this.#steps % (2 * REPLACE_AFTER / STEP) === 0 ? 1000 : 4000);
  }

  #closeAllBut(count) {
    for (const socket of this.#sockets) {
      if (this.#sockets.size <= count) return;
      this.#sockets.delete(socket);
      socket.close(1000);
    }
  }
}
