"""`fairlead demo`: the whole story on `up`, with a data scientist and clients in processes of their own."""
