// One visitor of the chat.

import assert from "node:assert/strict";
import { DESKTOP, PHONE, Tab } from "./tab.mjs";

export { DESKTOP, PHONE };

export class Visitor extends Tab {
  // Opens the page and enters with a name.
  static async enter(browser, url, name, look = {}) {
    const visitor = await Visitor.arrive(browser, url, look);
    await visitor.type("#name", name);
    await visitor.press("Enter");
    await visitor.isUp();
    return visitor;
  }

  // Opens the page, and stays at the door.
  static async arrive(browser, url, look = {}) {
    const visitor = await Visitor.open(browser, url, look);
    await visitor.until("!document.querySelector('#door').hidden");
    return visitor;
  }

  async fits(width) {
    await super.fits(width);
    assert.equal(await this.ask("(() => { const log = document.querySelector('#log'); return log.scrollWidth > log.clientWidth; })()"), false);
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

  async choose(room) {
    await this.ask(`[...document.querySelectorAll('.room-link')].find((link) =>
      link.querySelector('.room-link-name').textContent === ${JSON.stringify(room)}).click()`);
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
}
