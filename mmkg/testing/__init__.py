"""Contracts that every engine must pass, small honest fakes, and tiny corpora."""
