"""The page of a diagnosis: do wrong labels grow with distance, and what does each method do about it?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calmix.errors import DataError
from calmix.experiment.diagnosis import read_batch
from calmix.experiment.record import read_json, slug
from calmix.experiment.statistics import Interval
from calmix.report.figures.drawing import Drawing
from calmix.report.figures.mismatch import (
    DEAL_NAMES,
    ORACLE_NAMES,
    PAIR_NAMES,
    SPACE_NAMES,
    lam_drawing,
    prepare_lam,
    prepare_rises,
    prepare_wrong,
    rises_drawing,
    wrong_drawing,
)
from calmix.report.figures.mixes import mixes_drawing, prepare_mixes
from calmix.report.page import Page, PageTable, Section, listed, write_page
from calmix.report.style import styles
from calmix.report.tables import Cell, Row, Table, number, seeds
from calmix.report.theory import derivatives_section, surface_section

_ORACLE = "network"  # what the sentences go by; the page shows the other opinion, too

_WRONG_CAPTION = (
    "Random pairs of training rows were mixed and shown to an oracle that learnt other rows of the set without mixing. "
    "Pairs stand in bins with equally many of them, by the squared distance of the parents; bars are 95 % intervals. "
    "Rows of the same class are near by themselves, so the right-hand panels show pairs of different classes alone. "
    "At a share of 1 nothing is mixed: that line is the oracle's own disagreement with the labels."
)
_LAM_CAPTION = (
    "Mixes that each method was really trained on. Each column is one bin of distance; the darker, the more of its "
    "mixes give the smaller parent that share (0: not mixed, 1/2: half and half). The line is the mean."
)
_DEALT_CAPTION = (
    "Filled: the labels of a sample of the mixes that the method trained on. Square: the very same lams dealt to "
    "random pairs, so that as much is mixed, whatever the distance. Diamond: dealt to random pairs of the same kind, "
    "same class or not, which takes out what merely knowing the classes would give. Avoidable error is what is wrong "
    "beyond what any label of two different classes must be; bars are 95 % intervals over seeds."
)
_MIXES_CAPTION = (
    "From one batch under the trained network, the nearest pair first. d: squared distance over the batch's mean, "
    "where the method measures it; tau: the kernel's, the larger the closer to half and half; lam: the anchor's share."
)


def write_diagnosis(folder: Path) -> Path:
    """Draw the diagnosis in `folder`: report.html and figures/. Returns the path of the page.

    Raises:
        DataError: `folder` holds no diagnosis.json, or a damaged one, or cannot be written.
    """
    path = folder / "diagnosis.json"
    if not path.exists():
        raise DataError(f"{folder} holds no diagnosis.json; make one with `calmix diagnose DATA --out {folder}`.")
    try:
        page = diagnosis_page(folder, read_json(path))
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); make it again with `calmix diagnose` and --resume.") from None
    return write_page(folder, page)


def diagnosis_page(folder: Path, results: Mapping[str, Any]) -> Page:
    """The page of `results`, whose batches of mixes lie in `folder`."""
    return Page(
        title=f"calmix: diagnosis of {results['data']['name']}",
        lead=sentences(results),
        cautions=_cautions(results),
        sections=[
            Section("", tables=[_method_table(results)]),
            Section("Wrong labels against distance", _WRONG_CAPTION, _rises(results), [_rise_table(results)]),
            Section("What is mixed how strongly", _LAM_CAPTION, _lams(results)),
            Section("How wrong each method's labels are", _DEALT_CAPTION, _wrongs(results)),
            *_batches(folder, results),
            *_theory(folder),
        ],
        facts=_facts(results),
        command=results["command"],
    )


# ------------------------------------------------------------------------------------------------- words


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What was found, in paragraphs: whether wrong labels grow with distance, then what each method cuts of them."""
    return [
        _headline(results),
        *(_rise_sentence(results, space) for space in SPACE_NAMES),
        *(_cut_sentence(results, entry) for entry in results["methods"]),
    ]


def main_measure(results: Mapping[str, Any]) -> tuple[str, float]:
    """The measure and the share of the larger parent that tell most: with two classes, two different parents have
    all of them, so that the label can only side with the smaller share."""
    return ("neither", 0.5) if len(results["data"]["classes"]) > 2 else ("excess", 0.8)


def _headline(results: Mapping[str, Any]) -> str:
    """Whether wrong labels grow with distance, among pairs of different classes; by each way to measure it."""
    if results["seeds"] == 1:
        return "One seed decides nothing; this is what it showed."
    sides = []
    for space in SPACE_NAMES:
        entry = _main_entry(results, space)
        sides.append(0 if entry is None else Interval(**entry["rise"]).side)
    says = {1: "grow", -1: "become fewer", 0: "were not seen to change"}
    first, second = (says[side] for side in sides)
    if first == second:
        return f"Wrong labels {first} with distance here, by inputs as well as by embedding."
    return f"Wrong labels {first} with the distance of inputs, and {second} with that in the oracle's embedding."


