"""Why a picture got its verdict: its product, its place among good pictures, the nearest of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from understudy import Inspector
from understudy.data.layouts import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.errors import InputError
from understudy.evaluate import explain as explaining
from understudy.evaluate.explain import Explanation, Standing, explain, standing_of
from understudy.runtime.decision import Calibration
from understudy.runtime.scoring import Scored
from understudy.types import Result


def calibrated(inspector: Inspector, **changed: object) -> Inspector:
    """The same model with other figures in its calibration."""
    assert inspector.calibration
    own = replace(inspector)
    own.calibration = inspector.calibration.model_copy(update=changed)
    return own


def with_scores(inspector: Inspector, scores: Mapping[str, Sequence[float]]) -> Calibration:
    calibration = calibrated(inspector, scores={c: tuple(s) for c, s in scores.items()}).calibration
    assert calibration
    return calibration


def the_only(inspector: Inspector, picture: Path, **asked: object) -> Explanation:
    (only,) = explain(inspector, picture, progress=False, **asked)  # type: ignore[arg-type]
    return only


@pytest.fixture
def chip(factory: Path) -> Path:
    return factory / "nut" / "test" / "chip" / "000.png"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=400), st.integers(-1, 10))
def test_a_standing_counts_the_good_pictures_that_are_strictly_lower_and_never_says_more(
    scores: list[int], score: int
) -> None:
    ordered = sorted(map(float, scores))
    below = sum(each < score for each in scores)
    words = Standing(below, len(scores)).words()
    explained = Explanation.standing.fget(_scored(ordered, score))  # type: ignore[attr-defined]
    assert explained == Standing(below, len(scores))
    assert ("all" in words.split() or "the one" in words) >= (below == len(scores) > 0)
    if "%" in words:
        share = float(words.split()[2])
        assert len(scores) >= 100
        assert share <= 100 * below / len(scores) < share + 0.1
        assert share < 100


def _scored(good: Sequence[float], score: float) -> Explanation:
    result = Result(Path("a.png"), float(score), np.zeros((1, 1), np.float32), (1, 1))
    return Explanation(result, good_scores=tuple(good))


@pytest.mark.parametrize(
    ("below", "n", "words"),
    [
        (159, 160, "higher than 99.3 % of 160 good pictures"),
        (1999, 2000, "higher than 99.9 % of 2000 good pictures"),
        (160, 160, "higher than all 160 good pictures"),
        (17, 20, "higher than 17 of 20 good pictures"),
        (20, 20, "higher than all 20 good pictures"),
        (0, 20, "not higher than any of 20 good pictures"),
        (1, 1, "higher than the one good picture"),
        (0, 1, "not higher than the one good picture"),
    ],
)
def test_few_good_pictures_are_counted_and_many_are_a_percentage_that_is_rounded_down(
    below: int, n: int, words: str
) -> None:
    assert Standing(below, n).words() == words


def test_the_place_of_a_score_is_among_the_good_pictures_of_its_own_product(inspector: Inspector) -> None:
    calibration = with_scores(inspector, {"nut": [1, 2, 2, 3], "linen": [9]})
    assert standing_of(calibration, "nut", 2) == Standing(1, 4)
    assert standing_of(calibration, "linen", 2) == Standing(0, 1)
    for missing in (
        standing_of(calibration, "veneer", 2),
        standing_of(calibration, None, 2),
        standing_of(calibration, "nut", float("nan")),
        standing_of(None, "nut", 2),
    ):
        assert missing is None


def test_an_explanation_has_the_same_verdict_as_a_prediction(inspector: Inspector, factory: Path) -> None:
    pictures = factory / "nut" / "test"
    for each, predicted in zip(
        explain(inspector, pictures, progress=False), inspector.predict(pictures), strict=True
    ):
        assert each.result.path == predicted.path
        assert each.result.score == predicted.score
        assert (each.result.verdict, each.result.category) == (predicted.verdict, predicted.category)
        assert each.result.regions == predicted.regions


def test_a_product_is_said_or_recognised_and_its_distance_is_the_one_that_its_limit_bounds(
    inspector: Inspector, chip: Path
) -> None:
    assert inspector.calibration
    far = calibrated(
        inspector,
        distances=inspector.calibration.distances.model_copy(update={"overall": 2.0, "categories": {}}),
    )
    said = the_only(far, chip, category="linen").product
    assert said
    assert (said.name, said.how, said.looks_like) == ("linen", "said", "nut")
    recognised = the_only(far, chip).product
    assert recognised
    assert (recognised.name, recognised.how, recognised.limit) == ("nut", "recognised", 2.0)
    assert recognised.distance < said.distance


def test_an_unknown_product_has_no_thresholds_and_is_compared_with_the_nearest_one(
    inspector: Inspector, chip: Path, factory: Path
) -> None:
    assert inspector.calibration
    near = calibrated(
        inspector,
        distances=inspector.calibration.distances.model_copy(update={"overall": 0.0, "categories": {}}),
    )
    unknown = the_only(near, chip, data=factory)
    assert unknown.product
    assert unknown.nearest
    assert (unknown.product.name, unknown.product.how) == ("nut", "unknown")
    assert unknown.product.distance > 0.0 == unknown.product.limit
    assert (unknown.thresholds, unknown.standing) == (None, None)
    assert unknown.nearest.result.path.is_relative_to(factory / "nut")


def test_the_nearest_is_the_good_picture_of_the_product_with_the_smallest_distance(
    inspector: Inspector, chip: Path, factory: Path
) -> None:
    nearest = the_only(inspector, chip, data=factory, category="nut").nearest
    assert nearest
    good = [r.path for r in open_pictures(factory).records if r.category == "nut" and r.is_good]
    (own,) = inspector.scorer.score([chip])
    distances = {
        each.path: float(np.linalg.norm(each.embedding - own.embedding))  # type: ignore[union-attr]
        for each in inspector.scorer.score(good)
    }
    assert nearest.distance == pytest.approx(min(distances.values()), rel=1e-4)
    assert distances[nearest.result.path] == pytest.approx(nearest.distance, rel=1e-4)
    assert (nearest.looked_at, nearest.of) == (len(good), len(good))
    assert nearest.result.category == "nut"


def test_a_picture_is_not_its_own_nearest_good_picture(inspector: Inspector, factory: Path) -> None:
    own = factory / "nut" / "train" / "good" / "000.png"
    nearest = the_only(inspector, own, data=factory, category="nut").nearest
    assert nearest
    assert nearest.distance > 0
    assert nearest.looked_at == nearest.of == 7  # six to learn from and two to test, without itself


def test_of_many_good_pictures_some_are_looked_at_spread_evenly(
    inspector: Inspector, chip: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "LOOKED_AT", 2)
    scored: list[Path] = []
    score = type(inspector.scorer).score

    def noted(self: object, sources: Sequence[Path], *rest: object, **more: object) -> object:
        scored.extend(sources)
        return score(self, sources, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(inspector.scorer), "score", noted)
    good = factory / "nut" / "train" / "good"
    records = tuple(Record("nut", "train", "good", path) for path in sorted(good.iterdir()))
    nearest = the_only(inspector, chip, data=PictureSet(good, "made", records), category="nut").nearest
    assert nearest
    assert (nearest.looked_at, nearest.of) == (2, 6)
    assert {"001.png", "004.png"} <= {path.name for path in scored if path.parent == good}
    assert {path.name for path in scored if path.parent == good} == {"001.png", "004.png"}


def test_while_good_pictures_are_compared_their_maps_are_not_kept(
    inspector: Inspector, chip: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, scored, most = type(inspector.scorer).score, list[ref[Scored]](), 0

    def noted(self: object, *given: object, **more: object) -> Iterator[Scored]:
        nonlocal most
        for each in score(self, *given, **more):  # type: ignore[arg-type]
            assert isinstance(each, Scored)
            scored.append(ref(each))
            most = max(most, sum(one() is not None for one in scored))
            yield each

    monkeypatch.setattr(type(inspector.scorer), "score", noted)
    nearest = the_only(inspector, chip, data=factory, category="nut", batch_size=1).nearest
    assert nearest
    assert nearest.looked_at == 8
    assert nearest.result.anomaly_map.size
    assert most <= 3  # of the picture, of the last good one, and of the one that follows it


def test_a_product_without_good_pictures_in_the_last_calibration_is_told_apart(
    inspector: Inspector, chip: Path
) -> None:
    def without(scores: Mapping[str, Sequence[float]]) -> bool:
        own = replace(inspector)
        own.calibration = with_scores(inspector, scores)
        return the_only(own, chip, category="nut").no_good_pictures

    assert without({"linen": [1, 2]})
    assert not without({"nut": [1], "linen": [1, 2]})
    assert not without({"nut": [], "linen": [1, 2]})  # its only picture had nothing to be compared with
    assert not without({})  # an older calibration keeps none


def test_data_of_other_products_alone_is_named_by_its_products(
    inspector: Inspector, chip: Path, factory: Path
) -> None:
    loose = open_pictures(factory / "nut" / "train" / "good", "good")
    other = the_only(inspector, chip, data=loose, category="nut")
    assert other.nearest is None
    assert (other.no_nearest or "").endswith("of nut that can be read; its products are good")


def test_features_that_are_no_numbers_have_no_nearest(
    inspector: Inspector, chip: Path, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = type(inspector.scorer).score

    def broken(self: object, *given: object, **more: object) -> Iterator[Scored]:
        for each in score(self, *given, **more):  # type: ignore[arg-type]
            assert isinstance(each, Scored)
            yield replace(each, score=np.nan, embedding=np.full_like(each.embedding, np.nan))

    monkeypatch.setattr(type(inspector.scorer), "score", broken)
    nan = the_only(inspector, chip, data=factory)
    assert nan.nearest is None
    assert "no numbers" in (nan.no_nearest or "")
    assert nan.product
    assert nan.product.how == "unknown"


def test_a_good_picture_that_cannot_be_read_is_not_compared(
    inspector: Inspector, chip: Path, data: Path
) -> None:
    for place in range(5):
        (data / "nut" / "train" / "good" / f"{place:03}.png").write_bytes(b"no picture")
    nearest = the_only(inspector, chip, data=data, category="nut").nearest
    assert nearest
    assert (nearest.looked_at, nearest.of) == (3, 8)
    for path in (data / "nut").glob("*/good/*.png"):
        path.write_bytes(b"no picture")
    without = the_only(inspector, chip, data=data, category="nut")
    assert without.nearest is None
    assert "no good picture of nut that can be read" in (without.no_nearest or "")


def test_where_the_picture_is_the_only_good_one_there_is_no_other(
    inspector: Inspector, factory: Path
) -> None:
    own = factory / "nut" / "train" / "good" / "000.png"
    data = PictureSet(own.parent, "made", (Record("nut", "train", "good", own),))
    alone = the_only(inspector, own, data=data, category="nut")
    assert alone.nearest is None
    assert "no other good picture of nut" in (alone.no_nearest or "")


def test_without_data_a_line_says_how_to_get_the_nearest(inspector: Inspector, chip: Path) -> None:
    without = the_only(inspector, chip)
    assert without.nearest is None
    assert "--data" in (without.no_nearest or "")


def test_a_picture_that_cannot_be_read_does_not_stop_the_rest(
    inspector: Inspector, chip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    first, second = explain(inspector, [broken, chip], progress=False)
    assert str(broken) in (first.result.error or "")
    assert (first.product, first.nearest) == (None, None)
    assert second.result.ok


def test_a_model_without_thresholds_explains_product_and_nearest_all_the_same(
    inspector: Inspector, chip: Path, factory: Path
) -> None:
    inspector.calibration = None
    bare = the_only(inspector, chip, data=factory)
    assert bare.product
    assert (bare.product.name, bare.product.how, bare.product.limit) == ("nut", "recognised", None)
    assert (bare.thresholds, bare.standing, bare.map_limit, bare.result.verdict) == (None,) * 4
    assert bare.nearest


def test_a_category_that_the_model_does_not_know_is_refused_before_any_work(
    inspector: Inspector, chip: Path
) -> None:
    with pytest.raises(InputError, match="not trained on category 'bolt'"):
        explain(inspector, chip, category="bolt")


def test_pictures_in_memory_are_explained_and_taken_one_at_a_time(inspector: Inspector) -> None:
    taken = []

    def camera() -> Iterator[NDArray[np.uint8]]:
        for place in range(3):
            taken.append(place)
            yield np.full((64, 64, 3), 40 * place, np.uint8)

    first = next(explain(inspector, camera(), progress=False))
    assert first.result.path == Path("picture-0")
    assert taken == [0]


def test_an_exported_model_is_explained_without_torch(exported: Path, chip: Path, factory: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'jinja2', 'safetensors'): sys.modules[name] = None\n"
        "from understudy import Inspector\n"
        "from understudy.evaluate.explain import explain\n"
        "model, picture, data = sys.argv[1:]\n"
        "(each,) = explain(Inspector.load(model), picture, data=data, category='nut', progress=False)\n"
        "print(each.result.score, each.nearest.result.path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported), str(chip), str(factory)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    here = the_only(Inspector.load(exported), chip, data=factory, category="nut")
    score, nearest = done.stdout.split()
    assert here.nearest
    assert float(score) == pytest.approx(here.result.score, rel=1e-4)
    assert nearest == str(here.nearest.result.path)
