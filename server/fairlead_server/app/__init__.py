"""The two engines that start a supervisor: a bare process, and an actor of Ray Serve."""
