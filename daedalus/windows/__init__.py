"""Point-in-time windows, one definition: in SQL, by the compiled kernel, and on Arrow tables."""
