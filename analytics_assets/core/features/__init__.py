"""From chunks to trusted tables: cleaning, sessions, actors, days, quality; DuckDB SQL over files."""
