"""The operator: it decides what is served, and writes it as a catalog."""
