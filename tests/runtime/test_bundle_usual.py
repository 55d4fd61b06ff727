"""What is usual in a model's maps is saved bit for bit, and a file that holds something else is refused."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy import BundleError, InputError, Model, load
from understudy.files import sha256_of
from understudy.folders import read_sealed, write_sealed
from understudy.runtime.bundle import read_usual, save_usual, write_usual
from understudy.runtime.manifest import read_manifest
from understudy.runtime.usual import ProductUsual, Usual
from understudy.runtime.usual_composition import N_PARTS, PartUsual, Shape, UsualComposition


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "m"))


def of_all(folder: Path) -> Usual:
    """Random levels and spreads, of shapes of their own, for every category of a model."""
    rng = np.random.default_rng(0)
    return {
        name: ProductUsual(
            level=rng.normal(),
            spread=rng.random((i + 1, 2 * i + 1), np.float32) + np.float32(1e-7),
            centre=rng.normal(),
            scale=rng.random() + 1e-12,
            n_good=i + 1,
        )
        for i, name in enumerate(read_manifest(folder).training.categories)
    }


def with_compositions(usual: Usual) -> Usual:
    """The same; every category but the first has compositions too, of 5 shares and more."""
    rng = np.random.default_rng(1)

    def part(d: int) -> PartUsual:
        axes, more = rng.random((d, d + 1), np.float32), rng.random(d, np.float32)
        shape = Shape(rng.random(d + 1, np.float32), axes, more, 0.1 + rng.random())
        return PartUsual(shape, rng.normal(), 0.1 + rng.random())

    return {
        name: replace(u, composition=UsualComposition(tuple(part(i) for _ in range(N_PARTS))) if i else None)
        for i, (name, u) in enumerate(usual.items())
    }


def exact(usual: Usual | None) -> dict[str, tuple[object, ...]]:
    assert usual is not None
    return {
        name: (u.level, u.spread.shape, u.spread.dtype, u.spread.tobytes(), u.centre, u.scale, u.n_good)
        for name, u in usual.items()
    }


def listed(folder: Path) -> None:
    """Put the hash of ``usual.npz`` on the list, as a program that knows the format could."""
    content = read_sealed(folder / "manifest.json")
    assert content is not None
    content["files"]["usual.npz"] = sha256_of(folder / "usual.npz")
    write_sealed(folder / "manifest.json", content)


def changed(folder: Path, **arrays: Any) -> None:
    """Replace arrays of ``usual.npz``; ``None`` leaves one out."""
    with np.load(folder / "usual.npz") as content:
        kept = dict(content) | arrays
    file = io.BytesIO()
    np.savez_compressed(file, **{name: x for name, x in kept.items() if x is not None})
    (folder / "usual.npz").write_bytes(file.getvalue())
    listed(folder)


def test_what_is_usual_is_read_as_it_was_saved_bit_for_bit(copy: Path) -> None:
    usual = of_all(copy)
    manifest = save_usual(copy, read_manifest(copy), usual)
    assert manifest == read_manifest(copy)
    assert manifest.image_score == "comparable"
    assert exact(read_usual(copy, manifest)) == exact(usual)
    assert exact(load(copy).inspector.scorer.usual) == exact(usual)


def test_compositions_are_read_as_they_were_saved_bit_for_bit(copy: Path) -> None:
    usual = with_compositions(of_all(copy))
    read = read_usual(copy, save_usual(copy, read_manifest(copy), usual))
    assert exact(read) == exact(usual)
    for name, each in usual.items():
        assert read is not None
        found = read[name].composition
        assert (found is None) == (each.composition is None)
        for a, b in zip(
            found.parts if found else (), each.composition.parts if each.composition else (), strict=True
        ):
            one, other = a.shape, b.shape
            for name in ("mean", "axes", "more"):
                assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
            assert (one.axes.shape, one.rest, a.centre, a.scale) == (
                other.axes.shape,
                other.rest,
                b.centre,
                b.scale,
            )


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean2_1": None},
        {"part2_1": None},
        {"axes2_0": np.ones((2, 2), np.float32)},
        {"axes2_0": np.full((2, 3), np.nan, np.float32)},
        {"more2_0": np.ones((3,), np.float32)},
        {"mean2_0": np.full(3, np.inf, np.float32)},
        {"mean2_0": np.zeros((0,), np.float32), "axes2_0": np.zeros((2, 0), np.float32)},
        {"part2_0": np.array([1.0, 0.0, 0.0])},
        {"part2_0": np.array([0.0, 0.0, 1.0])},
        {"part2_0": np.array([1.0, np.nan, 1.0])},
        {"part2_0": np.array([1.0, 1.0])},
    ],
)
def test_compositions_that_give_no_score_are_refused(copy: Path, arrays: dict[str, Any]) -> None:
    save_usual(copy, read_manifest(copy), with_compositions(of_all(copy)))
    changed(copy, **arrays)
    with pytest.raises(BundleError, match=r"usual\.npz is damaged or of another version; take the"):
        load(copy)


def test_the_same_figures_make_the_same_file(copy: Path) -> None:
    for name in "ab":
        (copy / name).mkdir()
        write_usual(copy / name, of_all(copy))
    assert (copy / "a" / "usual.npz").read_bytes() == (copy / "b" / "usual.npz").read_bytes()


def test_a_trained_model_has_what_is_usual_of_each_of_its_categories(model: Model) -> None:
    usual = model.inspector.scorer.usual
    assert usual is not None
    assert sorted(usual) == model.categories
    assert {u.n_good for u in usual.values()} == {4}  # two of six were held out


def test_learning_it_again_leaves_the_thresholds_and_every_other_file_alone(copy: Path) -> None:
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    save_usual(copy, read_manifest(copy), of_all(copy))
    after = {p.name: p.read_bytes() for p in copy.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"usual.npz", "manifest.json"}


def test_what_is_usual_of_another_training_is_not_saved(copy: Path) -> None:
    manifest = read_manifest(copy)
    other = manifest.model_copy(update={"files": manifest.files | {"student.safetensors": "0" * 64}})
    with pytest.raises(InputError, match="was trained anew meanwhile; train it again"):
        save_usual(copy, other, of_all(copy))


@pytest.mark.parametrize("place", [0.02, 0.3, 0.7, 0.99])
def test_a_flipped_bit_is_refused_listed_or_not(copy: Path, place: float) -> None:
    path = copy / "usual.npz"
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"usual\.npz is damaged or altered; take the model from"):
        load(copy)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", json.dumps({"nut": 1}).encode()])
def test_a_file_that_is_no_archive_is_one_sentence(copy: Path, content: bytes) -> None:
    (copy / "usual.npz").write_bytes(content)
    listed(copy)
    with pytest.raises(BundleError, match=r"usual\.npz is damaged or of another version; take the model"):
        load(copy)


def test_an_archive_that_is_cut_short_is_one_sentence(copy: Path) -> None:
    whole = (copy / "usual.npz").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (copy / "usual.npz").write_bytes(whole[: int(share * len(whole))])
        listed(copy)
        with pytest.raises(BundleError, match=r"usual\.npz is damaged or of another version"):
            load(copy)


def test_no_flipped_byte_is_read_as_other_figures(copy: Path) -> None:
    manifest, usual = read_manifest(copy), of_all(copy)
    write_usual(copy, usual)
    whole, refused = (copy / "usual.npz").read_bytes(), 0
    for i in range(len(whole)):
        (copy / "usual.npz").write_bytes(whole[:i] + bytes([whole[i] ^ 0x15]) + whole[i + 1 :])
        try:
            assert exact(read_usual(copy, manifest)) == exact(usual)
        except BundleError:
            refused += 1
    assert refused > len(whole) / 2


class Explosive:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("an object was unpickled",))


def test_an_object_that_would_run_code_is_refused_unread(copy: Path) -> None:
    whole = (copy / "usual.npz").read_bytes()
    for name in ("categories", "numbers", "spread0"):
        (copy / "usual.npz").write_bytes(whole)
        changed(copy, **{name: np.array([Explosive()], object)})
        with pytest.raises(BundleError, match=r"usual\.npz is damaged or of another version"):
            load(copy)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    "arrays",
    [
        {"categories": np.array(["capsule", "linen", "nut", "screw"])},
        {"categories": np.array(["capsule", "linen", "nut"]), "numbers": np.ones((3, 4))},
        {"categories": np.array(["capsule", "linen", "nut", "nut"])},
        {"categories": np.array([], str), "numbers": np.ones((0, 4))},
        {"numbers": np.full((4, 4), NAN)},
        {"numbers": np.full((4, 4), INF)},
        {"numbers": np.zeros((4, 4))},
        {"numbers": -np.ones((4, 4))},
        {"numbers": np.ones((4, 3))},
        {"numbers": np.array(["a"] * 16)},
        {"numbers": None},
        {"categories": np.array("nut")},
        {"categories": np.array(["capsule", "linen", "nut", "nut", "veneer"]), "numbers": np.ones((5, 4))}
        | {f"spread{i}": np.ones((1, 1)) for i in range(5)},
        {"categories": None},
        {"spread0": None},
        {"spread0": np.zeros((2, 2), np.float32)},
        {"spread0": np.full((2, 2), NAN, np.float32)},
        {"spread0": np.full((2, 2), -1, np.float32)},
        {"spread0": np.ones(4, np.float32)},
        {"spread0": np.ones((0, 4), np.float32)},
        {"spread0": np.full((2, 2), 1e300)},
        {"spread0": np.full((2, 2), 1e-300)},
    ],
)
def test_figures_that_give_no_score_or_are_of_other_products_are_refused(
    copy: Path, arrays: dict[str, Any]
) -> None:
    changed(copy, **arrays)
    with pytest.raises(BundleError, match=r"usual\.npz is damaged or of another (version|model); take the"):
        load(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "usual.npz").unlink()
    with pytest.raises(BundleError, match=r"usual\.npz is missing; take the model from its source"):
        load(copy)
