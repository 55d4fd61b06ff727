"""A signature says who released a model, and any later change of what decides is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import understudy
from understudy import BundleError, InputError, Inspector, Model, Reporter
from understudy.folders import read_sealed, write_sealed
from understudy.runtime import signature
from understudy.runtime.manifest import read_manifest
from understudy.runtime.signature import check_signature, is_signed, sign_model

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def private_pem(key: Ed25519PrivateKey | rsa.RSAPrivateKey, passphrase: bytes | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(PEM, PKCS8, locked)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    return path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return tmp_path / "public.pem"


@pytest.fixture
def line(exported: Path, tmp_path: Path) -> Path:
    """An exported model that may be changed."""
    return Path(shutil.copytree(exported, tmp_path / "line"))


@pytest.fixture
def signed(line: Path, key: Path, public: Path) -> Path:
    sign_model(line, key, public=public)
    return line


def edit_manifest(folder: Path, **changes: object) -> None:
    """Alter a manifest and seal it again, as somebody who knows the format would."""
    content = read_sealed(folder / "manifest.json")
    assert content is not None
    write_sealed(folder / "manifest.json", content | changes)


def test_a_signed_model_opens_with_its_key_and_without_one(
    model_folder: Path, signed: Path, key: Path, public: Path, tmp_path: Path
) -> None:
    trained = Path(shutil.copytree(model_folder, tmp_path / "trained"))
    sign_model(trained, key)
    for folder in (trained, signed):
        assert is_signed(folder)
        check_signature(folder, public)
        assert understudy.load(folder, "cpu", require_signature=public).categories
        assert understudy.load(folder, "cpu").categories
    assert Model.load(trained, "cpu", require_signature=str(public)).calibration
    assert Inspector.load(signed, require_signature=public).calibration


def test_a_model_without_signature_is_refused_where_one_is_required(
    signed: Path, public: Path, model_folder: Path
) -> None:
    (signed / "signature.json").unlink()
    assert not is_signed(signed)
    for folder in (signed, model_folder):
        with pytest.raises(BundleError, match=f"^{folder} is not signed, and a signature is required; "):
            understudy.load(folder, "cpu", require_signature=public)


def test_the_signature_of_another_key_is_refused(signed: Path, public: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    sign_model(signed, other)
    with pytest.raises(BundleError, match=f"was signed with another key than that of {public}"):
        Inspector.load(signed, require_signature=public)
    content = json.loads((signed / "signature.json").read_text())
    sign_model(signed, other, public=tmp_path / "others.pem")
    check_signature(signed, tmp_path / "others.pem")
    forged = content | {"public_key": Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()}
    (signed / "signature.json").write_text(json.dumps(forged))
    with pytest.raises(BundleError, match="another key"):
        check_signature(signed, public)


def test_a_manifest_that_was_sealed_again_is_refused(signed: Path, public: Path) -> None:
    edit_manifest(signed, method="rd")
    assert read_manifest(signed).method == "rd"
    with pytest.raises(BundleError, match="was calibrated or altered after it was signed; sign it again"):
        Inspector.load(signed, require_signature=public)


@pytest.mark.parametrize("name", ["calibration.json", "model.onnx", "prototypes.json", "roi.json"])
def test_every_file_that_decides_is_protected(name: str, signed: Path, public: Path) -> None:
    path = signed / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"{name} is damaged or altered"):
        Inspector.load(signed, require_signature=public)
    path.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Inspector.load(signed, require_signature=public)


def test_thresholds_that_the_manifest_does_not_cover_are_neither_signed_nor_accepted(
    signed: Path, key: Path, public: Path
) -> None:
    files = read_manifest(signed).files
    older = {name: digest for name, digest in files.items() if name != "calibration.json"}
    edit_manifest(signed, bundle_schema=4, files=older)
    with pytest.raises(
        BundleError, match=r"not covered by the manifest .* calibrate the model again, then sign"
    ):
        sign_model(signed, key)
    (signed / "calibration.json").rename(signed / "aside.json")
    sign_model(signed, key)
    (signed / "aside.json").rename(signed / "calibration.json")
    with pytest.raises(BundleError, match="not covered"):
        Inspector.load(signed, require_signature=public)


def test_a_model_that_is_calibrated_must_be_signed_again(
    signed: Path, key: Path, public: Path, factory: Path
) -> None:
    said: list[str] = []
    inspector = Inspector.load(signed, require_signature=public)
    understudy.calibrate.calibrate(
        inspector, factory, false_alarm_rate=0.2, progress=Reporter(say=said.append)
    )
    assert f"{signed} was signed, and its signature no longer fits: sign it again" in said
    with pytest.raises(BundleError, match="was calibrated or altered after it was signed"):
        Inspector.load(signed, require_signature=public)
    sign_model(signed, key, public=public)
    assert Inspector.load(signed, require_signature=public).calibration == inspector.calibration


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[" * 100_000, '{"schema": 2}', '{"schema": 1, "algorithm": "none", "signature": ""}'],
    ids=["empty", "object", "deep", "newer", "none"],
)
def test_a_damaged_signature_is_one_sentence(content: str, signed: Path, public: Path) -> None:
    (signed / "signature.json").write_text(content)
    with pytest.raises(BundleError, match=r"signature\.json is no signature that this version reads; sign"):
        check_signature(signed, public)


def test_a_flipped_bit_in_the_signature_is_refused(signed: Path, public: Path) -> None:
    content = json.loads((signed / "signature.json").read_text())
    flipped = f"{int(content['signature'], 16) ^ 1:0128x}"
    (signed / "signature.json").write_text(json.dumps(content | {"signature": flipped}))
    with pytest.raises(BundleError, match="after it was signed"):
        check_signature(signed, public)


def test_a_model_that_is_exchanged_while_it_is_read_is_refused(
    signed: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (signed / "manifest.json").read_bytes()
    edit_manifest(signed, method="rd")

    def read_then_put_back(folder: Path, *, calibrated: bool = True) -> object:
        altered = read_manifest(folder, calibrated=calibrated)
        (folder / "manifest.json").write_bytes(whole)
        return altered

    monkeypatch.setattr(signature, "read_manifest", read_then_put_back)
    with pytest.raises(BundleError, match=r"manifest\.json changed while it was read; open the model again"):
        check_signature(signed, public)


def test_a_key_that_cannot_sign_is_one_sentence(line: Path, public: Path, key: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    none = "holds no Ed25519 private key as PEM; make one with openssl genpkey -algorithm ed25519$"
    for content, rule in (
        (private_pem(Ed25519PrivateKey.generate(), b"secret"), "is protected by a passphrase; name a key wi"),
        (private_pem(rsa.generate_private_key(65537, 2048)), none),
        (b"none", none),
        (b"", none),
    ):
        bad.write_bytes(content)
        with pytest.raises(InputError, match=f"^{bad} {rule}"):
            sign_model(line, bad)
    with pytest.raises(InputError, match="is no file; name the PEM file of the key"):
        sign_model(line, tmp_path / "nowhere.pem")
    with pytest.raises(InputError, match="holds no Ed25519 public key as PEM; make one with understudy sign"):
        check_signature(line, key)
    assert not is_signed(line)


def test_a_folder_that_holds_no_whole_model_is_not_signed(line: Path, key: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no trained model"):
        sign_model(tmp_path, key)
    (line / "prototypes.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged or altered"):
        sign_model(line, key)
    assert not is_signed(line)


def test_the_public_key_never_replaces_another_file(signed: Path, key: Path, public: Path) -> None:
    before = public.read_bytes()
    sign_model(signed, key, public=public)
    assert public.read_bytes() == before
    for other in (key, signed / "manifest.json"):
        content = other.read_bytes()
        with pytest.raises(InputError, match="holds something else than this public key; name another file"):
            sign_model(signed, key, public=other)
        assert other.read_bytes() == content


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_makes_the_key_and_finds_signature_and_fingerprint_right(line: Path, tmp_path: Path) -> None:
    key, public, raw = (str(tmp_path / name) for name in ("k.pem", "p.pem", "signature"))

    def openssl(*words: str) -> bytes:
        return subprocess.run(["openssl", *words], check=True, capture_output=True).stdout

    openssl("genpkey", "-algorithm", "ed25519", "-out", key)
    fingerprint = sign_model(line, key, public=public)
    check_signature(line, public)
    content = json.loads((line / "signature.json").read_text())
    Path(raw).write_bytes(bytes.fromhex(content["signature"]))
    manifest = str(line / "manifest.json")
    assert b"Verified" in openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", manifest, "-sigfile", raw
    )
    der = openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
    (tmp_path / "der").write_bytes(der)
    assert fingerprint.encode() in openssl("dgst", "-sha256", str(tmp_path / "der"))


def test_without_the_package_the_extra_is_named(
    signed: Path, key: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert Inspector.load(signed).categories
    for act in (
        lambda: sign_model(signed, key),
        lambda: Inspector.load(signed, require_signature=public),
    ):
        with pytest.raises(InputError, match=r"signature needs .*: pip install 'understudy\[sign\]'"):
            act()
