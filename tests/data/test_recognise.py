"""How a folder is read by the names in it, and what is refused because it can be read in two ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from understudy import InputError
from understudy.data.layouts import open_pictures

BAD_AMONG_PRODUCTS = "bottle/0.png screw/0.png bad/0.png"


def made(root: Path, files: str) -> Path:
    for name in files.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def reading(root: Path, **options: Any) -> set[str]:
    """Each record as category, split, defect and picture."""
    return {
        f"{r.category} {r.split} {r.defect} {r.path.relative_to(root).as_posix()}"
        for r in open_pictures(root, **options).records
    }


@pytest.mark.parametrize(
    ("files", "records"),
    [
        ("a.png b.JPG", {"line train good a.png", "line train good b.JPG"}),
        (
            "bottle/0.png screw/0.png",
            {"bottle train good bottle/0.png", "screw train good screw/0.png"},
        ),
        (
            "bottle/good/0.png bottle/bad/0.png screw/OK/0.png cup/0.png",
            {
                "bottle train good bottle/good/0.png",
                "bottle test bad bottle/bad/0.png",
                "screw train good screw/OK/0.png",
                "cup train good cup/0.png",
            },
        ),
        (
            "ok/0.png nok/0.png Reject/deep/0.png scratch/0.png",
            {
                "line train good ok/0.png",
                "line test nok nok/0.png",
                "line test deep Reject/deep/0.png",
                "line test scratch scratch/0.png",
            },
        ),
        (
            "good/0.png rille/0.png dent/0.png",
            {"line train good good/0.png", "line test rille rille/0.png", "line test dent dent/0.png"},
        ),
        ("NG/0.png", {"line test NG NG/0.png"}),
        (
            "gear/2026-01-05/OK/0.png gear/2026-01-06/NG/0.png shaft/images/ok/0.png shaft/images/nok/0.png",
            {
                "gear train good gear/2026-01-05/OK/0.png",
                "gear test NG gear/2026-01-06/NG/0.png",
                "shaft train good shaft/images/ok/0.png",
                "shaft test nok shaft/images/nok/0.png",
            },
        ),
        (
            "2026-01-05/OK/0.png 2026-01-06/cam1/NG/0.png",
            {"line train good 2026-01-05/OK/0.png", "line test NG 2026-01-06/cam1/NG/0.png"},
        ),
        (
            "2026-01-05/0.png 6.1.2026/0.png",
            {f"line train good {day}/0.png" for day in ("2026-01-05", "6.1.2026")},
        ),
        (
            "OK/cam1/0.png NG/cam1/0.png NG/cam2/0.png",
            {"line train good OK/cam1/0.png", "line test NG NG/cam1/0.png", "line test NG NG/cam2/0.png"},
        ),
        (
            "nut/OK/a/0.png nut/NOK/a/0.png nut/NOK/scratch/0.png",
            {
                "nut train good nut/OK/a/0.png",
                "nut test NOK nut/NOK/a/0.png",
                "nut test scratch nut/NOK/scratch/0.png",
            },
        ),
        (
            "OK/0.png NOK/0.png NOK/20260105/0.png NOK/2026-01-06/dent/0.png scratch/left/0.png "
            "scratch/x/0.png",
            {
                "line train good OK/0.png",
                "line test NOK NOK/0.png",
                "line test NOK NOK/20260105/0.png",
                "line test dent NOK/2026-01-06/dent/0.png",
                "line test scratch scratch/left/0.png",
                "line test scratch scratch/x/0.png",
            },
        ),
        (
            "Training/good/0.png Testing/good/0.png testing/bad/0.png valid/ok/0.png",
            {
                "line train good Training/good/0.png",
                "line test good Testing/good/0.png",
                "line test bad testing/bad/0.png",
                "line validation good valid/ok/0.png",
            },
        ),
        (
            "goodyear/0.png nokia/0.png",
            {"goodyear train good goodyear/0.png", "nokia train good nokia/0.png"},
        ),
        (
            "Train/Good/0.png Test/OK/0.png",
            {"line train good Train/Good/0.png", "line test good Test/OK/0.png"},
        ),
        (
            "nut/TRAIN/0.png nut/val/pass/0.png nut/Test/n.ok/0.png",
            {
                "nut train good nut/TRAIN/0.png",
                "nut validation good nut/val/pass/0.png",
                "nut test n.ok nut/Test/n.ok/0.png",
            },
        ),
    ],
)
def test_a_plain_folder_is_read_as_it_is_meant(tmp_path: Path, files: str, records: set[str]) -> None:
    assert reading(made(tmp_path / "line", files)) == records


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            "0.png bottle/0.png",
            r"two ways: all pictures are good .*--layout good .*\(bottle\).*--layout products",
        ),
        ("0.png bad/0.png", "two ways: its loose pictures .* beside bad; move them .*--layout good"),
        (
            BAD_AMONG_PRODUCTS,
            "two ways: bottle, screw are products, as --layout products .*--good bottle,screw",
        ),
        (
            "bottle/a/0.png bottle/b/0.png",
            r"line/bottle can .*--layout products .*\(a, b\) .*name .*line/bottle",
        ),
        ("bottle/x/0.png bottle/bad/0.png", "two ways: beside bad, .*--good x .*--bad x"),
        ("bottle/0.png bottle/bad/0.png", "two ways: its loose pictures .*beside bad; move them"),
        ("OK/nut/0.png NOK/nut/0.png", "two ways: nut in OK and in NOK is a product; .*--good OK --bad NOK"),
        ("good/0.png nut/good/0.png", "two ways: nut is a product .*--layout products"),
        ("nut/train/good/0.png bad/0.png", "two ways: bad is one more product.*--layout mvtec"),
        ("train/nut/0.png train/cup/0.png", "line/train/cup is neither good nor bad.*--good or --bad"),
        ("0/0.png 1/0.png", "two ways: 0, 1 are products, .*--good and --bad"),
        ("positive/0.png negative/0.png", "negative, positive are products, .*--good and --bad"),
        (
            "good_parts/0.png bad_parts/0.png",
            "bad_parts, good_parts are .*--good good_parts --bad bad_parts says",
        ),
        ("1_OK/0.png 2_NOK/0.png", "--good 1_OK --bad 2_NOK says"),
        ("OK_1/0.png OK_2/0.png NG_1/0.png", "NG_1, OK_1, OK_2 are .*--good OK_1,OK_2 --bad NG_1 says"),
        ("OK-Bilder/0.png NIO-Bilder/0.png", "--good OK-Bilder --bad NIO-Bilder says"),
        ("OK品/0.png NG品/0.png", "--good OK品 --bad NG品 says"),
        ("nut_ng/0.png bolt/0.png", "nut_ng is a product, as --layout products says; or .*--bad nut_ng says"),
        ("nut/ok_1/0.png nut/ng_1/0.png", "nut can .*ng_1, ok_1 are parts .*--good ok_1 --bad ng_1 says"),
        ("nut/0/0.png nut/1/0.png", "nut can .*0, 1 are parts of the product.*--good and --bad"),
        ("good/0.png good_2/0.png", "good_2 is good, as --good good_2 says, or a kind of defect, as --bad"),
        ("gear/a/OK/0.png gear/b/NG/0.png bolt/0.png", r"line/gear can .*--layout products .*\(a, b\)"),
        (
            "gear/a/OK/0.png gear/b/0.png bolt/0.png",
            "gear holds a/OK, so its pictures are not all good, .*gear/bad",
        ),
        (
            "2026-01-05/OK/0.png 2026-01-06/0.png",
            "2026-01-05, 2026-01-06 are days of one product; .*--layout good",
        ),
        ("OK/a/0.png NG/b/0.png", "two ways: a, b in OK and in NG are products; then arrange them as"),
        ("nut/OK/1/NG/0.png nut/NG/0.png", "nut/OK is good by its name, and NG in it says something else"),
        ("OK/1/NG/0.png NG/0.png", "two ways: OK is a product with good and bad"),
        ("OK/ng_1/0.png NG/0.png", "two ways: OK is a product with good and bad"),
        ("good/0.png test/0.png", "line/good lies beside test, .*move it to .*line/train/good"),
        (
            "anomaly/0.png nut/0.png",
            "two ways: nut is a product, as --layout products says, and anomaly is left",
        ),
        ("nut/train/good/0.png bad_parts/0.png", "two ways: bad_parts is one more product.*--layout mvtec"),
        ("masks/0.png helmet/0.png", "two ways: masks holds masks, or is a product, as --layout products"),
    ],
)
def test_a_folder_with_two_readings_is_refused_with_the_way_out(
    tmp_path: Path, files: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_pictures(made(tmp_path / "line", files))


@pytest.mark.parametrize(
    ("files", "options", "records"),
    [
        ("0.png nut/1.png", {"layout": "good"}, {"line train good 0.png", "line train good nut/1.png"}),
        ("0.png nut/1.png", {"layout": "products"}, {"nut train good nut/1.png"}),
        (
            BAD_AMONG_PRODUCTS,
            {"layout": "products"},
            {"bottle train good bottle/0.png", "screw train good screw/0.png"},
        ),
        (
            BAD_AMONG_PRODUCTS,
            {"good": ["bottle", "Screw"]},
            {"line train good bottle/0.png", "line train good screw/0.png", "line test bad bad/0.png"},
        ),
        (
            "nut/a/0.png nut/b/0.png",
            {"layout": "products"},
            {"nut train good nut/a/0.png", "nut train good nut/b/0.png"},
        ),
        (
            "nut/x/0.png nut/bad/0.png",
            {"good": ["x"]},
            {"nut train good nut/x/0.png", "nut test bad nut/bad/0.png"},
        ),
        (
            "OK/nut/0.png NOK/nut/0.png",
            {"good": ["OK"], "bad": ["NOK"]},
            {"line train good OK/nut/0.png", "line test NOK NOK/nut/0.png"},
        ),
        (
            "gear/a/OK/0.png gear/b/NG/0.png bolt/0.png",
            {"layout": "products"},
            {"gear train good gear/a/OK/0.png", "gear test NG gear/b/NG/0.png", "bolt train good bolt/0.png"},
        ),
        (
            "good_parts/0.png bad_parts/0.png",
            {"good": ["good_parts"], "bad": ["bad_parts"]},
            {"line train good good_parts/0.png", "line test bad_parts bad_parts/0.png"},
        ),
        ("nut/train/good/0.png bad/0.png", {"layout": "mvtec"}, {"nut train good nut/train/good/0.png"}),
        (
            "0/0.png 1/0.png",
            {"good": ["0"], "bad": ["1"]},
            {"line train good 0/0.png", "line test 1 1/0.png"},
        ),
        (
            "train/nut/0.png train/cup/0.png",
            {"good": ["nut", "cup"]},
            {"line train good train/nut/0.png", "line train good train/cup/0.png"},
        ),
        (
            "mask/0.png helmet/0.png",
            {"layout": "products"},
            {"mask train good mask/0.png", "helmet train good helmet/0.png"},
        ),
    ],
)
def test_an_option_settles_which_reading_is_meant(
    tmp_path: Path, files: str, options: dict[str, Any], records: set[str]
) -> None:
    assert reading(made(tmp_path / "line", files), **options) == records


def test_a_layout_that_the_folder_is_not_in_is_one_sentence(tmp_path: Path) -> None:
    root = made(tmp_path / "line", "nut/0.png nut/bad/0.png")
    with pytest.raises(
        InputError, match="is not in loco layout: neither it nor a folder in it has train or test"
    ):
        open_pictures(root, "loco")
    with pytest.raises(InputError, match=r"1cls\.csv is missing"):
        open_pictures(root, "visa")
    with pytest.raises(InputError, match="is a folder and no list; leave --layout out"):
        open_pictures(root, "list")
    with pytest.raises(InputError, match="nut has bad beside other pictures; arrange it as good and bad"):
        open_pictures(root, "products")


def test_masks_beside_good_and_bad_belong_to_the_pictures_in_the_same_place(tmp_path: Path) -> None:
    root = made(tmp_path / "line", "good/0.png bad/0.png bad/x/0.png masks/bad/x/0.png masks/bad/7.png")
    found = open_pictures(root)
    assert [[m.relative_to(root).as_posix() for m in r.masks] for r in found.test()] == [
        [],
        ["masks/bad/x/0.png"],
    ]
    assert found.left_out == ((root / "masks" / "bad", 1, "mask without a picture"),)


@pytest.mark.parametrize(
    "below", ["2026/x/NG/0.png 2026/y/0.png", "a/train/good/0.png b/test/bad/0.png", "a/ng_2/0.png"]
)
def test_no_bad_picture_is_learned_as_good_because_folders_are_products(tmp_path: Path, below: str) -> None:
    root = made(tmp_path / "line", " ".join(f"gear/{name}" for name in below.split()) + " bolt/0.png")
    for layout in ("auto", "products"):
        try:
            learned = {r.path.relative_to(root).as_posix() for r in open_pictures(root, layout).train()}
        except InputError:
            continue
        assert not [path for path in learned if path.startswith("gear") and "good" not in path]


def test_pictures_that_are_all_left_out_are_not_called_absent(tmp_path: Path) -> None:
    root = made(tmp_path / "line", "test/0.png")
    with pytest.raises(InputError, match=r"holds no pictures that can be used \(left out: loose in test"):
        open_pictures(root)
