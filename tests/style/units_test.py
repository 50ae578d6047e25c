"""The units: as closed as they can be, the template the same as the single one, and nothing that Debian 12 does not know."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = (SYSTEMD / "ratchetd.service").read_text()


def test_the_template_differs_from_the_unit_by_its_name_only():
    names = {"Description=ratchetd: ": "Description=ratchetd %i: ", "/etc/ratchetd/ratchetd.json": "/etc/ratchetd/%i.json",
             "\nStateDirectory=ratchetd\n": "\nStateDirectory=ratchetd/%i\n", "\nRuntimeDirectory=ratchetd\n": "\nRuntimeDirectory=ratchetd-%i\n"}
    expected = UNIT
    for one, many in names.items():
        assert one in expected
        expected = expected.replace(one, many)
    assert (SYSTEMD / "ratchetd@.service").read_text() == expected


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["ratchetd.service", "ratchetd@.service"])
def test_exposure_is_low(name):
    told = subprocess.run(["systemd-analyze", "security", "--offline=true", SYSTEMD / name], capture_output=True, text=True, timeout=60)
    assert float(re.search(r"exposure level for \S+: ([0-9.]+)", told.stdout)[1]) <= 1.5, told.stdout + told.stderr


def test_what_a_restart_needs_is_there():
    for line in ("Type=notify", "NotifyAccess=main", "StartLimitIntervalSec=0", "RestartSec=200ms", "Restart=on-failure", "ExecStop=+/usr/lib/ratchetd/handover %n"):
        assert f"\n{line}\n" in UNIT, line
    assert int(re.search(r"^FileDescriptorStoreMax=(\d+)$", UNIT, re.M)[1]) >= 1


def test_what_newer_systemds_know_stands_in_a_drop_in():
    newer = r"^(FileDescriptorStorePreserve|RestartSteps|RestartMaxDelaySec|ImportCredential|Type=notify-reload)\b"
    assert re.findall(newer, UNIT, re.M) == []
    assert len(re.findall(newer, (SYSTEMD / "50-systemd-254.conf").read_text(), re.M)) == 4


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_scripts_are_clean():
    for script in (SYSTEMD / "lib").iterdir():
        told = subprocess.run(["shellcheck", "-s", "sh", script], capture_output=True, text=True)
        assert told.returncode == 0, told.stdout
