"""Compiles open_inference.proto into the descriptor that the server loads at run time.

    python hack/generate_proto.py [FOLDER]    writes it into the repository, or below FOLDER

The same protoc always gives the same bytes, and the lock pins protoc (grpcio-tools).
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PLACE = Path("server", "fairlead_server", "protocols")


def main(into: Path) -> int:
    """Writes a serialised FileDescriptorSet, without source positions and comments."""
    target = into / PLACE / "open_inference.binpb"
    target.parent.mkdir(parents=True, exist_ok=True)
    return protoc.main(  # type: ignore[no-any-return]
        ["protoc", f"--proto_path={ROOT / PLACE}", f"--descriptor_set_out={target}", "open_inference.proto"]
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
