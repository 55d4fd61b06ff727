"""Saved models and their calibrations: damaged files, odd values under a fitting seal."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from robustness.damage import DAMAGES
from robustness.judge import Case, Kind, Trial
from robustness.kit import Answer, ask, linked_copy, replace_bytes

ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), 2**63, 10**400,
    "", "x", "../x", "/",
    [], {}, [[]], [None], {"": None},
)  # fmt: skip


def damaged_model(case: Case) -> Trial:
    """A model with one file damaged, missing or of another model: it answers as before or not at all."""
    rng = case.rng
    which = rng.choice(("model", "exported"))
    folder = linked_copy(case.kit.models[which], case.place / "model")
    return Trial(f"{which}: {_damage(case, folder)}", lambda: ask(folder, case.kit.probe), _same(case, which))


def _damage(case: Case, folder: Path) -> str:
    rng = case.rng
    names = sorted(p.name for p in folder.iterdir() if p.stat().st_size)  # a lock file is empty
    name = rng.choice(names)
    path = folder / name
    how = rng.choice(("damage", "damage", "damage", "delete", "of another", "exchange", "folder", "link"))
    if how == "damage":
        damage = rng.choice(list(DAMAGES))
        replace_bytes(path, DAMAGES[damage](path.read_bytes(), rng))
        return f"{damage} in {name}"
    if how == "of another":
        source = case.kit.other / name
        replace_bytes(path, (source if source.is_file() else case.kit.models["exported"] / name).read_bytes())
    elif how == "exchange":
        other = folder / rng.choice(names)
        one, two = path.read_bytes(), other.read_bytes()
        replace_bytes(path, two)
        replace_bytes(other, one)
        return f"{name} and {other.name} exchanged"
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        if how == "link":
            path.symlink_to("nowhere")
    return f"{how}: {name}"


def _same(case: Case, which: str) -> Callable[[Answer], str | None]:
    """Oracle: the model answers as the undamaged one; the score, the map and every threshold are equal."""

    def wrong(answer: Answer) -> str | None:
        expected = case.kit.answers[which]
        differ = [n for n, a, b in zip(Answer._fields, answer, expected, strict=True) if a != b]
        return f"{', '.join(differ)} differ from those of the undamaged model" if differ else None

    return wrong


def damaged_calibration(case: Case) -> Trial:
    """A calibration with one bit flipped, each bit in turn."""
    which = case.rng.choice(("model", "exported"))
    folder = linked_copy(case.kit.models[which], case.place / "model")
    path = folder / "calibration.json"
    data = bytearray(path.read_bytes())
    bit = case.number * 7919 % (8 * len(data))  # a prime: all bits come, in mixed order
    data[bit // 8] ^= 1 << bit % 8
    replace_bytes(path, bytes(data))
    return Trial(f"{which}: bit {bit}", lambda: ask(folder, case.kit.probe), _same(case, which))


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in nested JSON, containers too."""
    if path:
        yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from leaves(value, (*path, key))


def seal(folder: Path, content: dict[str, Any]) -> None:
    """Write a manifest with fitting hashes of the files beside it and of itself."""
    for name in content["files"] if isinstance(content.get("files"), dict) else ():
        if isinstance(name, str) and "/" not in name and name and (folder / name).is_file():
            content["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    content.pop("seal", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    sealed = {**content, "seal": hashlib.sha256(canonical.encode()).hexdigest()}
    replace_bytes(folder / "manifest.json", json.dumps(sealed, indent=2).encode())


def _with_odd_value(content: Any, rng: Random) -> str:
    place = rng.choice(list(leaves(content)))
    node = content
    for key in place[:-1]:
        node = node[key]
    how = rng.random()
    if how < 0.15 and isinstance(node, dict):
        del node[place[-1]]
        return f"{place} deleted"
    if how < 0.2 and isinstance(node, dict):
        node["unheard of"] = 1
        return f"a key beside {place}"
    node[place[-1]] = value = rng.choice(ODD_VALUES)
    return f"{place} = {str(value)[:20]!r}"


def odd_manifest(case: Case) -> Trial:
    """A manifest with an odd value under a fitting seal; no answer may come that is not a number."""
    rng = case.rng
    which = rng.choice(("model", "exported"))
    folder = linked_copy(case.kit.models[which], case.place / "model")
    content = json.loads((folder / "manifest.json").read_bytes())
    note = _with_odd_value(content, rng)
    seal(folder, content)
    return Trial(f"{which}: {note}", lambda: ask(folder, case.kit.probe), _sensible)


def odd_side_file(case: Case) -> Trial:
    """An odd value in a file beside the manifest, its hash and the seal fitting."""
    rng = case.rng
    which = rng.choice(("model", "exported"))
    folder = linked_copy(case.kit.models[which], case.place / "model")
    name = rng.choice(("calibration.json", "prototypes.json", "roi.json", "pictures.json"))
    content = json.loads((folder / name).read_bytes())
    note = _with_odd_value(content, rng)
    if rng.random() < 0.05:
        content, note = "DEEP", "nested 100,000 times"
    text = json.dumps(content) if content != "DEEP" else '{"a":' * 100_000 + "1" + "}" * 100_000
    replace_bytes(folder / name, text.encode())
    seal(folder, json.loads((folder / "manifest.json").read_bytes()))
    return Trial(f"{which}: {name}: {note}", lambda: ask(folder, case.kit.probe), _sensible)


def _sensible(answer: Answer) -> str | None:
    """Oracle for values that a fitting seal vouches for: they must make sense, whatever they are."""
    if not -1e6 < answer.score < 1e6:
        return f"the score is {answer.score}"
    if answer.calibration is None:
        return None
    for each in (answer.calibration["thresholds"], *answer.calibration["categories"].values()):
        if not -1e300 < each["review_above"] <= each["fail_above"] < 1e300:
            return f"thresholds that make no sense: {each}"
        if not 0 < each["false_alarm_rate"] <= each["review_rate"] < 1:
            return f"rates that make no sense: {each}"
    return None


def foreign_folder(case: Case) -> Trial:
    """What is no model: an empty folder, a file, pictures, a foreign manifest, a model without its files."""
    rng, folder = case.rng, case.place / "model"
    what = rng.choice(
        ("nothing", "a file", "pictures", "a foreign manifest", "an empty manifest", "a deep manifest")
    )
    if what == "a file":
        folder.write_text("hello")
    elif what == "pictures":
        shutil.copytree(case.kit.data / "nut", folder)
    elif what != "nothing":
        folder.mkdir()
        odd = json.dumps(
            {"name": "app", "files": {"../x": "0"}, "bundle_schema": rng.choice((0, 4, 5, 99, "4", None))}
        )
        texts = {"a foreign manifest": odd, "an empty manifest": "", "a deep manifest": "[" * 100_000}
        (folder / "manifest.json").write_text(texts[what])
    return Trial(what, lambda: ask(folder, case.kit.probe), lambda _: f"{what} was taken for a model")


KINDS = (
    Kind("models", damaged_model, 100),
    Kind("calibrations", damaged_calibration, 100),
    Kind("odd manifests", odd_manifest, 60),
    Kind("odd side files", odd_side_file, 40),
    Kind("no models", foreign_folder, 10),
)
