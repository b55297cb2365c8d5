#!/usr/bin/env python3
"""Checks that what the documents point to exists: relative links, and paths and tests in backticks.

A path without a crate is looked for in the crates' `src` folders. Names of tests are checked in ARCHITECTURE.md only;
`promises.sh` does it for SECURITY.md.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITH_PATHS = [
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/glossary.md",
    "docs/decisions.md",
    "bench/RESULTS.md",
    "bench/LOG.md",
]


def documents():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def broken_links(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target and not (document.parent / target).exists():
            yield f"no file at the link {target}"


def missing_paths(document, sources):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for span in re.findall(r"`([^`\s]+)`", text):
        is_path = span.endswith(".rs") or (span.endswith("/") and "/" in span[:-1]) or "/src/" in span
        if is_path and not any(character in span for character in "*<:{") and not re.search(r"/[A-Z]+$", span):
            places = [ROOT / span] + [source / span for source in sources]
            if not any(place.exists() for place in places):
                yield f"no file at {span}"


def missing_tests(document):
    section = document.read_text().split("## Code that is not ours")[1].split("\n## ")[0]
    names = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", section))
    folders = ["addons", "e2e-tests", "fuzz"] + [path.name for path in ROOT.glob("ws-*")]
    for name in sorted(names):
        found = subprocess.run(["grep", "-rqE", rf"fn {name}\b", "--include=*.rs", *folders], cwd=ROOT)
        if found.returncode != 0:
            yield f"no test named {name}"


def main():
    sources = [path for path in ROOT.glob("*/src")] + [path for path in ROOT.glob("addons/*/src")]
    sources += [path for source in list(sources) for path in source.iterdir() if path.is_dir()]
    faults = []
    for document in documents():
        name = str(document.relative_to(ROOT))
        found = list(broken_links(document))
        if name in WITH_PATHS:
            found += missing_paths(document, sources)
        if name == "ARCHITECTURE.md":
            found += missing_tests(document)
        faults += [f"{name}: {fault}" for fault in found]
    print("\n".join(faults) if faults else "every link, path and test that the documents name exists")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
