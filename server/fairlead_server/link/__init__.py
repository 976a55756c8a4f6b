"""What a supervisor and its children tell each other: the messages, and the stream that carries them."""
