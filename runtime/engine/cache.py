"""The books of the KV cache: which sequence id holds which cells, and who shares them. Never imports llama.cpp.

Cells are shared by prefix only, so the books are a tree: a node is a run of tokens with one cell each, and a sequence
id holds the cells on the way from the root to its node. Two kinds of ids: slots, for sequences that run (they alone
may be in a batch), and residents, which keep finished sequences' prefixes for later requests until room is needed.
Every change of the books is recorded as an operation that the engine carries out in llama.cpp, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from runtime.engine.reuse import WORTH, Reuse, common_prefix


@dataclass(frozen=True, slots=True)
class Share:
    """Cells of `source` below `end` (a position; -1: all) belong to `target` too."""

    source: int
    target: int
    end: int


@dataclass(frozen=True, slots=True)
class Drop:
    """`target` gives up its cells from position `start` on."""

    target: int
    start: int = 0


Operation = Share | Drop


@dataclass(eq=False, slots=True)
class Node:
    """A run of cells. Invariant: every node but the root has an id that ends in it or below it."""

    parent: Node | None
    tokens: list[int]
    children: list[Node] = field(default_factory=list)
    holders: set[int] = field(default_factory=set)
    """Ids whose cells end with this node's last one."""


@dataclass(frozen=True, slots=True)
class Match:
    """The first `n` tokens are in the cache: all nodes above `node`, and `offset` tokens of `node`."""

    n: int
    node: Node
    offset: int


