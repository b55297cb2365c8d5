// Brings together the connection, the rooms and the page.

import { Composer } from "./composer.js";
import { Door } from "./door.js";
import { Link } from "./link.js";
import { drawLog, isAtBottom, missedText } from "./log.js";
import { Outbox } from "./outbox.js";
import { Room } from "./rooms.js";
import * as sides from "./sides.js";

const at = (id) => document.getElementById(id);
const rooms = new Map();
const own = new Set(JSON.parse(sessionStorage.getItem("own") ?? "[]"));
const isMine = (id) => own.has(id);
const link = new Link(new URL("socket", location.href.replace(/^http/u, "ws").replace(/[?#].*/u, "")));
const door = new Door((name) => begin(name));
const outbox = new Outbox(({ room, text, ref }) => send({ type: "say", room, text, ref }));
const composer = new Composer(say, (on) => current && send({ type: "typing", room: current.name, on }));

let current = null;
let me = { id: "own", name: "" };
let isLate = false;
const isFirstVisit = localStorage.getItem("rooms") === null;
let isDrawing = false;

const send = (command) => link.send(command);
const isSeen = (room) => room === current && !document.hidden && isAtBottom();

// Draws once after everything that happens together.
function draw() {
  if (isDrawing || !current) return;
  isDrawing = true;
  queueMicrotask(() => {
    isDrawing = false;
    if (isSeen(current)) current.unread = 0;
    sides.drawRooms(rooms, current, choose);
    sides.drawHead(current);
    sides.drawPeople(current, isMine);
    sides.drawTyping(current);
    sides.drawEmpty(current);
    sides.drawSelf(me.name, link.state);
    sides.drawBanner(link, isLate);
    sides.drawTitle(rooms, current);
    drawLog(current, isMine, sayAgain);
  });
}

function begin(name) {
  me.name = name;
  own.add(me.id);
  at("app").hidden = false;
  const hash = decodeURIComponent(location.hash.slice(1));
  const names = [...(JSON.parse(localStorage.getItem("rooms") ?? "null") ?? []), hash].filter((room) => door.isRoomName(room));
  names.forEach((room) => addRoom(room));
  if (rooms.size === 0) addRoom("lobby");
  show(rooms.get(hash) ?? rooms.values().next().value);
  setTimeout(() => {
    isLate = true;
    draw();
  }, 1_500);
  link.open();
  composer.focus();
}

function addRoom(name, about = "") {
  if (!rooms.has(name)) rooms.set(name, new Room(name, about));
  const room = rooms.get(name);
  room.about ||= about;
  return room;
}

function show(room) {
  if (current) {
    current.draft = composer.draft;
    current.firstUnread = null;
  }
  current = room;
  composer.draft = room.draft;
  room.unread = 0;
  history.replaceState(null, "", `#${encodeURIComponent(room.name)}`);
  localStorage.setItem("rooms", JSON.stringify([...rooms.keys()]));
  draw();
}

// Chooses a room, and enters it if need be.
function choose(name) {
  const room = addRoom(name);
  if (!room.isIn) send(room.enter());
  if (at("rooms").matches(":popover-open")) at("rooms").hidePopover();
  show(room);
  composer.focus();
}

function lose() {
  rooms.forEach((room) => room.lost());
  outbox.clear();
}

function enterAgain(name) {
  const room = rooms.get(name);
  if (room && !room.isIn) send(room.enter());
}

function leave() {
  const room = current;
  send({ type: "leave", room: room.name });
  rooms.delete(room.name);
  if (rooms.size === 0) addRoom("lobby");
  choose(rooms.keys().next().value);
}

function say(text) {
  const entry = current.say(me.id, me.name, text);
  entry.room = current.name;
  transmit(entry);
  draw();
}

function sayAgain(entry) {
  entry.failed = null;
  transmit(entry);
  draw();
}

// Without a connection the message waits; entering its room sends it.
function transmit(entry) {
  if (rooms.get(entry.room)?.isIn) outbox.add(entry);
}

const handlers = {
  welcome({ id, name, limits, rooms: standing }) {
    me = { id, name };
    own.add(id);
    sessionStorage.setItem("own", JSON.stringify([...own].slice(-50)));
    composer.setLimit(limits.text);
    door.setLimits(limits);
    standing.forEach(({ name: room, about }) => (isFirstVisit || rooms.has(room)) && addRoom(room, about));
    rooms.forEach((room) => send(room.enter()));
  },
  entered(answer) {
    const room = rooms.get(answer.room);
    if (!room) return;
    const before = room.wasIn;
    const { count, again } = room.entered(answer, isMine);
    again.forEach((entry) => transmit(entry));
    if (before && room !== current) room.unread += count;
    if (before && room === current && count > 0) {
      at("announcer").textContent = missedText(count, answer.recovered !== "all", answer.recovered === "none");
    }
  },
  said(message, position) {
    const room = rooms.get(message.room);
    const entry = room?.said(position, message);
    outbox.answered(message.ref);
    if (!entry || isMine(entry.id)) return;
    if (room === current) at("announcer").textContent = `${entry.name}: ${entry.text}`;
    if (isSeen(room)) return;
    if (room.unread === 0) room.firstUnread = entry;
    room.unread += 1;
  },
  joined({ room, id, name }) {
    if (!isMine(id)) rooms.get(room)?.joined(id, name);
  },
  left: ({ room, id }) => rooms.get(room)?.left(id),
  here: ({ room, here }) => rooms.get(room)?.here(here),
  typing({ room, id, name, on }) {
    if (!isMine(id)) rooms.get(room)?.types(id, name, on);
  },
  refused({ room, ref, why, wait }) {
    const entry = rooms.get(room)?.pendingMessage(ref);
    if (entry && wait) {
      composer.explain(`${why} Your message follows in ${Math.ceil(wait / 1000)} s.`, wait);
      outbox.delay(ref, wait);
      return;
    }
    if (entry) entry.failed = why;
    else composer.explain(why);
    if (ref) outbox.answered(ref);
    else if (wait) setTimeout(() => enterAgain(room), wait);
  },
};

link.addEventListener("up", () => send({ type: "hello", name: me.name }));
link.addEventListener("down", lose);
link.addEventListener("state", draw);
link.addEventListener("message", ({ detail }) => {
  // Messages of a room's log have their position around them.
  const [message, position] = detail.at ? [detail.data, detail.at] : [detail];
  if (Object.hasOwn(handlers, message.type)) handlers[message.type](message, position);
  draw();
});

setInterval(() => {
  if (link.state === "waiting") draw();
  for (const room of rooms.values()) if (room.silence()) draw();
}, 1_000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden && current) current.firstUnread = null;
  draw();
});
at("scroller").addEventListener("scroll", () => current?.unread > 0 && isSeen(current) && draw(), { passive: true });
at("retry").addEventListener("click", () => link.tryNow());
at("leave").addEventListener("click", leave);
at("rename").addEventListener("click", () => door.ask(me.name, (name) => {
  me.name = name;
  lose();
  link.restart();
}));
at("copy").addEventListener("click", async () => {
  await navigator.clipboard?.writeText(location.href);
  at("copy").textContent = "Copied";
  setTimeout(() => (at("copy").textContent = "Copy the address"), 2_000);
});
at("open-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = at("open-name").value.trim().toLowerCase().replace(/^#/u, "").replace(/\s+/gu, "-");
  const fault = name === "" ? "" : door.faultOfRoomName(name);
  at("open-help").textContent = fault;
  at("open-help").classList.toggle("wrong", fault !== "");
  if (name === "" || fault) return;
  at("open-name").value = "";
  choose(name);
});
addEventListener("hashchange", () => {
  const name = decodeURIComponent(location.hash.slice(1));
  if (current && door.isRoomName(name) && name !== current.name) choose(name);
});
addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!event.altKey || !step || !current) return;
  event.preventDefault();
  const names = [...rooms.keys()];
  choose(names.at((names.indexOf(current.name) + step) % names.length));
});

door.start();
