"""usage: count_tests.py BUILD_FOLDER PRESET…   adds up what the tests of each preset left in BUILD_FOLDER/PRESET/test-results.

ctest.xml    one case per test of ctest (its option --output-junit); `status` beside it holds ctest's exit code
<test>.xml   the cases within that test, where it reports them (tests/with_cases.sh; GoogleTest's and pytest's JUnit files)

Whatever did not run and end well is a failure: a missing file, a test that ctest lists as "Not Run", a skip which ctest
read from a test's output (it ignores the exit code then), an exit code that no failed case explains. A test may skip by
its exit code (SKIP_RETURN_CODE) or case by case, saying why. Prints failures and skips, then "N passed, N failed"; exits
1 where anything failed or nothing ran.
"""
import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


class Count:
    def __init__(self):
        self.passed, self.failed = 0, 0
        self.skips = collections.Counter()  # of (test, reason)

    def fail(self, name, why):
        self.failed += 1
        print(f"FAILED {name}: {why}")

    def skip(self, name, why):
        self.skips[name, why or "no reason given"] += 1

    def print_sum(self):
        for (name, why), number in self.skips.items():
            print(f"skipped {number} of {name}: {why}")
        skipped = f", {self.skips.total()} skipped" if self.skips else ""
        print(f"{self.passed} passed, {self.failed} failed{skipped}")


def read_cases(file):
    """The test cases of a JUnit file, or a line that says why there are none."""
    try:
        cases = list(ElementTree.parse(file).getroot().iter("testcase"))
    except FileNotFoundError:
        return f"{file.name} is missing: it aborted, or did not run"
    except ElementTree.ParseError as error:
        return f"{file.name} is cut off or damaged: {error}"
    return cases or f"{file.name} lists no test"


def one_line(text):
    return " ".join((text or "").split())


def count_within(count, name, file):
    """Counts the cases that one test of ctest reports of itself; returns how many of them failed."""
    before = count.failed
    cases = read_cases(file)
    if isinstance(cases, str):
        count.fail(name, cases)
        return 1
    for case in cases:
        case_name = f"{name} {case.get('classname')}.{case.get('name')}"
        broken = case.find("failure") if case.find("failure") is not None else case.find("error")
        if broken is not None:
            count.fail(case_name, one_line(broken.get("message"))[:200])
        elif case.find("skipped") is not None:
            reason = case.find("skipped").get("message") or ""
            # GoogleTest puts file and line before the reason.
            count.skip(name, one_line(re.sub(r"^\S+:\d+\n", "", reason)))
        elif case.get("status") == "notrun":
            count.fail(case_name, "did not run")
        else:
            count.passed += 1
    return count.failed - before


def count_preset(count, preset, folder):
    before = count.failed
    tests = read_cases(folder / "ctest.xml")
    if isinstance(tests, str):
        count.fail(preset, tests)
        return
    for test in tests:
        name = f"{preset} {test.get('name')}"
        within = folder / f"{test.get('name')}.xml"
        skipped = test.find("skipped")
        if test.get("status") == "run":
            if within.exists():
                count_within(count, name, within)
            else:
                count.passed += 1
        elif test.get("status") == "fail":
            # A test that ended badly is a failure, whatever its cases say.
            if not (within.exists() and count_within(count, name, within)):
                count.fail(name, one_line(test.find("failure").get("message")) or "the exit code is not 0")
        elif skipped is not None and (skipped.get("message") or "").startswith("SKIP_RETURN_CODE"):
            count.skip(name, one_line(test.findtext("system-out"))[-200:])
        else:
            why = (skipped.get("message") if skipped is not None else None) or test.get("status")
            count.fail(name, f"did not run to its end: {why}")
    status = (folder / "status").read_text().strip() if (folder / "status").exists() else "missing"
    if status != "0" and count.failed == before:
        count.fail(preset, f"ctest's exit code is {status}, though no test failed")


def main(build, presets):
    count = Count()
    for preset in presets:
        count_preset(count, preset, build / preset / "test-results")
    count.print_sum()
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__.splitlines()[0])
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
