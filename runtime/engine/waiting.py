"""Who waits for a place among the running sequences, and whose turn it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.engine.sequence import Sequence


@dataclass(eq=False, slots=True)
class Waiting:
    """Sequences that wait: the preempted first, then callers in turn, each one's own in their order."""

    preempted: list[Sequence] = field(default_factory=list)
    callers: dict[str, deque[Sequence]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.preempted) + sum(map(len, self.callers.values()))

    def __iter__(self) -> Iterator[Sequence]:
        yield from sorted(self.preempted, key=lambda s: s.arrival)
        queues = [list(queue) for queue in self.callers.values()]
        for depth in range(max(map(len, queues), default=0)):
            yield from (queue[depth] for queue in queues if depth < len(queue))

    def add(self, sequence: Sequence) -> None:
        self.callers.setdefault(sequence.request.caller, deque()).append(sequence)

    def remove(self, sequence: Sequence, *, turn: bool = False) -> bool:
        """`turn`: its caller has been served, and is the last one in the next round."""
        if sequence in self.preempted:
            self.preempted.remove(sequence)
            return True
        caller = sequence.request.caller
        queue = self.callers.get(caller, deque())
        if sequence not in queue:
            return False
        queue.remove(sequence)
        if turn or not queue:
            del self.callers[caller]
        if turn and queue:
            self.callers[caller] = queue
        return True
