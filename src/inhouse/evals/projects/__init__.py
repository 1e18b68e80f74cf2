"""Repairs measured on real projects: released sources with their own tests, one small fault put in at a time."""
