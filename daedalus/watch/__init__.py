"""What watches a run: terminal, notebook, timelines, OpenLineage. Nothing here decides anything."""
