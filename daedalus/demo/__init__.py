"""A sample world, the default configuration beside it, and the commands that show what the tool does with them."""
