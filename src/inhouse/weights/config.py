"""The hyper-parameters of a supported model, filled once from a file's metadata. Knows no file format.

Names are those of Hugging Face's `config.json` (the text part). Everything downstream reads this frozen
dataclass and never looks at raw metadata again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LayerType = Literal["full_attention", "linear_attention"]
Architecture = Literal["qwen3_5_moe", "qwen3_5", "qwen3_moe", "qwen3", "qwen2"]
Pooling = Literal["none", "last", "mean", "rank"]
HeadOrder = Literal["grouped", "tiled"]


@dataclass(frozen=True)
class MoEConfig:
    """Mixture of experts: softmax over all experts, the top k kept (and renormalised if `norm_topk_prob`)."""

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_expert_intermediate_size: int = 0  # 0: no shared expert
    norm_topk_prob: bool = True


@dataclass(frozen=True)
class DeltaNetConfig:
    """Gated DeltaNet (linear attention) heads.

    `value_head_order` says how value heads map to key heads: "grouped" (Hugging Face: value head h uses key
    head h // (num_value_heads / num_key_heads)) or "tiled" (GGUF: h % num_key_heads).
    """

    conv_kernel_dim: int
    num_key_heads: int
    num_value_heads: int
    key_head_dim: int
    value_head_dim: int
    value_head_order: HeadOrder = "grouped"

    @property
    def key_dim(self) -> int:
        return self.num_key_heads * self.key_head_dim

    @property
    def value_dim(self) -> int:
        return self.num_value_heads * self.value_head_dim

    @property
    def conv_dim(self) -> int:
        """Channels of the causal convolution: q, k and v side by side."""
        return 2 * self.key_dim + self.value_dim


@dataclass(frozen=True)
class ModelConfig:
    """One model's shape."""

    architecture: Architecture
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int  # of the dense MLP; 0 where every layer is a mixture of experts
    rms_norm_eps: float
    rope_theta: float
    rotary_dim: int  # leading dimensions of a head that rotate (head_dim unless partial)
    max_position_embeddings: int
    tie_word_embeddings: bool
    layer_types: tuple[LayerType, ...]
    attention_bias: bool = False  # q, k, v projections carry a bias (qwen2)
    qk_norm: bool = False  # q and k are RMS-normed per head (qwen3 and later)
    attn_output_gate: bool = False  # q_proj also yields a sigmoid gate, interleaved per head (qwen3_5)
    moe: MoEConfig | None = None
    delta: DeltaNetConfig | None = None
    eos_token_ids: tuple[int, ...] = field(default=())
    pooling: Pooling = "none"  # what stands for a whole text, of models that are made to embed or to rank
