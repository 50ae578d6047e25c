"""What the README says is what the tree has."""
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_smallest_configuration_in_the_readme_is_the_shipped_one():
    block = re.search(r"## The smallest configuration\n```json\n(.*?)```", README, re.S)[1]
    assert json.loads(block) == json.loads((ROOT / "config/smallest.json").read_text())


def test_every_path_the_readme_names_exists():
    named = set(re.findall(r"`((?:config|levels|daemon|systemd|packaging|tests)/[A-Za-z0-9_./-]+)`", README))
    assert [n for n in sorted(named) if not (ROOT / n).exists() and not list(ROOT.glob(n + ".*"))] == []


def test_every_thread_that_is_named_in_code_is_in_the_readme():
    code = "\n".join(p.read_text() for f in ("levels", "daemon") for p in (ROOT / f).rglob("*.cpp"))
    names = set(re.findall(r'(?:pthread_setname_np|start_thread)\([^;]*?"([a-z-]+)"', code))
    assert names and [n for n in sorted(names) if f"`{n}" not in README] == []
