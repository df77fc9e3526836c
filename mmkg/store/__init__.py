"""Where a base lives: a folder now, a Neo4j server by URL later."""
