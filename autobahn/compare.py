"""Compares a report of the Autobahn Testsuite with expected.json, case by case.

Any difference fails. A case that improved must be recorded too, so that it cannot get worse again unnoticed.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.json")
VERDICTS = ("behavior", "behaviorClose")
# Best first. INFORMATIONAL is the suite's verdict on a case without a right answer.
RANKS = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED BY CLIENT", "WRONG CODE", "UNCLEAN", "FAILED")
PERFORMANCE, COMPRESSION = {9}, {12, 13}
# The number of cases in the suite, by the categories left out. This also checks expected.json: a case that is missing
# there would otherwise never be noticed.
SUITE_SIZES = {frozenset({9, 12, 13}): 247, frozenset({12, 13}): 301, frozenset(): 517}


def natural(case):
    return [int(part) for part in re.findall(r"\d+", case)]


def left_out(quick, deflate):
    if quick:
        return frozenset(PERFORMANCE | COMPRESSION)
    return frozenset() if deflate else frozenset(COMPRESSION)


def select(cases, without):
    return {case: verdicts for case, verdicts in cases.items() if natural(case)[0] not in without}


def read_report(path):
    """The one agent's results, as case → [behavior, behaviorClose], and as case → name of the detailed report."""
    agents = json.loads(path.read_text())
    if len(agents) != 1:
        raise ValueError(f"{path} names {len(agents)} agents ({', '.join(agents)}); one was expected")
    (results,) = agents.values()
    verdicts = {case: [result[key] for key in VERDICTS] for case, result in results.items()}
    pages = {case: str(Path(result["reportfile"]).with_suffix(".html")) for case, result in results.items()}
    return verdicts, pages


def read_expected(path):
    return json.loads(path.read_text()) if path.exists() else {}


def write_expected(path, expected):
    """One line per case, in the suite's order: a change of one verdict is a diff of one line."""
    directions = []
    for direction in sorted(expected):
        cases = expected[direction]
        rows = [f"    {json.dumps(case)}: {json.dumps(cases[case])}" for case in sorted(cases, key=natural)]
        directions.append(f"  {json.dumps(direction)}: {{\n" + ",\n".join(rows) + "\n  }")
    path.write_text("{\n" + ",\n".join(directions) + "\n}\n")


def verdict_change(key, expected, actual):
    rank = {name: place for place, name in enumerate(RANKS)}
    known = expected in rank and actual in rank
    direction = "different" if not known else "worse" if rank[actual] > rank[expected] else "better"
    return f"{key} {actual}, expected {expected} ({direction})"


def differences(expected, actual):
    """Yields (case, what differs) in the suite's order."""
    for case in sorted(expected.keys() | actual.keys(), key=natural):
        if case not in actual:
            yield case, "missing: the suite did not report it"
        elif case not in expected:
            yield case, "extra: " + " / ".join(actual[case]) + ", not expected here"
        else:
            changes = [
                verdict_change(key, *pair)
                for key, *pair in zip(VERDICTS, expected[case], actual[case])
                if pair[0] != pair[1]
            ]
            if changes:
                yield case, "; ".join(changes)


def summary(actual):
    for place, key in enumerate(VERDICTS):
        counts = Counter(verdicts[place] for verdicts in actual.values())
        yield f"  {key:<14}" + ", ".join(f"{name} {count}" for name, count in counts.most_common())


def update(direction, without, actual):
    """Takes the report as the new expectation for the categories that it covers."""
    if len(actual) != SUITE_SIZES[without]:
        raise ValueError(f"the report has {len(actual)} cases, the suite {SUITE_SIZES[without]}: not written")
    expected = read_expected(EXPECTED)
    old = expected.get(direction, {})
    kept = {case: old[case] for case in old.keys() - select(old, without).keys()}
    expected[direction] = {**kept, **actual}
    write_expected(EXPECTED, expected)
    print(f"  written to {EXPECTED.name}")


def check(direction, without, actual, pages):
    """Prints what differs; true when nothing does."""
    expected = select(read_expected(EXPECTED).get(direction, {}), without)
    found = list(differences(expected, actual))
    for case, what in found:
        page = f"  [{pages[case]}]" if case in pages else ""
        print(f"  {case:<8} {what}{page}")
    if len(expected) != SUITE_SIZES[without]:
        print(f"  {EXPECTED.name} has {len(expected)} of the suite's {SUITE_SIZES[without]} cases")
        return False
    print(f"  {len(found)} differences from {EXPECTED.name}" if found else "  every case as expected")
    return not found


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("direction", choices=("server", "client"), help="which side of ours was tested")
    parser.add_argument("report", type=Path, help="the index.json that the suite wrote")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_true", help="without 9.*, 12.* and 13.* (the default)")
    scope.add_argument("--full", action="store_true", help="with 9.*")
    parser.add_argument("--deflate", action="store_true", help="with --full: with 12.* and 13.* too")
    parser.add_argument("--write", action="store_true", help="make this report the new expectation")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse_arguments(arguments)
    without = left_out(not options.full, options.deflate)
    try:
        actual, pages = read_report(options.report)
        print(f"{options.direction}, {options.report}: {len(actual)} cases")
        print("\n".join(summary(actual)))
        if options.write:
            update(options.direction, without, actual)
            return 0
        return 0 if check(options.direction, without, actual, pages) else 1
    except (OSError, ValueError, KeyError) as error:
        print(f"autobahn: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
