// Runs tests of the scripts of a page that need no browser.

import { readFileSync } from "node:fs";
import { runClient } from "../../../e2e-tests/peers/node/library.mjs";

// As a module, whatever node thinks of the file's name.
export function load(path) {
  const source = readFileSync(new URL(`../../src/${path}`, import.meta.url), "utf8");
  return import(`data:text/javascript,${encodeURIComponent(source)}`);
}

// Runs functions by what they show. It prints `ok` at the end.
export function runLaws(laws) {
  return runClient(async () => {
    for (const [law, check] of Object.entries(laws)) {
      try {
        await check();
      } catch (error) {
        throw new Error(law, { cause: error });
      }
    }
  });
}
