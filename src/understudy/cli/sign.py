"""``understudy sign``: sign a model with a private key, so that others can tell where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import ModelArgument, parse_named

__all__ = ["sign"]


def sign(
    model: ModelArgument,
    key: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            parser=parse_named,
            help="Ed25519 private key (PEM), as openssl genpkey -algorithm ed25519 makes it.",
        ),
    ],
    public: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=parse_named,
            help="Also write the public key (PEM), for --require-signature.",
        ),
    ] = None,
) -> None:
    """Sign MODEL, trained or exported; a model that is calibrated later must be signed again."""
    from understudy.runtime.signature import SIGNATURE, sign_model

    fingerprint = sign_model(model, key, public=public)
    print(f"wrote {model / SIGNATURE}" + (f" and {public}" if public else ""))
    print(f"fingerprint of the public key: {fingerprint}")
