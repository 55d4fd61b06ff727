"""The tables of the papers: methods, how they are trained, on which data, and the reported figures."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal, NamedTuple

__all__ = [
    "FIGURES",
    "LOCO",
    "MEAN",
    "MVTEC",
    "TABLES",
    "VISA",
    "Models",
    "Table",
    "TableCell",
    "Variant",
    "reported",
    "sources",
]


Models = Literal["unified", "one-class"]
"""One model for all categories (``unified``), or one for each category (``one-class``)."""

FIGURES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "logical_auroc": "image AUROC, logical",
    "structural_auroc": "image AUROC, structural",
    "mean_auroc": "image AUROC, mean of both",
    "au_spro": "AU-sPRO to 0.05",
}
"""Name of every figure that a run computes -> the same in words."""

MVTEC = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
    *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
)
VISA = (
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2"),
    *("pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
)
LOCO = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")


@dataclass(frozen=True)
class Variant:
    """One row of a paper's table.

    Attributes:
        label: its name in the paper.
        method: one of ``METHODS``.
        settings: settings of the method that differ from its defaults.
        batch_size: pictures a step; ``None`` for that of the method's recipe.
        teacher: timm name of the teacher that this row has in the paper; ``None`` for that of the table.
        strides: strides of that teacher's levels; ``None`` for the default ones.
    """

    label: str
    method: str
    settings: Mapping[str, object] = field(default_factory=dict)
    batch_size: int | None = None
    teacher: str | None = None
    strides: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        title: what the table shows.
        data: data set that the paper uses.
        categories: categories of that data set, sorted.
        teacher: timm name of the teacher that the paper uses.
        variants: rows of the table.
        models: whether a row is trained as one model for all categories, as one for each, or as both.
        figures: figures that the table shows, names from :data:`FIGURES`.
        notes: where our training departs from the paper, or fills what it leaves open.
        level: (data set, ``image`` or ``pixel``) in ``reported/snl.csv``; ``None`` if the paper does not
            report every category.
        gain: labels of two rows between which the paper reports a gain.
        only_reported: labels of rows that have the paper's figures alone.
    """

    title: str
    data: str
    categories: tuple[str, ...]
    teacher: str
    variants: tuple[Variant, ...]
    models: tuple[Models, ...]
    figures: tuple[str, ...]
    notes: tuple[str, ...]
    level: tuple[str, str] | None = None
    gain: tuple[str, str] = ("RD", "SNL(RD)")
    only_reported: tuple[str, ...] = ()


_BATCH = 8  # pictures a step of SNL and of its baselines
_ALONE: dict[str, object] = {  # switches all parts of SNL off: what is left is the channel term
    "lambda_spatial": 0.0,
    "lambda_intra": 0.0,
    "lambda_inter": 0.0,
    "centers": 0,
    "affinity_map": 0.0,
}


def _snl(label: str, settings: Mapping[str, object], method: str = "snl-rd") -> Variant:
    return Variant(label, method, settings, _BATCH)


def _without(*names: str) -> dict[str, object]:
    """Settings that switch some parts of SNL off."""
    return {name: _ALONE[name] for name in names}


_COMPARED = (
    Variant("RD", "rd", {}, _BATCH),
    _snl("SNL(RD)", {}),
    _snl("FD", _ALONE, "snl-fd"),
    _snl("SNL(FD)", {}, "snl-fd"),
    Variant("UniAD", "uniad", {}, _BATCH, "tf_efficientnet_b4.aa_in1k", (2, 4, 8, 16)),
    Variant("RD++", "rdpp"),
)
_TERMS = (
    _snl("L_cd", _ALONE),
    _snl("+ L_sd", _without("lambda_intra", "lambda_inter", "centers", "affinity_map")),
    _snl("+ L_intra", _without("lambda_inter", "centers")),
    _snl("+ L_inter", _without("centers")),
    _snl("L_cd + L_sd + CRAM", _without("lambda_intra", "lambda_inter", "affinity_map")),
    _snl("all", {}),
)
_CENTERS = (_snl("none", {"centers": 0}), *(_snl(str(n), {"centers": n}) for n in (25, 50, 75)))
_WIDE = "wide_resnet50_2"
_BOTH: tuple[Models, ...] = ("unified", "one-class")
_AUROCS = ("image_auroc", "pixel_auroc")
_READING = (
    "SNL's paper gives no length of training, no smoothing and no norm of the affinity; here the learning "
    "rate is constant, a Gaussian of 4 pixels smooths the map as in RD's release, and an affinity error is "
    "the root of the mean square, which has the scale of the absolute error that the paper prints; the "
    "spatial term divides features by the teacher's spread and averages channels, which the paper does not"
)
_BASES = (
    "the baseline RD takes the cosine of whole tensors, as its release does; the baseline FD has SNL's "
    "optimiser and sums the levels",
    "the paper's one-class figures of RD repeat those of RD's own paper; its pixel figures of FD agree with "
    "those of STPM's authors for a ResNet-18",
    "UniAD has the teacher of its own paper, an EfficientNet-B4, unless a teacher or a file of weights is "
    "named; its learning rate falls to a tenth after four fifths of the training, which is as long as those "
    "of the other rows and has not the 1,000 epochs of its paper",
    "RD++ stands in none of SNL's tables; its batch is that of its release",
    "the code of OmniAL is not public and its recipe is not fully told, so its row has the paper's figures "
    "alone",
)

