// A server for the pictures.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

// Starts a server on a free port. Returns the URL of its page.
export async function start(program, options = []) {
  const server = spawn(program, ["127.0.0.1:0", ...options], { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => server.kill());
  const [line] = await once(createInterface(server.stdout), "line");
  return line.replace("listening on ", "");
}
