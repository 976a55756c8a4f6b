"""The one mutable room of a worker: versions, their states and leases, and which route is in effect."""
