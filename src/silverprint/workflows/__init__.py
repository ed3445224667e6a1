"""Each verb as one function. The command line and `import silverprint` both call these."""
