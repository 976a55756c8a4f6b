"""The one error of this package: something cannot be had here, and its text says in one line what to do."""


class Unavailable(Exception):
    """A program, a module or a permission is missing; the text is for a person, without a trace."""
