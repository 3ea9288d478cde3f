"""What watches a run: terminal, notebook, trace files, OpenLineage. Nothing here decides anything."""
