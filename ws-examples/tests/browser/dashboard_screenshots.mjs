// Makes the pictures of the dashboard: `node dashboard_screenshots.mjs DASHBOARD FOLDER`. It takes a minute: the charts show
// real load.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Browser } from "../../../e2e-tests/peers/node/cdp.mjs";
import { readOptions } from "../../../e2e-tests/peers/node/library.mjs";
import { Dashboard } from "./dashboard_tab.mjs";
import { start } from "./server.mjs";

const DESKTOP = { width: 1440, height: 900, deviceScaleFactor: 1, mobile: false };
const PHONE = { width: 390, height: 844, deviceScaleFactor: 1.5, mobile: true };
// The picture of the phone ends behind the charts of traffic.
const PHONE_HEIGHT = 1412;
const SECONDS = 57;

// A handshake from a page of another site is refused, and a connection that breaks off has no Close.
async function disturb(url, origin) {
  const headers = {
    Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", Origin: origin,
  };
  const sent = request(new URL("echo", url), { headers });
  sent.on("upgrade", (_, socket) => socket.destroy()).on("response", (response) => response.resume()).end();
  await once(sent, "close");
}

// Load that comes and goes.
async function act(tab, url) {
  await tab.setLoad(12, 6);
  await tab.click("#load-start");
  for (let second = 0; second < SECONDS; second += 1) {
    const wave = (period) => Math.sin((2 * Math.PI * second) / period);
    await tab.setLoad(Math.round(34 + 16 * wave(41) + 6 * wave(13)), Math.round(11 + 5 * wave(29) + 3 * wave(7)));
    if (second % 19 === 5) await tab.click("#load-wrong");
    if (second % 12 === 3) await disturb(url, "https://other.example");
    if (second % 15 === 7) await disturb(url, new URL(url).origin);
    await sleep(1000);
  }
}

const { browser: program, positionals: [dashboard, folder] } = readOptions({ browser: "string" });
const browser = new Browser(program ?? "chromium", ["--hide-scrollbars"]);
const url = await start(dashboard, ["--tick", "500"]);
const light = await Dashboard.arrive(browser, url, { size: DESKTOP });
const dark = await Dashboard.arrive(browser, url, { size: DESKTOP, scheme: "dark" });
const phone = await Dashboard.arrive(browser, url, { size: PHONE });
await act(light, url);
// The whole page, and its readout some seconds ago.
for (const tab of [light, dark]) {
  await tab.resize({ ...DESKTOP, height: await tab.ask("document.documentElement.scrollHeight") });
}
await phone.resize({ ...PHONE, height: PHONE_HEIGHT });
await light.pointAt("#messages .plot", 0.62);
await light.until("document.querySelector('.cursor')");
for (const [tab, name] of [[light, "dashboard"], [dark, "dashboard-dark"], [phone, "dashboard-phone"]]) {
  writeFileSync(join(folder, `${name}.png`), await tab.screenshot());
}
await browser.close();
process.exit(0);
