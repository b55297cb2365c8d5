// Uses the dashboard in Chromium: `node dashboard.mjs [--browser PATH] SCENARIO URL`. It prints lines for the test that has
// started it, and `ok` at the end.

import assert from "node:assert/strict";
import { Browser } from "../../../e2e-tests/peers/node/cdp.mjs";
import { readOptions, runClient } from "../../../e2e-tests/peers/node/library.mjs";
import { Dashboard } from "./dashboard_tab.mjs";

// What the browser says of a WebSocket that is refused.
const REFUSED = /^WebSocket connection to '.*' failed/u;

const scenarios = {
  // Demo load is in all figures.
  async load(browser, url, faults) {
    const tab = await Dashboard.arrive(browser, url);
    await tab.until("document.querySelector('#now-connections').textContent === '1'");
    await tab.setLoad(5, 50);
    await tab.click("#load-start");
    await tab.until("document.querySelector('#now-connections').textContent === '6'");
    await tab.until("parseFloat(document.querySelector('#now-messages-in').textContent) > 30");
    await tab.until("parseFloat(document.querySelector('#now-messages-out').textContent) > 30");
    await tab.until("document.querySelector('#now-bytes-in').textContent.endsWith('kB/s')");
    await tab.until("document.querySelector('#load-state').textContent.startsWith('5 of 5 connections open, ')");
    // The server pings this silent page, and the browser answers.
    await tab.until("document.querySelector('#round-trips rect')");
    assert.match(await tab.text("#round-trips .readout"), /^half below [\d.]+\s[µm]?s, 95 % below \d/u);
    assert.match(await tab.text("#now-round-trip"), /^<.\d/u);
    for (const chart of ["messages", "bytes"]) {
      assert.equal(await tab.ask(`document.querySelectorAll('#${chart} .line').length`), 2, chart);
    }
    await tab.click("#load-start");
    await tab.until("document.querySelector('#now-connections').textContent === '1'");
    await tab.until("document.querySelector('#closes').textContent.includes('1000normal')");
    await tab.until("document.querySelector('#now-messages-in').textContent === '0/s'");
    assert.equal(await tab.text("#refusals"), "No request was refused.");
    await tab.click("#load-wrong");
    await tab.until("document.querySelector('#refusals').textContent === '404Not Found1'");
    await tab.until("document.querySelector('#handshakes').textContent.includes('refused1')");
    faults.forget(REFUSED);
  },

  // The readouts of all charts show the moment that the visitor points at.
  async readout(browser, url) {
    const tab = await Dashboard.arrive(browser, url);
    await tab.hasPoints(10);
    const moments = () => tab.ask("[...document.querySelectorAll('.moment')].map((moment) => moment.textContent)");
    assert.deepEqual(await moments(), ["", "", ""]);
    await tab.pointAt("#messages .plot", 0.99);
    await tab.until("document.querySelectorAll('.cursor').length === 3");
    const [moment, ...others] = await moments();
    assert.match(moment, /^\d\d:\d\d:\d\d$/u);
    assert.deepEqual(others, [moment, moment]);
    assert.match(await tab.text("#connections .key b"), /^[01]$/u);
    await tab.pointAt("h1", 0.5);
    await tab.until("!document.querySelector('.cursor')");
    await tab.ask("document.querySelector('#bytes .plot').focus()");
    await tab.press("ArrowLeft");
    await tab.until("document.querySelectorAll('.cursor').length === 3");
    const at = "Number(document.querySelector('#bytes .cursor').getAttribute('x1'))";
    const before = await tab.ask(at);
    await tab.press("ArrowLeft");
    await tab.press("ArrowLeft");
    await tab.until(`${at} < ${before}`);
    await tab.press("Escape");
    await tab.until("!document.querySelector('.cursor')");
  },

  // A page gets the samples that were taken before it was opened.
  async late(browser, url) {
    const early = await Dashboard.arrive(browser, url);
    await early.hasPoints(20);
    const late = await Dashboard.arrive(browser, url);
    await late.hasPoints(await early.points());
    await late.until("document.querySelector('#now-connections').textContent === '2'");
  },

  // Nothing is wider than the window.
  async widths(browser, url) {
    for (const width of [320, 390, 768, 1440]) {
      for (const scheme of ["light", "dark"]) {
        const size = { width, height: 800, deviceScaleFactor: 1, mobile: width < 500 };
        const tab = await Dashboard.arrive(browser, url, { size, scheme });
        await tab.setLoad(2, 10);
        await tab.click("#load-start");
        await tab.until("document.querySelector('#load-state').textContent.startsWith('2 of 2')");
        await tab.fits(width);
        await tab.pointAt("#bytes .plot", 0.99);
        await tab.until("document.querySelector('.cursor')");
        await tab.fits(width);
        await tab.close();
      }
    }
  },

  // The test kills the server after `kill`, and starts another one after `restart`.
  async outage(browser, url, faults) {
    const tab = await Dashboard.arrive(browser, url);
    await tab.hasPoints(5);
    console.log("kill");
    await tab.until("document.querySelector('#status').dataset.state === 'paused'");
    await tab.until("/^Paused at \\d\\d:\\d\\d:\\d\\d, reconnecting/.test(document.querySelector('#status-text').textContent)");
    await tab.until("document.querySelector('#board').classList.contains('paused')");
    // The time axis ends at the last sample, and no longer now.
    await tab.until("![...document.querySelectorAll('#connections .mark')].some((mark) => mark.textContent === 'now')");
    console.log("restart");
    await tab.isLive();
    assert.equal(await tab.ask("document.querySelector('#board').classList.contains('paused')"), false);
    // No line leads from one server to the other.
    await tab.until("document.querySelectorAll('#connections .line').length === 2");
    faults.forget(REFUSED);
  },
};

// What goes wrong in the pages: exceptions, errors on the console, and what the browser refuses them.
class Faults {
  #texts = [];

  constructor(browser) {
    browser.on("event", ({ method, params }) => {
      if (method === "Runtime.exceptionThrown") this.#texts.push(JSON.stringify(params.exceptionDetails));
      if (method === "Runtime.consoleAPICalled") this.#texts.push(JSON.stringify(params.args));
      if (method === "Log.entryAdded") this.#texts.push(params.entry.text);
    });
  }

  forget(pattern) {
    this.#texts = this.#texts.filter((text) => !pattern.test(text));
  }

  check() {
    assert.deepEqual(this.#texts, []);
  }
}

runClient(async () => {
  const options = readOptions({ browser: "string" });
  const browser = new Browser(options.browser ?? "chromium", []);
  const faults = new Faults(browser);
  try {
    const [scenario, url] = options.positionals;
    await scenarios[scenario](browser, url, faults);
    faults.check();
  } finally {
    await browser.close();
  }
});
