"""Model files (GGUF, safetensors, random ones) as named, possibly quantised tensors.

Knows neither devices nor graphs.
"""
