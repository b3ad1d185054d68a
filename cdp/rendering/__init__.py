"""Templates become content here: in child processes, since a template may be hostile."""