def _main_entry(results: Mapping[str, Any], space: str) -> Mapping[str, Any] | None:
    """What the sentences go by; None where near and far pairs of different classes cannot be told."""
    looked = (_ORACLE, space, "different", *main_measure(results))
    names = ("oracle", "space", "pairs", "measure", "share")
    found = (entry for entry in results["mismatch"] if tuple(entry[name] for name in names) == looked)
    return next((entry for entry in found if entry["rise"] is not None), None)


def _rise_sentence(results: Mapping[str, Any], space: str) -> str:
    measure, share = main_measure(results)
    entry = _main_entry(results, space)
    if entry is None:
        return "Distances take too few values here to tell near pairs of different classes from far ones."
    near, far, rise = entry["bins"][0], entry["bins"][-1], Interval(**entry["rise"])
    told = {
        1: "labels are wrong more often far apart than near by",
        -1: "labels are wrong less often far apart than near by",
        0: "near and far were not told apart" if results["seeds"] > 1 else "of one seed",
    }[rise.side]
    headline = f"By distance of the {SPACE_NAMES[space]}, {told}."
    what = (
        "the oracle sees neither parent's class in"
        if measure == "neither"
        else "the label's avoidable error, by the oracle, is"
    )
    mixed = "half and half" if share == 0.5 else f"{100 * share:.0f} to {100 * (1 - share):.0f}"
    return (
        f"{headline} Of parents of different classes, mixed {mixed}, {what} {_percent(near['mean'])} for the nearest "
        f"of {len(entry['bins'])} equal parts and {_percent(far['mean'])} for the farthest ({_points(rise)})."
    )


