"""The tables of ``export.py``."""

from __future__ import annotations

from tables.wording import Row

__all__ = ["int8", "parity"]

_RUNTIMES = {"onnx": "onnxruntime", "openvino": "OpenVINO"}


def parity(rows: list[Row]) -> str:
    """How equal maps, scores and verdicts of float32 graphs are to the model's own in torch."""
    lines = [
        "| method | runtime | map error | score error | rank correlation | verdicts alike |",
        "|---|---|---|---|---|---|",
    ]
    rows = [row for row in rows if row["graph"] == "float32"]
    for row in rows:
        cells = [f"`{row['method']}`", _RUNTIMES[row["format"]]]
        if row["refused"]:
            cells += [f"refused: {row['refused']}", "–", "–", "–"]
        else:
            cells += [f"{float(row[name]):.1e}" for name in ("map_error", "score_error")]
            cells += [f"{float(row['rank_correlation']):.4f}", _verdicts(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + _note(rows, "Largest errors as shares of the maps' range; ")


def int8(rows: list[Row]) -> str:
    """What int8 costs in image AUROC, and gains in time and size, beside float32 in the same runtime."""
    lines = [
        "| method | runtime | AUROC, torch | float32 | int8 | speed, float32 | int8 | size, float32 | int8 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    pairs: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        pairs.setdefault((row["method"], row["format"]), {})[row["graph"]] = row
    for (method, form), pair in pairs.items():
        both = [pair["float32"], pair["int8"]]
        cells = [
            f"`{method}`",
            _RUNTIMES[form],
            _percent(both[0], "image_auroc_torch"),
            *(_percent(row, "image_auroc") for row in both),
            *(_number(row, "speed", "x {:.1f}") for row in both),
            *(_number(row, "size_ratio", "x {:.2f}") for row in both),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + _note(rows, "Image AUROC in percent; speed and size against torch; ")


def _verdicts(row: Row) -> str:
    if not row["verdicts_alike"]:
        return "–"
    alike, other = int(row["verdicts_alike"]), int(row["verdicts_other"])
    return f"{alike} of {alike + other}"


def _percent(row: Row, name: str) -> str:
    return "refused" if row["refused"] and not row[name] else f"{100 * float(row[name]):.1f}"


def _number(row: Row, name: str, form: str) -> str:
    return form.format(float(row[name])) if row[name] else "–"


def _note(rows: list[Row], what: str) -> str:
    first = rows[0]
    return (
        f"\n{what}models for {first['trained_on']}, {first['steps']} steps, {first['image_size']} px, "
        f"teacher `{first['teacher']}`, {first['threads']} threads, on {first['machine']}, {first['date']}, "
        f"commit {first['commit']}. Made by `python benchmarks/export.py --data REALBENCH --out "
        "benchmarks/results/export.csv`; nothing was chosen on these pictures.\n"
    )
