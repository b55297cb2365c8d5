// The first thing that a visitor sees: the field for a name. It also knows which names the server accepts.

import { length, plural } from "./text.js";

const door = document.getElementById("door");
const form = document.getElementById("door-form");
const field = document.getElementById("name");
const help = document.getElementById("name-help");
const app = document.getElementById("app");

const ROOM_NAME = /^[\p{Ll}\p{Lo}\p{N}]+(?:[-_][\p{Ll}\p{Lo}\p{N}]+)*$/u;

export class Door {
  #limits = { name: 24, room: 24 };
  #then;
  #isFirst = true;

  // `onName(name)` is called once, with the first name.
  constructor(onName) {
    this.#then = onName;
    field.addEventListener("input", () => this.#check(false));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#check(true)) this.#enter();
      else field.focus();
    });
    form.addEventListener("keydown", (event) => event.key === "Escape" && !this.#isFirst && this.#close());
  }

  // The name of the last visit is used again. Otherwise the visitor is asked.
  start() {
    const name = sessionStorage.getItem("name");
    if (name) {
      field.value = name;
      this.#enter();
    } else this.#open(localStorage.getItem("name") ?? "");
  }

  // Asks for another name.
  ask(name, then) {
    this.#then = then;
    this.#open(name);
  }

  setLimits(limits) {
    this.#limits = limits;
  }

  isRoomName = (name) => this.faultOfRoomName(name) === "";

  faultOfRoomName(name) {
    if (length(name) > this.#limits.room) return `A room's name has at most ${this.#limits.room} characters.`;
    return ROOM_NAME.test(name) ? "" : "Use small letters and digits, with single hyphens between them.";
  }

  #open(name) {
    field.value = name;
    app.hidden = true;
    door.hidden = false;
    this.#check(false);
    field.select();
    field.focus();
  }

  #enter() {
    const name = field.value.trim().replace(/\s+/gu, " ");
    sessionStorage.setItem("name", name);
    localStorage.setItem("name", name);
    this.#close();
    this.#isFirst = false;
    this.#then(name);
  }

  #close() {
    door.hidden = true;
    app.hidden = false;
  }

  // Shows what is wrong with the name. An empty field is wrong only once it is submitted.
  #check(isSubmitted) {
    const count = length(field.value.trim());
    const over = count - this.#limits.name;
    const isMissing = count === 0 && isSubmitted;
    const isWrong = over > 0 || isMissing;
    help.classList.toggle("wrong", isWrong);
    field.setAttribute("aria-invalid", String(isWrong));
    help.textContent = over > 0
      ? `${plural(over, "character", "characters")} too long: a name has at most ${this.#limits.name}.`
      : isMissing ? "Please choose a name." : "";
    return count > 0 && !isWrong;
  }
}
