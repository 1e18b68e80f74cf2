"""OpenAI- and Anthropic-compatible HTTP. Knows neither agents nor how a model computes."""