TABLES: dict[str, Table] = {
    **{
        name: Table(
            title,
            data,
            categories,
            _WIDE,
            _COMPARED,
            _BOTH,
            figures,
            (_READING, *_BASES),
            level,
            only_reported=("OmniAL",),
        )
        for name, title, data, categories, figures, level in (
            ("snl-1", "Image AUROC on MVTec AD", "MVTec AD", MVTEC, ("image_auroc",), ("mvtec", "image")),
            ("snl-2", "Image AUROC on VisA", "VisA", VISA, ("image_auroc",), ("visa", "image")),
            ("snl-3", "Pixel AUROC on MVTec AD", "MVTec AD", MVTEC, ("pixel_auroc",), ("mvtec", "pixel")),
            ("snl-4", "Pixel AUROC on VisA", "VisA", VISA, ("pixel_auroc",), ("visa", "pixel")),
        )
    },
    "snl-5": Table(
        "Terms of SNL's loss",
        "MVTec AD",
        MVTEC,
        _WIDE,
        _TERMS,
        ("unified",),
        _AUROCS,
        (
            _READING,
            "every row takes the cosine of each position, and the score includes the affinity map where the "
            "loss includes intra-affinity; the paper's first row repeats its baseline RD, whose cosine is "
            "another",
        ),
    ),
    "snl-6": Table(
        "Number of CRAM's centres", "MVTec AD", MVTEC, _WIDE, _CENTERS, ("unified",), _AUROCS, (_READING,)
    ),
    "stpm": Table(
        "STPM",
        "MVTec AD",
        MVTEC,
        "resnet18",
        (Variant("STPM", "stpm"),),
        ("one-class",),
        (*_AUROCS, "aupro"),
        (
            "the authors keep the epoch whose maps of a fifth of the good pictures are the lowest; here the "
            "last epoch counts",
        ),
    ),
    "loco": Table(
        "DSKD on logical and structural anomalies",
        "MVTec LOCO AD",
        LOCO,
        _WIDE,
        (Variant("DSKD", "dskd"),),
        ("one-class",),
        ("logical_auroc", "structural_auroc", "mean_auroc", "au_spro"),
        (
            "this DSKD is a reconstruction from the paper's abstract; maps are scaled on the data set's own "
            "validation pictures",
        ),
    ),
}
"""Name on the command line -> table."""


MEAN = "mean"  # in place of a category: the mean over all of them

_SNL = "arXiv:2402.17091, tables 1 to 4"
_FOLDERS = {"candles": "candle", "chewing_gum": "chewinggum"}  # name in the paper -> name in the data set


class TableCell(NamedTuple):
    """Place of a figure: a row, how it was trained, a category or :data:`MEAN`, and which figure it is."""

    variant: str
    models: Models
    category: str
    figure: str


def reported(name: str, table: Table) -> dict[TableCell, float]:
    """Read the figures that a paper reports, as fractions.

    Args:
        name: name of the table on the command line.
        table: the table.
    """
    if table.level:
        return dict(_by_category(table))
    (models,) = table.models
    return {
        TableCell(row["variant"], models, row["category"], row["figure"]): float(row["percent"]) / 100
        for row in _rows("others.csv")
        if row["table"] == name
    }


def sources(name: str, table: Table) -> list[str]:
    """List where the reported figures of a table come from, each source once."""
    if table.level:
        return [_SNL]
    return list(dict.fromkeys(row["source"] for row in _rows("others.csv") if row["table"] == name))


def _by_category(table: Table) -> Iterator[tuple[TableCell, float]]:
    (figure,) = table.figures
    labels = {*(variant.label for variant in table.variants), *table.only_reported}
    for row in _rows("snl.csv"):
        if (row["dataset"], row["level"]) == table.level and row["method"] in labels:
            category = _FOLDERS.get(row["class"], row["class"])
            for models, column in (("unified", "multi_class_auroc"), ("one-class", "one_class_auroc")):
                if row[column]:
                    yield TableCell(row["method"], models, category, figure), float(row[column]) / 100  # type: ignore[arg-type]


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (files(__package__) / "reported" / name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())
