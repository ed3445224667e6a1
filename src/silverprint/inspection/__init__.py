"""Looking inside: kernels and edges, where a network looked, what its layers do, its shape."""
