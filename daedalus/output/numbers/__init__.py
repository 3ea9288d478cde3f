"""The qid map while it grows: pieces of new rows until they are written into it, and an index to look sessions up."""
