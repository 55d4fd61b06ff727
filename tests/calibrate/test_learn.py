"""What is usual of a product is learned from its good pictures, and each is judged as if it were left out."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from understudy import InputError, Inspector, Model, PictureError, load
from understudy.calibrate import learn
from understudy.calibrate.estimate import standardise
from understudy.calibrate.learn import FLOOR, Learned, _Places, learn_usual
from understudy.data.records import Record
from understudy.progress import Lap, Reporter
from understudy.runtime.graph import Answers
from understudy.runtime.manifest import read_manifest
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.regions import highest_threshold_with_region
from understudy.runtime.roi import Rois
from understudy.runtime.usual import CELL, ProductUsual, cells_of, excess_of

SIDE = 64
GRID = SIDE // CELL
LOOK = Preprocess(image_size=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
PRODUCTS = ("capsule", "linen", "nut", "veneer")
TOWARDS = {name: np.eye(4, dtype=np.float32)[i] for i, name in enumerate(PRODUCTS)}


class Brightness:
    """The map is the first channel; the third says which product it is."""

    def __init__(self) -> None:
        self.windows = 0

    def __call__(self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap) -> Answers:
        self.windows += len(images)
        maps = images[:, 0].copy()
        maps[maps == 1] = np.nan  # a full white pixel is what no network should answer
        which = np.rint(images[:, 2].max(axis=(1, 2)) * 255).astype(int) % 4
        return Answers(maps, maps.max(axis=(1, 2)), np.eye(4, dtype=np.float32)[which])


@pytest.fixture
def inspector(model_folder: Path, tmp_path: Path) -> Inspector:
    """A model of four products, whose map is the brightness of the picture."""
    folder = shutil.copytree(model_folder, tmp_path / "m")
    inspector = Model.load(folder, "cpu", calibrated=False).inspector
    inspector.scorer = replace(
        inspector.scorer, network=Brightness(), preprocess=LOOK, prototypes=TOWARDS, usual=None
    )
    return inspector


def picture(product: str, gray: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(h, w) brightness in [0, 1) -> picture of a product."""
    shown = np.zeros((*gray.shape, 3), np.uint8)
    shown[..., 0] = np.clip(np.rint(255 * gray), 0, 254)
    shown[..., 2] = PRODUCTS.index(product)
    return shown


def saved(folder: Path, product: str, grays: Sequence[NDArray[np.floating]]) -> list[Record]:
    (folder / product).mkdir(parents=True, exist_ok=True)
    records = []
    for i, gray in enumerate(grays):
        path = folder / product / f"{i:03}.png"
        Image.fromarray(picture(product, gray)).save(path)
        records.append(Record(product, "train", "good", path))
    return records


def rimmed(rng: np.random.Generator, n: int, wide: float = 0.2) -> list[NDArray[np.floating]]:
    """Maps that hardly vary, but for a rim at the left that is bright on some pictures and dark on others."""
    grays = []
    for _ in range(n):
        gray = 0.3 + 0.01 * rng.normal(size=(GRID, GRID))
        gray[:, :3] += wide * rng.normal()
        grays.append(np.kron(gray, np.ones((CELL, CELL))).clip(0, 0.99))
    return grays


def plain(rng: np.random.Generator, n: int) -> list[NDArray[np.floating]]:
    return [np.kron(0.3 + 0.05 * rng.normal(size=(GRID, GRID)), np.ones((CELL, CELL))) for _ in range(n)]


def all_products(folder: Path, n: int = 8) -> list[Record]:
    rng = np.random.default_rng(5)
    return [record for product in PRODUCTS for record in saved(folder, product, plain(rng, n))]


def learned_from(
    inspector: Inspector, records: Sequence[Record], image_score: str = "comparable"
) -> dict[str, Learned]:
    return learn_usual(inspector, records, image_score, 16, Reporter())  # type: ignore[arg-type]


def usual_of(inspector: Inspector, product: str) -> ProductUsual:
    assert inspector.scorer.usual is not None
    return inspector.scorer.usual[product]


