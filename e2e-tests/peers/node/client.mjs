// Checks an echo server with the npm package `ws`. See README.md.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { MESSAGES, whole } from "./cases.mjs";
import { deflateOptions, loadWs, readOptions, runClient } from "./library.mjs";

const WebSocket = loadWs();

// Returns the messages one by one, in the order in which they arrive. The first `null` is the end.
function inbox(ws) {
  const arrived = [];
  const waiting = [];
  const put = (message) => (waiting.length > 0 ? waiting.shift()(message) : arrived.push(message));
  ws.on("message", (data, isBinary) => put(isBinary ? data : data.toString()));
  ws.on("close", () => put(null));
  return () => (arrived.length > 0 ? arrived.shift() : new Promise((resolve) => waiting.push(resolve)));
}

function send(ws, message) {
  const fragments = Array.isArray(message) ? message : [message];
  fragments.forEach((fragment, index) => ws.send(fragment, { fin: index === fragments.length - 1 }));
}

function expectEcho(found, message, name) {
  const expected = whole(message);
  // Not deepEqual: its report of a large difference takes minutes.
  const same = typeof expected === "string" ? found === expected : Buffer.isBuffer(found) && found.equals(expected);
  assert(same, `${name}: the echo differs, ${found?.length} instead of ${expected.length}`);
}

async function checkPing(ws, payload) {
  ws.ping(payload);
  const [answer] = await once(ws, "pong");
  assert(answer.equals(Buffer.from(payload)), "the pong carries another payload than the ping");
}

async function checkPingBetweenFragments(ws, next) {
  ws.send("before ", { fin: false });
  // It is answered while the message is still incomplete.
  await checkPing(ws, "in between");
  ws.send("after", { fin: true });
  expectEcho(await next(), "before after", "ping between fragments");
}

async function checkPipelined(ws, next) {
  const texts = Array.from({ length: 200 }, (_, number) => `message ${number}`);
  texts.forEach((text) => ws.send(text));
  for (const text of texts) expectEcho(await next(), text, "200 messages at once");
}

async function checkClose(ws) {
  ws.close(1000, "bye");
  const [code, reason] = await once(ws, "close");
  assert.deepEqual([code, reason.toString()], [1000, "bye"]);
}

async function checkServer(options, params) {
  const ws = new WebSocket(options.positionals[0], options.subprotocol ?? [], {
    perMessageDeflate: deflateOptions(options.deflate, params),
    ca: options.ca && readFileSync(options.ca),
  });
  const next = inbox(ws);
  await once(ws, "open");
  assert.equal(ws.extensions, options.deflate ? "permessage-deflate" : "");
  assert.equal(ws.protocol, options.subprotocol ?? "");
  for (const [name, message] of MESSAGES) {
    send(ws, message);
    expectEcho(await next(), message, name);
  }
  await checkPing(ws, "");
  await checkPing(ws, "p".repeat(125));
  await checkPingBetweenFragments(ws, next);
  await checkPipelined(ws, next);
  await checkClose(ws);
}

runClient(async () => {
  const options = readOptions({ deflate: "boolean", "deflate-params": "strings", ca: "string", subprotocol: "string" });
  for (const params of options["deflate-params"] ?? [undefined]) await checkServer(options, params);
});
