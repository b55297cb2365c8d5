// The field for a message: its length, its keys, and what it says about limits.

import { element, length } from "./text.js";

// "I am writing" is told again after this time.
const TELL_AGAIN = 3_000;

// Whether the browser makes the field as high as its text.
const GROWS = CSS.supports("field-sizing", "content");

const form = document.getElementById("form");
const text = document.getElementById("text");
const send = form.querySelector(".send");
const notice = document.getElementById("notice");

export class Composer {
  #limit = 2_000;
  #refusal = "";
  #refusalEnds = 0;
  #toldAt = 0;
  #onSay;
  #onTyping;

  // `onSay(text)` for each message, `onTyping(bool)` when writing begins, goes on, or ends.
  constructor(onSay, onTyping) {
    this.#onSay = onSay;
    this.#onTyping = onTyping;
    text.addEventListener("input", () => this.#changed());
    text.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.draw();
  }

  setLimit(limit) {
    this.#limit = limit;
    this.draw();
  }

  get draft() {
    return text.value;
  }

  set draft(value) {
    text.value = value;
    this.#toldAt = 0;
    this.draw();
  }

  focus() {
    // On a phone this would open the keyboard over the messages.
    if (matchMedia("(pointer: fine)").matches) text.focus();
  }

  // Shows why something was refused, for a while.
  explain(refusal, lasts = 6_000) {
    this.#refusal = refusal;
    clearTimeout(this.#refusalEnds);
    this.#refusalEnds = setTimeout(() => {
      this.#refusal = "";
      this.draw();
    }, lasts);
    this.draw();
  }

  draw() {
    if (!GROWS) {
      text.style.height = "auto";
      text.style.height = `${text.scrollHeight}px`;
    }
    const count = length(text.value);
    const over = count - this.#limit;
    send.disabled = text.value.trim() === "" || over > 0;
    text.setAttribute("aria-invalid", String(over > 0));
    notice.classList.toggle("wrong", over > 0 || this.#refusal !== "");
    const left = `${-over} of ${this.#limit} characters left`;
    if (over > 0) show(`${over} over the limit of ${this.#limit} characters. Shorten it, or send it in parts.`);
    else if (this.#refusal) show(this.#refusal);
    else if (-over < this.#limit / 10) show(left);
    else notice.replaceChildren(keys());
  }

  #changed() {
    this.draw();
    const isEmpty = text.value.trim() === "";
    if (isEmpty) this.#stop();
    else if (Date.now() - this.#toldAt > TELL_AGAIN) {
      this.#toldAt = Date.now();
      this.#onTyping(true);
    }
  }

  #stop() {
    if (this.#toldAt > 0) this.#onTyping(false);
    this.#toldAt = 0;
  }

  #key(event) {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    if (send.disabled) return;
    const message = text.value.trim();
    text.value = "";
    // The message itself tells the others that the writing has ended.
    this.#toldAt = 0;
    this.draw();
    text.focus();
    this.#onSay(message);
  }
}

function show(value) {
  if (notice.textContent !== value) notice.textContent = value;
}

function keys() {
  const key = (name) => element("kbd", "", name);
  const hint = element("span", "keys");
  hint.append(key("Enter"), " sends, ", key("Shift + Enter"), " begins a line, ", key("Alt + ↑ ↓"), " changes the room");
  return hint;
}
