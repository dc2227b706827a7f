"""One page that carries everything, and the figures beside it as files."""

import base64
import csv
import io
import shlex
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from calmix.errors import DataError
from calmix.experiment.record import read_predictions, slug, write_whole
from calmix.report.figures import (
    AFTER,
    BEFORE,
    Drawing,
    curves_drawing,
    points_drawing,
    predicted_drawing,
    prepare_curve,
    prepare_points,
    prepare_predicted,
    prepare_reliability,
    reliability_drawing,
)
from calmix.report.results import Results, read_results
from calmix.report.style import styles
from calmix.report.tables import (
    ACCURACY,
    COST,
    ECE,
    SCALED_ECE,
    SIGNS,
    columns_of,
    difference_table,
    seeds,
    summary_table,
)
from calmix.report.words import reference, sentences


@dataclass(frozen=True)
class Section:
    """Figures under one heading, and what to look at."""

    title: str
    caption: str
    drawings: list[Drawing]


def write_report(folder: Path) -> Path:
    """Draw the comparison in `folder`: report.html, and figures/ with each figure as PNG, SVG and CSV.

    Returns the path of the page. Raises DataError where `folder` holds no finished comparison or cannot be written.
    """
    results = read_results(folder)
    sections = _regression(folder, results) if results.regression else _classification(folder, results)
    try:
        shown = [
            {
                "title": section.title,
                "caption": section.caption,
                "images": [_save(folder / "figures", drawing) for drawing in section.drawings],
            }
            for section in sections
        ]
        page = folder / "report.html"
        text = _template().render(sections=shown, **_words(results))
        write_whole(page, lambda file: file.write(text.encode()))
    except OSError as error:
        raise DataError(f"cannot write the report to {folder}: {error.strerror or error}.") from None
    return page


# ---------------------------------------------------------------------------------------------- figures


def _classification(folder: Path, results: Results) -> list[Section]:
    looks = styles(summary.method for summary in results.methods)
    diagrams = []
    for summary in results.methods:
        predictions = [read_predictions(folder, run) for run in results.runs_of(summary.method)]
        stages = prepare_reliability(summary.method, predictions)
        diagrams.append(reliability_drawing(_name("reliability", summary.method), stages, looks[summary.method]))
    curves = {
        quantity: [prepare_curve(results.runs_of(summary.method), quantity) for summary in results.methods]
        for quantity in ("loss", "accuracy")
    }
    points = [
        *prepare_points(results.methods, ACCURACY, ECE, BEFORE),
        *prepare_points(results.methods, ACCURACY, SCALED_ECE, AFTER),
    ]
    return [
        Section(
            "Reliability",
            "A bar is the accuracy of the test rows in that bin of confidence; the hatched gap ends at their mean "
            "confidence. On the dashed line probabilities mean what they say; bars that end below it are "
            "over-confident, above it under-confident. Pale bars hold fewer than 1 % of the rows, as the "
            "counts underneath show. The rows of all seeds are pooled, so this ECE differs a little from the "
            "table's mean over seeds.",
            diagrams,
        ),
        Section(
            "Accuracy against calibration error",
            "Right and down is better. Filled: as trained; hollow: after temperature scaling, which never changes "
            "the accuracy. Crosses are 95 % intervals over seeds, cut where no value is possible.",
            [points_drawing("accuracy-ece", points, ACCURACY, ECE, looks)],
        ),
        Section(
            "Learning curves",
            _CURVES_CAPTION,
            [curves_drawing(f"learning-{quantity}", lines, looks) for quantity, lines in curves.items()],
        ),
    ]


def _regression(folder: Path, results: Results) -> list[Section]:
    looks = styles(summary.method for summary in results.methods)
    dots = [
        prepare_predicted(summary.method, [read_predictions(folder, run) for run in results.runs_of(summary.method)])
        for summary in results.methods
    ]
    limits = (
        min(float(min(data.predicted.min(), data.observed.min())) for data in dots),
        max(float(max(data.predicted.max(), data.observed.max())) for data in dots),
    )
    curves = [prepare_curve(results.runs_of(summary.method), "loss") for summary in results.methods]
    rmse = columns_of(results)[0]
    return [
        Section(
            "Predicted against observed",
            "A dot is a test row of one seed, in the unit of the target; all panels have the same axes. On the dashed "
            "line the prediction is right. A cloud flatter than the line means predictions that shrink to the mean.",
            [predicted_drawing(_name("predicted", data.method), data, limits, looks[data.method]) for data in dots],
        ),
        Section(
            "Error against cost",
            "Left and down is better. Cost is the time of a training step over that of plain training. "
            "Crosses are 95 % intervals over seeds.",
            [points_drawing("rmse-cost", prepare_points(results.methods, COST, rmse), COST, rmse, looks)],
        ),
        Section("Learning curves", _CURVES_CAPTION, [curves_drawing("learning-loss", curves, looks)]),
    ]


_CURVES_CAPTION = (
    "On the validation split, where every method faces the same unmixed rows; a thin line is a seed, the thick one "
    "their mean. The training loss is not shown: methods mix their targets differently, so it cannot be compared."
)


def _name(kind: str, method: str) -> str:
    return f"{kind}-{slug(method, 0).removesuffix('-seed0')}"


def _save(folder: Path, drawing: Drawing) -> dict[str, str]:
    """Write a figure's three files; what the page needs of it."""
    svg, png = drawing.save("svg", "png")
    for suffix, content in (("svg", svg), ("png", png), ("csv", _csv(drawing))):
        write_whole(folder / f"{drawing.name}.{suffix}", lambda file, content=content: file.write(content))
    return {
        "uri": f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        "alt": drawing.alt,
        "width": f"{96 * drawing.width:.0f}",
        "height": f"{96 * drawing.height:.0f}",
    }


def _csv(drawing: Drawing) -> bytes:
    rows = [row for data in drawing.data for row in data.rows()]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


# ------------------------------------------------------------------------------------------------- words


def _words(results: Results) -> dict[str, Any]:
    """What the template shows besides figures."""
    return {
        "results": results,
        "sentences": sentences(results),
        "summary": summary_table(results),
        "differences": difference_table(results),
        "signs": SIGNS,
        "reference": reference(results),
        "seeds": seeds(results.seeds),
        "command": shlex.join(results.command),
        "methods": [_how(results, summary.method, summary.code) for summary in results.methods],
    }


def _how(results: Results, method: str, code: str) -> dict[str, str]:
    runs = results.runs_of(method)
    temperatures = [run.temperature for run in runs if run.temperature is not None]
    return {
        "method": method,
        "code": code,
        "temperature": f"{fmean(temperatures):.2f}" if temperatures else "",
        "epochs": _span([run.epoch for run in runs]),
        "seconds": f"{fmean(run.train_seconds for run in runs):.1f}",
    }


def _span(values: list[int]) -> str:
    return f"{min(values)}–{max(values)}" if min(values) < max(values) else str(values[0])


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2")
