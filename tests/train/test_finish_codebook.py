"""After the training the codebook is filled from good pictures, and both maps are brought to one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from understudy import Model
from understudy.distill.distiller import Distiller
from understudy.runtime.scoring import Scored

QUICK = {"image_size": 64, "max_steps": 3, "batch_size": 4, "precision": "32", "device": "cpu"}
QUICK |= {"holdout": 0.34, "false_alarm_rate": 0.2, "settings": {"codebook": 6}}


@pytest.fixture(scope="module")
def filled(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.fit(factory, out=tmp_path_factory.mktemp("codebook") / "m", progress=False, **QUICK)


def _maps(distiller: Distiller, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the anomaly map, and the student's map alone."""
    with torch.no_grad():
        pairs = distiller.pairs(images)
        return distiller(images), distiller.to_map(pairs, (64, 64))


def test_each_product_has_centres_and_faces_of_length_one(filled: Model, factory: Path) -> None:
    codebook = filled.distiller.codebook
    assert codebook is not None

    products = len(filled.inspector.categories)
    assert codebook.centres.shape == (products, 6, sum(v.channels for v in filled.distiller.teacher.levels))
    assert codebook.faces.shape[0] == products
    assert torch.allclose(codebook.centres.norm(dim=2), torch.ones(products, 6), atol=1e-5)


def test_the_anomaly_map_is_the_mean_of_both_scaled_maps(filled: Model) -> None:
    distiller, images = (
        filled.distiller,
        torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
    )
    codebook = distiller.codebook
    assert codebook is not None

    together, students = _maps(distiller, images)

    own = codebook.to_map(distiller.teacher(images), (64, 64))
    scaled = [(m - codebook.shift[i]) / codebook.scale[i] for i, m in enumerate((students, own))]
    assert torch.allclose(together, (scaled[0] + scaled[1]) / 2, atol=1e-4)


def test_good_pictures_have_mean_0_and_deviation_1_in_both_maps(filled: Model, factory: Path) -> None:
    distiller = filled.distiller
    codebook, preprocess = distiller.codebook, filled.preprocess
    assert codebook is not None
    seen = set(filled.inspector.seen.trained)
    raw = filled.inspector.scorer
    good = [
        s
        for s in raw.score(sorted(factory.glob("*/train/good/*")))
        if isinstance(s, Scored) and s.digest in seen
    ]

    windows = np.stack([np.asarray(Image.open(s.path).convert("RGB").resize((64, 64))) for s in good])
    images = torch.from_numpy(preprocess.inputs(windows)[0])

    _, students = _maps(distiller, images)
    maps = students, codebook.to_map(distiller.teacher(images), (64, 64))

    for i, one in enumerate(maps):
        scaled = (one - codebook.shift[i]) / codebook.scale[i]
        assert abs(float(scaled.mean())) < 0.3
        assert 0.7 < float(scaled.std()) < 1.4


def test_a_loaded_model_scores_as_the_trained_one(filled: Model, factory: Path) -> None:
    pictures = sorted(factory.glob("*/test/*/*"))[:6]

    again = Model.load(filled.inspector.folder)

    assert again.distiller.codebook is not None
    assert [r.score for r in again.predict(pictures)] == [r.score for r in filled.predict(pictures)]


def test_the_same_training_makes_the_same_codebook(filled: Model, factory: Path, tmp_path: Path) -> None:
    twin = Model.fit(factory, out=tmp_path / "m", progress=False, **QUICK)

    for name, value in filled.distiller.learned().items():
        assert torch.equal(value, twin.distiller.learned()[name]), name


def test_by_the_papers_recipe_there_is_none(factory: Path, tmp_path: Path) -> None:
    options = {k: v for k, v in QUICK.items() if k != "settings"}

    model = Model.fit(factory, out=tmp_path / "m", recipe="paper", progress=False, **options)

    assert model.distiller.codebook is None
    assert not [name for name in model.distiller.learned() if name.startswith("codebook")]
