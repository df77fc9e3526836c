"""The embedded graph engine: a Cypher engine in a process of its own, with limits."""
