"""The counter of scripts/count_tests.py, with ctest itself on made-up tests and with made-up result files."""
import contextlib
import importlib.util
import io
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("count_tests", SOURCE / "scripts/count_tests.py")
count_tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(count_tests)

GTEST = """<testsuites><testsuite name="A">
  <testcase name="Good" status="run" result="completed" classname="A"/>
  <testcase name="Skips" status="run" result="skipped" classname="A"><skipped message="a.cpp:1&#x0A;no GPU"/></testcase>
  {}
</testsuite></testsuites>"""
FAILED_CASE = '<testcase name="Bad" status="run" result="completed" classname="A"><failure message="a.cpp:2"/></testcase>'


class Counter(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)

    def run_ctest(self, tests, preset="release"):
        """Runs ctest over `tests`, lines of a CTestTestfile, and leaves its results as scripts/test does."""
        work = self.build / preset
        results = work / "test-results"
        results.mkdir(parents=True, exist_ok=True)
        (work / "CTestTestfile.cmake").write_text(tests)
        run = subprocess.run(["ctest", "--output-junit", results / "ctest.xml"], cwd=work, capture_output=True)
        (results / "status").write_text(f"{run.returncode}\n")

    def count(self, *presets):
        """Exit code, last line and all output of the counter."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = count_tests.main(self.build, presets or ("release",))
        return code, output.getvalue().splitlines()[-1], output.getvalue()

    def write_cases(self, name, text, preset="release"):
        (self.build / preset / "test-results").mkdir(parents=True, exist_ok=True)
        (self.build / preset / "test-results" / f"{name}.xml").write_text(text)

    def test_all_pass(self):
        self.run_ctest('add_test(a "/bin/true")\nadd_test(b "/bin/true")')
        self.assertEqual(self.count()[:2], (0, "2 passed, 0 failed"))

    def test_nothing_ran(self):
        self.run_ctest("")
        self.assertEqual(self.count()[0], 1)
        self.assertIn("1 failed", self.count()[1])

    def test_preset_without_results(self):
        self.run_ctest('add_test(a "/bin/true")')
        self.assertEqual(self.count("release", "asan")[:2], (1, "1 passed, 1 failed"))

    def test_abort_before_the_first_test(self):
        # What gtest_discover_tests does where a test program aborts: ctest stops while it reads the tests.
        self.run_ctest('add_test(a "/bin/true")\nmessage(FATAL_ERROR "cannot list the tests of b_test")')
        self.assertEqual(self.count()[0], 1)

    def test_results_that_are_cut_off(self):
        self.run_ctest('add_test(a "/bin/true")')
        file = self.build / "release/test-results/ctest.xml"
        file.write_text(file.read_text()[:-20])
        self.assertEqual(self.count()[:2], (1, "0 passed, 1 failed"))

    def test_ends_that_are_failures(self):
        self.run_ctest(
            'add_test(good "/bin/true")\n'
            'add_test(bad "/bin/false")\n'
            'add_test(aborts "/bin/sh" "-c" "kill -ABRT $$")\n'
            'add_test(gone "/nonexistent/program")\n'
            'add_test(setup "/bin/false")\nset_tests_properties(setup PROPERTIES FIXTURES_SETUP f)\n'
            'add_test(needs_setup "/bin/true")\nset_tests_properties(needs_setup PROPERTIES FIXTURES_REQUIRED f)\n'
            'add_test(disabled "/bin/true")\nset_tests_properties(disabled PROPERTIES DISABLED TRUE)\n'
            'add_test(slow "/bin/sleep" "9")\nset_tests_properties(slow PROPERTIES TIMEOUT 1)\n'
        )
        self.assertEqual(self.count()[:2], (1, "1 passed, 7 failed"))

    def test_skip_by_output_is_a_failure(self):
        self.run_ctest(
            'add_test(text "/bin/sh" "-c" "echo SKIPPED, and failed elsewhere; exit 1")\n'
            'set_tests_properties(text PROPERTIES SKIP_REGULAR_EXPRESSION "SKIPPED")'
        )
        self.assertEqual(self.count()[:2], (1, "0 passed, 1 failed"))

    def test_skip_by_exit_code_says_why(self):
        self.run_ctest(
            'add_test(a "/bin/true")\nadd_test(code "/bin/sh" "-c" "echo no tool of that name; exit 77")\n'
            "set_tests_properties(code PROPERTIES SKIP_RETURN_CODE 77)"
        )
        code, last, output = self.count()
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("skipped 1 of release code: no tool of that name", output)

    def test_cases_within_a_test(self):
        self.run_ctest('add_test(a "/bin/true")')
        self.write_cases("a", GTEST.format(""))
        code, last, output = self.count()
        self.assertEqual((code, last), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("skipped 1 of release a: no GPU", output)

    def test_failed_case(self):
        self.run_ctest('add_test(a "/bin/false")')
        self.write_cases("a", GTEST.format(FAILED_CASE))
        self.assertEqual(self.count()[:2], (1, "1 passed, 1 failed, 1 skipped"))

    def test_failed_case_though_the_exit_code_is_0(self):
        self.run_ctest('add_test(a "/bin/true")')
        self.write_cases("a", GTEST.format(FAILED_CASE))
        self.assertEqual(self.count()[:2], (1, "1 passed, 1 failed, 1 skipped"))

    def test_bad_end_though_every_case_passed(self):
        self.run_ctest('add_test(a "/bin/false")')
        self.write_cases("a", GTEST.format(""))
        self.assertEqual(self.count()[:2], (1, "1 passed, 1 failed, 1 skipped"))

    def test_case_that_did_not_run(self):
        self.run_ctest('add_test(a "/bin/true")')
        self.write_cases("a", GTEST.format('<testcase name="Off" status="notrun" result="suppressed" classname="A"/>'))
        self.assertEqual(self.count()[:2], (1, "1 passed, 1 failed, 1 skipped"))

    def test_error_of_pytest(self):
        self.run_ctest('add_test(a "/bin/false")')
        self.write_cases("a", '<testsuites><testsuite><testcase classname="m" name="t"><error message="setup"/></testcase>'
                              "</testsuite></testsuites>")
        self.assertEqual(self.count()[:2], (1, "0 passed, 1 failed"))

    def test_exit_code_that_nothing_explains(self):
        self.run_ctest('add_test(a "/bin/true")')
        (self.build / "release/test-results/status").write_text("8\n")
        self.assertEqual(self.count()[:2], (1, "1 passed, 1 failed"))

    def test_a_test_that_writes_no_cases_fails(self):
        wrapper = SOURCE / "tests/with_cases.sh"
        run = subprocess.run([wrapper, self.build / "a.xml", "true"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("was not written", run.stdout)


if __name__ == "__main__":
    unittest.main()
