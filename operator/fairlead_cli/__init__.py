"""The command line: it starts the server and the operator as processes, and imports neither."""
