"""Random models of any supported shape, written as GGUF at the speed of the disk: for tests and for measuring.

They say nothing sensible but cost what a real one of their shape and number formats costs; activations stay of
ordinary size through all layers. Blocks are drawn from a pool of quantised normal values, so that nothing is
quantised per tensor. llama.cpp loads the files too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from math import prod, sqrt
from pathlib import Path

import numpy as np

from inhouse.errors import ParameterError
from inhouse.weights.config import ModelConfig
from inhouse.weights.expected import Shape
from inhouse.weights.formats import BF16, BY_NAME, F16, F32, Q4_K, Q5_0, Q6_K, Q8_0, U8, Floats, Format
from inhouse.weights.gguf_keys import gguf_metadata, gguf_tensors
from inhouse.weights.gguf_writer import Progress, TensorSource, write_gguf
from inhouse.weights.presets import preset, with_layers
from inhouse.weights.quantize import quantize
from inhouse.weights.toy_vocabulary import toy_vocabulary

STANDARD_MIX = "Q4_K_M"

_POOL_ELEMENTS = 1 << 19
_CHUNK_BYTES = 1 << 24
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, STANDARD_MIX: 15, "BF16": 32}  # general.file_type
_LIVELY = 4.0  # spread of the logits: wide enough that two tokens seldom tie
_GENEROUS = ("attn_v.weight", "attn_qkv.weight", "ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight")
_NEVER_QUANTISED = ("ffn_gate_inp.weight", "ssm_conv1d.weight")

_Pools = Callable[[Format, float], U8]


def synthesize(
    config_or_preset: ModelConfig | str,
    out_path: Path,
    *,
    layers: int | None = None,
    mix: str = STANDARD_MIX,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelConfig:
    """Writes a random model to `out_path` and returns its configuration.

    `config_or_preset`: a configuration or a name of `presets`; `layers` cuts (or repeats) its layers. `mix`: Q4_K_M,
    the standard one, or one of `formats.FORMATS` for all matrices. Raises ParameterError.
    """
    if isinstance(config_or_preset, str):
        config = preset(config_or_preset, layers)
    else:
        config = with_layers(config_or_preset, layers)
    if mix != STANDARD_MIX and mix not in BY_NAME:
        raise ParameterError(f"no mix {mix!r}; choose {STANDARD_MIX} or one of {', '.join(BY_NAME)}")
    pools = _pools(seed)
    sources = []
    for index, (name, (canonical, shape)) in enumerate(gguf_tensors(config).items()):
        fmt = format_in_mix(mix, name, shape, config)
        chunks = partial(_draw, canonical, shape, fmt, config, (seed, index), pools)
        sources.append(TensorSource(name, shape, fmt, chunks))
    _check_room(out_path, sum(s.nbytes for s in sources))
    metadata = gguf_metadata(config) | {
        "general.name": f"random {config.architecture}, seed {seed}",
        "general.file_type": _FILE_TYPES.get(mix, _FILE_TYPES[STANDARD_MIX]),
        "general.quantization_version": 2,
    }
    metadata |= toy_vocabulary(config.vocab_size, "qwen35" if config.delta is not None else "qwen2")
    write_gguf(out_path, metadata, sources, progress)
    return config


def format_in_mix(mix: str, name: str, shape: Shape, config: ModelConfig) -> Format:
    """The number format that a mix gives a GGUF tensor of this name, as llama.cpp's quantiser would."""
    if len(shape) == 1 or name.endswith(_NEVER_QUANTISED):
        return F32
    plain = BY_NAME.get(mix, Q4_K)
    head = name == "output.weight" or (name == "token_embd.weight" and config.tie_word_embeddings)
    if head:
        fmt = plain if plain in (F32, F16, BF16, Q8_0) else Q6_K
    elif mix == STANDARD_MIX and name.endswith(_GENEROUS):
        fmt = Q6_K if _use_more_bits(int(name.split(".")[1]), config.num_hidden_layers) else Q4_K
    else:
        fmt = plain
    if shape[-1] % fmt.block_size == 0:
        return fmt
    smaller = Q8_0 if fmt.bits > 6 else Q5_0
    return smaller if shape[-1] % smaller.block_size == 0 else F16


def _use_more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _check_room(path: Path, needed: int) -> None:
    folder = next(p for p in (path.absolute().parent, *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ParameterError(
            f"{path}: the model takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            f"choose another folder or fewer layers"
        )


def _pools(seed: int) -> _Pools:
    """Makes and keeps, per format and spread, quantised blocks of normal values (N, block_bytes)."""
    made: dict[tuple[str, float], U8] = {}

    def pool(fmt: Format, spread: float) -> U8:
        key = (fmt.name, spread)
        if key not in made:
            values = np.random.default_rng(seed).standard_normal(_POOL_ELEMENTS, dtype=np.float32)
            made[key] = quantize(fmt, values * np.float32(spread)).reshape(-1, fmt.block_bytes)
        return made[key]

    return pool


def _draw(
    canonical: str, shape: Shape, fmt: Format, config: ModelConfig, seed: tuple[int, int], pools: _Pools
) -> Iterator[U8]:
    """The bytes of one tensor, in chunks: the same for the same seed."""
    random = np.random.default_rng(seed)
    if fmt is F32:
        yield _parameters(canonical, shape, config, random).reshape(-1).view(np.uint8)
        return
    pool = pools(fmt, _spread(canonical, shape, config))
    left = prod(shape) // fmt.block_size
    step = _CHUNK_BYTES // fmt.block_bytes
    while left:
        count = min(step, left)
        yield pool[random.integers(0, len(pool), count, dtype=np.uint32)].reshape(-1)
        left -= count


def _spread(canonical: str, shape: Shape, config: ModelConfig) -> float:
    """The standard deviation that keeps activations of ordinary size."""
    if canonical.endswith("embed_tokens.weight"):
        # A tied table is the head as well. Small beside what the layers add, it does not just repeat the last token.
        return 1 / sqrt(shape[-1]) if config.tie_word_embeddings else 1.0
    if canonical == "lm_head.weight":
        return _LIVELY / sqrt(shape[-1])
    into_residual = canonical.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "experts.down_proj"))
    return 1 / sqrt(shape[-1] * (2 * config.num_hidden_layers if into_residual else 1))


def _parameters(canonical: str, shape: Shape, config: ModelConfig, random: np.random.Generator) -> Floats:
    """Small parameters, each of the size that trained ones have."""
    if canonical == "model.norm.weight":
        values = random.normal(_LIVELY if config.tie_word_embeddings else 1.0, 0.1, shape)
    elif canonical.endswith("norm.weight"):
        values = random.normal(1.0, 0.1, shape)
    elif canonical.endswith("linear_attn.A"):
        values = -random.uniform(0.1, 4.0, shape)
    elif canonical.endswith("dt_bias"):
        values = random.normal(-3.0, 1.0, shape)  # steps of about 0.05: memories of tens to hundreds of tokens
    else:
        values = random.normal(0.0, 0.1 if canonical.endswith(".bias") else 1 / sqrt(shape[-1]), shape)
    return values.astype(np.float32)
