"""Whether torch.compile is of use here; training works without it."""

from __future__ import annotations

import torch

from understudy.errors import InputError

__all__ = ["require_compiler"]


def require_compiler(device: torch.device) -> None:
    """Compile one addition, before any other work is spent.

    Raises:
        InputError: it does not compile: no compiler is there, say.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:  # whatever a missing or broken compiler makes of it
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        wanted = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler"
        raise InputError(
            f"--compile cannot be used here: {reason}; it needs {wanted}, or leave it out"
        ) from error
