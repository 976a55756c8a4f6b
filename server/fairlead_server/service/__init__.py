"""The journey of a request, protocol-free: route, lease, check the signature, batch, answer."""
