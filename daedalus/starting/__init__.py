"""`daeda init`: a first configuration, from a look at the user's own files."""
