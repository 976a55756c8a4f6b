"""Value types: the catalog document, the status document, and what a version is."""
