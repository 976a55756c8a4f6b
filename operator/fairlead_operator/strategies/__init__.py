"""How a route moves from one version to another: one strategy a file, pure."""
