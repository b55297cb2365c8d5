// What was counted since the server was started, by kind.

import { bytes, count } from "./units.js";

const CODES = {
  1000: "normal", 1001: "going away", 1002: "protocol error", 1003: "unsupported data", 1005: "without a code",
  1006: "without a Close", 1007: "invalid text", 1008: "policy violation", 1009: "message too big",
  1010: "extension missing", 1011: "server error", 1012: "restart", 1013: "try again later", 1014: "bad gateway",
};
// These two stand for a thousand codes each.
const RANGES = { 3000: ["3xxx", "registered"], 4000: ["4xxx", "of the application"] };
const SIDES = { local: "server", remote: "peer", library: "library" };
const STATUSES = {
  400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
  414: "URI Too Long", 426: "Upgrade Required", 429: "Too Many Requests", 431: "Header Fields Too Large",
  500: "Internal Server Error", 503: "Service Unavailable", 505: "Version Not Supported",
};
const FAILURES = {
  timed_out: "timed out", transport: "connection lost", tls: "TLS failed", proxy: "bad PROXY header",
  overload: "overload", shutdown: "shutdown",
};

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);

export function drawHandshakes(list, { accepted, http, refused, failed }) {
  const causes = Object.entries(failed).map(([cause, number]) => ["", FAILURES[cause] ?? cause, number]);
  const rows = [["", "accepted", accepted], ["", "answered over HTTP", http], ["", "refused", sum(Object.values(refused))]];
  drawRows(list, [...rows, ...causes], "");
}

export function drawRefusals(list, { refused }) {
  const rows = Object.entries(refused).map(([status, number]) => [status, STATUSES[status] ?? "", number]);
  drawRows(list, rows, "No request was refused.");
}

export function drawCloses(list, closes) {
  const rows = closes.map(([code, side, number]) => {
    const [shown, name] = RANGES[code] ?? [code, CODES[code] ?? ""];
    return [shown, name, number, SIDES[side] ?? side];
  });
  drawRows(list, rows, "No connection has ended.");
}

// Rows of code, name, number and a side. The bars are parts of the largest number.
function drawRows(list, rows, empty) {
  const most = Math.max(1, ...rows.map(([, , number]) => number));
  const items = rows.map(([code, name, number, side]) => {
    const bar = part("i", "bar", "");
    bar.style.width = `${(100 * number) / most}%`;
    const item = document.createElement("li");
    item.append(part("span", "code", code), part("span", "name", name), part("span", "side", side ?? ""), part("b", "", count(number)), bar);
    return item;
  });
  if (items.length === 0) items.push(Object.assign(part("li", "none muted", empty)));
  list.replaceChildren(...items);
}

// A fault is what should never be there.
export function drawHealth(list, sample) {
  const rows = [
    ["Memory held", bytes(sample.memory)],
    ["Waiting to be written", bytes(sample.queued)],
    ["Writes that blocked", count(sample.blocked_writes)],
    ["Sends refused, queue full", count(sample.refused_sends)],
    ["Samples not sent to slow pages", count(sample.dropped)],
    ["Ends without a full close", count(sample.unclean)],
    ["Panics", count(sample.panics), sample.panics > 0],
    ["Accept back-offs", count(sample.backoffs), sample.backoffs > 0],
  ];
  list.replaceChildren(...rows.map(([name, value, isFault]) => {
    const row = document.createElement("div");
    row.append(part("dt", "", name), part("dd", isFault ? "fault" : "", value));
    return row;
  }));
}

function part(name, className, text) {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
