"""Where a base lives: a folder, or a Neo4j server; and what both share."""
