"""usage: count_tests.py BROKEN FOLDER   adds up the JUnit files in FOLDER and prints the closing line.

A build that BROKEN counts is a failure of its own. Exits 1 where anything failed or nothing ran.
"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

failed, passed, skipped = int(sys.argv[1]), 0, 0
for file in sorted(pathlib.Path(sys.argv[2]).glob("*.xml")):
    for case in ElementTree.parse(file).getroot().iter("testcase"):
        if case.get("status") == "fail" or case.find("failure") is not None:
            failed += 1
            print(f"FAILED in {file.stem}: {case.get('name')}")
        elif case.find("skipped") is not None:
            skipped += 1
            print(f"skipped in {file.stem}: {case.get('name')}: {case.find('skipped').get('message', '')}")
        else:
            passed += 1
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(1 if failed or not passed else 0)
