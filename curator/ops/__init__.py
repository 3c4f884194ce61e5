"""Operators: one verb a file. Nothing is imported here; `curator.op.find` imports a file when its verb is used."""
