"""What the daemon did, held to what the ladder allows: its log, transition by transition, against the rules of
levels/core/ladder.hpp. A level changes by one; nothing rises above the ceiling, through a pending fall or after a stop;
every fall has a fault that names its kind and its cause."""
import re

TOP = 3
LINE = re.compile(r"^(?:<\d>)?(\S+) (\w+) (.*)$")


def field(text, name):
    found = re.search(rf'\b{name}=("(?:[^"\\]|\\.)*"|\S+)', text)
    return found[1].strip('"') if found else None


class LadderWatch:
    def __init__(self):
        self.wrong = []        # (line, why)
        self.faults = []       # (time, level, kind, text)
        self.falls = 0
        self.runs = 0
        self.transitions = 0
        self.born()

    def born(self):
        self.held, self.ceiling, self.fall_to = 0, TOP, TOP
        self.stopping = self.stopped = False
        self.doomed = False   # a fault of the raise under way
        self.late = False     # a raise that was under way when the goal sank may still end well
        self.lowering = False  # a lowering that was under way when the goal rose still ends

    @property
    def goal(self):
        return min(self.ceiling, self.fall_to, 0 if self.stopping else TOP)

    def read(self, lines):
        for line in lines:
            found = LINE.match(line)
            if found:
                why = self.take(found[1], found[3])
                if why:
                    self.wrong.append((line, why))
        return self

    def take(self, when, text):
        level = int(field(text, "level") or -1)
        if text.startswith("starting "):
            self.runs += 1
            return self.born()
        if text.startswith("level held "):
            return self.raised(level)
        if text.startswith(("raise failed ", "raise broken off ")):
            self.late = self.doomed = False
            return None if level == self.held + 1 else f"a raise of {level} while {self.held} was held"
        if text.startswith("level lost "):
            return self.lost(when, level, text)
        if text.startswith("level let go "):
            return self.let_go(level, field(text, "reason"))
        if text.startswith("held back "):
            self.late |= level < self.goal
            self.hold(level)
        elif text.startswith("released "):
            self.hold(TOP)
        elif text.startswith("stopping "):
            self.late, self.stopping = True, True
        elif text.startswith("stopped "):
            self.stopped = True
            return None if self.stopping and self.held == 0 else f"stopped at level {self.held}, asked: {self.stopping}"
        return None

    def hold(self, ceiling):
        self.lowering = self.held > self.goal
        self.ceiling = ceiling

    def raised(self, level):
        self.transitions += 1
        below, late, goal = self.held, self.late, self.goal
        self.held, self.late, self.lowering = level, False, False
        if self.doomed:
            self.fall_to, self.doomed = min(self.fall_to, level - 1), False
        if level != below + 1:
            return f"from {below} to {level}"
        if level > goal and not late:
            return f"rose to {level} though the goal was {goal}"
        return None

    def lost(self, when, level, text):
        kind, cause = field(text, "kind"), field(text, "text")
        self.faults.append((when, level, kind, cause))
        if level <= self.held:
            self.late |= level - 1 < self.goal
            self.fall_to = min(self.fall_to, level - 1)
        elif level == self.held + 1:
            self.doomed = True
        else:
            return f"a fault of level {level} while {self.held} was held"
        return None if kind and kind != "unknown" and cause else "a fault without a kind or a cause"

    def let_go(self, level, reason):
        self.transitions += 1
        expected = "fault" if self.fall_to < self.held else "stop" if self.stopping else "hold"
        held, goal, lowering = self.held, self.goal, self.lowering
        self.held, self.late, self.lowering = level - 1, False, False
        self.falls += reason == "fault"
        if self.held <= self.fall_to:
            self.fall_to = TOP
        if level != held:
            return f"let go of {level} while {held} was held"
        if level <= goal and not lowering:
            return f"let go of {level} though the goal was {goal}: nobody asked, nothing was lost"
        return None if reason == expected else f"let go for {reason}, the ladder says {expected}"
