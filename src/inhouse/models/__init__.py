"""The architectures: one file each, named after its `model_type`. Knows neither requests nor text."""

from inhouse.models.build import build_model
from inhouse.models.decoder import CausalLM, LayerState, Segment

__all__ = ["CausalLM", "LayerState", "Segment", "build_model"]
