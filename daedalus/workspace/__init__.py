"""What every command opens, the actions of a range of days, and the days that need none."""
