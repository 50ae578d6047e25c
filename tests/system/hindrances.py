"""The table of what keeps ratchetd from making progress: each cause, brought about on real servers, with what an operator must
be told. A row is a generator: it sets the cause up and yields the daemon, which must then raise the row's alarm in the row's
time, in words that name the cause and what to do; what stands behind the yield heals it, and the alarm must end by itself.

    @hindrance(alarm="pool.main.hung", level=1, seconds=30, text=r"database main: .*SyncRep.*", remedy=r".*standby.*")
    def standby_away(make):
        ...
        yield daemon
        ...  # heal

The rows of one file run side by side, since most alarms take their time; each has servers of its own or leaves them whole."""
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from tests.support.servers import SLOW, wait_for

AT_ONCE = 4  # rows: each has up to three servers


@dataclass(frozen=True)
class Hindrance:
    provoke: Callable
    alarm: str             # its id
    level: int | None      # held while the alarm is set; None: either
    seconds: float         # from the cause to the alarm, at most
    text: str              # of the alarm, as a regular expression
    remedy: str            # its runbook line, the same
    heals: bool            # the alarm ends by itself once the cause has

    @property
    def name(self):
        return self.provoke.__name__


def table():
    """(rows, decorator): each file of rows has a table of its own."""
    rows = []

    def hindrance(alarm, level, seconds, text, remedy, heals=True):
        def add(provoke):
            rows.append(Hindrance(provoke, alarm, level, seconds, text, remedy, heals))
            return provoke
        return add

    return rows, hindrance


def alarms(daemon):
    _, _, body = daemon.get("/alarms")
    return {a["id"]: a for a in (json.loads(body) if body else [])}


def judge(row, make):
    """Runs one row; raises what is wrong with it, returns the seconds to its alarm."""
    with contextmanager(row.provoke)(make) as daemon:
        since = time.monotonic()
        try:
            told = wait_for(f"alarm {row.alarm}", lambda: alarms(daemon).get(row.alarm), row.seconds)
            wait_for("its text", lambda: re.fullmatch(row.text, (alarms(daemon).get(row.alarm) or told)["text"]), row.seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}\nalarms: {alarms(daemon)}\nlevels: {daemon.levels()}\n{daemon.log_text()[-2500:]}") from None
        took = time.monotonic() - since
        told = alarms(daemon).get(row.alarm) or told
        assert re.fullmatch(row.remedy, told["runbook"]), f"remedy: {told['runbook']!r}"
        wait_for("ratchetctl status says it", lambda: (alarms(daemon).get(row.alarm) or told)["text"] in daemon.ctl("status").stdout)
        if row.level is not None:
            wait_for(f"level {row.level} while hindered", lambda: daemon.held() == row.level)
    if row.heals:
        wait_for(f"{row.alarm} over", lambda: row.alarm not in alarms(daemon), 90)
    return took


def judge_all(rows, make):
    """All of them, so that one that fails does not hide the next; prints the table."""
    def one(row):
        try:
            return row, judge(row, make), None
        except Exception as e:  # told below, with its row's name
            return row, None, e

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(one, rows))
    for row, took, error in results:
        print(f"{row.name:32} level {'-' if row.level is None else row.level}  {row.alarm:28} {'FAILED' if error else f'{took:5.1f} s'} (at most {row.seconds * SLOW:.0f})")
    wrong = [f"--- {row.name}: {error}" for row, _, error in results if error]
    assert not wrong, "\n".join(wrong)
