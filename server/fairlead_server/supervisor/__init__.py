"""The supervisor: processes, sockets and the catalog of one replica. It loads no model and parses no
inference request, and imports neither onnxruntime, grpc nor numpy: so it outlives what a model does."""
