"""The watch itself: it passes what the ladder may do and finds what it may not."""
import pytest
from ladder_watch import LadderWatch

UP = ["starting version=1", "level held level=1 name=database", "level held level=2 name=broker", "level held level=3 name=service"]
LOST = 'level lost level=1 name=database kind=timed_out text="database main: no answer" reports=1'


def let_go(level, reason):
    return f"level let go level={level} name=x reason={reason} held_s=1"


def watched(*lines):
    return LadderWatch().read(f"<5>2026-11-21T10:00:00.000Z notice {line}" for line in lines)


GOOD = {
    "a fall and back": [*UP, LOST, let_go(3, "fault"), let_go(2, "fault"), let_go(1, "fault"), *UP[1:]],
    "a stop": [*UP, "stopping asked_by=signal", let_go(3, "stop"), let_go(2, "stop"), let_go(1, "stop"), "stopped took_ms=1"],
    "a hold": [*UP, "held back level=2 who=me", let_go(3, "hold"), "released who=me", UP[3]],
    "a release while a level is let go": [*UP, "held back level=1 who=me", let_go(3, "hold"), "released who=me", let_go(2, "hold"), UP[2], UP[3]],
    "a fault during a raise": [*UP[:2], LOST.replace("level=1", "level=2"), UP[2], let_go(2, "fault")],
    "a raise that ends after its ground was lost": [*UP[:2], LOST, UP[2], let_go(2, "fault"), let_go(1, "fault")],
    "a stop during a fall": [*UP, LOST, let_go(3, "fault"), "stopping asked_by=signal", let_go(2, "fault"), let_go(1, "fault"), "stopped took_ms=1"],
}
BAD = {
    "two levels at once": [*UP[:2], UP[3]],
    "a fall without a fault": [*UP, let_go(3, "fault")],
    "a fall that nobody named": [*UP, let_go(3, "hold")],
    "too deep": [*UP, LOST.replace("level=1", "level=3"), let_go(3, "fault"), let_go(2, "fault")],
    "a raise after a stop": [*UP[:3], "stopping asked_by=signal", let_go(2, "stop"), UP[2]],
    "above a hold": [*UP[:2], "held back level=1 who=me", "raise broken off level=2", UP[2]],
    "the wrong order": [*UP, LOST, let_go(2, "fault")],
    "a fault without a cause": [*UP, LOST.replace("timed_out", "unknown")],
    "on after a release": [*UP, "held back level=0 who=me", let_go(3, "hold"), "released who=me", let_go(2, "hold"), let_go(1, "hold")],
    "gone too early": [*UP, "stopping asked_by=signal", "stopped took_ms=1"],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_ladder_may_do_passes(name):
    assert watched(*GOOD[name]).wrong == []


@pytest.mark.parametrize("name", BAD)
def test_what_the_ladder_may_not_do_is_found(name):
    assert watched(*BAD[name]).wrong
