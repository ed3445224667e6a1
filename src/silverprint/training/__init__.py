"""What every training loop shares: metrics and progress."""
