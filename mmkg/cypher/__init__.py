"""Cypher that runs unchanged on every engine, and the gate that a user's query passes first."""
