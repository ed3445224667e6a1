"""One visible training loop for each kind of network."""
