"""The operator on Kubernetes: everything that touches a cluster. README.md says what it does there, and may do."""
