"""Inhouse: a private software engineer that runs on the machine you already own."""
