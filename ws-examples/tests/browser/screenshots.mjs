// Makes the pictures of the chat: `node screenshots.mjs CHAT_SERVER FOLDER`. With `--url URL`, of a server that runs.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { Browser } from "../../../e2e-tests/peers/node/cdp.mjs";
import { readOptions, runClient } from "../../../e2e-tests/peers/node/library.mjs";
import { start } from "./server.mjs";
import { PHONE as REAL_PHONE, Visitor } from "./visitor.mjs";

// Smaller files.
const PHONE = { ...REAL_PHONE, deviceScaleFactor: 1.5 };

// Passes connections on, until they are cut.
class Line {
  #sockets = new Set();
  #isCut = false;

  static async to(url) {
    const line = new Line();
    const { hostname, port } = new URL(url);
    line.server = createServer((socket) => {
      if (line.#isCut) return socket.destroy();
      const node = connect(port, hostname);
      for (const [end, other] of [[socket, node], [node, socket]]) {
        line.#sockets.add(end);
        end.on("error", () => {}).on("close", () => other.destroy()).pipe(other);
      }
    });
    await once(line.server.listen(0, "127.0.0.1"), "listening");
    line.url = `http://127.0.0.1:${line.server.address().port}/`;
    return line;
  }

  cut() {
    this.#isCut = true;
    this.#sockets.forEach((socket) => socket.destroy());
  }

  mend() {
    this.#isCut = false;
  }
}

async function act(browser, url, save) {
  const line = await Line.to(url);
  const ada = await Visitor.enter(browser, url, "Ada Lovelace");
  const ben = await Visitor.enter(browser, url, "Ben", { scheme: "dark" });
  const chiara = await Visitor.enter(browser, line.url, "Chiara Rossi", { size: PHONE });
  const dev = await Visitor.enter(browser, url, "Dev Patel", { size: PHONE, scheme: "dark" });
  await dev.choose("random");
  await dev.say("Which tea is this?");
  await dev.choose("lobby");
  await ada.say("Good morning! The build is green again.");
  await ben.say("Good morning. What was it?");
  await ada.say("A test that waited for time and not for an event.");
  await chiara.say("There is always one of these.");
  await chiara.say("I am on the train and about to enter the tunnel, so do not wait for me 🚄");
  await ben.say("It has a name now: https://example.org/tests-wait-for-events.");
  await dev.say("👏👏");
  await ben.sees("👏👏");
  line.cut();
  await chiara.isDown();
  await chiara.type("#text", "And I am still in it");
  await chiara.press("Enter");
  await save(chiara, "phone-offline");
  await ada.say("Now she is away. The server keeps what we say.");
  await ben.say("And she misses nothing. The page asks from its last position.");
  await dev.say("Let us see when she is back.");
  line.mend();
  await chiara.sees("while you were away");
  await ada.sees("And I am still in it");
  await chiara.say("I am back, and I have seen everything.");
  await ada.sees("I have seen everything");
  await ben.type("#text", "Told you");
  await ada.until("document.querySelector('#typing').textContent");
  await ada.type("#text", "Welcome back!");
  await save(ada, "desktop-light");
  await save(chiara, "phone-light");
  await ada.press("Enter");
  await ben.sees("Welcome back!");
  await dev.type("#text", "So do I");
  await ben.until("document.querySelector('#typing').textContent");
  await save(ben, "desktop-dark");
  await dev.until("document.querySelector('#log').textContent.includes('Welcome back!')");
  await save(dev, "phone-dark");
}

runClient(async () => {
  const options = readOptions({ browser: "string", url: "string" });
  const [program, folder] = options.url ? [null, ...options.positionals] : options.positionals;
  const browser = new Browser(options.browser ?? "chromium", ["--hide-scrollbars", "--lang=en-GB"]);
  try {
    const url = options.url ?? (await start(program));
    await act(browser, url, async (visitor, name) => {
      writeFileSync(join(folder, `chat-${name}.png`), await visitor.screenshot());
    });
  } finally {
    await browser.close();
  }
  setImmediate(() => process.exit(0));
});
