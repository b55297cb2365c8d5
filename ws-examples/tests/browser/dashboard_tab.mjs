// A tab with the dashboard.

import { Tab } from "./tab.mjs";

export class Dashboard extends Tab {
  // Opens the page, and waits for the first figures.
  static async arrive(browser, url, look = {}) {
    const tab = await Dashboard.open(browser, url, look);
    await tab.isLive();
    await tab.until("document.querySelector('#now-messages-out').textContent.endsWith('/s')");
    return tab;
  }

  async isLive() {
    await this.until("document.querySelector('#status').dataset.state === 'live'");
  }

  // Waits until the line of the connections has so many points.
  async hasPoints(count) {
    await this.until(`document.querySelector('#connections .line')?.getAttribute('d').split('L').length >= ${count}`);
  }

  points() {
    return this.ask("document.querySelector('#connections .line').getAttribute('d').split('L').length");
  }

  // Sets the sliders of the demo load.
  async setLoad(connections, rate) {
    await this.ask(`[["#load-count", ${connections}], ["#load-rate", ${rate}]].forEach(([id, value]) => {
      const slider = document.querySelector(id);
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
    })`);
  }

  // Moves the mouse to a place: this part of an element's width from its left.
  async pointAt(selector, part) {
    const [x, y] = await this.ask(`(() => {
      const node = document.querySelector(${JSON.stringify(selector)});
      node.scrollIntoView({ block: "center", behavior: "instant" });
      const { left, top, width, height } = node.getBoundingClientRect();
      return [left + width * ${part}, top + height / 2];
    })()`);
    await this.page.command("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
  }
}
