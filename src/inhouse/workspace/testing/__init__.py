"""How a project's tests are run, and what their output says. Knows no models."""
