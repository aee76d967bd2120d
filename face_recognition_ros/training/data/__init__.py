"""Where training faces come from."""
