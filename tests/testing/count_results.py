"""Ends with the line "N passed, N failed" for a ctest JUnit report, one count per test case.

GoogleTest binaries are one ctest entry each; their own "[  PASSED  ] n tests." lines are counted where they are.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree


def main() -> None:
    passed = failed = skipped = 0
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        inner_passed = re.findall(r"\[  PASSED  \] (\d+) test", output)
        inner_failed = re.findall(r"\[  FAILED  \] (\d+) test", output)
        inner_skipped = re.findall(r"\[  SKIPPED \] (\d+) test", output)
        status = case.get("status")
        # A binary whose cases were all skipped has passed none.
        passed += sum(map(int, inner_passed)) if inner_passed else status == "run"
        failed += sum(map(int, inner_failed)) or (status == "fail")
        skipped += sum(map(int, inner_skipped)) or (status in ("notrun", "disabled"))
        if status == "run" and inner_skipped:
            print(f"note: {case.get('name')}: {sum(map(int, inner_skipped))} skipped")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")


if __name__ == "__main__":
    main()
