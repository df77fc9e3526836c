"""From a question to evidence: seeds, the walk over the graph, fusion, paths."""
