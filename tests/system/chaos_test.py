"""Three minutes of chaos (RATCHET_CHAOS_S for longer, RATCHET_SEED to repeat one)."""
import os
import random

import chaos
import pytest
from conftest import migrated, prepared

from tests.support.faults import Clock
from tests.support.servers import Daemon, Postgres, wait_for


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_database_clock_that_jumps_keeps_no_new_instance_from_the_relay(make, kafka, jump):
    """A lease from before the jump ends a day later by the new clock, or has ended a day ago."""
    try:
        clock = make(Clock)
    except RuntimeError as why:
        pytest.skip(str(why))
    postgres = prepared(make(Postgres, env=clock.env).start())
    d = migrated(make(Daemon, postgres.dsn("app"), kafka.bootstrap), postgres).start().wait_level(3)
    wait_for("leads", lambda: d.metric("ratchet_relay_leads") == 1)
    d.kill()
    before = postgres.sql("select clock_timestamp()")
    clock.jump(jump)
    wait_for("the clock has jumped", lambda: abs(float(postgres.sql(f"select extract(epoch from clock_timestamp() - '{before}')"))) > 80000)
    d.start().wait_level(3)
    assert d.post("/events/orders", {"customer": "c"})[0] == 202
    assert kafka.consume("orders", lambda rs: len(rs) == 1, 40)


def test_chaos_loses_nothing_and_every_transition_has_a_cause():
    seed = int(os.environ.get("RATCHET_SEED") or random.SystemRandom().randrange(2**31))
    wrong = chaos.run(seed, float(os.environ.get("RATCHET_CHAOS_S", "180")))
    assert not wrong, "\n".join([f"RATCHET_SEED={seed}", *wrong])
