"""What the tests of this room share by name: the tiny presets and the shapes of the fixtures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inhouse.weights.tensor import Tensor

TINY = ("tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-qwen35", "tiny-qwen35moe")

Alter = Callable[[dict[str, Any], dict[str, Tensor]], None]
Rewrite = Callable[[str, Alter], Path]
SaveSafetensors = Callable[[Path, Mapping[str, np.ndarray]], None]
