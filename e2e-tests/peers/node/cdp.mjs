// The part of the DevTools protocol that the scripts need: commands and events as JSON over two pipes, each ended by a
// zero byte.

import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-breakpad",
  "--no-proxy-server",
  // The browser ends when these pipes end, so it cannot outlive this script.
  "--remote-debugging-pipe",
];

// Emits "event" with { method, params, sessionId } for each event of the browser.
export class Browser extends EventEmitter {
  #failure = null;
  #pending = new Map();
  #nextId = 1;
  #unread = "";

  constructor(program, flags) {
    super();
    this.profile = mkdtempSync(join(tmpdir(), "chat-profile-"));
    const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"];
    this.child = spawn(program, [...FLAGS, ...flags, `--user-data-dir=${this.profile}`, "about:blank"], { stdio });
    // The first event comes if the program cannot be started, the second if it ends.
    this.ended = new Promise((resolve) => this.child.once("error", resolve).once("exit", resolve));
    this.ended.then((error) => this.#abandon(error instanceof Error ? error : new Error("the browser has ended")));
    // Also runs when this script gives up.
    process.once("exit", () => this.#discard());
    const [commands, answers] = this.child.stdio.slice(3);
    // A browser that has ended is reported above.
    commands.on("error", () => {});
    answers.setEncoding("utf8").on("data", (text) => this.#receive(text));
    this.commands = commands;
  }

  send(method, params = {}, sessionId = undefined) {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    this.commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#pending.set(id, { method, resolve, reject }));
  }

  async close() {
    this.send("Browser.close").catch(() => {});
    await this.ended;
  }

  #discard() {
    this.child.kill("SIGKILL");
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #receive(text) {
    const messages = (this.#unread + text).split("\0");
    this.#unread = messages.pop();
    messages.forEach((message) => this.#dispatch(JSON.parse(message)));
  }

  #dispatch(message) {
    const waiting = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (!waiting) this.emit("event", message);
    else if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
    else waiting.resolve(message.result);
  }

  #abandon(error) {
    this.#failure = error;
    this.#pending.forEach(({ reject }) => reject(error));
    this.#pending.clear();
  }
}

// One tab.
export class Page {
  #browser;
  #session;

  // A page whose WebSocket is open: the browser has accepted the server's 101.
  static async open(browser, url) {
    const page = await Page.blank(browser);
    const handshake = page.event("Network.webSocketHandshakeResponseReceived");
    await page.visit(url);
    page.handshake = (await handshake).response;
    return page;
  }

  // An empty tab. `context` is the id of a browser context, which has its own storage.
  static async blank(browser, context = undefined) {
    const page = new Page();
    page.#browser = browser;
    const target = { url: "about:blank", browserContextId: context };
    const { targetId } = await browser.send("Target.createTarget", target);
    const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    page.#session = sessionId;
    for (const domain of ["Page", "Runtime", "Network"]) await page.command(`${domain}.enable`);
    return page;
  }

  // Returns once the page is loaded.
  async visit(url) {
    const { errorText } = await this.command("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.evaluate(`(${whenLoaded})()`);
  }

  // The next event of this kind. An exception in the page ends the wait.
  event(method) {
    return new Promise((resolve, reject) => {
      const listener = (message) => {
        if (message.sessionId !== this.#session) return;
        if (message.method === "Runtime.exceptionThrown") reject(thrown(message.params.exceptionDetails));
        else if (message.method === method) resolve(message.params);
        else return;
        this.#browser.off("event", listener);
      };
      this.#browser.on("event", listener);
    });
  }

  // The value of an expression, or of the promise that it yields.
  async evaluate(expression) {
    const parameters = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.command("Runtime.evaluate", parameters);
    if (exceptionDetails) throw thrown(exceptionDetails);
    return result.value;
  }

  // A command of the DevTools protocol to this tab.
  command(method, params) {
    return this.#browser.send(method, params, this.#session);
  }
}

// Runs inside the page.
function whenLoaded() {
  if (document.readyState === "complete") return true;
  return new Promise((resolve) => window.addEventListener("load", () => resolve(true)));
}

function thrown({ text, exception }) {
  return new Error(`in the page: ${text} ${exception?.description ?? ""}`);
}
