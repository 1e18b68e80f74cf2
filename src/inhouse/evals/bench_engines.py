"""Engines to be measured, each in a process of its own that takes orders through a pipe. Knows no figures.

A process per engine keeps memory apart, and the crash of a peer from ending the measurement without a word.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from inhouse.errors import InhouseError, PeerError

Kind = Literal["inhouse", "llama.cpp"]


class EngineProcess:
    """An engine in a new process. A context; the process ends with it."""

    def __init__(self, kind: Kind, model: Path, threads: int, context: int, kv: str = "f16") -> None:
        """Loads the model; `kv`: how ours keeps keys and values. Raises PeerError if the peer cannot, InhouseError if
        we cannot."""
        self._kind = kind
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, kind, model, threads, context, kv), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.name, self.load_seconds = self._answer()
        except BaseException:
            self.close()
            raise

    def prefill(self, ids: Sequence[int]) -> float:
        return float(self._ask("prefill", list(ids)))

    def prefill_at(self, ids: Sequence[int], depth: int) -> float:
        return float(self._ask("prefill_at", list(ids), depth))

    def decode(self, ids: Sequence[int], count: int) -> float:
        return float(self._ask("decode", list(ids), count))

    def peak_memory(self) -> int:
        return int(self._ask("peak_memory"))

    def close(self) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _ask(self, *order: object) -> Any:
        try:
            self._pipe.send(order)
        except OSError as error:
            raise self._ended() from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            error, value = self._pipe.recv()
        except (EOFError, OSError) as lost:
            raise self._ended() from lost
        if error is not None:
            raise PeerError(error) if self._kind == "llama.cpp" else InhouseError(error)
        return value

    def _ended(self) -> InhouseError:
        self._process.join(5)
        message = f"{self._kind}: its process ended with code {self._process.exitcode}; is there enough memory?"
        return PeerError(message) if self._kind == "llama.cpp" else InhouseError(message)


def _serve(pipe: Connection, kind: Kind, model: Path, threads: int, context: int, kv: str) -> None:
    """The process: loads the model, then obeys until the pipe closes. Answers are (error or None, value)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the user interrupts the measurement, which ends this process
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no result
    try:
        started = time.perf_counter()
        engine = _Ours(model, threads, context, kv) if kind == "inhouse" else _LlamaCpp(model, threads, context)
        pipe.send((None, (engine.name, time.perf_counter() - started)))
        while True:
            name, *args = pipe.recv()
            pipe.send((None, peak_memory() if name == "peak_memory" else getattr(engine, name)(*args)))
    except (EOFError, BrokenPipeError):
        return
    except InhouseError as error:
        pipe.send((str(error), None))


class _Ours:
    """This project's engine, through its public API; it keeps nothing between two prompts."""

    def __init__(self, model: Path, threads: int, context: int, kv: str) -> None:
        from inhouse.engine import LLM
        from inhouse.kernels.cpu import CpuBackend

        backend = CpuBackend(threads=threads, kv=kv)
        self._llm = LLM(model, context=context, backend=backend, cache_bytes=0, pack=False)
        self.name = f"inhouse, {backend.name}"

    def prefill(self, ids: list[int]) -> float:
        return self._run(ids, 1)[0]

    def prefill_at(self, ids: list[int], depth: int) -> float:
        """Seconds for the prompt's part after its first `depth` tokens, as far as chunks end there."""
        times: list[tuple[int, float]] = [(0, time.perf_counter())]
        params = self._llm.sampling_params(max_tokens=1, ignore_eos=True)
        stream = self._llm.stream(ids, params, progress=lambda done, _: times.append((done, time.perf_counter())))
        ended = next(time.perf_counter() for chunk in stream if chunk.token_ids)
        done, started = next(entry for entry in times if entry[0] >= min(depth, times[-2][0]))
        return (ended - started) * (len(ids) - depth) / (len(ids) - done)

    def decode(self, ids: list[int], count: int) -> float:
        times = self._run(ids, count + 1)
        return times[-1] - times[0]

    def _run(self, ids: list[int], count: int) -> list[float]:
        """Seconds from the beginning to each of `count` tokens."""
        params = self._llm.sampling_params(max_tokens=count, ignore_eos=True)
        started = time.perf_counter()
        return [time.perf_counter() - started for chunk in self._llm.stream(ids, params) if chunk.token_ids]


class _LlamaCpp:
    """llama.cpp through llama-cpp-python, on the processors, the likeliest token each time."""

    def __init__(self, model: Path, threads: int, context: int) -> None:
        try:
            self._package: Any = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise PeerError(
                f"llama-cpp-python is not installed ({error}): run `pip install 'inhouse[peer]'`, or leave --vs out"
            ) from error
        try:
            self._llama: Any = self._package.Llama(
                str(model), n_ctx=context, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
            )
        except Exception as error:  # whatever the peer raises, it is the peer's
            raise PeerError(f"llama.cpp cannot open {model}: {error}; check the file, or leave --vs out") from error
        self.name = f"llama.cpp (llama-cpp-python {self._package.__version__}, {threads} threads)"

    def prefill(self, ids: list[int]) -> float:
        started = time.perf_counter()
        self._llama.reset()
        self._next(ids)
        return time.perf_counter() - started

    def prefill_at(self, ids: list[int], depth: int) -> float:
        self._llama.reset()
        self._next(ids[:depth])
        started = time.perf_counter()
        self._next(ids[depth:])
        return time.perf_counter() - started

    def decode(self, ids: list[int], count: int) -> float:
        self._llama.reset()
        token = self._next(ids)
        started = time.perf_counter()
        for _ in range(count):
            token = self._next([token])
        return time.perf_counter() - started

    def _next(self, ids: list[int]) -> int:
        """The likeliest token after `ids`, which are appended to the context."""
        try:
            self._llama.eval(ids)
        except RuntimeError as error:
            raise PeerError(f"llama.cpp failed: {error}; check the file, or leave --vs out") from error
        logits = self._package.llama_get_logits_ith(self._llama.ctx, -1)
        return int(np.ctypeslib.as_array(logits, shape=(self._llama.n_vocab(),)).argmax())


def peak_memory() -> int:
    """Bytes that this process had resident at most."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
