"""Networks built here."""
