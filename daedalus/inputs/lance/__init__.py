"""What of Lance is read without LanceDB, and LanceDB itself without what nobody here needs of it."""
