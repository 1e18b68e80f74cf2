"""A real model whose weights make it say one given thing, so that what surrounds a model can be told apart.

One layer of qwen2 that adds nothing, an embedding of one-hot rows, and a head in which every token has one successor:
any token of a prompt is followed by the first step, every step by the next, and the last by <|im_end|>.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inhouse import LLM
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import build_model
from inhouse.tokenizer import Tokenizer
from inhouse.tokenizer.bytelevel import BYTE_TO_CHAR, to_chars
from inhouse.weights.config import ModelConfig
from inhouse.weights.tensor import Tensor

TEMPLATE = """\
{%- if tools %}<|im_start|>system
Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>: {{ tools | tojson }}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if thinking %}<think>
{% endif %}{% endif %}"""


def vocabulary(steps: Sequence[str | bytes], template: str | None = TEMPLATE, marks: Sequence[str] = ()) -> Tokenizer:
    """256 bytes, control tokens, one token for every step, and more control tokens."""
    tokens = [*BYTE_TO_CHAR.values(), "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    types = [1] * 256 + [3] * 3
    for step in steps:
        tokens.append(to_chars(step.encode() if isinstance(step, str) else step))
        types.append(1)
    tokens += marks
    types += [3] * len(marks)
    assert len(set(tokens)) == len(tokens), "steps must differ, and be longer than a byte"
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
    }
    return Tokenizer.from_gguf(metadata | ({} if template is None else {"tokenizer.chat_template": template}))


def parrot(
    *steps: str | bytes, template: str | None = TEMPLATE, marks: Sequence[str] = (), context: int | None = None
) -> LLM:
    """An engine that answers anything with `steps`, one token each; `marks` are further control tokens."""
    tokenizer = vocabulary(steps, template, marks)
    size = tokenizer.vocab_size
    end = 259 + len(steps)
    successor = np.full(size, 259 if steps else 257)  # the first step
    successor[259:end] = [*range(260, end), 257][: len(steps)]
    head = np.zeros((size, size), np.float32)
    head[successor, np.arange(size)] = 1
    config = ModelConfig(
        architecture="qwen2",
        vocab_size=size,
        hidden_size=size,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=4,
        intermediate_size=4,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        rotary_dim=4,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        layer_types=("full_attention",),
        attention_bias=True,
    )
    shapes = {"q_proj": (4, size), "k_proj": (4, size), "v_proj": (4, size), "o_proj": (size, 4)}
    zeros = {f"self_attn.{name}.weight": shape for name, shape in shapes.items()}
    zeros |= {f"self_attn.{name}.bias": (4,) for name in ("q_proj", "k_proj", "v_proj")}
    zeros |= {"mlp.gate_proj.weight": (4, size), "mlp.up_proj.weight": (4, size), "mlp.down_proj.weight": (size, 4)}
    zeros |= {"input_layernorm.weight": (size,), "post_attention_layernorm.weight": (size,)}
    values = {f"model.layers.0.{name}": np.zeros(shape, np.float32) for name, shape in zeros.items()}
    values |= {"model.embed_tokens.weight": np.eye(size, dtype=np.float32), "lm_head.weight": head}
    values |= {"model.norm.weight": np.ones(size, np.float32)}
    tensors = {name: Tensor.from_float32(name, array) for name, array in values.items()}
    return LLM.of(build_model(config, tensors, ReferenceBackend()), tokenizer, context=context)
