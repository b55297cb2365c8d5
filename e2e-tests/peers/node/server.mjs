// An echo server with the npm package `ws`. See README.md.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { deflateOptions, loadWs, readOptions } from "./library.mjs";

const { WebSocketServer } = loadWs();

const options = readOptions({
  listen: "string",
  deflate: "boolean",
  "deflate-params": "string",
  "tls-cert": "string",
  "tls-key": "string",
  subprotocol: "string",
  ping: "boolean",
  close: "string",
});

function createServer() {
  if (!options["tls-cert"]) return http.createServer();
  return https.createServer({ cert: readFileSync(options["tls-cert"]), key: readFileSync(options["tls-key"]) });
}

async function ping(ws) {
  ws.ping("are you there?");
  await once(ws, "pong");
  console.log("pong");
}

function handle(ws, request) {
  console.log(`open ${request.url}`);
  // Echoes wait for the pong, so the first echo shows that the ping was answered.
  const ready = options.ping ? ping(ws) : Promise.resolve();
  ws.on("message", async (data, isBinary) => {
    await ready;
    ws.send(data, { binary: isBinary });
    if (options.close) closeWith(ws, options.close);
  });
  ws.on("error", (error) => console.error(error.message));
  ws.on("close", (code, reason) => console.log(`closed ${code} ${reason}`.trimEnd()));
}

function closeWith(ws, text) {
  const [code, reason] = text.split(":");
  ws.close(Number(code), reason);
}

function listen(server) {
  const [, host, port] = (options.listen ?? "127.0.0.1:0").match(/^\[?(.*?)\]?:(\d+)$/);
  server.listen(Number(port), host, () => {
    const { address, port, family } = server.address();
    const shown = family === "IPv6" ? `[${address}]` : address;
    console.log(`listening on ${options["tls-cert"] ? "wss" : "ws"}://${shown}:${port}`);
  });
}

const server = createServer();
const webSockets = new WebSocketServer({
  server,
  perMessageDeflate: deflateOptions(options.deflate, options["deflate-params"]),
  maxPayload: 1 << 25,
  handleProtocols: (offered) => (offered.has(options.subprotocol) ? options.subprotocol : false),
});
webSockets.on("connection", handle);
listen(server);
process.stdin.resume().on("end", () => process.exit(0));
