"""The same work on several machines, through Ray."""
