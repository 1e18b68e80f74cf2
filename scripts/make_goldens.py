"""Makes the small checkpoints and logits that the models are tested against: tests/models/goldens/.

Needs torch and transformers 5.23, which the project itself never does. Each architecture's own implementation there,
with random weights, saves its checkpoint as any published one is saved, and its logits in float32:

    python scripts/make_goldens.py tests/models/goldens
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
DENSE = {
    "vocab_size": 80,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "eos_token_id": 7,
}
HYBRID = DENSE | {
    "hidden_size": 32,
    "head_dim": 32,
    "num_hidden_layers": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "rope_parameters": ROPE | {"partial_rotary_factor": 0.25, "mrope_section": [2, 1, 1], "mrope_interleaved": True},
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 16}

# model_type: (model class, config class, settings). Between them: tied and untied heads, head sizes that are and
# are not hidden / heads, top-k weights with and without renormalisation, unequal key and value head sizes.
MODELS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "qwen2": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        DENSE | {"num_hidden_layers": 3, "hidden_size": 64, "tie_word_embeddings": True, "rope_parameters": ROPE},
    ),
    "qwen3": (
        "Qwen3ForCausalLM",
        "Qwen3Config",
        DENSE | {"num_hidden_layers": 3, "head_dim": 32, "tie_word_embeddings": False, "rope_parameters": ROPE},
    ),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        DENSE | EXPERTS | {"num_hidden_layers": 3, "head_dim": 16, "norm_topk_prob": False, "rope_parameters": ROPE},
    ),
    "qwen3_5": ("Qwen3_5ForCausalLM", "Qwen3_5TextConfig", HYBRID | {"tie_word_embeddings": True}),
    "qwen3_5_moe": (
        "Qwen3_5MoeForCausalLM",
        "Qwen3_5MoeTextConfig",
        HYBRID | EXPERTS | {"shared_expert_intermediate_size": 24},
    ),
}
# Those of the mixtures leave no router with a near tie, which another order of additions could turn.
SEEDS = {"qwen2": 20, "qwen3": 20, "qwen3_moe": 22, "qwen3_5": 20, "qwen3_5_moe": 21}
TOKENS = {"long": 75, "short": 9}  # longer than one chunk of 64, and no multiple of anything


def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Values under which every parameter matters to the logits, and which bfloat16 holds exactly."""

    def normal(parameter: torch.Tensor, mean: float, std: float) -> torch.Tensor:
        return mean + std * torch.randn(parameter.shape, generator=generator)

    for name, parameter in model.named_parameters():
        if name.endswith("A_log"):  # memories of a few to a few hundred tokens
            value = torch.log(0.01 + 0.5 * torch.rand(parameter.shape, generator=generator))
        elif name.endswith("dt_bias"):
            value = normal(parameter, 0, 1)
        elif name.endswith(("bias", "conv1d.weight")):
            value = normal(parameter, 0, 0.5)
        elif name.endswith("norm.weight"):  # some are stored as w, some as w - 1: `parameter` says which
            value = normal(parameter, float(parameter.detach().mean()), 0.3)
        elif name.endswith("embed_tokens.weight"):
            value = normal(parameter, 0, 0.7)
        elif name.endswith("mlp.gate.weight"):  # decided routers: no near ties
            value = normal(parameter, 0, 3 * parameter.shape[-1] ** -0.5)
        else:
            value = normal(parameter, 0, 1.2 * parameter.shape[-1] ** -0.5)
        parameter.data.copy_(value.to(torch.bfloat16).to(torch.float32))


def make(name: str, folder: Path) -> None:
    """One architecture's checkpoint and logits."""
    model_class, config_class, settings = MODELS[name]
    config = getattr(transformers, config_class)(**settings)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).float().eval()
    generator = torch.Generator().manual_seed(SEEDS[name])
    randomise(model, generator)
    results: dict[str, np.ndarray] = {}
    for case, tokens in TOKENS.items():
        ids = torch.randint(0, settings["vocab_size"], (1, tokens), generator=generator)
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits[0]
        results[f"{case}_ids"] = ids[0].numpy().astype(np.int32)
        results[f"{case}_logits"] = logits.numpy()
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    np.savez_compressed(folder / "logits.npz", **results)
    size = sum(file.stat().st_size for file in folder.iterdir())
    logits = results["long_logits"]
    print(f"{name}: {size / 1000:.0f} kB, logits std {logits.std():.2f}, max {np.abs(logits).max():.2f}")


def main() -> None:
    root = Path(sys.argv[1])
    for name in MODELS:
        make(name, root / name)
        shape = json.loads((root / name / "config.json").read_text())
        assert shape["architectures"] == [MODELS[name][0]], shape


if __name__ == "__main__":
    main()
