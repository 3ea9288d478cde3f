"""`daeda report`: one page about a range of days, and the numbers that it shows."""
