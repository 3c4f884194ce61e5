"""Diversity of a set of rows: Vendi scores of their vectors, their texts beside it, clusters, and choosing for it."""
