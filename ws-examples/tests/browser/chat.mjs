// Uses the chat in Chromium: `node chat.mjs [--browser PATH] [--ca PEM] SCENARIO URL…`. It prints lines for the test that
// has started it, and `ok` at the end.

import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Browser } from "../../../e2e-tests/peers/node/cdp.mjs";
import { readOptions, runClient } from "../../../e2e-tests/peers/node/library.mjs";
import { PHONE, Visitor } from "./visitor.mjs";

const ALT = 1;
const MARKUP = "<img src=x onerror='document.title=1'> & <b>bold</b>";

const scenarios = {
  // Two visitors write to each other, and see each other come, write and go.
  async talk(browser, url) {
    const ada = await Visitor.enter(browser, url, "Ada");
    await ada.until("!document.querySelector('#empty').hidden && !document.querySelector('#alone').hidden");
    const ben = await Visitor.enter(browser, url, "Ben", { size: PHONE });
    await ada.sees("Ben joined");
    await ada.until("document.querySelector('#people-count').textContent === '2'");
    await ada.say("Hello, Ben. Grüße 🦀");
    await ben.sees("Hello, Ben. Grüße 🦀");
    await ada.until("document.querySelector('#typing').textContent === ''");
    await ben.type("#text", "Hello,");
    await ada.until("document.querySelector('#typing').textContent === 'Ben is writing'");
    await ben.type("#text", " Ada. See https://example.org/a_(b), it is good.");
    await ben.press("Enter");
    await ada.sees("Hello, Ada.");
    await ada.until("document.querySelector('#typing').textContent === ''");
    assert.equal(await ada.ask("document.querySelector('#log a').href"), "https://example.org/a_(b)");
    for (const visitor of [ada, ben]) {
      await visitor.expectMessages(["Hello, Ben. Grüße 🦀", "Hello, Ada. See https://example.org/a_(b), it is good."]);
    }
    await ben.close();
    await ada.sees("Ben left");
    await ada.until("document.querySelector('#people-count').textContent === '1'");
  },

  // A visitor who comes later sees what was said; foreign text is never markup.
  async markup(browser, url) {
    const ada = await Visitor.enter(browser, url, "<b>A</b> & co");
    await ada.say(MARKUP);
    const ben = await Visitor.enter(browser, url, "Ben");
    await ben.sees(MARKUP);
    await ben.expectMessages([MARKUP]);
    assert.equal(await ben.text("#log .message strong"), "<b>A</b> & co");
    assert.equal(await ben.ask("document.querySelectorAll('#log img, #log b, #people-list b').length"), 0);
  },

  // Nothing is wider than the window, whatever visitors write.
  async widths(browser, url) {
    const hostile = await Visitor.enter(browser, url, "W".repeat(24));
    await hostile.say("W".repeat(2_000));
    await hostile.say(`https://${"x".repeat(1_000)}.example/`);
    await hostile.say("Z" + "\u0301\u0330".repeat(200));
    for (const width of [320, 768, 1440]) {
      for (const scheme of ["light", "dark"]) {
        const size = { width, height: 640, deviceScaleFactor: 1, mobile: width < 500 };
        const door = await Visitor.arrive(browser, url, { size, scheme });
        await door.fits(width);
        await door.close();
        const visitor = await Visitor.enter(browser, url, `at ${width} ${scheme}`, { size, scheme });
        await visitor.until("document.querySelectorAll('#log .message').length >= 1");
        await visitor.fits(width);
        await visitor.close();
      }
    }
  },

  // Rooms are chosen with the keyboard; the others show how much is unread.
  async rooms(browser, url) {
    const ada = await Visitor.enter(browser, url, "Ada");
    const ben = await Visitor.enter(browser, url, "Ben");
    const room = (visitor) => visitor.text("#room-name");
    assert.equal(await room(ada), "#lobby");
    await ben.type("#open-name", "Café Society");
    await ben.press("Enter");
    assert.equal(await room(ben), "#café-society");
    await ben.say("Is it quiet here?");
    await ada.press("ArrowDown", ALT);
    assert.equal(await room(ada), "#rust");
    await ben.press("ArrowDown", ALT);
    assert.equal(await room(ben), "#lobby");
    await ben.say("one");
    await ben.say("two");
    await ada.until("document.querySelector('.badge')?.firstChild.data === '2' && document.title.startsWith('(2) #rust')");
    await ada.press("ArrowUp", ALT);
    await ada.until("!document.querySelector('.badge') && document.title.startsWith('#lobby')");
    await ada.expectMessages(["one", "two"]);
    assert.equal(await ada.text("#log .mark-line"), "New");
    // A draft stays with its room.
    await ada.type("#text", "a draft");
    await ada.press("ArrowDown", ALT);
    assert.equal(await ada.ask("document.querySelector('#text').value"), "");
    await ada.press("ArrowUp", ALT);
    assert.equal(await ada.ask("document.querySelector('#text').value"), "a draft");
    await ben.click("#leave");
    await ada.sees("Ben left");
  },

  // The page explains its limits, and a message that comes too fast is sent a little later.
  async limits(browser, url) {
    const door = await Visitor.arrive(browser, url);
    await door.press("Enter");
    await door.until("document.querySelector('#name-help').textContent === 'Please choose a name.'");
    await door.type("#name", "n".repeat(25));
    await door.until("document.querySelector('#name-help').textContent.startsWith('1 character too long')");
    const ada = await Visitor.enter(browser, url, "Ada");
    const ben = await Visitor.enter(browser, url, "Ben");
    await ada.type("#text", "x".repeat(2_001));
    await ada.until("document.querySelector('#notice').textContent.startsWith('1 over the limit of 2000')");
    assert.equal(await ada.ask("document.querySelector('.send').disabled"), true);
    await ada.press("Enter");
    assert.deepEqual(await ada.messages(), []);
    await ada.ask("document.querySelector('#text').select()");
    const texts = Array.from({ length: 10 }, (_, number) => `message ${number}`);
    for (const text of texts) {
      await ada.type("#text", text);
      await ada.press("Enter");
    }
    await ada.until("document.querySelector('#notice').textContent.startsWith('You write too fast')");
    await ada.until("document.querySelectorAll('#log .mine:not(.pending)').length === 10");
    for (const visitor of [ada, ben]) {
      await visitor.sees(texts.at(-1));
      await visitor.expectMessages(texts);
    }
  },

  // Messages while a page is away come when it is back; the test cuts it off after `cut`, and ends that after `mend`.
  async away(browser, url, other) {
    const ada = await Visitor.enter(browser, url, "Ada");
    const ben = await Visitor.enter(browser, other, "Ben");
    await ada.say("before");
    await ben.sees("before");
    console.log("cut");
    await ada.isDown();
    await ben.sees("Ada left");
    for (const text of ["one", "two", "three"]) await ben.say(text);
    // Messages that are written without a connection are sent afterwards, as fast as the server allows.
    const late = Array.from({ length: 12 }, (_, number) => `still here ${number}`);
    for (const text of late) {
      await ada.type("#text", text);
      await ada.press("Enter");
    }
    await ada.expectMessages(["before", ...late]);
    console.log("mend");
    await ada.sees("3 messages while you were away");
    for (const visitor of [ada, ben]) {
      await visitor.sees(late.at(-1));
      await visitor.until("!document.querySelector('.pending')");
      await visitor.expectMessages(["before", "one", "two", "three", ...late]);
    }
  },

  // The server keeps 5 messages. A page that has missed more says so.
  async lost(browser, url, other) {
    const ada = await Visitor.enter(browser, url, "Ada");
    const ben = await Visitor.enter(browser, other, "Ben");
    await ben.say("0");
    await ada.sees("0");
    console.log("cut");
    await ada.isDown();
    for (const text of ["1", "2", "3", "4", "5", "6", "7"]) await ben.say(text);
    console.log("mend");
    await ada.sees("Some messages are lost: the history goes back only 5 messages");
    await ada.expectMessages(["0", "3", "4", "5", "6", "7"]);
  },

  // The visitors are on two nodes. The test kills that of the first one after `kill`.
  async failover(browser, url, other) {
    const ada = await Visitor.enter(browser, url, "Ada");
    const ben = await Visitor.enter(browser, other, "Ben");
    await ada.until("document.querySelector('#people-count').textContent === '2'");
    await ada.say("from the first node");
    await ben.sees("from the first node");
    await ben.say("from the second node");
    await ada.sees("from the second node");
    console.log("kill");
    await ben.say("one");
    await ada.isUp();
    await ben.say("two");
    await ada.sees("two");
    await ada.say("from the second node, too");
    await ben.sees("from the second node, too");
    // Who was on the first node is gone there, and here again.
    await ben.until("document.querySelector('#people-count').textContent === '2'");
    const all = ["from the first node", "from the second node", "one", "two", "from the second node, too"];
    for (const visitor of [ada, ben]) await visitor.expectMessages(all);
  },
};

// Chromium has no option for a file of certificates, but it has one to trust a public key.
function trust(file) {
  const spki = new X509Certificate(readFileSync(file)).publicKey.export({ type: "spki", format: "der" });
  return `--ignore-certificate-errors-spki-list=${createHash("sha256").update(spki).digest("base64")}`;
}

runClient(async () => {
  const options = readOptions({ browser: "string", ca: "string" });
  const browser = new Browser(options.browser ?? "chromium", options.ca ? [trust(options.ca)] : []);
  const thrown = [];
  browser.on("event", ({ method, params }) => method === "Runtime.exceptionThrown" && thrown.push(params.exceptionDetails));
  try {
    const [scenario, ...urls] = options.positionals;
    await scenarios[scenario](browser, ...urls);
    assert.deepEqual(thrown, []);
  } finally {
    await browser.close();
  }
});
