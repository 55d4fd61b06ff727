"""``understudy sign`` as a user meets it, and ``--require-signature`` of every verb that opens a model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from understudy.cli import main

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    secret = Ed25519PrivateKey.generate()
    path.write_bytes(secret.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    return path


def test_signing_names_what_it_wrote_and_the_fingerprint_of_the_key(
    exported_copy: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = tmp_path / "public.pem"
    assert run("sign", exported_copy, "--key", key, "--public", public) == 0
    wrote, fingerprint = capsys.readouterr().out.splitlines()
    assert wrote == f"wrote {exported_copy / 'signature.json'} and {public}"
    assert len(fingerprint.removeprefix("fingerprint of the public key: ")) == 64
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----")
    assert run("sign", exported_copy, "--key", key) == 0
    assert fingerprint in capsys.readouterr().out


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    "verb",
    [
        ("predict", "MODEL", "DATA/nut/test/good", "--device", "cpu"),
        ("evaluate", "MODEL", "DATA", "--categories", "nut", "--device", "cpu", "--out", "OUT"),
        ("export", "MODEL", "--out", "OUT"),
        (
            "diagnose",
            "MODEL",
            "DATA",
            "--device",
            "cpu",
            "--pictures",
            "1",
            "--pairs",
            "nut:linen",
            "--out",
            "OUT",
        ),
        ("calibrate", "MODEL", "DATA", "--false-alarm-rate", "0.2"),
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb_that_opens_a_model_can_require_its_signature(
    verb: tuple[str, ...],
    model_folder: Path,
    factory: Path,
    key: Path,
    tmp_path: Path,
    the_error: Callable[[], str],
) -> None:
    model = Path(shutil.copytree(model_folder, tmp_path / "model"))
    places = {"MODEL": str(model), "DATA": str(factory), "OUT": str(tmp_path / "out")}
    words = [word.replace("DATA", places["DATA"]) if "/" in word else places.get(word, word) for word in verb]
    public = tmp_path / "public.pem"
    assert run("sign", model, "--key", key, "--public", public) == 0
    (model / "signature.json").rename(tmp_path / "aside.json")
    assert run(*words, "--require-signature", public) == 2
    assert f"{model} is not signed, and a signature is required" in the_error()
    assert not (tmp_path / "out").exists()
    (tmp_path / "aside.json").rename(model / "signature.json")
    assert run(*words, "--require-signature", public) == 0


def test_a_model_whose_name_is_no_unicode_is_named_under_a_strict_locale(
    exported: Path, key: Path, tmp_path: Path
) -> None:
    odd = Path(shutil.copytree(exported, tmp_path / os.fsdecode(b"caf\xe9")))
    command = [sys.executable, "-m", "understudy", "sign", str(odd), "--key", str(key)]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, check=True, env=strict)
    assert rb"caf\udce9/signature.json" in done.stdout


def test_a_key_without_a_name_is_one_sentence(
    exported_copy: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    assert run("sign", exported_copy, "--key", "") == 2
    assert "has no name; is a shell variable unset?" in the_error()
    assert run("predict", exported_copy, factory, "--require-signature", "") == 2
    assert "has no name; is a shell variable unset?" in the_error()
