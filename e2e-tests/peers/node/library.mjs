// Shared code of the scripts: the `ws` package, which setup.sh installs outside this folder, and the command line.

import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const installed = new URL("../../../.peers/node/", import.meta.url);

export function loadWs() {
  return createRequire(installed)("ws");
}

// Options by name: "string", "boolean", or "strings" for one that may be repeated.
export function readOptions(types) {
  const option = (type) => (type === "strings" ? { type: "string", multiple: true } : { type });
  const options = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, option(type)]));
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  return { ...values, positionals };
}

// Runs a client. Prints one line on success. Prints an error and ends with status 1 on failure or after a timeout.
export async function runClient(client) {
  const limit = setTimeout(() => fail(new Error("gave up after 50 seconds")), 50_000);
  try {
    await client();
    clearTimeout(limit);
    console.log("ok");
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  console.error(error.stack ?? error);
  process.exit(1);
}

// `server_no_context_takeover,client_max_window_bits=10` as options of `ws`. Each message is compressed.
export function deflateOptions(deflate, params = "") {
  if (!deflate) return false;
  const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  const chosen = params.split(",").filter(Boolean).map((param) => param.split("="));
  return Object.fromEntries([["threshold", 0], ...chosen.map(([name, value]) => [camel(name), value ? Number(value) : true])]);
}