def naive(cells: Sequence[NDArray[np.floating]], reliability: float) -> tuple[float, NDArray[np.floating]]:
    """Level and spread of maps whose cells all count, by numpy's own mean and variance."""
    stack = np.stack(cells).astype(np.float64)
    variance = stack.var(axis=0, ddof=1)
    shrunk = variance.mean() + reliability * (variance - variance.mean())
    return float(stack.mean()), np.sqrt(shrunk + FLOOR * variance.mean())


def test_each_picture_is_judged_by_what_is_usual_of_the_others() -> None:
    rng = np.random.default_rng(0)
    cells = [cells_of(gray.astype(np.float32)) for gray in rimmed(rng, 9)]
    places = _Places(cells)
    for i, excess in enumerate(places.excesses(SIDE)):
        level, spread = naive(cells[:i] + cells[i + 1 :], places._reliability)
        assert excess == pytest.approx(excess_of((cells[i] - level) / spread, SIDE), rel=1e-4)
    level, spread = naive(cells, places._reliability)
    assert places.usual()[0] == pytest.approx(level)
    np.testing.assert_allclose(places.usual()[1], spread, rtol=1e-4)


def test_without_places_the_spread_is_that_of_all_pixels_of_the_others() -> None:
    rng = np.random.default_rng(1)
    cells = [rng.normal(size=(4, 4 + i)).astype(np.float32) for i in range(5)]  # of several shapes
    places = _Places(cells)
    for i in range(5):
        others = np.concatenate([c.ravel() for c in cells[:i] + cells[i + 1 :]]).astype(np.float64)
        level, spread = places.usual(without=i)
        assert level == pytest.approx(others.mean())
        assert spread.shape == (1, 1)
        assert spread.item() == pytest.approx(math.sqrt((1 + FLOOR) * others.var(ddof=1)))


def test_places_that_mean_nothing_have_one_spread() -> None:
    rng = np.random.default_rng(2)
    places = _Places([rng.normal(size=(GRID, GRID)).astype(np.float32) for _ in range(12)])
    assert places._reliability < 0.2
    spread = places.usual()[1]
    assert spread.max() / spread.min() < 1.3


def test_a_rim_that_varies_on_good_pictures_has_a_wide_spread() -> None:
    rng = np.random.default_rng(3)
    places = _Places([cells_of(gray.astype(np.float32)) for gray in rimmed(rng, 12)])
    assert places._reliability > 0.8
    spread = places.usual()[1]
    assert spread[:, :3].min() > 2 * spread[:, 3:].max()


def test_cells_that_never_count_have_a_spread_and_no_part() -> None:
    rng = np.random.default_rng(4)
    cells = [rng.normal(size=(8, 8)).astype(np.float32) for _ in range(6)]
    whole = _Places([c[4:] for c in cells]).usual()
    for c in cells:
        c[:4] = np.nan
    places = _Places(cells)
    level, spread = places.usual()
    assert level == pytest.approx(whole[0])
    assert np.isfinite(spread).all()
    np.testing.assert_allclose(spread[4:], whole[1], rtol=1e-6)
    assert np.isfinite(list(places.excesses(SIDE))).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_pictures_have_one_spread_until_their_places_can_be_told_apart(n: int) -> None:
    rng = np.random.default_rng(5)
    places = _Places([cells_of(gray.astype(np.float32)) for gray in rimmed(rng, n)])
    level, spread = places.usual()
    assert spread.shape == ((1, 1) if n < 4 else (GRID, GRID))
    assert np.isfinite(level)
    assert (spread > 0).all()
    assert len(list(places.excesses(SIDE))) == n
    assert np.isfinite(list(places.excesses(SIDE))).all()


def test_copies_of_one_picture_give_numbers() -> None:
    one = cells_of(np.random.default_rng(6).random((SIDE, SIDE), np.float32))
    places = _Places([one] * 6)
    assert (places.usual()[1] > 0).all()
    assert np.isfinite(list(places.excesses(SIDE))).all()


