// Draws the messages of the current room. An entry keeps its element, so a change touches only what has changed.

import { dayKey, dayName, element, fillAvatar, isOnlyEmoji, list, plural, timeOf, withLinks } from "./text.js";

// Messages of one person within this time stand together.
const GROUP_WITHIN = 5 * 60_000;
const NEAR_BOTTOM = 96;

const log = document.getElementById("log");
const scroller = document.getElementById("scroller");
const jump = document.getElementById("jump");
const elements = new WeakMap(); // entry -> element
const days = new Map(); // room and day -> element
const freshLine = element("li", "mark-line", "New");

let shown = null;
let follows = true;
let below = 0;

scroller.addEventListener("scroll", () => {
  follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_BOTTOM;
  if (follows) below = 0;
  showJump();
}, { passive: true });
// The keyboard of a phone, or a field that grows, must not hide the newest message.
new ResizeObserver(() => follows && toBottom()).observe(scroller);
jump.addEventListener("click", () => toBottom("smooth"));

// Whether the newest message can be seen.
export const isAtBottom = () => follows;

export function toBottom(behavior = "instant") {
  follows = true;
  scroller.scrollTo({ top: scroller.scrollHeight, behavior });
}

// `isMine(id)` tells own messages, `onRetry(entry)` is called to send one again.
export function drawLog(room, isMine, onRetry) {
  const isOther = room !== shown;
  const known = new Set(isOther ? [] : log.children);
  const wanted = layOut(room, isMine, onRetry);
  wanted.forEach((item, at) => log.children[at] === item || log.insertBefore(item, log.children[at] ?? null));
  while (log.children.length > wanted.length) log.lastChild.remove();
  const added = wanted.filter((item) => !known.has(item) && item.classList.contains("message"));
  if (!isOther) added.slice(-3).forEach((item) => item.classList.add("arrives"));
  const isOwn = !isOther && added.at(-1)?.classList.contains("mine");
  shown = room;
  if (isOther || follows || isOwn) toBottom();
  else below += added.length;
  if (isOther) below = 0;
  showJump();
}

function showJump() {
  jump.hidden = follows;
  jump.classList.toggle("fresh", below > 0);
  jump.textContent = below > 0 ? `${plural(below, "new message", "new messages")} ↓` : "To the newest ↓";
}

// The elements in their order.
function layOut(room, isMine, onRetry) {
  const items = [];
  let previous = null;
  let day = "";
  const separate = (item) => {
    items.push(item);
    previous = null;
  };
  for (const entry of room.entries) {
    if (entry.kind === "note" && entry.changes.size === 0) continue;
    if (entry.kind === "message" && dayKey(entry.time) !== day) {
      day = dayKey(entry.time);
      separate(dayLine(room, day, entry.time));
    }
    if (entry === room.firstUnread) separate(freshLine);
    const item = itemOf(room, entry, isMine, onRetry);
    if (entry.kind !== "message") {
      separate(item);
      continue;
    }
    const isSame = previous && sender(previous, isMine) === sender(entry, isMine);
    const joins = Boolean(isSame && entry.time - previous.time < GROUP_WITHIN);
    item.classList.toggle("follows", joins);
    item.classList.add("ends");
    item.querySelector(".message-head").hidden = joins;
    if (joins) items.at(-1).classList.remove("ends");
    items.push(item);
    previous = entry;
  }
  return items;
}

const sender = (entry, isMine) => (isMine(entry.id) ? "mine" : entry.id);

function dayLine(room, day, time) {
  const key = `${room.name} ${day}`;
  if (!days.has(key)) days.set(key, element("li", "day"));
  const line = days.get(key);
  line.textContent = dayName(time);
  return line;
}

function itemOf(room, entry, isMine, onRetry) {
  const make = { message: () => message(entry, isMine(entry.id)), note: () => element("li", "note"), missed };
  if (!elements.has(entry)) elements.set(entry, make[entry.kind](entry));
  const item = elements.get(entry);
  if (entry.kind === "note") item.textContent = noteText(entry.changes);
  if (entry.kind === "message" && isMine(entry.id)) showDelivery(item, entry, room.isIn, onRetry);
  return item;
}

function message(entry, mine) {
  const time = element("time", "", timeOf(entry.time));
  time.dateTime = new Date(entry.time).toISOString();
  const head = element("div", "message-head", element("strong", "", mine ? "You" : entry.name), time);
  const bubble = element("div", "bubble", ...withLinks(entry.text));
  bubble.classList.toggle("emoji", isOnlyEmoji(entry.text));
  bubble.title = new Date(entry.time).toLocaleString();
  bubble.dir = "auto";
  const avatar = fillAvatar(element("span", "avatar"), entry.name);
  avatar.setAttribute("aria-hidden", "true");
  return element("li", mine ? "message mine" : "message", avatar, head, bubble);
}

function showDelivery(item, entry, isConnected, onRetry) {
  item.classList.toggle("pending", Boolean(entry.pending && !entry.failed));
  item.classList.toggle("failed", Boolean(entry.failed));
  item.querySelector(".delivery")?.remove();
  if (entry.failed) {
    const again = element("button", "", "Try again");
    again.type = "button";
    again.addEventListener("click", () => onRetry(entry));
    item.append(element("div", "delivery", `Not sent: ${entry.failed} `, again));
  } else if (entry.pending) {
    item.append(element("div", "delivery", isConnected ? "Sending…" : "Waits for the connection"));
  }
}

function noteText(changes) {
  const who = (what) => [...changes].filter(([, change]) => change === what).map(([name]) => name);
  const part = (what) => (who(what).length > 0 ? [`${list(who(what), 3)} ${what}`] : []);
  return [...part("joined"), ...part("left")].join(" · ");
}

function missed({ count, isLost, forgotten }) {
  return element("li", isLost ? "mark-line lost" : "mark-line", missedText(count, isLost, forgotten));
}

export function missedText(count, isLost, forgotten) {
  const messages = plural(count, "message", "messages");
  if (!isLost) return `${messages} while you were away`;
  if (forgotten) return "The history was lost while you were away, and some messages with it";
  return `Some messages are lost: the history goes back only ${messages}`;
}
