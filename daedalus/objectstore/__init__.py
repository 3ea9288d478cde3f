"""Objects by URI, the lists that make several of them visible at once, and local copies of bounded size."""
