#!/usr/bin/env python3
"""Checks that the front page of each crate's documentation shows few names.

Reads the pages that `cargo doc` has written. Settings and dependencies that a crate re-exports are not
counted, nor are modules.
"""

import os
import re
import sys
from html import unescape
from pathlib import Path

MOST = 25
SETTINGS = {"Config", "DeflateConfig", "Keepalive", "Limits", "ValidConfig"}
DEPENDENCIES = {"bytes", "http", "rustls"}
CRATES = ["ws_proto", "ws_tokio", "ws_server", "ws_client"]
KINDS = ["reexports", "structs", "enums", "traits", "functions", "types", "constants", "macros"]


def names(page: str) -> list[str]:
    found = []
    for section in re.split(r'<h2 id="', page)[1:]:
        if section.split('"', 1)[0] in KINDS:
            found += [unescape(re.sub(r"<[^>]*>", "", name)) for name in re.findall(r"<dt[^>]*>(.*?)</dt>", section)]
    # A re-export reads `pub use module::Name;`.
    return [re.split(r"[\s:]+", name.replace("\u200b", "").rstrip(";"))[-1] for name in found]


def main() -> int:
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    too_many = False
    for crate in CRATES:
        shown = names((target / "doc" / crate / "index.html").read_text())
        own = sorted(set(shown) - SETTINGS - DEPENDENCIES)
        if not shown:
            print(f"{crate}: the page shows no names; has its form changed?")
            too_many = True
        elif len(own) > MOST:
            print(f"{crate}: {len(own)} names on the front page, at most {MOST}: {', '.join(own)}")
            too_many = True
        else:
            print(f"{crate}: {len(own)} names on the front page")
    return int(too_many)


if __name__ == "__main__":
    sys.exit(main())
