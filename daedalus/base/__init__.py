"""What every room may use: errors, days, digests, durable files, text for people."""
