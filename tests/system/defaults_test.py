"""Defaults of the role, the database and the server that change what SQL means: ratchetd's sessions are its own all the same.
tests/levels/1_database/session_test.cpp tries each setting that the server has, one by one; here all the worst come at once."""
import json

import pytest
from conftest import migrated, prepared

from tests.support.servers import Daemon, Postgres, wait_for

WORST = {
    "default_transaction_isolation": "serializable", "default_transaction_deferrable": "on", "row_security": "off", "exit_on_error": "on", "client_min_messages": "error",
    "standard_conforming_strings": "off", "backslash_quote": "off", "plan_cache_mode": "force_custom_plan", "statement_timeout": "1", "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1", "idle_session_timeout": "1", "bytea_output": "escape", "xmlbinary": "hex", "array_nulls": "off", "DateStyle": "German",
    "IntervalStyle": "sql_standard", "TimeZone": "Asia/Kathmandu", "client_encoding": "LATIN1", "extra_float_digits": "-15", "synchronous_commit": "off", "jit": "on",
    "jit_above_cost": "0", "max_parallel_workers_per_gather": "8", "parallel_setup_cost": "0", "parallel_tuple_cost": "0", "enable_nestloop": "off", "enable_hashjoin": "off",
    "enable_indexscan": "off", "enable_indexonlyscan": "off", "enable_sort": "off", "default_toast_compression": "pglz", "check_function_bodies": "off",
    "search_path": "shadow, pg_catalog", "role": "nobody", "transform_null_equals": "on", "quote_all_identifiers": "on", "work_mem": "64", "plpgsql.extra_errors": "all",
}
NEWER = {"transaction_timeout": "1", "debug_parallel_query": "on", "force_parallel_mode": "on"}  # where the server knows them


@pytest.mark.parametrize("where", ["role app", "database app", "role app in database app", "system"])
def test_no_default_keeps_events_from_kafka(make, kafka, where):
    postgres = prepared(make(Postgres).start())
    d = migrated(make(Daemon, postgres.dsn("app"), kafka.bootstrap), postgres)
    postgres.sql("create role nobody; grant nobody to app; create schema shadow; grant usage on schema shadow to public;"
                 "create function shadow.pg_is_in_recovery() returns boolean language sql as 'select true'; create domain shadow.interval as text")
    known = postgres.sql("select string_agg(name, ',') from pg_settings").split(",")
    all_of_them = {n: v if n in ("search_path", "DateStyle") else f"'{v}'" for n, v in {**WORST, **{n: v for n, v in NEWER.items() if n in known}}.items()}
    if where == "system":
        with open(postgres.data / "postgresql.conf", "a") as f:
            f.writelines(f"{n} = {v if v.startswith(chr(39)) else repr(v)}\n" for n, v in all_of_them.items() if n not in ("role", "exit_on_error"))
        postgres.run("pg_ctl", "reload", "-D", postgres.data)
    else:
        for name, value in all_of_them.items():
            postgres.sql(f"set statement_timeout = 0; set lock_timeout = 0; alter {where} set {name} = {value}", db="postgres")
    d.start().wait_level(3)
    for n in range(3):
        event = {"customer": "c", "n": n}
        status, headers, first = d.post("/events/orders", event, {"Idempotency-Key": f"key-{n}"})
        assert status == 202 and "Idempotency-Replayed" not in headers
        status, headers, again = d.post("/events/orders", event, {"Idempotency-Key": f"key-{n}"})
        assert status == 202 and headers["Idempotency-Replayed"] == "true" and again == first
    assert [json.loads(r.value())["n"] for r in kafka.consume("orders", lambda rs: len(rs) >= 3)] == [0, 1, 2]
    wait_for("published and measured", lambda: d.metric("ratchet_outbox_unpublished_rows") == 0)
    assert d.levels()["held"] == 3 and not d.levels()["alarms"]
    assert d.metric("ratchet_level_transitions_total") == 3, "the ladder never moved"
