"""What is shipped as an example is accepted by the program it is an example for."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("RATCHET_BUILD", ROOT / "build/dev"))
GUIDE = (ROOT / "docs/first-hour.md").read_text()
KUBERNETES = {d["kind"]: d for d in yaml.safe_load_all((ROOT / "packaging/kubernetes/ratchetd.yaml").read_text())}
CONFIGURATIONS = {
    "first hour": re.search(r"```json\n(.*?)```", GUIDE, re.S)[1],
    "compose": (ROOT / "packaging/compose/ratchetd.json").read_text(),
    "kubernetes": KUBERNETES["ConfigMap"]["data"]["ratchetd.json"],
    "full": (ROOT / "config/ratchetd.json").read_text(),
    "smallest": (ROOT / "config/smallest.json").read_text(),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_shipped_configuration_is_good(name, tmp_path):
    file = tmp_path / "ratchetd.json"
    file.write_text(CONFIGURATIONS[name])
    told = subprocess.run([BUILD / "ratchetd", "check", "--config", file], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert len(json.loads(CONFIGURATIONS[name])["routes"]) >= 1


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
@pytest.mark.parametrize("name", ["compose", "first hour"])
def test_a_shipped_balancer_is_good(name, tmp_path):
    file = tmp_path / "haproxy.cfg"
    text = (ROOT / "packaging/compose/haproxy.cfg").read_text()
    if name == "first hour":
        timeouts = "defaults\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n"
        text = timeouts + re.search(r"```\n(frontend events\n.*?)```", GUIDE, re.S)[1]
    file.write_text(text)
    told = subprocess.run(["haproxy", "-c", "-f", file], capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "warning" not in (told.stdout + told.stderr).lower()
