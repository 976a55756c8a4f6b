"""The server: it makes its state equal to the catalog and says how far it got."""
