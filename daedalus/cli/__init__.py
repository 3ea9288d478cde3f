"""The command line: a file per command group, which prints and sets exit codes, and nothing else."""
