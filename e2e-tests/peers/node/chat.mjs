// Drives a chat page in two tabs of Chromium. See README.md.

import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Browser, Page } from "./cdp.mjs";
import { readOptions, runClient } from "./library.mjs";

// Runs inside the page.
function submitText(text) {
  document.querySelector("#text").value = text;
  document.querySelector("#form").requestSubmit();
}

// Runs inside the page. The promise resolves once the text is in the log.
function textAppears(text) {
  const log = document.querySelector("#log");
  const there = () => log.textContent.includes(text);
  return new Promise((resolve) => {
    if (there()) return resolve(true);
    const observer = new MutationObserver(() => {
      if (!there()) return;
      observer.disconnect();
      resolve(true);
    });
    observer.observe(log, { childList: true, subtree: true, characterData: true });
  });
}

const call = (page, code, text) => page.evaluate(`(${code})(${JSON.stringify(text)})`);

async function chat(pages, sender, text) {
  await call(sender, submitText, text);
  for (const page of pages) await call(page, textAppears, text);
}

function checkHandshake(page, deflate, http2) {
  const { status, headers } = page.handshake;
  assert.equal(status, http2 ? 200 : 101);
  const name = Object.keys(headers).find((header) => header.toLowerCase() === "sec-websocket-extensions");
  const extensions = name ? headers[name] : "";
  assert.equal(extensions.includes("permessage-deflate"), deflate, `extensions: ${extensions}`);
}

// Chromium has no option for a file of certificates, but it has one to trust a public key.
function trust(file) {
  const spki = new X509Certificate(readFileSync(file)).publicKey.export({ type: "spki", format: "der" });
  const hash = createHash("sha256").update(spki).digest("base64");
  return `--ignore-certificate-errors-spki-list=${hash}`;
}

runClient(async () => {
  const options = readOptions({ browser: "string", deflate: "boolean", ca: "string", http2: "boolean" });
  const browser = new Browser(options.browser ?? "chromium", options.ca ? [trust(options.ca)] : []);
  try {
    const [url] = options.positionals;
    const pages = [await Page.open(browser, url), await Page.open(browser, url)];
    pages.forEach((page) => checkHandshake(page, options.deflate ?? false, options.http2 ?? false));
    await chat(pages, pages[0], "hello from the first tab, Grüße 🦀");
    await chat(pages, pages[1], "and from the second one");
  } finally {
    await browser.close();
  }
});
