// A tab with storage of its own, which is used as a person uses it.

import assert from "node:assert/strict";
import { Page } from "../../../e2e-tests/peers/node/cdp.mjs";

export const PHONE = { width: 390, height: 780, deviceScaleFactor: 2, mobile: true };
export const DESKTOP = { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false };

export class Tab {
  static async open(browser, url, { size = DESKTOP, scheme = "light" } = {}) {
    const tab = new this();
    const { browserContextId } = await browser.send("Target.createBrowserContext");
    tab.page = await Page.blank(browser, browserContextId);
    tab.close = () => browser.send("Target.disposeBrowserContext", { browserContextId });
    // Tabs in the background count as visible and focused.
    await tab.page.command("Emulation.setFocusEmulationEnabled", { enabled: true });
    await tab.resize(size);
    await tab.page.command("Emulation.setTouchEmulationEnabled", { enabled: size.mobile });
    await tab.looks(scheme);
    await tab.page.command("Log.enable");
    await tab.page.visit(url);
    return tab;
  }

  resize(size) {
    return this.page.command("Emulation.setDeviceMetricsOverride", size);
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
      const found = [...document.querySelectorAll("body *")].filter(reaches).map((node) => node.outerHTML.slice(0, 80));
      if (document.documentElement.scrollWidth > ${width}) found.push("the page scrolls sideways");
      return found;
    })()`);
    assert.deepEqual(wide, [], `at ${width}`);
  }

  // An expression in the page.
  ask(expression) {
    return this.page.evaluate(expression);
  }

  async press(key, modifiers = 0) {
    const keys = { Enter: 13, Escape: 27, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };
    const event = { key, code: key, windowsVirtualKeyCode: keys[key], modifiers, ...(key === "Enter" ? { text: "\r" } : {}) };
    await this.page.command("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.page.command("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async click(selector) {
    await this.ask(`document.querySelector(${JSON.stringify(selector)}).click()`);
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