class Cache:
    """`cells` in all; ids 0 … slots-1 run, the `residents` ids after them stay."""

    def __init__(self, cells: int, *, slots: int, residents: int, worth: int = WORTH) -> None:
        self.cells = cells
        self.used = 0
        self.reuse = Reuse(worth)
        self._rows = 0
        """Computed so far."""
        self.operations: list[Operation] = []
        self._n_slots = slots
        self._root = Node(None, [])
        self._ends: dict[int, Node] = {}
        self._free_slots = list(range(slots))[::-1]
        self._free_residents = list(range(slots, slots + residents))[::-1]
        self._residents: dict[int, int] = {}
        """Least recently used first; after how many rows that was."""
        self._unused: set[int] = set()
        """Residents that nobody has begun from."""

    @property
    def free(self) -> int:
        return self.cells - self.used

    @property
    def n_residents(self) -> int:
        return len(self._residents)

    @property
    def free_slot(self) -> int | None:
        """A slot that holds nothing and nobody runs in."""
        return self._free_slots[-1] if self._free_slots else None

    @property
    def n_free_slots(self) -> int:
        return len(self._free_slots)

    def length(self, holder: int) -> int:
        """Cells that an id holds, shared ones included."""
        return sum(len(node.tokens) for node in _way_up(self._ends.get(holder)))

    def match(self, tokens: list[int], *, skip: Node | None = None) -> Match:
        """The longest prefix of `tokens` that is in the cache, not counting node `skip` and what is below it."""
        best = Match(0, self._root, 0)
        stack = [best]
        while stack:
            at = stack.pop()
            for child in at.node.children:
                if child is skip:
                    continue
                common = common_prefix(child.tokens, 0, tokens, at.n)
                if not common:
                    continue
                found = Match(at.n + common, child, common)
                if found.n > best.n:
                    best = found
                if common == len(child.tokens):
                    stack.append(found)
        return best

    def cut(self, match: Match, n: int) -> Match:
        """The same way, but no longer than `n` tokens."""
        node, offset, length = match.node, match.offset, match.n
        while length > n:
            step = min(length - n, offset)
            offset, length = offset - step, length - step
            if not offset and node.parent is not None:
                node = node.parent
                offset = len(node.tokens)
        return Match(length, node, offset)

    def available(self, match: Match) -> int:
        """Cells that could be used if every resident left, but for those of running sequences and of `match`."""
        pinned: set[int] = set()
        total = 0
        for end in (match.node, *(self._ends[i] for i in self._ends if i < self._n_slots)):
            for node in _way_up(end):
                if id(node) in pinned:
                    break
                pinned.add(id(node))
                total += len(node.tokens)
        return self.cells - total

    def open(self, match: Match, end: int) -> int:
        """A slot that starts with the match's cells (`end`: the position after them). There must be a free slot."""
        slot = self._free_slots.pop()
        node = self._split(match.node, match.offset)
        if match.n:
            source = self._holder_below(node)
            self.operations.append(Share(source, slot, end))
            if source in self._residents and self.reuse.used(match.n / self.length(source)):
                self._touch(source)
        node.holders.add(slot)
        self._ends[slot] = node
        return slot

    def extend(self, slot: int, tokens: Iterable[int]) -> None:
        """The slot's next cells have been computed; there must be room."""
        node = self._ends[slot]
        added = list(tokens)
        if node is self._root or node.children or len(node.holders) > 1:
            node.holders.remove(slot)
            node = Node(node, [], holders={slot})
            assert node.parent is not None
            node.parent.children.append(node)
            self._ends[slot] = node
        node.tokens += added
        self.used += len(added)
        self._rows += len(added)
        assert self.used <= self.cells

    def truncate(self, slot: int, n: int, start: int) -> None:
        """The slot keeps its first `n` cells; `start` is the position after them. llama.cpp is told in any case:
        after a failed batch it may hold more than the books know of."""
        self.operations.append(Drop(slot, start))
        node = self._ends[slot]
        length = self.length(slot)
        if n >= length:
            return
        rest = len(node.tokens) - (length - n)
        if rest > 0 and not node.children and node.holders == {slot}:
            del node.tokens[rest:]  # nobody shares them: the usual end of a wrong draft
            self.used -= length - n
            return
        at = self.cut(Match(length, node, len(node.tokens)), n)
        target = self._split(at.node, at.offset)
        target.holders.add(slot)
        self._ends[slot] = target
        node.holders.discard(slot)
        self._prune(node)

    def release(self, holder: int) -> None:
        """An id gives up its cells and is free again."""
        node = self._ends.pop(holder)
        node.holders.discard(holder)
        self._prune(node)
        self.operations.append(Drop(holder))
        if holder < self._n_slots:
            self._free_slots.append(holder)
        else:
            del self._residents[holder]
            self._unused.discard(holder)
            self._free_residents.append(holder)

    def keep(self, slot: int, tokens: list[int]) -> None:
        """A sequence has finished: its cells (`tokens`) stay for later requests, under a resident id."""
        node = self._ends[slot]
        is_covered = bool(node.children) or len(node.holders) > 1
        is_covered = is_covered or self.match(tokens, skip=node).n >= len(tokens)
        if not is_covered and tokens and (self._free_residents or self._residents):
            if not self._free_residents:
                self.evict()
            resident = self._free_residents.pop()
            self.operations.append(Share(slot, resident, -1))
            node.holders.add(resident)
            self._ends[resident] = node
            self._residents[resident] = self._rows
            self._unused.add(resident)
            self._drop_covered(node)
        self.release(slot)

    def evict(self) -> bool:
        """Drop the least recently used resident; False where there is none."""
        for resident in self._residents:
            if resident in self._unused:
                self.reuse.left(self._tokens(resident))
            self.release(resident)
            return True
        return False

    def expire(self) -> None:
        """Drop residents that cost more by now than they are likely to spare."""
        while self._residents:
            since = next(iter(self._residents.values()))
            if self._rows - since <= self.reuse.rows:
                return
            self.evict()

    def holders(self) -> Iterator[int]:
        yield from self._ends

    def check(self) -> None:
        """Raise AssertionError where the books contradict themselves."""
        count, stack = 0, [self._root]
        ends: dict[int, Node] = {}
        while stack:
            node = stack.pop()
            count += len(node.tokens)
            ends.update(dict.fromkeys(node.holders, node))
            assert node is self._root or node.tokens, "an empty node"
            assert node is self._root or node.children or node.holders, "cells that nobody holds"
            assert all(child.parent is node for child in node.children), "a child of another parent"
            stack += node.children
        assert count == self.used <= self.cells, f"{self.used} cells in the books, {count} in the tree"
        assert ends == self._ends, "an id ends elsewhere"
        slots = {i for i in self._ends if i < self._n_slots}
        assert slots.isdisjoint(self._free_slots), "a slot that is both free and used"
        assert len(slots) + len(self._free_slots) == self._n_slots, "a slot is lost"
        assert set(self._residents) == set(self._ends) - slots, "a resident is lost"

    def _drop_covered(self, node: Node) -> None:
        """A resident on the way to `node` holds nothing that `node`'s do not."""
        for above in _way_up(node.parent):
            for holder in [i for i in above.holders if i >= self._n_slots]:
                self.release(holder)

    def _touch(self, resident: int) -> None:
        del self._residents[resident]
        self._residents[resident] = self._rows
        self._unused.discard(resident)

    def _tokens(self, holder: int) -> list[int]:
        runs = [node.tokens for node in _way_up(self._ends[holder])]
        return [token for run in reversed(runs) for token in run]

    def _holder_below(self, node: Node) -> int:
        """An id that holds `node`; the resident used last, so that its use is seen."""
        found: list[int] = []
        stack = [node]
        while stack:
            at = stack.pop()
            found += at.holders
            stack += at.children
        order = {resident: age for age, resident in enumerate(self._residents)}
        return max(found, key=lambda holder: order.get(holder, -1))

    def _split(self, node: Node, offset: int) -> Node:
        """The node that ends after `offset` tokens of `node`: itself, its parent, or a new one above it."""
        if offset == len(node.tokens):
            return node
        assert node.parent is not None
        if offset == 0:
            return node.parent
        upper = Node(node.parent, node.tokens[:offset], [node])
        node.parent.children[node.parent.children.index(node)] = upper
        node.parent, node.tokens = upper, node.tokens[offset:]
        return upper

    def _prune(self, node: Node) -> None:
        """Free the cells that nobody holds, from `node` upwards, and join what need not be apart."""
        while node.parent is not None and not node.holders and not node.children:
            parent = node.parent
            parent.children.remove(node)
            self.used -= len(node.tokens)
            node = parent
        if node.parent is not None and not node.holders and len(node.children) == 1:
            (child,) = node.children
            child.tokens = node.tokens + child.tokens
            child.parent = node.parent
            node.parent.children[node.parent.children.index(node)] = child


def _way_up(node: Node | None) -> Iterator[Node]:
    while node is not None:
        yield node
        node = node.parent
