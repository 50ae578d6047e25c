"""What a stranger can send or do to the ports: real attacks on a real daemon. Asserted are answers, counts and bytes, not times;
times are measured by hand (tests/bench)."""
import http.client
import json
import os
import resource
import socket
import threading

import pytest
from conftest import migrated
from fleet import Fleet, Forger, Traffic

from tests.support.haproxy import Haproxy
from tests.support.nginx import Nginx
from tests.support.servers import Daemon, EmbeddedBroker, SLOW, wait_for

MIB = 1024 * 1024
MASK, GOLDEN = (1 << 64) - 1, 0x9e3779b97f4a7c15  # of splitmix64
HEAD = b"POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def daemon(session_postgres):
    broker = EmbeddedBroker("orders")
    d = Daemon(session_postgres.dsn("app"), broker.bootstrap)
    migrated(d, session_postgres).start().wait_level(3)
    yield d
    d.remove()
    broker.remove()


def answer_of(s):
    """(status, head, body) of the next answer; status 0: the connection has ended, or was reset."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            got = s.recv(65536)
            if not got:
                return 0, data, b""
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next((line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b"0"))
        while len(body) < length:
            got = s.recv(65536)
            if not got:
                return 0, head, body
            body += got
        return int(head.split()[1]), head, body
    except ConnectionResetError:
        return 0, data, b""


# ---- uploads that are refused --------------------------------------------------------------------------------------

def upload(port, mib, chunked, may_stop):
    """The answer that somebody gets who sends all of it before looking. `may_stop`: a proxy that has the answer may hang up."""
    block = b"x" * MIB
    with socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW) as s:
        try:
            s.sendall(HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % (mib * MIB)))
            for _ in range(mib):
                s.sendall(b"%x\r\n%s\r\n" % (MIB, block) if chunked else block)
            if chunked:
                s.sendall(b"0\r\n\r\n")
        except OSError:
            assert may_stop, "reset before all was sent"
        return answer_of(s)[0]


def proxied(port, *directives):
    return Nginx(f"client_max_body_size 0; {' '.join(directives)} location / {{ proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; "
                 "proxy_set_header Connection ''; }")


@pytest.mark.parametrize("front", ["direct", "nginx", "nginx, not buffering", "haproxy"])
def test_a_refused_upload_is_413_whatever_its_size_and_takes_no_instance_out(daemon, make, front):
    port = daemon.http_port
    if front == "haproxy":
        port = make(Haproxy, [f"server s1 127.0.0.1:{port}"]).start().port
    elif front != "direct":
        port = make(proxied, port, "proxy_request_buffering off;" if "not" in front else "").start().port
    for mib in (17, 20, 40, 64):
        for chunked in (False, True):
            assert upload(port, mib, chunked, front != "direct") == 413, (mib, chunked)
    assert daemon.post("/events/orders", {"customer": "c"})[0] == 202


# ---- connections that hold their places ----------------------------------------------------------------------------

EVENT = {"customer": "c", "note": "n"}


@pytest.fixture
def limited(make, session_postgres):
    """A daemon at level 3 with limits of its own."""
    def build(**changes):
        d = make(Daemon, session_postgres.dsn("app"), make(EmbeddedBroker, "orders").bootstrap, **changes)
        return migrated(d, session_postgres).start().wait_level(3)
    return build


def quiet(port, count):
    """Connections that never send a byte."""
    return [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(count)]


def keeping(port, count):
    """Connections that have asked once and keep quiet since."""
    kept = []
    for _ in range(count):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        c.request("GET", "/live")
        assert c.getresponse().read()
        kept.append(c)
    return kept


@pytest.mark.parametrize("hold", [quiet, keeping])
def test_quiet_connections_lock_nobody_out(limited, hold):
    d = limited(ops={"connections": 64}, service={"limits": {"connections": 200}})
    held = hold(d.ops_port, 64) + hold(d.http_port, 200)
    for _ in range(3):  # more and more of them, and everybody is answered all the same
        for port in (d.ops_port, d.http_port):
            assert [d.get(path, port)[0] for path in ("/live", "/ready", "/health")] == [200] * 3
        assert [d.post("/events/orders", EVENT)[0] for _ in range(20)] == [202] * 20
        assert d.get("/metrics")[0] == 200
        held += quiet(d.ops_port, 64) + quiet(d.http_port, 200)
    assert not d.metric("ratchet_rejected_total", reason="connections-per-address")
    assert d.metric("ratchet_connections_given_up_total") >= 2
    assert json.loads(d.get("/alarms")[2]) == []
    for c in held:
        c.close()


def test_requests_in_progress_are_never_cut_for_a_newcomer_and_health_is_answered_still(limited):
    d = limited(service={"limits": {"connections": 20}})
    body = json.dumps(EVENT).encode()
    slow = quiet(d.http_port, 20)
    for s in slow:
        s.sendall(b"POST /events/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    wait_for("all of them are reading a body", lambda: d.post("/events/orders", EVENT)[0] == 503)
    for path in ("/live", "/ready", "/health"):
        assert d.get(path, d.http_port)[0] == 200
    status, headers, answer = d.post("/events/orders", EVENT)
    assert (status, headers["Retry-After"], json.loads(answer)["title"]) == (503, "1", "Too many connections")
    assert d.metric("ratchet_rejected_total", reason="connections") >= 2
    for s in slow:
        s.sendall(body)
        assert s.recv(65536).startswith(b"HTTP/1.1 202 ")
        s.close()


def test_one_address_has_no_more_than_its_share(limited):
    d = limited(service={"limits": {"connections_per_address": 5}})
    held = keeping(d.http_port, 5)
    status, headers, answer = d.post("/events/orders", EVENT)
    assert (status, headers["Retry-After"], json.loads(answer)["title"]) == (429, "1", "Too many connections from one address")
    assert d.get("/ready", d.http_port)[0] == 200
    with socket.create_connection(("127.0.0.1", d.http_port), timeout=20, source_address=("127.0.0.9", 0)) as other:
        other.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 404 ")
    assert d.metric("ratchet_rejected_total", reason="connections-per-address") == 1
    held.pop().close()
    wait_for("one went, one may come", lambda: d.post("/events/orders", EVENT)[0] == 202)


def test_too_few_files_are_shared_out_once_and_nothing_hangs(limited):
    d = limited(prefix=["prlimit", "--nofile=400:400"])
    limits = json.loads(d.get("/info")[2])["limits"]
    assert 10 <= limits["service"]["connections"] < 400
    held = quiet(d.http_port, 500)
    assert [d.get(path, d.http_port)[0] for path in ("/live", "/ready")] == [200] * 2
    assert [d.post("/events/orders", EVENT)[0] for _ in range(10)] == [202] * 10
    assert d.get("/levels")[0] == 200 and d.ctl("status").returncode == 0
    assert not d.metric("ratchet_rejected_total", reason="out-of-files")
    [alarm] = json.loads(d.get("/alarms")[2])
    assert alarm["id"] == "limit.files" and f"service.limits.connections counts as {limits['service']['connections']} instead of 10000" in alarm["runbook"]
    assert d.log_text().count("limit.files") == 1
    for s in held:
        s.close()


def on_control(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(path))
    return s


def test_half_open_clients_lock_no_operator_out_of_the_control_socket(make):
    d = make(Daemon, "host=127.0.0.1 port=1 dbname=x", "127.0.0.1:1").start()
    wait_for("the control socket answers", lambda: d.ctl("status", check=False).returncode == 0)
    waits = []
    for _ in range(40):
        waits.append(on_control(d.socket))
        waits[-1].sendall(b'{"verb":"wait","level":3,"timeout_ms":60000}\n')
    held = []
    for beginning in (b"", b'{"verb":'):
        for _ in range(16):
            held.append(on_control(d.socket))
            held[-1].sendall(beginning)
        assert d.ctl("status").returncode == 0
        assert d.ctl("hold", 1, "--reason", "a try").returncode == 0
        assert d.ctl("release").returncode == 0
    assert b"others wait" in held[0].recv(65536)  # the oldest, and told so
    for s in waits:  # none of them was given up
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(1)
        s.close()


def test_what_is_no_socket_is_never_deleted_for_the_control_socket(make, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(precious)
    for path, kind in ((precious, "a file"), (link, "a link"), (tmp_path, "a folder")):
        d = make(Daemon, "host=127.0.0.1 port=1 dbname=x", "127.0.0.1:1", ops={"control": str(path)}).start()
        d.socket = path
        def alarm():
            return next((a for a in json.loads(d.get("/alarms")[2] or b"[]") if a["id"] == "control.socket"), None)
        wait_for("named", alarm)
        assert alarm()["text"] == f"control socket: cannot listen on unix:{path}: {path} is {kind}, which is left alone"
        assert "ops.control" in alarm()["runbook"]
        if path == precious:  # it gets its place once that is free
            precious.rename(tmp_path / "moved")
            wait_for("the control socket answers", lambda: d.ctl("status", check=False).returncode == 0)
            wait_for("cleared", lambda: alarm() is None)
            assert d.stop() == 0 and not precious.exists()
            (tmp_path / "moved").rename(precious)
        else:
            assert d.stop() == 0
        assert precious.read_text() == "precious" and link.is_symlink()


# ---- words that only a balancer may say ----------------------------------------------------------------------------

STOPS = int(os.environ.get("RATCHET_ATTACK_STOPS", "5"))


def rolling_stops(make, postgres, mechanism, word, stops):
    broker = make(EmbeddedBroker, "orders")
    service = {"probe_secret": "open-sesame"} if mechanism == "secret" else {}
    fleet = Fleet(make, postgres, broker, mechanism, size=2, **service).start()
    traffic = Traffic(fleet.lb.port, keep=3, fresh=3, pause_s=0.005).start()
    forger = Forger(fleet.lb.port, word, ["s0", "s1"]).start() if word else None
    try:
        for n in range(stops):
            if n:
                fleet.add((n - 1) % 2)
            fleet.remove(n % 2)
        wait_for("enough was asked and forged", lambda: traffic.ok > 100 and (forger is None or forger.sent > 100))
    finally:
        traffic.stop()
        if forger:
            forger.stop()
    print(f"forged {forger.sent} times '{word}':" if word else "nobody forges:", fleet.report(traffic))
    return fleet, traffic


@pytest.mark.parametrize("mechanism, word, ended_by", [
    ("404 quick", "gone", "1 node stopped and idle"), ("secret", "gone", "1 node stopped and idle"), ("no-state", "gone", "4 probe intervals"),
    ("404 quick", "busy", "1 node stopped and idle")])
def test_a_forged_server_state_fails_no_request_of_rolling_stops(make, session_postgres, mechanism, word, ended_by):
    """Each stop is ended by the balancer's own word, or by its own pace: none is cut short, none waits for a node that there is not.
    RATCHET_ATTACK_STOPS=20: by hand, beside as many stops at which nobody forges."""
    if STOPS > 5:
        rolling_stops(make, session_postgres, mechanism, None, STOPS)
    fleet, traffic = rolling_stops(make, session_postgres, mechanism, word, STOPS if STOPS > 5 or (mechanism, word) == ("404 quick", "gone") else 1)
    assert not traffic.failed, fleet.report(traffic)
    assert fleet.summaries() and [line for line in fleet.summaries() if ended_by not in line] == []


# ---- what a body or a path can make us compute ---------------------------------------------------------------------

def problem_of(answered):
    status, headers, body = answered
    assert headers["Content-Type"] == "application/problem+json"
    return status, json.loads(body)


def splitmix(state):
    z = state & MASK
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & MASK
    z = (z ^ z >> 27) * 0x94d049bb133111eb & MASK
    return z ^ z >> 31


def unshifted(z, by):
    x = z
    for _ in range(64 // by + 1):
        x = z ^ x >> by
    return x


def state_before(output):
    """Runs splitmix64 backwards."""
    z = unshifted(output, 31) * pow(0x94d049bb133111eb, -1, 1 << 64) & MASK
    z = unshifted(z, 27) * pow(0xbf58476d1ce4e5b9, -1, 1 << 64) & MASK
    return unshifted(z, 30)


def parts_of(uuid):
    """What is random in a UUIDv7: 12 bits and 62 bits."""
    digits = uuid.replace("-", "")
    return int(digits[13:16], 16), int(digits[16:], 16) & (1 << 62) - 1


def test_an_id_says_nothing_of_the_next_one(daemon):
    """Ids and the hash's key once came from one generator that runs backwards: one id told all others, and the key with which names
    are made that collide."""
    ids = [json.loads(daemon.post("/events/orders", {"customer": "c"})[2])["id"] for _ in range(20)]
    guessed = 0
    for one, after in zip(ids, ids[1:]):
        few, many = parts_of(one)
        for low in range(4):
            state = state_before(many << 2 | low)
            if splitmix(state - GOLDEN) & 0xfff != few:
                continue
            for calls in range(1, 12):  # between two ids lie a trace's numbers
                guessed += parts_of(after) == (splitmix(state + calls * GOLDEN) & 0xfff, splitmix(state + (calls + 1) * GOLDEN) >> 2)
    assert guessed == 0
    assert len({parts_of(one) for one in ids}) == len(ids)


@pytest.mark.parametrize("shape, limit", [("one object", 10_000), ("many objects", 100_000)])
def test_a_body_of_too_many_names_is_refused_and_nobody_waits(daemon, shape, limit):
    if shape == "one object":
        body = b'{"customer":"c",' + b",".join(b'"%x":0' % i for i in range(98_000)) + b"}"
    else:
        body = b'{"customer":"c","all":[' + b",".join(b'{"a":1}' for _ in range(limit)) + b"]}"
    assert len(body) < MIB
    before = daemon.metric("ratchet_rejected_total", reason="json-members") or 0
    for n in range(1, 5):
        status, problem = problem_of(daemon.post("/events/orders", body))
        assert status == 413 and problem["type"].endswith(":json-members"), problem
        assert (problem["limit"], problem["found"]) == (limit, limit + 1)
        assert daemon.metric("ratchet_rejected_total", reason="json-members") == before + n
    most = b'{"customer":"c",' + b",".join(b'"%x":0' % i for i in range(9_999)) + b"}"
    assert daemon.post("/events/orders", most)[0] == 202


@pytest.mark.parametrize("path", [b"a://" + b"\\" * 8000, b"postgres://" * 720, b"x\\\"postgres://" * 570], ids=["backslashes", "URIs", "quoted URIs"])
def test_paths_that_look_like_secrets_do_not_stop_the_port(make, daemon, session_postgres, path):
    """6,000 at once on six connections, each an access-log line: looking ahead anew at every character took 10 ms for one."""
    d = make(Daemon, daemon.config["database"]["pools"]["main"]["dsn"], daemon.config["broker"]["bootstrap"][0], log={"access": True})
    d.start().wait_level(3)
    each = 1000
    request = b"GET /" + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    answered = []

    def send(s):
        for _ in range(each):
            s.sendall(request)

    def read(s):
        count, rest = 0, b""
        while count < each:
            got = s.recv(1 << 20)
            if not got:
                break
            data = rest + got
            count += data.count(b"HTTP/1.1 404 ")
            rest = data[-12:]
        answered.append(count)

    sockets = [socket.create_connection(("127.0.0.1", d.http_port), timeout=30 * SLOW) for _ in range(6)]
    threads = [threading.Thread(target=f, args=(s,)) for s in sockets for f in (send, read)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        for port in (d.http_port, d.ops_port):
            assert d.get("/ready", port)[0] == 200
    for s in sockets:
        s.close()
    assert answered == [each] * 6
    assert d.metric("ratchet_rejected_total", reason="not-found") == 6 * each


# ---- bodies that do not end ----------------------------------------------------------------------------------------

BUFFER_MIB = 64  # service.limits.buffer_bytes
DECLARED = 900_000


@pytest.fixture
def patient(make, session_postgres):
    """A daemon that gives bodies all the time of the world, so that only its memory is bounded."""
    broker = make(EmbeddedBroker, "orders")
    d = make(Daemon, session_postgres.dsn("app"), broker.bootstrap, service={"limits": {"body_wait_ms": 300_000, "request_ms": 300_000}})
    return migrated(d, session_postgres).start().wait_level(3)


def unfinished(port, chunked):
    """A connection on which all but the last 100 bytes of an event have been sent."""
    body = b'{"customer":"c","x":"' + b"x" * (DECLARED - 23) + b'"}'
    data = HEAD + (b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % DECLARED if chunked else b"Content-Length: %d\r\n\r\n" % DECLARED) + body
    s = socket.create_connection(("127.0.0.1", port), timeout=30 * SLOW)
    s.sendall(data[:-100])
    return s, data[-100:] + (b"\r\n0\r\n\r\n" if chunked else b"")


@pytest.mark.parametrize("chunked, count", [(False, 800), (True, 200)])
def test_bodies_that_do_not_end_cost_a_bounded_memory_and_the_slowest_of_them_their_answer(patient, chunked, count):
    before = patient.rss_mib()
    held = [unfinished(patient.http_port, chunked) for _ in range(count)]
    peak = patient.rss_mib()
    assert peak - before <= BUFFER_MIB + 20
    assert patient.post("/events/orders", {"customer": "c"})[0] == 202, "others are served"
    fit = BUFFER_MIB * MIB // DECLARED
    wait_for("all is received", lambda: (patient.metric("ratchet_rejected_total", reason="buffers") or 0) >= count - fit)
    for _ in range(3):  # the latest are not given up
        s, rest = unfinished(patient.http_port, chunked)
        s.sendall(rest)
        assert answer_of(s)[0] == 202
        s.close()
    told = 0
    for s, _ in held:
        s.shutdown(socket.SHUT_WR)  # ends those that are held
        status, head, body = answer_of(s)
        assert status in (0, 503), (status, head, body)
        if status == 503:
            assert b"Retry-After: 1" in head and b'"limit":%d,' % (BUFFER_MIB * MIB) in body, (head, body)
            told += 1
    assert count - fit <= told <= count - 30
    assert patient.metric("ratchet_rejected_total", reason="buffers") == told
    for s, _ in held:
        s.close()
    wait_for("memory goes back to the system", lambda: patient.rss_mib() <= 1.1 * before + 4)
    print(f"resident: {before:.1f} MiB before, {peak:.1f} at the peak, {patient.rss_mib():.1f} after")  # pytest -s


def test_what_the_head_decides_is_answered_before_the_body_is_sent(daemon):
    json_head = b"Content-Type: application/json\r\n"
    shapes = {
        b"POST /nowhere": (404, json_head), b"PUT /events/orders": (405, json_head), b"POST /ready": (405, json_head),
        b"POST /events/orders": (415, b"Content-Type: text/plain\r\n"), b"POST /events/orders?idempotency": (400, json_head + b"Idempotency-Key: \"\r\n"),
        b"POST /events/orders?ce": (400, json_head + b"ce-id: 1\r\n"), b"POST /events/orders?expect": (417, json_head + b"Expect: tea\r\n"),
        b"POST /events/orders?coding": (415, json_head + b"Content-Encoding: gzip\r\n")}
    for line, (wanted, headers) in shapes.items():
        for length in (b"Content-Length: 10\r\n", b"Content-Length: 1000000\r\n", b"Transfer-Encoding: chunked\r\n"):
            for expect in ((b"",) if b"Expect" in headers else (b"", b"Expect: 100-continue\r\n")):
                with socket.create_connection(("127.0.0.1", daemon.http_port), timeout=20 * SLOW) as s:
                    s.sendall(line + b" HTTP/1.1\r\nHost: a\r\n" + headers + length + expect + b"\r\n")
                    assert answer_of(s)[0] == wanted, (line, length, expect)
    body = b"0123456789"
    kept = [(line, wanted, headers) for line, (wanted, headers) in shapes.items() if b"Expect" not in headers and b"Encoding" not in headers]
    with socket.create_connection(("127.0.0.1", daemon.http_port), timeout=20 * SLOW) as s:
        for line, wanted, headers in kept:  # whole requests, and such as come in two pieces: one connection for all
            for pause in (False, True):
                head = line + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n" + headers + b"\r\n"
                s.sendall(head if pause else head + body)
                assert answer_of(s)[0] == wanted, line
                s.sendall(body if pause else b"")
        good = b'{"customer":"c"}'
        s.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(good) + good)
        assert answer_of(s)[0] == 202


def test_a_route_that_is_switched_off_or_full_reads_no_body(daemon):
    daemon.ctl("route", "off", "/events/orders")
    try:
        for expect in (b"", b"Expect: 100-continue\r\n"):
            with socket.create_connection(("127.0.0.1", daemon.http_port), timeout=20 * SLOW) as s:
                s.sendall(HEAD + b"Content-Length: 900000\r\n" + expect + b"\r\n")
                status, _, body = answer_of(s)
                assert status == 503 and b"route-off" in body
    finally:
        daemon.ctl("route", "on", "/events/orders")


def test_memory_that_is_not_to_be_had_costs_connections_and_not_the_process(patient):
    pid = patient.process.pid
    total = int(open(f"/proc/{pid}/statm").read().split()[0]) * 4096
    resource.prlimit(pid, resource.RLIMIT_AS, (total + 16 * MIB, resource.RLIM_INFINITY))
    held = [unfinished(patient.http_port, False)[0] for _ in range(100)]
    wait_for("answers", lambda: (patient.metric("ratchet_rejected_total", reason="buffers") or 0) >= 60)
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for s in held:
        s.close()
    assert patient.post("/events/orders", {"customer": "c"})[0] == 202
    assert patient.process.poll() is None and patient.held() == 3