def _cut_sentence(results: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    wrong = entry["wrong"][_ORACLE]["mass"]
    own, dealt = wrong["own"]["mean"], wrong["dealt"]["mean"]
    start = f"{entry['method']}: {_percent(own)} of the labels' mass is off the oracle's answer"
    if wrong["cut-dealt"] is None or wrong["cut-dealt_within"] is None:
        return f"{start}."
    if results["seeds"] == 1:
        return f"{start}; on random pairs the same lams give {_percent(dealt)}."
    cut, within = Interval(**wrong["cut-dealt"]), Interval(**wrong["cut-dealt_within"])
    if cut.side == 0:
        return f"{start}; on random pairs the same lams give {_percent(dealt)}, which is not told apart from it."
    fewer = "less" if cut.side > 0 else "more"
    rest = {
        1: f"it is {_relative(within)} less",
        0: "it is not told apart",
        -1: f"it is {_relative(within)} more",
    }[within.side]
    return (
        f"{start}, {_relative(cut)} {fewer} than with the same lams on random pairs ({_percent(dealt)}). Against "
        f"random pairs of the same kind (same class or not) {rest}."
    )


def _cautions(results: Mapping[str, Any]) -> str:
    accuracy = {oracle: _percent(results["oracle"][oracle]["mean"]) for oracle in ORACLE_NAMES}
    told = [
        f"An oracle is a stand-in for the truth: as a network it is right on {accuracy['network']} of the test rows, "
        f"as nearest neighbours in its embedding on {accuracy['neighbours']}.",
        "What it says of mixed rows, which nature does not make, is an opinion.",
    ]
    if results["settings"]["learnt"] < 1000:
        learnt = results["settings"]["learnt"]
        told.append(f"It learnt only {learnt} rows; --train-size leaves it those that are not trained on.")
    if results["seeds"] == 1:
        told.append("One seed: intervals are over its pairs, and methods cannot be told apart beyond chance.")
    return " ".join(told)


def _percent(value: float) -> str:
    return f"{number(100 * value, 1)} %"


def _points(value: Interval) -> str:
    mean = f"{number(100 * value.mean, 1, '+')} points"
    if value.count < 2:
        return mean
    return f"{mean} [{number(100 * value.low, 1, '+')}, {number(100 * value.high, 1, '+')}]"


def _relative(value: Interval) -> str:
    sign = 1 if value.mean >= 0 else -1
    low, high = sorted((100 * sign * value.low, 100 * sign * value.high))
    ends = "" if value.count < 2 else f" [{number(low, 0)}, {number(high, 0)}]"
    return f"{number(100 * abs(value.mean), 0)} %{ends}"


# ------------------------------------------------------------------------------------------------ tables


def _method_table(results: Mapping[str, Any]) -> PageTable:
    headings = [
        "Mixing, %",
        "Label mixing, %",
        "Wrong mass, %",
        "On random pairs, %",
        "Cut, %",
        "Cut beyond the classes', %",
    ]
    rows = []
    for entry in results["methods"]:
        wrong = entry["wrong"][_ORACLE]["mass"]
        values = [entry["mixing"], entry["label_mixing"], wrong["own"], wrong["dealt"]]
        cuts = [wrong["cut-dealt"], wrong["cut-dealt_within"]]
        rows.append(Row(entry["method"], [*(_cell(value, 1) for value in values), *(_cell(cut, 0) for cut in cuts)]))
    note = (
        "Mixing: the mean share of the smaller parent; label mixing: the same, counting only parents of different "
        "classes. Wrong mass: what the label gives to other than the oracle's answer. Cut: how much of that comes off "
        "against the same lams on random pairs, and on random pairs of the same kind (same class or not)."
    )
    spread = f" ± is half of the 95 % interval over {seeds(results['seeds'])}." if results["seeds"] > 1 else ""
    return PageTable("What each method does", Table(headings, rows, []), note=note + spread)


def _cell(value: Mapping[str, Any] | None, digits: int) -> Cell:
    if value is None:
        return Cell("–")
    interval = Interval(**value)
    spread = f"± {number(100 * interval.half_width, digits)}" if interval.count > 1 else ""
    return Cell(number(100 * interval.mean, digits), spread)


def _rise_table(results: Mapping[str, Any]) -> PageTable:
    measure, _ = main_measure(results)
    entries = [entry for entry in results["mismatch"] if entry["measure"] == measure and entry["share"] < 1]
    shares = sorted({entry["share"] for entry in entries})
    rows = {}
    for entry in entries:
        names = SPACE_NAMES[entry["space"]], ORACLE_NAMES[entry["oracle"]], PAIR_NAMES[entry["pairs"]]
        rows.setdefault(", ".join(names), []).append(_rise_cell(entry["rise"]))
    table = Table([f"share {share:g}" for share in shares], [Row(name, cells) for name, cells in rows.items()], [])
    what = "neither parent's class" if measure == "neither" else "avoidable error"
    return PageTable(
        "How much more often labels are wrong in the farthest bin than in the nearest",
        table,
        corner="Distance, oracle, pairs",
        note=f"The farthest bin minus the nearest, in points of per cent: {what}, by the share of the larger parent.",
        stacked=True,
    )


def _rise_cell(value: Mapping[str, Any] | None) -> Cell:
    if value is None:
        return Cell("–")
    rise = Interval(**value)
    ends = f"[{number(100 * rise.low, 1, '+')}, {number(100 * rise.high, 1, '+')}]" if rise.count > 1 else ""
    return Cell(number(100 * rise.mean, 1, "+"), ends)


# ----------------------------------------------------------------------------------------------- figures


def _rises(results: Mapping[str, Any]) -> list[Drawing]:
    measures = ["neither", "excess"] if len(results["data"]["classes"]) > 2 else ["excess", "hard"]
    return [
        rises_drawing(
            f"wrong-{measure}-{space}", prepare_rises(results["mismatch"], space, measure, ("all", "different"))
        )
        for measure in measures
        for space in SPACE_NAMES
    ]


def _lams(results: Mapping[str, Any]) -> list[Drawing]:
    return [
        lam_drawing(f"lam-{space}", [prepare_lam(entry, space) for entry in results["methods"]])
        for space in SPACE_NAMES
    ]


def _wrongs(results: Mapping[str, Any]) -> list[Drawing]:
    looks = styles(entry["method"] for entry in results["methods"])
    return [
        wrong_drawing(f"labels-{oracle}", prepare_wrong(results["methods"], oracle, ("mass", "excess")), looks)
        for oracle in ORACLE_NAMES
    ]


def _batches(folder: Path, results: Mapping[str, Any]) -> list[Section]:
    data = results["data"]
    if data["kind"] != "image" and data["shape"] != [2]:
        return []  # rows that cannot be looked at
    drawings = []
    for entry in results["methods"]:
        batch = read_batch(folder, entry["method"])
        if batch is not None:
            name = f"mixes-{slug(entry['method'], 0).removesuffix('-seed0')}"
            drawings.append(mixes_drawing(name, prepare_mixes(entry["method"], batch, data["classes"])))
    return [Section("What the mixes look like", _MIXES_CAPTION, drawings)] if drawings else []


def _theory(folder: Path) -> list[Section]:
    """The other parts, where they were run."""
    parts = {"derivatives": derivatives_section, "surfaces": surface_section}
    return [
        section(read_json(folder / f"{name}.json"))
        for name, section in parts.items()
        if (folder / f"{name}.json").exists()
    ]


# ------------------------------------------------------------------------------------------------- facts


def _facts(results: Mapping[str, Any]) -> dict[str, str]:
    data, settings = results["data"], results["settings"]
    sizes = ", ".join(f"{part} {size}" for part, size in data["sizes"].items())
    return {
        "Data": f"{data['name']}: {data['source']}",
        "Rows": sizes,
        "Classes": f"{len(data['classes'])}: {listed(data['classes'])}",
        **({"Notices": " ".join(data["notices"])} if data["notices"] else {}),
        "Seeds": f"{seeds(results['seeds'])}, counted from 0; each draws its splits, pairs, oracle and networks",
        "Oracle": (
            f"{results['model']}, {settings['epochs']} epochs without mixing on {settings['learnt']} rows that the "
            f"training split lacks; {settings['neighbours']} nearest of these rows vote as the second opinion"
        ),
        "Pairs": f"{settings['pairs']} random pairs of training rows a seed, in {settings['bins']} bins of distance",
        "Controls": f"{DEAL_NAMES['dealt']}; {DEAL_NAMES['dealt_within']}",
        "Network": results["model"],
        "Training": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in results["fit"].items()),
        "Environment": ", ".join(f"{name} {value}" for name, value in results["environment"].items()),
    }
