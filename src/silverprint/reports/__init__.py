"""From metrics to figures to one HTML file that needs nothing else."""
