"""A base in a folder: SQLite ledger, blobs by hash, index segments, and the embedded graph engine."""
