"""The doors: bytes in, bytes out. Each turns one protocol into calls of the service, and error kinds into its codes."""
