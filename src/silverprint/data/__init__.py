"""From files to a table of labelled pictures."""
