"""Steps on Arrow and compiled kernels: each writes the bytes that its SQL would, in a fraction of the time.

A step's SQL says what it means. A function here takes what it binds, `(files by name, the file to write)`, and returns
the counts, or None where it does not know a type or there are too many rows for memory: then the SQL runs.
"""
