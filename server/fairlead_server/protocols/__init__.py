"""Pure codecs: bytes of a protocol <-> the protocol-free request and response of `models.inference`."""
