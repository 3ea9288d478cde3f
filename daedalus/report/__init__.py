"""One HTML page about an output: cells, columns over days, drift."""
