"""`Profile` samples the threads of a run: processor seconds by step and by cause, and the time they waited.

Every few milliseconds the processor time that a thread took since the last sample goes to what its stack shows now
(profile_causes.py); what is left of the time on the clock it waited, for a core or for something else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from types import FrameType

from daedalus.base.errors import DaedalusError
from daedalus.stagecache.action_name import step_of
from daedalus.stagecache.walk.executor import perform
from daedalus.stagecache.walk.outcome import Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.stagecache.walk.walk import Walk
from daedalus.watch.profile_causes import IMPORT, NATIVE, PYTHON, WAITING, CauseOf

Seconds = dict[tuple[str, str], float]  # by (step, cause)
PAUSE = 0.005
STARTED, BEFORE, WALK, AFTER = "(starting up)", "(before the walk)", "(walk)", "(after the walk)"
THREADS, LIBRARIES = "(other threads)", "(libraries' threads)"
PARTS = (STARTED, BEFORE, WALK, AFTER, THREADS, LIBRARIES)  # of a run, beside its steps
_PERFORM, _EXECUTE = perform.__code__, Walk.execute.__code__


class Profile(Progress):
    """Samples from its entry as a context to its exit. Raises DaedalusError where the system does not tell enough."""

    def __init__(self) -> None:
        self.busy: Seconds = defaultdict(float)  # on a processor
        self.waited: Seconds = defaultdict(float)  # for anything else
        self.queued: Seconds = defaultdict(float)  # for a processor
        self.ran: Counter[str] = Counter()  # actions by step
        self.seconds = self.own = 0.0
        self.samples = 0
        self._cause_of, self._main = CauseOf(), threading.main_thread()
        self._clocks: dict[int, _Clock] = {}
        self._over, self._walked = threading.Event(), False
        self._sampler = threading.Thread(target=self._sample_all, name="daeda-profile", daemon=True)

    def __enter__(self) -> Profile:
        self._began, self._before = time.perf_counter(), time.process_time()
        try:
            self._clocks = {tid: _Clock(tid) for thread in threading.enumerate() if (tid := thread.native_id)}
        except OSError as error:
            raise DaedalusError("this system does not report the time that a thread takes", where="--profile",
                                found=error.strerror, expected="Linux, with /proc") from None  # fmt: skip
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()
        self.seconds = time.perf_counter() - self._began
        told = sum(self.busy.values()) + self.own
        self.busy[STARTED, IMPORT] += self._before
        self.busy[LIBRARIES, NATIVE] += max(time.process_time() - self._before - told, 0.0)

    def finished(self, outcome: Outcome) -> None:
        self.ran[outcome.step] += outcome.ran

    def end(self) -> None:
        self._walked = True

    def _sample_all(self) -> None:
        while not self._over.wait(PAUSE):
            self._sample()
        self._sample()
        self.own = time.thread_time()
        for clock in self._clocks.values():
            clock.close()

    def _sample(self) -> None:
        self.samples += 1
        frames = sys._current_frames()
        # This frame has them, and they would have it: until the next collection no table that a thread has let go of,
        # and that was in a frame of some sample, would leave the memory.
        del frames[threading.get_ident()]
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or thread is self._sampler or thread.native_id is None:
                continue
            try:
                self._add(thread, thread.native_id, frame)
            except OSError:  # it has ended, perhaps before it had a clock
                if clock := self._clocks.pop(thread.native_id, None):
                    clock.close()

    def _add(self, thread: threading.Thread, tid: int, frame: FrameType) -> None:
        clock = self._clocks.get(tid)
        if clock is None:
            clock = self._clocks[tid] = _Clock(tid, fresh=True)
        busy, queued, waited = clock.passed()
        step, cause = at = self._place(thread, frame)
        self.busy[at] += busy
        if step != THREADS and not (step in PARTS and cause == WAITING):  # which wait for work, or for others' work
            self.queued[at] += queued
            self.waited[at] += waited

    def _place(self, thread: threading.Thread, innermost: FrameType) -> tuple[str, str]:
        """(what is worked at, why): the step of the action that a thread performs, or the part of the run."""
        part = (AFTER if self._walked else BEFORE) if thread is self._main else THREADS
        cause, frame = None, innermost
        while frame is not None:
            cause = cause or self._cause_of(frame)
            if frame.f_code is _PERFORM:
                part = step_of(frame.f_locals["task"].action.name)
                break
            if frame.f_code is _EXECUTE:
                part = WALK
                break
            frame = frame.f_back  # type: ignore[assignment]
        return part, cause or PYTHON


class _Clock:
    """The time of one thread since it was last asked. Raises OSError when the thread has ended."""

    def __init__(self, tid: int, *, fresh: bool = False) -> None:
        """Of a `fresh` thread all that it took so far counts as just passed."""
        self._id = (~tid << 3) | 6  # of the kernel: pthread_getcpuclockid() may crash for a thread that has ended
        self._file = os.open(f"/proc/self/task/{tid}/schedstat", os.O_RDONLY)
        self._last = (time.perf_counter(), 0.0, 0.0) if fresh else self._now()

    def passed(self) -> tuple[float, float, float]:
        """Seconds on a core, waiting for a core, and waiting for anything else."""
        last, self._last = self._last, self._now()
        wall, busy, queued = (now - then for now, then in zip(self._last, last, strict=True))
        return busy, queued, max(wall - busy - queued, 0.0)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)

    def _now(self) -> tuple[float, float, float]:
        busy = time.clock_gettime(self._id)
        return time.perf_counter(), busy, int(os.pread(self._file, 64, 0).split()[1]) / 1e9
