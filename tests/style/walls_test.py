"""The folder tree is the architecture: these tests read the #includes and hold the code to DESIGN 2."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ["config", "levels/core", "levels/0_baseline", "levels/1_database", "levels/2_broker", "levels/3_service", "daemon"]
# One vendor, one file (the file, or the private header of the files of one class, that may include it).
VENDORS = {
    r"httplib\.h": {"levels/0_baseline/http_router.cpp"},
    r"pqxx/": {"levels/1_database/connection.cpp"},
    r"librdkafka/rdkafka\.h": {"levels/2_broker/producer_inside.hpp"},
    r"prometheus/": {"levels/0_baseline/metrics.cpp"},
    r"curl/": {"levels/3_service/http_registrar.cpp"},
    r"systemd/": {"daemon/systemd.cpp"},
    r"CLI/": {"daemon/main.cpp", "daemon/ctl/main.cpp", "daemon/command_line.cpp"},
}
PURE = ["thread", "mutex", "condition_variable", "future", "semaphore", "sys/", "unistd.h", "iostream", "fstream", "nlohmann"]


def floor_of(path):
    return max((f for f in FLOORS if path == f or path.startswith(f + "/")), key=len, default=None)


def includes(root):
    for file in sorted(p for f in ("config", "levels", "daemon") for p in (root / f).rglob("*") if p.suffix in (".hpp", ".cpp")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if m := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
                yield file.relative_to(root).as_posix(), number, m[1] == '"', m[2]


# What only the files of its own class may include.
INSIDES = {"levels/2_broker/producer_inside.hpp": "levels/2_broker/producer"}


def breaches(root):
    for file, line, own, target in includes(root):
        if own:
            there, here = floor_of(target), floor_of(file)
            if target in INSIDES and not file.startswith(INSIDES[target]):
                yield f"{file}:{line}: {target} is the inside of {INSIDES[target]}"
            if there is None:
                yield f"{file}:{line}: {target} is not written from the root of the tree"
            elif FLOORS.index(there) > FLOORS.index(here):
                yield f"{file}:{line}: {here} must not know {there} ({target})"
        else:
            for vendor, allowed in VENDORS.items():
                if re.match(vendor, target) and file not in allowed:
                    yield f"{file}:{line}: <{target}> belongs into {', '.join(sorted(allowed))} only"
            if file.startswith("levels/core/") and any(target.startswith(p) for p in PURE):
                yield f"{file}:{line}: the core is pure, <{target}> is not"


def test_no_include_crosses_a_wall():
    assert list(breaches(ROOT)) == []


@pytest.mark.parametrize("file,line", [
    ("levels/0_baseline/log.cpp", '#include "levels/3_service/server.hpp"'), ("levels/1_database/pool.hpp", "#include <pqxx/pqxx>"),
    ("levels/core/ladder.cpp", "#include <thread>"), ("config/load.cpp", '#include "levels/core/fault.hpp"'),
    ("levels/2_broker/relay.cpp", '#include "daemon/manager.hpp"'), ("levels/2_broker/relay.cpp", '#include "relay.hpp"'),
    ("levels/2_broker/relay.cpp", '#include "levels/2_broker/producer_inside.hpp"'), ("levels/2_broker/producer.cpp", "#include <librdkafka/rdkafka.h>")])
def test_a_breach_would_be_seen(tmp_path, file, line):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line + "\n")
    assert len(list(breaches(tmp_path))) == 1


def test_only_main_names_the_real_clocks():
    named = [f"{p.relative_to(ROOT)}:{n}" for f in ("config", "levels", "daemon") for p in (ROOT / f).rglob("*.?pp")
             for n, line in enumerate(p.read_text().splitlines(), 1) if re.search(r"(steady_clock|system_clock|Clock)::now\(", line)]
    assert [n for n in named if not n.startswith(("daemon/main.cpp", "daemon/ctl/"))] == []


def test_headers_stand_alone_and_files_stay_short():
    files = [p for f in ("config", "levels", "daemon") for p in (ROOT / f).rglob("*.?pp")]
    assert [f"{p.relative_to(ROOT)}: no #pragma once" for p in files if p.suffix == ".hpp" and "#pragma once" not in p.read_text()] == []
    assert [f"{p.relative_to(ROOT)}: {n} lines" for p in files if (n := len(p.read_text().splitlines())) > 600] == []


def test_nothing_unfinished_and_nothing_swallowed():
    bad = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|catch \(\.\.\.\) \{\s*\}")
    files = [p for f in ("config", "levels", "daemon", "packaging", "systemd") for p in (ROOT / f).rglob("*") if p.is_file()]
    assert [f"{p.relative_to(ROOT)}: {m[0]}" for p in files if (m := bad.search(p.read_text(errors="replace")))] == []