def test_a_bright_place_scores_less_where_good_pictures_are_bright_than_elsewhere(
    inspector: Inspector, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    records = all_products(tmp_path / "data") + saved(tmp_path / "data", "nut", rimmed(rng, 20))
    learned_from(inspector, [*{r.path: r for r in records}.values()])
    usual_rim, strange_spot = (np.full((SIDE, SIDE), 0.3) for _ in range(2))
    usual_rim[20:40, :12] = strange_spot[20:40, 40:52] = 0.45
    rim, spot = inspector.predict([picture("nut", g) for g in (usual_rim, strange_spot)], category="nut")
    assert rim.score < 1 < 5 < spot.score
    assert rim.anomaly_map.max() < spot.anomaly_map.max()
    assert np.unravel_index(spot.anomaly_map.argmax(), (SIDE, SIDE))[1] in range(40, 52)


def test_scores_of_what_was_learned_from_are_centred_and_those_of_pictures_left_out(
    inspector: Inspector, tmp_path: Path
) -> None:
    records = all_products(tmp_path / "data")
    found = learned_from(inspector, records)
    assert list(found) == list(PRODUCTS)
    for product, each in found.items():
        assert len(each.scores) == len(each.levels) == len(each.distances) == 8
        assert each.scores.mean() == pytest.approx(0, abs=1e-9)
        usual = usual_of(inspector, product)
        excesses = usual.centre + usual.scale * each.scores
        norms, _ = standardise(
            {
                p: usual_of(inspector, p).centre + usual_of(inspector, p).scale * f.scores
                for p, f in found.items()
            }
        )
        assert norms[product].scale == pytest.approx(usual.scale)
        assert norms[product].centre == pytest.approx(excesses.mean())
    seen = [r.score for r in inspector.predict([r.path for r in records if r.category == "nut"])]
    assert np.mean(seen) < found["nut"].scores.mean() + 0.5  # no better than left out
    np.testing.assert_allclose(sorted(seen), sorted(found["nut"].scores), atol=1.0)


def test_the_level_of_a_mask_is_by_what_is_usual_of_the_others(inspector: Inspector, tmp_path: Path) -> None:
    records = saved(tmp_path / "data", "nut", rimmed(np.random.default_rng(9), 6)) + [
        r for r in all_products(tmp_path / "data") if r.category != "nut"
    ]
    found = learned_from(inspector, records)["nut"].levels
    maps = [np.asarray(Image.open(r.path), np.float32)[..., 0] / 255 for r in records[:6]]
    places = _Places([cells_of(m) for m in maps])
    for i, anomaly_map in enumerate(maps):
        level, spread = places.usual(without=i)
        without = ProductUsual(level, spread.astype(np.float32), 0.0, 1.0, 5).relative(anomaly_map)
        assert found[i] == pytest.approx(highest_threshold_with_region(without, 16), rel=1e-4)


def test_it_is_saved_and_takes_effect_at_once(inspector: Inspector, tmp_path: Path) -> None:
    before = load(inspector.folder).inspector.scorer.usual
    learned_from(inspector, all_products(tmp_path / "data"))
    after = load(inspector.folder).inspector.scorer.usual
    assert before is not None
    assert after is not None
    assert inspector.manifest == read_manifest(inspector.folder)
    for product in PRODUCTS:
        ours = usual_of(inspector, product)
        assert (ours.level, ours.centre, ours.scale, ours.n_good) == (
            after[product].level,
            after[product].centre,
            after[product].scale,
            8,
        )
        assert ours.spread.tobytes() == after[product].spread.tobytes()
        assert ours.level != before[product].level


def test_a_maximum_is_left_as_it_is_and_nothing_is_saved(inspector: Inspector, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in inspector.folder.iterdir()}
    records = all_products(tmp_path / "data")
    found = learned_from(inspector, records, "maximum")
    assert inspector.scorer.usual is None
    assert {p.name: p.read_bytes() for p in inspector.folder.iterdir()} == before
    for product in PRODUCTS:
        paths = [r.path for r in records if r.category == product]
        np.testing.assert_array_equal(found[product].scores, [r.score for r in inspector.predict(paths)])


def test_pictures_of_several_shapes_have_one_spread(inspector: Inspector, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    inspector.scorer = replace(inspector.scorer, preprocess=LOOK.model_copy(update={"keep_aspect": True}))
    records = all_products(tmp_path / "data")
    shapes = [0.3 + 0.05 * rng.normal(size=(SIDE, SIDE - 8 * (i % 2))) for i in range(6)]
    records = [r for r in records if r.category != "nut"] + saved(tmp_path / "other", "nut", shapes)
    learned_from(inspector, records)
    assert usual_of(inspector, "nut").spread.shape == (1, 1)
    assert usual_of(inspector, "linen").spread.shape == (GRID, GRID)


def test_what_does_not_count_is_not_learned_from(inspector: Inspector, tmp_path: Path) -> None:
    lower = np.zeros((SIDE, SIDE), bool)
    lower[SIDE // 2 :] = True
    found = []
    for upper in (0.0, 0.9):
        records = all_products(tmp_path / str(upper))
        for record in records:
            shown = np.array(Image.open(record.path))
            shown[: SIDE // 2, :, 0] = 255 * upper
            Image.fromarray(shown).save(record.path)
        inspector.scorer = replace(inspector.scorer, rois=Rois(lower), usual=None)
        learned = learned_from(inspector, records)
        found.append((learned["nut"].scores, usual_of(inspector, "nut").level))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_of_many_pictures_so_many_of_each_product_are_looked_at(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "EACH", 3)
    monkeypatch.setattr(learn, "ENOUGH", 16)
    found = learned_from(inspector, all_products(tmp_path / "data"))
    assert {p: len(f.scores) for p, f in found.items()} == dict.fromkeys(PRODUCTS, 4)
    network = inspector.scorer.network
    assert isinstance(network, Brightness)
    assert network.windows == 16


def test_of_maps_that_do_not_fit_into_memory_evenly_spread_ones_are_made_and_it_is_said(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learn, "MEMORY", 5 * SIDE * SIDE * 4)
    monkeypatch.setattr(learn, "LEAST", 1)
    said: list[str] = []
    records = all_products(tmp_path / "data")
    found = learn_usual(inspector, records, "comparable", 16, Reporter(say=said.append))
    assert {len(f.scores) for f in found.values()} == {4}  # every second of eight
    assert {usual_of(inspector, p).n_good for p in PRODUCTS} == {4}
    network = inspector.scorer.network
    assert isinstance(network, Brightness)
    assert network.windows == 16  # the others are not even scored
    assert said[0] == "the maps of capsule are large: what is usual is learned from 4 of its 8 pictures"
    monkeypatch.setattr(learn, "MEMORY", 1)
    assert {len(f.scores) for f in learned_from(inspector, records).values()} == {1}


def test_a_copy_of_a_picture_teaches_nothing_more(inspector: Inspector, tmp_path: Path) -> None:
    records = all_products(tmp_path / "data")
    copies = []
    for record in records:
        if record.category == "nut":
            other = record.path.with_stem(f"{record.path.stem}-copy")
            shutil.copy(record.path, other)
            copies.append(Record("nut", "train", "good", other))
    once = learned_from(inspector, records)["nut"].scores
    np.testing.assert_array_equal(learned_from(inspector, records + copies)["nut"].scores, once)


def test_a_prototype_is_as_far_as_it_would_be_without_the_picture(
    inspector: Inspector, tmp_path: Path
) -> None:
    towards = TOWARDS["nut"] * np.float32(0.9)
    inspector.scorer = replace(inspector.scorer, prototypes={**TOWARDS, "nut": towards})
    found = learned_from(inspector, all_products(tmp_path / "data"))
    np.testing.assert_allclose(found["nut"].distances, 0.1 * 4 / 3, rtol=1e-5)  # of four
    assert (found["linen"].distances == 0).all()


def test_a_picture_that_is_gone_is_named(inspector: Inspector, tmp_path: Path) -> None:
    records = all_products(tmp_path / "data")
    records[3].path.write_bytes(b"no picture any more")
    with pytest.raises(PictureError, match=records[3].path.name):
        learned_from(inspector, records)


def test_a_map_of_no_numbers_stops_it_by_name(inspector: Inspector, tmp_path: Path) -> None:
    records = all_products(tmp_path / "data")
    shown = np.array(Image.open(records[5].path))
    shown[3, 3, 0] = 255
    Image.fromarray(shown).save(records[5].path)
    before = (inspector.folder / "usual.npz").read_bytes()
    for image_score in ("comparable", "maximum"):
        with pytest.raises(InputError, match=rf"{records[5].path.name}.* not a number .*; train the model"):
            learned_from(inspector, records, image_score)
    assert (inspector.folder / "usual.npz").read_bytes() == before
