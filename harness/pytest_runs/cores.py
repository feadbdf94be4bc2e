"""How much of this machine is free, for whoever has more work to begin."""

from dataclasses import dataclass, field
from pathlib import Path

STAT = Path("/proc/stat")  # proc(5): the first line has what all cores did, in clock ticks since they started
IDLE = (3, 4)  # the fields of that line in which a core had nothing to do, or waited for a disk
ALL = 8  # the fields behind those are of guests, counted before as well


@dataclass
class Cores:
    """All cores; asked twice or more, it says what they did in between."""

    stat: Path = STAT
    _before: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        """What was before counts for nothing."""
        self._before = self._ticks()

    def free(self) -> float:
        """The part of all cores that was free since the last time that this was asked, from 0 to 1.

        It is 1 where the system does not tell it, or nothing was counted in between.
        """
        idle, passed = self._ticks()
        idle_before, passed_before = self._before
        self._before = (idle, passed)
        return (idle - idle_before) / (passed - passed_before) if passed > passed_before else 1.0

    def _ticks(self) -> tuple[int, int]:
        if not self.stat.exists():
            return (0, 0)
        with self.stat.open("r", encoding="ascii") as lines:
            ticks = [int(word) for word in lines.readline().split()[1 : ALL + 1]]
        return (sum(ticks[field] for field in IDLE), sum(ticks))
