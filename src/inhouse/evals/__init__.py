"""Measures of a model at work, each a function of a client, and the peer that is measured beside it."""
