"""The packed copy of a model: found, or made on first use. Knows what to pack and where, not how panels look."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from inhouse.errors import InhouseError, ParameterError
from inhouse.kernels import cpu
from inhouse.store.packed import Identity, PackedCopies
from inhouse.weights.checkpoint import Checkpoint, open_checkpoint
from inhouse.weights.packed_file import PackPlan, plan_packing, write_packed

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the bytes written and the bytes in all."""


def packed_or_not(path: Path, copies: PackedCopies, progress: Progress | None = None) -> Path:
    """What to open for the model at `path`: its packed copy, made now if need be, or `path` where none can be.

    Says in the log why there is none. Raises what opening a model raises.
    """
    if path.is_dir() or path.suffix != ".gguf":
        return path
    found = copies.find(path)
    if found is not None:
        return found
    with open_checkpoint(path) as checkpoint:
        plan = _plan(checkpoint)
        if plan.gain == 0:
            return path
        try:
            room = copies.free()
            if plan.nbytes > room:
                log.warning(
                    f"{path}: packing needs {plan.nbytes / 1e9:.1f} GB of disk in {copies.root}, which has room for "
                    f"{max(room, 0) / 1e9:.1f} GB: going on without, more slowly"
                )
                return path
            return copies.make(path, lambda target: _write(target, path, plan, progress))
        except OSError as error:
            log.warning(f"{path}: cannot be packed into {copies.root} ({error}): going on without, more slowly")
            return path


def convert(path: Path, target: Path, progress: Progress | None = None) -> None:
    """Packs the model at `path` into the file `target`. Raises ParameterError, InhouseError and what opening raises."""
    if target.suffix != ".safetensors":
        raise ParameterError(f"{target}: a packed model is a .safetensors file; name it so")
    with open_checkpoint(path) as checkpoint:
        if checkpoint.format == "packed":
            raise ParameterError(f"{path} is packed already: use it as it is")
        if checkpoint.format != "gguf":
            raise ParameterError(f"{path} has no weights that can be packed; use it as it is")
        plan = _plan(checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(target.parent)
        if plan.nbytes > status.f_bavail * status.f_frsize:
            free = status.f_bavail * status.f_frsize
            raise InhouseError(
                f"{target} takes {plan.nbytes / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB free: make room, or "
                "choose a file on another disk"
            )
        _write(target, path, plan, progress)


def _plan(checkpoint: Checkpoint) -> PackPlan:
    return plan_packing(checkpoint.config, checkpoint.tensors, checkpoint.metadata)


def _write(target: Path, source: Path, plan: PackPlan, progress: Progress | None) -> None:
    write_packed(target, plan, asdict(Identity.of(source)), cpu.pack, progress)
    _forget(source, plan)


def _forget(source: Path, plan: PackPlan) -> None:
    """Gives the source's pages back: they would displace those of the copy, which is what will be read from now on."""
    tensor, _ = next(iter(plan.targets.values()))
    owner: object = tensor.data
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
    if hasattr(os, "posix_fadvise"):
        with source.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
