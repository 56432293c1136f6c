"""From raw exports to CSV chunks: sources, record scanner, normalization, identity, chunks and manifest."""
