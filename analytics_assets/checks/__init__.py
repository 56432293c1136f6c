"""Asset checks: what is verified, in which words, and what it blocks. Each module makes specs and their results."""
