"""Many requests into few runs: the queue of one version, and what a worker's versions share.

This package imports no numpy by itself: the supervisor reads `marks` and the bounds in `counts`.
"""
