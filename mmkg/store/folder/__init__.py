"""A base in a folder: SQLite ledger, blobs by hash, index segments, and the graph engine's process."""
