// Own messages on their way to the server: one at a time, in the order in which they were written. So a message that has
// to wait does not let the next one overtake it.

export class Outbox {
  #waiting = [];
  #underway = null;
  #pause = 0;
  #send;

  // `send(entry)` hands a message to the connection.
  constructor(send) {
    this.#send = send;
  }

  add(entry) {
    if (entry === this.#underway || this.#waiting.includes(entry)) return;
    this.#waiting.push(entry);
    this.#next();
  }

  // The server has answered: the message is published, or refused for good.
  answered(ref) {
    if (this.#underway?.ref !== ref) return;
    this.#underway = null;
    this.#next();
  }

  // The server takes the message only after this time, in milliseconds.
  delay(ref, wait) {
    if (this.#underway?.ref !== ref) return;
    this.#waiting.unshift(this.#underway);
    this.#underway = null;
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#pause = 0;
      this.#next();
    }, wait);
  }

  // The connection is lost. The rooms know what has not arrived, and add it again.
  clear() {
    clearTimeout(this.#pause);
    this.#pause = 0;
    this.#waiting = [];
    this.#underway = null;
  }

  #next() {
    if (this.#underway || this.#pause || this.#waiting.length === 0) return;
    this.#underway = this.#waiting.shift();
    this.#send(this.#underway);
  }
}
