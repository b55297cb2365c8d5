// Foreign text becomes text nodes, never markup.

const URLS = /https?:\/\/[^\s<>"]+/giu;
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}(?:\u200d\p{Extended_Pictographic}|[\ufe0f\u{1f3fb}-\u{1f3ff}])*\s*){1,3}$/u;

// Makes an element. `children` are nodes or strings; a string becomes a text node.
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// The parts of a text: strings, and links for what is an http address.
export function withLinks(text) {
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(URLS)) {
    const address = withoutTail(found);
    if (!URL.canParse(address)) continue;
    const link = element("a", "", address);
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    parts.push(text.slice(end, index), link);
    end = index + address.length;
  }
  parts.push(text.slice(end));
  return parts;
}

// Punctuation behind an address belongs to the sentence.
function withoutTail(address) {
  const cut = address.replace(/[.,;:!?'*_]+$/u, "");
  const closes = (cut.match(/\)/gu) ?? []).length > (cut.match(/\(/gu) ?? []).length;
  return closes ? cut.replace(/\)+$/u, "") : cut;
}

export const isOnlyEmoji = (text) => text.length <= 40 && ONLY_EMOJI.test(text);

// One or two letters for a name.
export function initials(name) {
  const words = name.split(/\s+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0] ?? "").join("").toUpperCase();
}

// The same colour for the same name, on every page.
export function hue(name) {
  let hash = 2166136261;
  for (const char of name.toLowerCase()) hash = Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0;
  return hash % 360;
}

export function fillAvatar(avatar, name) {
  avatar.textContent = initials(name);
  avatar.style.setProperty("--hue", hue(name));
  return avatar;
}

// The length as the server counts it: in code points.
export const length = (text) => [...text].length;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const timeOf = (ms) => clock.format(ms);
export const dayKey = (ms) => new Date(ms).toDateString();

export function dayName(ms) {
  const days = (Date.parse(dayKey(Date.now())) - Date.parse(dayKey(ms))) / 86_400_000;
  if (Math.round(days) === 0) return "Today";
  return Math.round(days) === 1 ? "Yesterday" : weekday.format(ms);
}

export const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

// "Ada", "Ada and Ben", "Ada, Ben and 3 others".
export function list(names, shown = 2) {
  const rest = names.length - shown;
  if (rest > 0) return `${names.slice(0, shown).join(", ")} and ${plural(rest, "other", "others")}`;
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0] ?? "";
}
