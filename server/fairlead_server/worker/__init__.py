"""The serving process of a replica, and the trial: the same without doors."""
