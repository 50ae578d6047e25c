"""What is shipped beside the program says what the program says, and its grace periods hold the drain's own budget."""
import ipaddress
import json
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
VERBS = set(re.findall(r'add_subcommand\("([a-z-]+)"', "\n".join(p.read_text() for p in (ROOT / "daemon/ctl").glob("*.cpp"))))
DRAIN_TOTAL_S = int(re.search(r"milliseconds total\{([0-9']+)\}", (ROOT / "config/settings.hpp").read_text())[1].replace("'", "")) / 1000


def duration_s(text):
    return float(re.fullmatch(r"([0-9.]+)s", text)[1])


def total_s(settings):
    return settings.get("service", {}).get("drain", {}).get("total_ms", DRAIN_TOTAL_S * 1000) / 1000


def test_every_verb_has_its_line_in_the_page_and_in_both_completions():
    assert len(VERBS) >= 9
    page = (PACKAGING / "man/ratchetctl.1").read_text()
    bash = set(re.search(r'verbs="([^"]+)"', (PACKAGING / "completions/ratchetctl.bash").read_text())[1].split())
    zsh = set(re.findall(r"^  '([a-z-]+):", (PACKAGING / "completions/_ratchetctl").read_text(), re.M))
    assert bash == VERBS and zsh == VERBS
    assert [v for v in sorted(VERBS) if not re.search(rf'^\.(B|BI|BR) "?{v}\b', page, re.M)] == []


def test_bash_completes_verbs_and_their_words():
    script = PACKAGING / "completions/ratchetctl.bash"

    def completed(*words):
        line = " ".join(f"'{w}'" for w in words)
        out = subprocess.run(["bash", "-c", f". {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _ratchetctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                             capture_output=True, text=True, check=True)
        return set(out.stdout.split())

    assert completed("ratchetctl", "re") == {v for v in VERBS if v.startswith("re")}
    assert completed("ratchetctl", "--socket", "/s", "relay", "") == {"pause", "resume", "--help"}
    assert completed("ratchetctl", "wait", "--level", "") == {"0", "1", "2", "3"}


def test_man_pages_are_clean():
    for page in (PACKAGING / "man").glob("*.[0-9]"):
        told = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, ""), page


def test_compose_gives_each_stop_its_time_and_waits_for_no_dependency():
    compose = yaml.safe_load((PACKAGING / "compose/compose.yaml").read_text())
    settings = json.loads((PACKAGING / "compose/ratchetd.json").read_text())
    instances = {n: s for n, s in compose["services"].items() if n.startswith("ratchetd-")}
    assert len(instances) == 2
    for name, service in instances.items():
        assert duration_s(service["stop_grace_period"]) >= total_s(settings) + 5, name
        assert "depends_on" not in service, name
    servers = re.findall(r"^\s+server \S+ ([a-z0-9-]+):8080", (PACKAGING / "compose/haproxy.cfg").read_text(), re.M)
    assert set(servers) == set(instances)
    # HAProxy's address is its own, in the network, and the one whose word the instances believe.
    address = compose["services"]["haproxy"]["networks"]["default"]["ipv4_address"]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(compose["networks"]["default"]["ipam"]["config"][0]["subnet"])
    assert settings["service"]["balancers"] == settings["service"]["trusted_proxies"] == [address]
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert (PACKAGING / "compose" / volume.split(":")[0]).exists()


def test_kubernetes_gives_the_drain_its_time_and_the_endpoints_theirs():
    documents = {d["kind"]: d for d in yaml.safe_load_all((PACKAGING / "kubernetes/ratchetd.yaml").read_text())}
    settings = json.loads(documents["ConfigMap"]["data"]["ratchetd.json"])
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["terminationGracePeriodSeconds"] >= total_s(settings) + 5
    ready, live = container["readinessProbe"], container["livenessProbe"]
    assert (ready["httpGet"]["path"], live["httpGet"]["path"]) == ("/ready", "/live")
    assert ready["periodSeconds"] * ready["failureThreshold"] <= settings["service"]["drain"]["lb_wait"] / 1000
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert settings["ops"]["listen"].endswith(f":{ports['ops']}") and settings["service"]["listen"].endswith(f":{ports['http']}")
    assert documents["Service"]["spec"]["selector"].items() <= documents["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


def test_the_image_runs_as_nobody_special_and_can_be_stopped():
    lines = (PACKAGING / "Dockerfile").read_text()
    assert re.search(r"^USER ratchetd$", lines, re.M) and re.search(r"^STOPSIGNAL SIGTERM$", lines, re.M)
    assert re.search(r'^ENTRYPOINT \["', lines, re.M) and re.search(r'^HEALTHCHECK .*CMD \["ratchetctl", "wait"', lines, re.M)


def mebibytes(text):
    number, unit = re.fullmatch(r"(\d+)([KMG])i?", text, re.I).groups()
    return int(number) * {"k": 1 / 1024, "m": 1, "g": 1024}[unit.lower()]


def memory_need_mib(settings):
    """config/memory_need.cpp, from its own constants and the defaults."""
    def constant(name, file):
        return int(re.search(rf"{name} = (\d+) \* kMiB", (ROOT / "config" / file).read_text())[1])

    limits, pools = settings.get("service", {}).get("limits", {}), settings["database"]["pools"]
    buffers = limits.get("buffer_bytes", constant("buffer_bytes", "settings.hpp") * 2**20) / 2**20
    queue = settings.get("outbox", {}).get("queue_bytes", constant("queue_bytes", "settings.hpp") * 2**20) / 2**20
    outboxes = max(1, sum(pool.get("outbox", False) for pool in pools.values()))
    return buffers + constant("kOpsBufferBytes", "memory_need.hpp") + outboxes * queue + constant("kRestOfMemory", "memory_need.hpp")


def test_every_limit_of_memory_holds_what_the_configuration_beside_it_allows():
    manifest = [d for d in yaml.safe_load_all((PACKAGING / "kubernetes/ratchetd.yaml").read_text()) if d]
    container = next(d for d in manifest if d["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]
    in_map = next(json.loads(d["data"]["ratchetd.json"]) for d in manifest if d["kind"] == "ConfigMap")
    compose = yaml.safe_load((PACKAGING / "compose/compose.yaml").read_text())
    shipped = json.loads((ROOT / "config/ratchetd.json").read_text())
    given = [(container["resources"]["limits"]["memory"], in_map)]
    given += [(s["mem_limit"], json.loads((PACKAGING / "compose/ratchetd.json").read_text()))
              for name, s in compose["services"].items() if name.startswith("ratchetd-")]
    for unit in ("ratchetd.service", "ratchetd@.service"):
        given.append((re.search(r"^MemoryMax=(\w+)$", (ROOT / "systemd" / unit).read_text(), re.M)[1], shipped))
    assert len(given) == 5
    for limit, settings in given:
        assert mebibytes(limit) >= memory_need_mib(settings), (limit, settings)
