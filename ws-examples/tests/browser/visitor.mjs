// One visitor of the chat: a tab of its own, with storage of its own, that is used as a person uses it.

import assert from "node:assert/strict";
import { Page } from "../../../e2e-tests/peers/node/cdp.mjs";

export const PHONE = { width: 390, height: 780, deviceScaleFactor: 2, mobile: true };
export const DESKTOP = { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false };

export class Visitor {
  // Opens the page and enters with a name.
  static async enter(browser, url, name, { size = DESKTOP, scheme = "light" } = {}) {
    const visitor = await Visitor.arrive(browser, url, { size, scheme });
    await visitor.type("#name", name);
    await visitor.press("Enter");
    await visitor.isUp();
    return visitor;
  }

  // Opens the page, and stays at the door.
  static async arrive(browser, url, { size = DESKTOP, scheme = "light" } = {}) {
    const visitor = new this();
    const { browserContextId } = await browser.send("Target.createBrowserContext");
    visitor.page = await Page.blank(browser, browserContextId);
    visitor.close = () => browser.send("Target.disposeBrowserContext", { browserContextId });
    // Tabs in the background count as visible and focused.
    await visitor.page.command("Emulation.setFocusEmulationEnabled", { enabled: true });
    await visitor.page.command("Emulation.setDeviceMetricsOverride", size);
    await visitor.page.command("Emulation.setTouchEmulationEnabled", { enabled: size.mobile });
    await visitor.looks(scheme);
    await visitor.page.visit(url);
    await visitor.until("!document.querySelector('#door').hidden");
    return visitor;
  }

  looks(scheme) {
    const features = [
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ];
    return this.page.command("Emulation.setEmulatedMedia", { features });
  }

  // Waits until an expression in the page is true. It is looked at after each change of the page.
  async until(condition) {
    const code = `new Promise((resolve, reject) => {
      const holds = () => Boolean(${condition});
      if (holds()) return resolve(true);
      const look = () => { if (!holds()) return; observer.disconnect(); clearTimeout(limit); resolve(true); };
      const observer = new MutationObserver(look);
      const limit = setTimeout(() => reject(new Error("not in time: " + ${JSON.stringify(condition)} + "\\n"
        + document.body.innerText)), 40000);
      const all = { subtree: true, childList: true, characterData: true, attributes: true };
      observer.observe(document, all);
    })`;
    await this.page.evaluate(code);
  }

  // Whether all that is shown lies within the window. What scrolls or is cut off in its own box does not count.
  async fits(width) {
    const wide = await this.ask(`(() => {
      const clips = (node) => node && (getComputedStyle(node).overflowX !== "visible" || clips(node.parentElement));
      const reaches = (node) => {
        const { right, width } = node.getBoundingClientRect();
        return width > 0 && right > ${width} + 1 && !clips(node.parentElement);
      };
      const log = document.querySelector("#log");
      const found = [...document.querySelectorAll("body *")].filter(reaches).map((node) => node.outerHTML.slice(0, 80));
      if (log.scrollWidth > log.clientWidth) found.push("#log scrolls sideways");
      return found;
    })()`);
    assert.deepEqual(wide, [], `at ${width}`);
  }

  // An expression in the page.
  ask(expression) {
    return this.page.evaluate(expression);
  }

  // Waits until the page is connected and its room entered.
  async isUp() {
    await this.until("document.querySelector('#self-state').dataset.state === 'up'");
    await this.until("document.querySelector('#people-list li') && document.querySelector('#banner').hidden");
  }

  async isDown() {
    await this.until("!document.querySelector('#banner').hidden");
  }

  // Types into a field as the keyboard does.
  async type(field, text) {
    await this.ask(`document.querySelector(${JSON.stringify(field)}).focus()`);
    await this.page.command("Input.insertText", { text });
  }

  async press(key, modifiers = 0) {
    const keys = { Enter: 13, ArrowDown: 40, ArrowUp: 38, Escape: 27 };
    const event = { key, code: key, windowsVirtualKeyCode: keys[key], modifiers, ...(key === "Enter" ? { text: "\r" } : {}) };
    await this.page.command("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.page.command("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async choose(room) {
    await this.ask(`[...document.querySelectorAll('.room-link')].find((link) =>
      link.querySelector('.room-link-name').textContent === ${JSON.stringify(room)}).click()`);
  }

  async click(selector) {
    await this.ask(`document.querySelector(${JSON.stringify(selector)}).click()`);
  }

  // Says something and waits until it has come back from the server.
  async say(text) {
    await this.type("#text", text);
    await this.press("Enter");
    const bubble = (item) => `${item}.querySelector('.bubble')?.textContent === ${JSON.stringify(text)}`;
    await this.until(`[...document.querySelectorAll('#log .mine:not(.pending)')].some((item) => ${bubble("item")})`);
  }

  // Waits until a text is in the log.
  async sees(text) {
    await this.until(`document.querySelector('#log').textContent.includes(${JSON.stringify(text)})`);
  }

  // The texts of all messages of the room, in order.
  messages() {
    return this.ask("[...document.querySelectorAll('#log .bubble')].map((bubble) => bubble.textContent)");
  }

  async expectMessages(expected) {
    assert.deepEqual(await this.messages(), expected);
  }

  text(selector) {
    return this.ask(`document.querySelector(${JSON.stringify(selector)}).innerText`);
  }

  async screenshot() {
    await this.ask("document.fonts.ready.then(() => true)");
    const { data } = await this.page.command("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }
}
