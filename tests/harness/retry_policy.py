"""The service config that docs/protocol.md shows to gRPC clients: what the document says is what the tests use."""

import json
import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
(RETRY_POLICY,) = map(json.loads, re.findall(r"```json\n(.*?)```", _PAGE.read_text(), re.DOTALL))
