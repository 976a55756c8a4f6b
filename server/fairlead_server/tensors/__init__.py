"""Named, typed, shaped arrays: what requests carry in and answers carry out."""
