// Draws what surrounds the messages: rooms, people, the own name, the banner of the connection.

import { element, fillAvatar, list, plural } from "./text.js";

const at = (id) => document.getElementById(id);

export function drawRooms(rooms, current, onChoose) {
  const items = [...rooms.values()].map((room) => {
    const link = element("button", "room-link", element("span", "room-link-name", room.name));
    link.type = "button";
    if (room === current) link.setAttribute("aria-current", "page");
    if (room.unread > 0) {
      const badge = element("span", "badge", room.unread > 99 ? "99+" : String(room.unread));
      badge.append(element("span", "sr-only", " unread"));
      link.classList.add("unread");
      link.append(badge);
    }
    link.addEventListener("click", () => onChoose(room.name));
    return element("li", "", link);
  });
  keepFocus(at("room-list"), items);
  const others = [...rooms.values()].some((room) => room !== current && room.unread > 0);
  at("other-unread").hidden = !others;
}

// Replaces the children; the button that had the focus has it again.
function keepFocus(parent, items) {
  const focused = [...parent.querySelectorAll("button")].indexOf(document.activeElement);
  parent.replaceChildren(...items);
  if (focused >= 0) parent.querySelectorAll("button")[focused]?.focus();
}

export function drawHead(room) {
  at("room-name").textContent = `#${room.name}`;
  at("room-about").textContent = room.about || "A room that visitors have opened";
  at("leave").setAttribute("aria-label", `Leave #${room.name}`);
  at("leave").title = `Leave #${room.name}`;
  at("text").placeholder = `Message #${room.name}`;
  at("text-label").textContent = `Message to #${room.name}`;
}

export function drawPeople(room, isMine) {
  const order = [...room.people].sort(([a, left], [b, right]) => isMine(b) - isMine(a) || left.localeCompare(right));
  at("people-list").replaceChildren(...order.map(([id, name]) => {
    const avatar = fillAvatar(element("span", "avatar"), name);
    avatar.setAttribute("aria-hidden", "true");
    const item = element("li", "", avatar, element("span", "person", name));
    if (isMine(id)) item.append(element("span", "tag", "you"));
    if (room.typing.has(id)) item.append(element("span", "is-typing", "writes"));
    return item;
  }));
  at("people-count").textContent = String(room.people.size);
  at("people-title").textContent = room.people.size > 0 ? `Here now · ${room.people.size}` : "Here now";
  at("alone").hidden = room.people.size > 1 || !room.isIn;
}

export function drawTyping(room) {
  const names = [...room.typing.values()].map(({ name }) => name);
  const text = names.length > 0 ? `${list(names)} ${names.length === 1 ? "is" : "are"} writing` : "";
  if (at("typing").textContent !== text) at("typing").textContent = text;
}

export function drawEmpty(room) {
  at("empty").hidden = !(room.isIn && room.isEmpty());
  at("empty-title").textContent = `#${room.name} is quiet`;
  const others = [...room.people.values()].length - 1;
  at("empty-text").textContent = others > 0
    ? `${plural(others, "other person is", "other people are")} here. Write the first message.`
    : "There are no messages yet. Write the first one; it stays for those who come later.";
}

const STATES = { up: "Connected", connecting: "Connecting…", waiting: "Not connected", offline: "Offline", closed: "Away" };

export function drawSelf(name, state) {
  at("self-name").textContent = name;
  fillAvatar(at("self-avatar"), name);
  at("self-state").textContent = STATES[state];
  at("self-state").dataset.state = state;
}

// The banner appears only if the connection was there before, or does not come within a moment.
export function drawBanner(link, isLate) {
  const seconds = Math.max(1, Math.ceil((link.retryAt - Date.now()) / 1000));
  const texts = {
    connecting: link.failures > 0 ? "Connecting again…" : "Connecting…",
    waiting: `The connection is lost. The next attempt is in ${seconds} s.`,
    offline: "You are offline. The chat goes on when the network is back.",
  };
  const text = texts[link.state];
  at("banner").hidden = !text || (link.failures === 0 && !isLate);
  at("retry").hidden = link.state !== "waiting";
  if (text && at("banner-text").textContent !== text) at("banner-text").textContent = text;
}

export function drawTitle(rooms, current) {
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ""}#${current.name} · Chat`;
}
