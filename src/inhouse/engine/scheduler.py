"""Who computes next: many requests, one model, in quanta of a tenth of a second. Knows neither threads nor text.

Requests that are being answered go through the model together, one token each. Prompts are read in chunks, and a pass
over a chunk pauses twice in every layer: others are served in between, though the chunk is large enough for full speed.
Background requests compute when no interactive one can, or as long as their share of the time allows.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from inhouse.engine.cache import PrefixCache
from inhouse.engine.events import Priority
from inhouse.engine.generation import FEW, Generation
from inhouse.engine.prefix_tree import Ids, common_prefix
from inhouse.engine.runner import CHUNK, F32, ModelRunner, Work

_LOG = logging.getLogger("inhouse.engine")

QUANTUM = 0.08  # seconds of a pass over a chunk before others have their turn, or half a layer where that takes longer
LONGEST_LAYER = 0.32  # seconds that a pass over a chunk may spend in one layer; others wait for about half of that
SMALLEST_CHUNK, FIRST_CHUNK = 128, 256  # tokens
SHARED = 64  # tokens of a prompt that another is just computing: worth waiting for


@dataclass(frozen=True)
class Limits:
    """How much is taken on at once."""

    active: int = 8  # requests that compute in turn
    tokens: int = 1 << 20  # of all of them together
    background_share: float = 0.1  # of the time, while interactive requests compute as well
    chunk: int | None = None  # tokens of a prompt at once; None: as the machine's speed allows


@dataclass
class _Pass:
    """A forward pass under way, and whose it is."""

    members: list[Generation]
    tokens: int
    steps: Generator[None, None, list[F32 | None]]
    answers: bool  # one token each, of requests whose prompts are read
    results: list[F32 | None] | None = None
    seconds: float = 0.0

    def run(self, seconds: float, urgent: Callable[[], bool]) -> bool:
        """Goes on for about so long, or until something is urgent. True when done."""
        begun = time.monotonic()
        try:
            while True:
                next(self.steps)
                if time.monotonic() - begun >= seconds or urgent():
                    return False
        except StopIteration as done:
            self.results = done.value
            return True
        finally:
            self.seconds += time.monotonic() - begun


@dataclass
class _Lane:
    """The requests of one priority."""

    waiting: deque[Generation] = field(default_factory=deque)
    active: list[Generation] = field(default_factory=list)
    passes: deque[_Pass] = field(default_factory=deque)  # begun, to be gone on with in turn
    answers_next: bool = True


class Scheduler:
    """Call `step` as long as it says that there is more to do. `arrivals()` says whether requests wait outside."""

    def __init__(
        self, runner: ModelRunner, cache: PrefixCache, limits: Limits, arrivals: Callable[[], bool] = lambda: False
    ) -> None:
        self.limits = limits
        self.cache = cache
        self.prefilled = 0  # tokens, since the start
        self.decoded = 0
        self.prefill_rate = 0.0  # tokens per second, lately
        self.decode_rate = 0.0
        self._turns = 0
        self._chunk = limits.chunk or FIRST_CHUNK
        self._slow = False  # the last chunk's layers took too long
        self._runner = runner
        self._arrivals = arrivals
        self._lanes: dict[Priority, _Lane] = {"interactive": _Lane(), "background": _Lane()}
        self._spent: dict[Priority, float] = {"interactive": 0.0, "background": 0.0}

    def add(self, generation: Generation) -> None:
        """Takes on a request."""
        lane = self._lanes[generation.request.priority]
        lane.waiting.append(generation)
        self._tell_places(lane)

    def cancel(self, generation: Generation) -> None:
        """Ends a request; its owner is told at once, though the pass that it is in may go on."""
        if generation.finished:
            return
        generation.cancelled = True
        generation.finish("cancelled")
        self._collect(self._lanes[generation.request.priority])

    def fail(self, error: Exception) -> None:
        """Ends all requests with `error` and keeps nothing of them."""
        for lane in self._lanes.values():
            for each in lane.passes:
                each.steps.close()
            members, lane.passes = [*lane.active, *lane.waiting], deque()
            lane.active, lane.waiting = [], deque()
            for member in members:
                member.fail(error)
                member.sequence = None

    def __iter__(self) -> Iterator[Generation]:
        """All requests that have not ended."""
        for lane in self._lanes.values():
            yield from lane.active
            yield from lane.waiting

    def counts(self, priority: Priority) -> tuple[int, int]:
        """Requests active and waiting."""
        lane = self._lanes[priority]
        return len(lane.active), len(lane.waiting)

    def step(self) -> bool:
        """Computes for about one quantum. False if there was nothing to compute."""
        priority = self._turn()
        if priority is None:
            return False
        lane = self._lanes[priority]
        begun = time.monotonic()
        self._admit(lane)
        background = priority == "background"
        self._advance(lane, self._arrivals if background else lambda: False)
        self._collect(lane)
        self._tell_places(lane)
        self._spent[priority] += time.monotonic() - begun
        return True

    def _turn(self) -> Priority | None:
        """Whose quantum is next."""
        interactive, background = (self._ready(self._lanes[name]) for name in ("interactive", "background"))
        if not (interactive and background):
            self._spent = {"interactive": 0.0, "background": 0.0}  # nobody owes anybody anything
            return "interactive" if interactive else "background" if background else None
        share = self.limits.background_share
        due = share * sum(self._spent.values())
        return "background" if self._spent["background"] < due else "interactive"

    def _ready(self, lane: _Lane) -> bool:
        """Whether there is something to compute; one for whom there is no room is nothing, and must not take turns."""
        return bool(lane.passes) or any(member.ready for member in lane.active) or self._admissible(lane)

    def _admit(self, lane: _Lane) -> None:
        """Lets those in who waited longest, as far as there is room."""
        while self._admissible(lane):
            lane.active.append(lane.waiting.popleft())

    def _tell_places(self, lane: _Lane) -> None:
        """Tells those who wait how many are before them; not if the first can be let in at once."""
        if lane.waiting and not self._admissible(lane):
            for place, member in enumerate(lane.waiting):
                member.queued(place)

    def _admissible(self, lane: _Lane) -> bool:
        """Whether there is room for the one who waited longest. Those who rest take none."""
        if not lane.waiting:
            return False
        active = [member for each in self._lanes.values() for member in each.active if not member.resting]
        new = lane.waiting[0]
        full = sum(member.request.priority == new.request.priority for member in active) >= self.limits.active
        return not full and (not active or sum(map(_size, active)) + _size(new) <= self.limits.tokens)

    def _advance(self, lane: _Lane, urgent: Callable[[], bool]) -> None:
        """Answers one token each, or a stretch of reading; in turn where there is both."""
        answering = [member for member in lane.active if member.ready and member.decoding]
        if answering and lane.answers_next:
            lane.answers_next = False
            # Not more than FEW at once: nobody's answer is to depend on who else asks.
            together = sorted(answering, key=lambda member: member.turn)[:FEW]
            self._turns += 1
            for member in together:
                member.turn = self._turns
            self._run(lane, self._pass([(member, 1) for member in together]), math.inf, urgent)
            return
        lane.answers_next = True
        reading = self._reading_pass(lane)
        if reading is not None:
            self._run(lane, reading, QUANTUM, urgent)

    def _reading_pass(self, lane: _Lane) -> _Pass | None:
        """A new pass over what has arrived since, or else the one that has waited longest."""
        chunk, chosen = self._chunk, list[tuple[Generation, int]]()
        room, few = chunk, False
        for member in lane.active:
            if not member.ready or member.decoding or room <= (0 if few else FEW) or self._soon_known(member, lane):
                continue
            try:
                if not member.restore(self.cache, QUANTUM):
                    return None  # its quantum is over
            except Exception as error:
                member.fail(error)
                continue
            size = len(member.next_ids(chunk if few or not chosen else room))
            if not chosen:
                few = size <= FEW
                room = FEW if few else chunk
            if (size <= FEW) == few and size <= room:  # as it would be alone: see FEW
                chosen.append((member, size))
                room -= size if few else max(size, SMALLEST_CHUNK // 2)
        if chosen:
            return self._pass(chosen)
        return lane.passes.popleft() if lane.passes else None

    def _soon_known(self, member: Generation, lane: _Lane) -> bool:
        """Whether another request is just computing a good part of what this one begins with."""
        rivals = [other for other in lane.active if other is not member and other.sequence and other.reading]
        if member.sequence is not None or not rivals or not self.cache.budget:
            return False
        ids = np.asarray(member.ids, np.int32)
        known = self.cache.find(ids).position
        return any((other.ready or other.busy) and _shared(ids, other) >= known + SHARED for other in rivals)

    def _pass(self, chosen: list[tuple[Generation, int]]) -> _Pass:
        work, answers = [], all(member.decoding for member, _ in chosen)
        for member, size in chosen:
            assert member.sequence is not None
            ids = member.next_ids(size)
            member.busy = True
            work.append(Work(member.sequence, ids, member.computed + len(ids) == len(member.ids)))
        members = [member for member, _ in chosen]
        return _Pass(members, sum(len(item.ids) for item in work), self._runner.by_layer(work), answers)

    def _run(self, lane: _Lane, each: _Pass, seconds: float, urgent: Callable[[], bool]) -> None:
        if all(member.finished for member in each.members):
            each.steps.close()
            _leave(each)
            return
        try:
            done = each.run(seconds, urgent)
        except Exception as error:
            _leave(each)
            for member in each.members:
                member.fail(error)
            return
        if not done:
            lane.passes.append(each)
            return
        assert each.results is not None
        _leave(each)
        self._measure(each)
        for member, logits in zip(each.members, each.results, strict=True):
            try:
                self._keep(member)
            except Exception:  # such as a want of memory: it will be computed again, nobody need know
                _LOG.exception("a part of a prompt could not be remembered")
            member.advanced(logits)

    def _keep(self, member: Generation) -> None:
        """Remembers a sequence where another may go on from it."""
        sequence, request = member.sequence, member.request
        assert sequence is not None
        position = len(sequence.ids)
        if position in request.marks:
            self.cache.keep(sequence, states=True, durable=request.marks[position])
        elif position == len(request.prompt):
            self.cache.keep(sequence, states=False)

    def _measure(self, each: _Pass) -> None:
        rate = each.tokens / max(each.seconds, 1e-6)
        if each.answers:
            self.decoded += each.tokens
            self.decode_rate = rate if not self.decode_rate else 0.9 * self.decode_rate + 0.1 * rate
            return
        self.prefilled += each.tokens
        if each.tokens >= SMALLEST_CHUNK // 2:
            self.prefill_rate = rate if not self.prefill_rate else 0.7 * self.prefill_rate + 0.3 * rate
        if self.limits.chunk is None and each.tokens >= self._chunk // 2:
            self._fit_chunk(each.seconds / self._runner.layers * self._chunk / each.tokens)

    def _fit_chunk(self, layer: float) -> None:
        """The largest chunk whose every layer is short enough; one takes `layer` seconds with the present one."""
        slow, self._slow = self._slow, layer > LONGEST_LAYER
        if slow and self._slow:  # a single time may be the file's pages arriving
            self._chunk = max(self._chunk // 2, SMALLEST_CHUNK)
        elif 2 * layer <= LONGEST_LAYER:
            self._chunk = min(2 * self._chunk, CHUNK)

    def _collect(self, lane: _Lane) -> None:
        """Takes leave of those who are done: what they computed goes to the cache."""
        for member in [member for member in lane.active if (member.finished or member.cancelled) and not member.busy]:
            member.finish("cancelled")
            lane.active.remove(member)
            sequence, member.sequence = member.sequence, None
            if sequence is not None:
                try:
                    self.cache.release(sequence)
                except Exception:
                    _LOG.exception("an answer could not be remembered")
        if any(member.cancelled for member in lane.waiting):
            for member in lane.waiting:
                if member.cancelled:
                    member.finish("cancelled")
            lane.waiting = deque(member for member in lane.waiting if not member.finished)


def _leave(each: _Pass) -> None:
    for member in each.members:
        member.busy = False


def _shared(ids: Ids, other: Generation) -> int:
    """How many of `ids` one can take over from `other` when it has read on."""
    common = common_prefix(ids[:-1], np.asarray(other.request.prompt, np.int32))
    if other.sequence is not None and other.sequence.recurrent:
        common = max((mark for mark in other.request.marks if mark <= common), default=0)
    return common if common > other.computed else 0


def _size(generation: Generation) -> int:
    """Tokens that a request is likely to hold soon."""
    return len(generation.ids) + min(generation.request.limit - generation.produced, 1024)
