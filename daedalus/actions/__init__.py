"""How a stage makes its actions: steps that ask for each other by name, and days that a change does not affect."""
