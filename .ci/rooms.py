#!/usr/bin/env python3
"""Checks that the modules of each crate import only modules below them.

For each crate it reads the imports of production code (`use crate::…`, `use super::…` and paths in line), draws an arrow
from the importing module to the imported one, and fails if

- a module at the top of a crate imports one that the order in `.ci/rooms` puts above it, or the crate's root;
- modules of one folder import each other in a circle.

A `mod.rs` and its own children belong together: arrows between them do not count. Tests may import anything.

usage: rooms.py [--arrows]      --arrows also prints every arrow between modules at the top of a crate
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def crates():
    """The crates of this repository that have a `src` folder."""
    for manifest in sorted(ROOT.glob("**/Cargo.toml")):
        parts = manifest.relative_to(ROOT).parts
        if not any(part in ("target", ".peers", "node_modules") for part in parts):
            if (manifest.parent / "src").is_dir():
                yield manifest.parent


def production_code(text):
    """The text without comments, strings and the modules of tests."""
    text = re.sub(r'r#*"(.|\n)*?"#*|"(\\.|[^"\\])*"', '""', re.sub(r"//[^\n]*", "", text))
    return re.split(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*mod \w+ \{", text)[0]


def module_of(source, file):
    """The path of a file's module below the crate's root: `("reactor", "table")`."""
    parts = list(file.relative_to(source).with_suffix("").parts)
    if parts[-1] in ("mod", "lib", "main"):
        parts.pop()
    return tuple(parts)


def is_test(file):
    return "tests" in file.parts or file.name.endswith("tests.rs")


def modules(source):
    """Module path to file, for production code."""
    return {
        module_of(source, file): file
        for file in sorted(source.glob("**/*.rs"))
        if not is_test(file.relative_to(source)) and "bin" not in file.relative_to(source).parts
    }


def leaves(tree):
    """The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    tree = tree.strip()
    opened = tree.find("{")
    if opened < 0:
        return [tree.split(" as ")[0].strip()]
    prefix, inner = tree[:opened], tree[opened + 1 : tree.rfind("}")]
    items, depth, item = [], 0, ""
    for char in inner:
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            items.append(item)
            item = ""
        else:
            item += char
    items.append(item)
    return [prefix + leaf for item in items if item.strip() for leaf in leaves(item)]


def imported_paths(text):
    """All paths that begin with `crate` or `super`."""
    text = production_code(text)
    uses = re.compile(r"\buse\s+((?:crate|super)\s*::[^;]*);")
    for match in uses.finditer(text):
        yield from leaves(re.sub(r"\s+", " ", match.group(1)))
    for match in re.finditer(r"\b(?:crate|super)(?:::\w+)+", uses.sub("", text)):
        yield match.group(0)


def resolve(path, here, is_folder, known):
    """The module that a path leads to."""
    words = [word.strip() for word in path.split("::")]
    base = list(here)
    if words[0] == "crate":
        base, words = [], words[1:]
    first = True
    while words and words[0] == "super":
        # Inside a `mod.rs` the module is the folder itself.
        base = base[:-1]
        words, first = words[1:], False
    target = tuple(base)
    for word in words:
        if target + (word,) not in known:
            break
        target += (word,)
    return target


def arrows(source):
    """Pairs of modules: who imports whom."""
    known = modules(source)
    for module, file in known.items():
        for path in imported_paths(file.read_text()):
            target = resolve(path, module, file.name == "mod.rs", known)
            if target != module:
                yield module, target


def circles(graph):
    """Sets of nodes that reach each other."""
    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for node in graph.get(todo.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    todo.append(node)
        return seen

    reached = {node: reach(node) for node in graph}
    found = []
    for node in sorted(graph):
        if node in reached[node] and not any(node in circle for circle in found):
            found.append({other for other in graph if other in reached[node] and node in reached.get(other, ())})
    return found


def declared_orders():
    """Crate name to its modules, top first, from `.ci/rooms`."""
    orders = {}
    for line in (ROOT / ".ci/rooms").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            crate, rooms = line.split(":")
            orders[crate.strip()] = rooms.split()
    return orders


def check(crate, order, show):
    name = crate.relative_to(ROOT)
    source = crate / "src"
    faults, levels, top = [], {}, set()
    for here, target in set(arrows(source)):
        common = 0
        while common < min(len(here), len(target)) and here[common] == target[common]:
            common += 1
        if not target and here:
            if order:
                faults.append(f"{name}: {'/'.join(here)} imports from the crate's root; name the module instead")
            continue
        if common == len(here) or common == len(target):
            continue  # a module and what is inside it
        folder, one, other = here[:common], here[common], target[common]
        levels.setdefault(folder, {}).setdefault(one, set()).add(other)
        levels[folder].setdefault(other, set())
        if not folder:
            top.add((one, other))
    if order:
        known = {module[0] for module in modules(source) if module}
        for room in sorted(known - set(order)):
            faults.append(f"{name}: `{room}` has no place in .ci/rooms")
        for one, other in sorted(top):
            if one in order and other in order and order.index(one) > order.index(other):
                faults.append(f"{name}: {one} imports {other}, which is above it")
    for folder, graph in levels.items():
        for circle in circles(graph):
            place = "/".join(folder) or "the top"
            faults.append(f"{name}, {place}: a circle of {', '.join(sorted(circle))}")
    if show:
        for one, other in sorted(top):
            print(f"{name}: {one} -> {other}")
    return faults, len(top)


def main():
    show = "--arrows" in sys.argv[1:]
    orders = declared_orders()
    faults, count, checked = [], 0, 0
    for crate in crates():
        found, top = check(crate, orders.get(str(crate.relative_to(ROOT))), show)
        faults += found
        count += top
        checked += 1
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    print(f"{checked} crates, {count} arrows between modules, all downward")


if __name__ == "__main__":
    main()
