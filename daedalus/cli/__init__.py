"""The command line: a file a command group, which prints and sets exit codes, and nothing else."""
