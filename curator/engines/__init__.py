"""Engines: one small protocol, and one file for each way to reach a model."""
