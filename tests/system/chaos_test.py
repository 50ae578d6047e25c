"""Three minutes of chaos (RATCHET_CHAOS_S for longer, RATCHET_SEED to repeat one)."""
import os
import random

import chaos


def test_chaos_loses_nothing_and_every_transition_has_a_cause():
    seed = int(os.environ.get("RATCHET_SEED") or random.SystemRandom().randrange(2**31))
    wrong = chaos.run(seed, float(os.environ.get("RATCHET_CHAOS_S", "180")))
    assert not wrong, "\n".join([f"RATCHET_SEED={seed}", *wrong])
