"""Files to facts: content sniffing, loaders in limited child processes, chunks and sentences with exact offsets."""
