"""Tests of the comparison. A check that passes everything looks the same as one that finds nothing."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import compare


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.report = Path(folder.name) / "index.json"
        expected = Path(folder.name) / "expected.json"
        expected.write_text(compare.EXPECTED.read_text())
        self.addCleanup(setattr, compare, "EXPECTED", compare.EXPECTED)
        compare.EXPECTED = expected
        self.cases = compare.select(compare.read_expected(expected)["server"], compare.left_out(True, False))

    def run_main(self, *options, agents=("one",)):
        results = {
            case: {**dict(zip(compare.VERDICTS, verdicts)), "reportfile": "page.json"}
            for case, verdicts in self.cases.items()
        }
        self.report.write_text(json.dumps(dict.fromkeys(agents, results)))
        self.output = io.StringIO()
        with contextlib.redirect_stdout(self.output), contextlib.redirect_stderr(self.output):
            return compare.main(["server", str(self.report), *options])

    def assert_refused(self, reason, *options, **report):
        self.assertEqual(self.run_main(*options, **report), 1)
        self.assertIn(reason, self.output.getvalue())

    def test_the_expected_report_passes(self):
        self.assertEqual(self.run_main("--quick"), 0, self.output)

    def test_both_directions_name_every_case_of_the_suite(self):
        for direction, cases in compare.read_expected(compare.EXPECTED).items():
            for without, size in compare.SUITE_SIZES.items():
                self.assertEqual(len(compare.select(cases, without)), size, direction)

    def test_a_worse_behaviour_fails(self):
        self.cases["3.2"] = ["NON-STRICT", "OK"]
        self.assert_refused("behavior NON-STRICT, expected OK (worse)")

    def test_a_worse_close_fails(self):
        self.cases["3.2"] = ["OK", "UNCLEAN"]
        self.assert_refused("behaviorClose UNCLEAN, expected OK (worse)")

    def test_a_better_behaviour_fails(self):
        self.cases["7.1.6"] = ["OK", "INFORMATIONAL"]
        self.assert_refused("behavior OK, expected INFORMATIONAL (better)")

    def test_a_missing_case_fails(self):
        del self.cases["1.1.1"]
        self.assert_refused("missing")

    def test_an_extra_case_fails(self):
        self.cases["9.1.1"] = ["OK", "OK"]
        self.assert_refused("extra")

    def test_a_quick_report_is_not_a_full_one(self):
        self.assert_refused("54 differences", "--full")

    def test_two_agents_in_one_report_fail(self):
        self.assert_refused("2 agents", agents=("one", "two"))

    def test_a_case_lost_from_report_and_expectation_alike_fails(self):
        del self.cases["1.1.1"]
        compare.write_expected(compare.EXPECTED, {"server": self.cases})
        self.assert_refused("246 of the suite's 247 cases")

    def test_write_keeps_the_categories_that_did_not_run(self):
        self.cases["3.2"] = ["NON-STRICT", "OK"]
        before = compare.read_expected(compare.EXPECTED)
        self.assertEqual(self.run_main("--quick", "--write"), 0)
        before["server"]["3.2"] = ["NON-STRICT", "OK"]
        self.assertEqual(compare.read_expected(compare.EXPECTED), before)
        self.assertEqual(self.run_main("--quick"), 0)

    def test_write_refuses_half_a_report(self):
        del self.cases["1.1.1"]
        self.assert_refused("not written", "--write")


if __name__ == "__main__":
    unittest.main()
