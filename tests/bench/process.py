"""What a process costs, read from /proc."""
import os
from pathlib import Path

from tests.support.servers import children

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Of a process tree, dead children included."""
    total = 0.0
    for p in [pid, *children(pid)]:
        try:
            fields = Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / TICK
        except OSError:
            pass
    return total


def rss_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
