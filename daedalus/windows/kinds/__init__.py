"""The kinds that measure what a row sees: a file for each mechanism, with its SQL and what gives the same, compiled."""
