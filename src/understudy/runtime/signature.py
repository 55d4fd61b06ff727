"""Signatures of saved models (Ed25519): who released a model, and that nobody has exchanged it since.

::

    signature.json    schema, algorithm, public key and signature, the last two in hexadecimal

The signature covers the bytes of ``manifest.json``, which holds the hash of every file that decides. It needs
the package ``cryptography`` (extra ``sign``), which is imported only where a signature is made or required.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from understudy.errors import BundleError, InputError, extra_needed
from understudy.files import write_bytes, write_json
from understudy.folders import locked
from understudy.runtime.manifest import CALIBRATION, MANIFEST, Manifest, read_manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["SIGNATURE", "check_signature", "is_signed", "read_trusted_manifest", "sign_model"]

SIGNATURE = "signature.json"
_HEX = r"^[0-9a-f]+$"


class _Signature(BaseModel):
    """Content of ``signature.json``.

    Attributes:
        format: version of the file, its key ``schema``.
        algorithm: always ``ed25519``.
        public_key: raw public key of 32 bytes, in hexadecimal.
        signature: signature of 64 bytes, in hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    format: Literal[1] = Field(default=1, alias="schema")
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: str = Field(min_length=64, max_length=64, pattern=_HEX)
    signature: str = Field(min_length=128, max_length=128, pattern=_HEX)


def is_signed(folder: Path) -> bool:
    """Tell whether a model has a signature, which may no longer fit."""
    return (folder / SIGNATURE).is_file()


def sign_model(model: str | Path, key: str | Path, *, public: str | Path | None = None) -> str:
    """Sign a saved model: write ``signature.json`` into its folder.

    Args:
        model: folder of the model, trained or exported.
        key: file of the Ed25519 private key, PEM (PKCS #8) without a passphrase.
        public: file for the public key, PEM; a file with other content is not replaced.

    Returns:
        Fingerprint of the public key: SHA-256 of its DER form, in hexadecimal.

    Raises:
        BundleError: the folder holds no model, or it is damaged, or its manifest does not cover its
            thresholds.
        InputError: the key cannot be used, the file for the public key holds something else, or another
            process writes into the folder.
        WorkError: the signature cannot be written.
    """
    folder = Path(model)
    secret = _private_key(Path(key))
    read_manifest(folder)
    pem = _pem(secret.public_key())
    if public is not None:
        _refuse_other_content(Path(public), pem)
    with locked(folder, MANIFEST):  # nobody exchanges what is checked here
        read_manifest(folder)
        signed = _manifest_bytes(folder)
        _refuse_uncovered(folder, signed)
        written = _Signature(
            public_key=secret.public_key().public_bytes_raw().hex(), signature=secret.sign(signed).hex()
        )
        write_json(folder / SIGNATURE, written.model_dump(mode="json", by_alias=True))
    if public is not None:
        write_bytes(Path(public), pem)
    return _fingerprint(secret.public_key())


def check_signature(model: str | Path, public_key: str | Path) -> None:
    """Check that a model was signed with a key and not changed since.

    Args:
        model: folder of the model.
        public_key: file of the Ed25519 public key, PEM.

    Raises:
        BundleError: the model is not signed, was signed with another key, or was changed since; or a file of
            it is missing or altered.
        InputError: the key cannot be used.
    """
    read_trusted_manifest(Path(model), public_key)


def read_trusted_manifest(
    folder: Path, public_key: str | Path | None, *, calibrated: bool = True
) -> Manifest:
    """Read the manifest of a model, and check its signature if a public key is given.

    Args:
        folder: folder of the model.
        public_key: file of the key; ``None`` takes models that are not signed too.
        calibrated: also check the calibration; see :func:`understudy.runtime.manifest.read_manifest`.

    Raises:
        BundleError: see :func:`check_signature` and :func:`understudy.runtime.manifest.read_manifest`.
        InputError: the key cannot be used.
    """
    if public_key is None:
        return read_manifest(folder, calibrated=calibrated)
    known = _public_key(Path(public_key))
    manifest = read_manifest(folder, calibrated=calibrated)
    signed = _manifest_bytes(folder)
    _verify(folder, signed, known, Path(public_key))
    _refuse_uncovered(folder, signed)
    content = {name: value for name, value in json.loads(signed).items() if name != "seal"}
    if Manifest.model_validate(content) != manifest:  # exchanged between the two looks at the file
        raise BundleError(f"{folder / MANIFEST} changed while it was read; open the model again")
    return manifest


def _verify(folder: Path, signed: bytes, known: Ed25519PublicKey, key_file: Path) -> None:
    from cryptography.exceptions import InvalidSignature

    path = folder / SIGNATURE
    if not path.is_file():
        raise BundleError(
            f"{folder} is not signed, and a signature is required; sign it with understudy sign, or take the "
            "model from its source"
        )
    try:
        found = _Signature.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, ValueError) as error:
        raise BundleError(f"{path} is no signature that this version reads; sign the model again") from error
    if found.public_key != known.public_bytes_raw().hex():
        raise BundleError(
            f"{folder} was signed with another key than that of {key_file}; name the key of whoever released "
            "the model, or take the model from its source"
        )
    try:
        known.verify(bytes.fromhex(found.signature), signed)
    except InvalidSignature as error:
        raise BundleError(
            f"{folder} was calibrated or altered after it was signed; sign it again, or take the model from "
            "its source"
        ) from error


def _manifest_bytes(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST} cannot be read: {error.strerror or error}") from error


def _refuse_uncovered(folder: Path, signed: bytes) -> None:
    """Refuse thresholds that the manifest, and so the signature, does not cover."""
    if (folder / CALIBRATION).is_file() and CALIBRATION not in json.loads(signed).get("files", {}):
        raise BundleError(
            f"{folder / CALIBRATION} is not covered by the manifest of that model, so a signature cannot "
            "protect it; calibrate the model again, then sign it"
        )


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise extra_needed("sign", "a signature") from error
    try:
        key = load_pem_private_key(_key_bytes(path), password=None)
    except TypeError as error:
        raise InputError(f"{path} is protected by a passphrase; name a key without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(path, "private", "openssl genpkey -algorithm ed25519") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private", "openssl genpkey -algorithm ed25519")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise extra_needed("sign", "a required signature") from error
    try:
        key = load_pem_public_key(_key_bytes(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(path, "public", "understudy sign --public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public", "understudy sign --public")
    return key


def _no_key(path: Path, kind: str, made_by: str) -> InputError:
    return InputError(f"{path} holds no Ed25519 {kind} key as PEM; make one with {made_by}")


def _key_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path} is no file; name the PEM file of the key")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; name another key") from error


def _pem(key: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _fingerprint(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _refuse_other_content(path: Path, content: bytes) -> None:
    try:
        if path.exists() and path.read_bytes() != content:
            raise InputError(f"{path} holds something else than this public key; name another file")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; name another file") from error
