"""The tables of ``export.py``."""

from __future__ import annotations

from tables.wording import Row

__all__ = ["parity", "precision"]

_RUNTIMES = {"onnx": "onnxruntime", "openvino": "OpenVINO"}


def parity(rows: list[Row]) -> str:
    """Show how equal maps, scores and verdicts of float32 graphs are to those of the model in torch."""
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


def precision(rows: list[Row]) -> str:
    """Show what bf16 and int8 cost in image AUROC, and gain in time and size, beside torch in float32."""
    lines = [
        "| method | runtime | in | AUROC, torch | AUROC | rank correlation | speed | size |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            f"`{row['method']}`",
            _RUNTIMES[row["format"]],
            row["graph"],
            _percent(row, "image_auroc_torch"),
            _percent(row, "image_auroc"),
            _number(row, "rank_correlation", "{:.4f}"),
            _number(row, "speed", "x {:.1f}"),
            _number(row, "size_ratio", "x {:.2f}"),
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
        f"benchmarks/results/export.csv --categories {first['trained_on'].replace(' ', ',')} --steps "
        f"{first['steps']}`; nothing was chosen on these pictures.\n"
    )
