"""A real Kubernetes on this machine: an API server for `hack/test`, a whole node for `hack/e2e`.

Nothing here is part of the product, and the product knows nothing of it. Programs come from where the machine has
them, else they are built from the Go modules pinned in modules/; no image registry and no Docker are needed.
"""
