"""Adds up the JUnit files of a folder, names what failed or was skipped, and ends with the one line that counts."""
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

counts = {"passed": 0, "failed": 0, "skipped": 0}
for file in sorted(Path(sys.argv[1]).glob("*.xml")):
    for case in ET.parse(file).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") in ("fail", "timeout"):
            kind = "failed"
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled", "skipped"):
            kind = "skipped"
        else:
            kind = "passed"
        counts[kind] += 1
        if kind != "passed":
            print(f"{kind}: {file.stem}: {case.get('classname') or ''} {case.get('name')}")
print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
sys.exit(1 if counts["failed"] or not counts["passed"] else 0)
