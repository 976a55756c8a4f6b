"""From a request's priority to its level, as in Triton's dynamic batcher: 1 is the highest, 0 leaves it to the model,
and what is beyond the levels is taken for the default.

Source: https://github.com/triton-inference-server/server (docs/protocol/extension_schedule_policy.md).
"""

from __future__ import annotations


def level_of(priority: int, levels: int, default: int) -> int:
    """0 for the highest. `default` 0, or beyond the levels, is the lowest. Without levels there is one."""
    if not levels:
        return 0
    if not 1 <= priority <= levels:
        priority = default if 1 <= default <= levels else levels
    return priority - 1
