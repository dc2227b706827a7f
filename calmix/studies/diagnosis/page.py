"""The page of a diagnosis: do wrong labels grow with distance, and what does each method do about it?"""

from pathlib import Path

from calmix.report.drawing import Drawing
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import listed
from calmix.report.style import styles
from calmix.report.tables import Cell, Row, Table, mean_cell, seeds
from calmix.results.catalogue import METRICS, Column, number
from calmix.results.files import slug
from calmix.results.scores import PLAIN, Scores
from calmix.results.statistics import Interval
from calmix.studies.diagnosis.conditions import CONTROLS, ORACLES, POPULATIONS, SHARES, SPACES
from calmix.studies.diagnosis.expansion_figures import (
    orders_of,
    prepare_terms,
    reach_drawing,
    sizes_drawing,
)
from calmix.studies.diagnosis.findings import Place, cut, measured, methods_of, rise
from calmix.studies.diagnosis.labels_figures import (
    lam_drawing,
    prepare_lam,
    prepare_rises,
    prepare_wrong,
    rises_drawing,
    wrong_drawing,
)
from calmix.studies.diagnosis.mixes import read_batch
from calmix.studies.diagnosis.mixes_figures import mixes_drawing, prepare_mixes
from calmix.studies.diagnosis.results import DiagnosisResults, read_diagnosis
from calmix.studies.diagnosis.sentences import MAIN_ORACLE, main_measure
from calmix.studies.diagnosis.surface import read_surface
from calmix.studies.diagnosis.surface_figures import Plane, surface_drawing

_WRONG_CAPTION = (
    "Random pairs of training rows were mixed and shown to an oracle, which learnt other rows without mixing. "
    "Pairs stand in bins with equally many of them, by the squared distance of the parents; bars are 95 % intervals. "
    "Rows of the same class are near each other anyway, so the right-hand panels show pairs of different classes "
    "alone. At a share of 1 nothing is mixed: that line is the oracle's own disagreement with the labels."
)
_LAM_CAPTION = (
    "The mixes that each method was trained on. All pairs are sorted by distance and cut into parts of equal size: "
    "each column is one part, the nearest pairs on the left. The stronger a cell's colour, the more mixes of its part "
    "give the smaller parent that share (0: not mixed, 1/2: half and half). The line is the mean."
)
_CONTROL_CAPTION = (
    "An oracle, which learnt other rows without mixing, says what a mixed row is. Filled circle: the labels of a "
    "sample of the mixes that the method trained on. Square: the same lams on random pairs, so that as much is mixed, "
    "whatever the distance. Diamond: the same lams on random pairs of the same kind (same class or not), which takes "
    "out what knowing the classes alone would give. Mass off the oracle's answer: the part of the label's probability "
    "that would have to move to match the oracle. Avoidable error: what is wrong beyond what any label of two "
    "different classes must be. Bars are 95 % intervals over seeds."
)
_MIXES_CAPTION = (
    "From one batch under the trained network, the nearest pair first. d: squared distance over the batch's mean, in "
    "the space where the method measures it; tau: that of the kernel, the larger the closer to half and half; lam: the "
    "anchor's share."
)
_EXPANSION_CAPTION = (
    "Mixup's loss is the loss on clean rows plus a sum of derivatives along the way from each row to its partner, one "
    "term for each order, where that series converges. Smooth networks were trained with each method, and Mixup's loss "
    "was expanded on pairs of training rows. Sizes are means of absolute values, so that pairs do not cancel. A steep "
    "network with right answers and a flat one with doubtful answers can have the same first term of the loss, so look "
    "at the terms of the outputs, too. The last figure says how far the series reaches: where more orders lack more, "
    "it does not converge at the partners."
)
_SURFACE_CAPTION = (
    "What the network of the first seed says at every point of the plane: coloured where it is sure of a class, white "
    "where it is not. Accuracy and ECE are those of the test split"
)


def write_diagnosis(folder: Path) -> Path:
    """Draw the diagnosis in `folder`: report.html and figures/. Nothing is trained. Returns the path of the page.

    Raises:
        DataError: `folder` holds no diagnosis, or a damaged one, or cannot be written.
    """
    return write_page(folder, diagnosis_page(folder, read_diagnosis(folder)))


def diagnosis_page(folder: Path, results: DiagnosisResults) -> Page:
    """The page of `results`, whose batches of mixes and surfaces lie in `folder`."""
    scores, said, classes = results.scores, results.verdict, results.facts.data.classes
    return Page(
        title=f"calmix: diagnosis of {results.facts.data.name}",
        lead=[said.headline, *said.reasons],
        cautions=" ".join(said.cautions),
        sections=[
            Section("How strongly near and far pairs are mixed", _LAM_CAPTION, _lams(scores)),
            *_surface_section(folder, results),
            Section("How wrong each method's labels are", _CONTROL_CAPTION, _wrongs(scores), [_method_table(scores)]),
            Section(
                "Wrong labels against distance",
                _WRONG_CAPTION,
                _rises(scores, len(classes)),
                [_rise_table(scores, len(classes))],
                folded=True,
            ),
            *_mixes_section(folder, results),
            *_expansion_section(scores),
        ],
        facts=_facts(results),
        command=results.facts.command,
        date=results.facts.date,
        files=("diagnosis.json", "scores.csv", "figures/"),
    )


# ---------------------------------------------------------------------------------------------- what methods do


def _method_table(scores: Scores) -> PageTable:
    mass, part = METRICS["mass"], METRICS["cut"]
    means = (  # a column, and the condition of its scores
        (Column(METRICS["mixing"]), PLAIN),
        (Column(METRICS["label_mixing"]), PLAIN),
        (Column(mass, name="Wrong mass"), f"labels/{MAIN_ORACLE}/none"),
        (Column(mass, name="On random pairs"), f"labels/{MAIN_ORACLE}/shuffled"),
    )
    cuts = (Column(part), "shuffled"), (Column(part, name="Cut beyond the classes'"), "shuffled_within")
    rows = []
    for method in methods_of(scores):
        cells = [_cell(column, scores.interval(method, column.key, condition)) for column, condition in means]
        cells += [_cell(column, cut(scores, method, MAIN_ORACLE, control)) for column, control in cuts]
        rows.append(Row(method, cells))
    note = (
        "Mixing: the mean share of the smaller parent; label mixing: the same, counting only parents of different "
        "classes. Wrong mass: the part of the label's probability that would have to move to match the oracle's "
        "answer, as the method mixes and with the same lams on random pairs. Cut: how much less that is than on random "
        "pairs, and than on random pairs of the same kind (same class or not)."
    )
    headings = [column.label for column, _ in (*means, *cuts)]
    return PageTable("What each method does", Table(headings, rows, []), note=note + _spread_note(scores))


def _lams(scores: Scores) -> list[Drawing]:
    methods = methods_of(scores)
    return [lam_drawing(f"lam-{space}", [prepare_lam(scores, method, space) for method in methods]) for space in SPACES]


def _wrongs(scores: Scores) -> list[Drawing]:
    looks = styles(methods_of(scores))
    return [
        wrong_drawing(f"labels-{oracle}", prepare_wrong(scores, oracle, ("mass", "excess")), looks)
        for oracle in ORACLES
    ]


def _mixes_section(folder: Path, results: DiagnosisResults) -> list[Section]:
    data = results.facts.data
    if data.kind != "image" and tuple(data.shape) != (2,):
        return []  # rows that cannot be looked at
    drawings = []
    for method in results.methods:
        batch = read_batch(folder, method, data)
        if batch is not None:
            drawings.append(mixes_drawing(f"mixes-{slug(method)}", prepare_mixes(method, batch, data.classes)))
    return [Section("What the mixes look like", _MIXES_CAPTION, drawings, folded=True)] if drawings else []


# -------------------------------------------------------------------------------- wrong labels against distance


def _rises(scores: Scores, classes: int) -> list[Drawing]:
    return [
        rises_drawing(f"wrong-{metric}-{space}", prepare_rises(scores, space, metric, ("all", "different")))
        for metric in (("neither", "excess") if classes > 2 else ("excess", "hard"))
        for space in SPACES
    ]


def _rise_table(scores: Scores, classes: int) -> PageTable:
    metric, _ = main_measure(classes)
    shares = [share for share in SHARES if share < 1]
    rows = []
    for oracle in ORACLES:
        for space in SPACES:
            for population in POPULATIONS:
                places = [Place(oracle, space, population, share) for share in shares]
                if measured(scores, places[0]):
                    name = f"{SPACES[space]}, {ORACLES[oracle]}, {POPULATIONS[population]}"
                    rows.append(Row(name, [_rise_cell(rise(scores, place, metric)) for place in places]))
    title = METRICS[metric].title
    return PageTable(
        "How much more often labels are wrong in the farthest bin than in the nearest",
        Table([f"share {share:g}" for share in shares], rows, []),
        corner="Distance, oracle, pairs",
        note=f"{title}: the farthest bin minus the nearest, in points of per cent, by the share of the larger parent.",
        stacked=True,
    )


def _rise_cell(found: Interval | None) -> Cell:
    if found is None:
        return Cell("–")
    mean, low, high = (number(100 * value, 1, "+") for value in (found.mean, found.low, found.high))
    return Cell(mean, f"[{low}, {high}]" if found.count > 1 else "")


# ----------------------------------------------------------------------------------- derivatives and surfaces


def _expansion_section(scores: Scores) -> list[Section]:
    """Mixup's loss as derivatives, where it was expanded."""
    expansion, reach = scores.under("expansion"), scores.under("reach")
    if not methods_of(reach):
        return []
    looks = styles(methods_of(reach))
    drawings = [
        sizes_drawing("taylor-loss", prepare_terms(expansion, "term_size", "epoch"), looks),
        sizes_drawing("taylor-outputs", prepare_terms(expansion, "output_size", "epoch"), looks),
        reach_drawing("taylor-reach", prepare_terms(reach, "remainder", "part")),
    ]
    return [Section("Mixup as derivatives", _EXPANSION_CAPTION, drawings, [_term_table(reach)], folded=True)]


def _term_table(reach: Scores) -> PageTable:
    """Of the trained networks, with whole ways to the partners."""
    orders = orders_of(reach)
    columns = (  # and the condition of its scores
        (Column(METRICS["clean_loss"]), "1"),
        (Column(METRICS["mixup_loss"]), "1"),
        (Column(METRICS["term"], name="Term 1"), "1/1"),
        (Column(METRICS["term_size"], name="Size of term 1"), "1/1"),
        (Column(METRICS["output_size"], name="Slope of outputs"), "1/1"),
        (Column(METRICS["remainder"], name=f"Lacking after {orders}"), f"1/{orders}"),
    )
    rows = [
        Row(method, [_short(column, reach.interval(method, column.key, path)) for column, path in columns])
        for method in methods_of(reach)
    ]
    note = (
        "Mixup's loss with lam uniform on [0, 1], on pairs of training rows, whatever the network was trained with. "
        "Lacking: the loss minus its series."
    )
    table = Table([column.label for column, _ in columns], rows, [])
    return PageTable("Taylor terms of trained networks", table, note=note + _spread_note(reach))


def _surface_section(folder: Path, results: DiagnosisResults) -> list[Section]:
    """Decision surfaces, where the rows are points of a plane."""
    data, planes = results.facts.data, []
    for method in results.methods:
        stored = read_surface(folder, method, len(data.classes))
        if stored is not None:
            judged = (results.scores.interval(method, metric, "plane") for metric in ("accuracy", "ece"))
            planes.append(Plane(method, *stored, data.classes, data.features, *judged))
    if not planes:
        return []
    spread = f", means over {seeds(results.seeds)} with 95 % intervals." if results.seeds > 1 else ", of one seed."
    return [Section("Decision surfaces", _SURFACE_CAPTION + spread, [surface_drawing("surfaces", planes)])]


# ------------------------------------------------------------------------------------------- cells and facts


def _cell(column: Column, found: Interval | None) -> Cell:
    return Cell("–") if found is None else mean_cell(column, found)


def _short(column: Column, found: Interval) -> Cell:
    """With a single digit where the mean is large, as the terms of a series that does not converge are."""
    return mean_cell(column.with_digits(1) if abs(found.mean) >= 10 else column, found)


def _spread_note(scores: Scores) -> str:
    count = len(scores.seeds)
    return f" ± is half of the 95 % interval over {seeds(count)}." if count > 1 else ""


def _facts(results: DiagnosisResults) -> dict[str, str]:
    facts, oracle = results.facts, results.oracle
    data = facts.data
    return {
        "Data": f"{data.name}: {data.source}",
        "Rows": ", ".join(f"{part} {size:,}" for part, size in data.sizes.items()),
        "Classes": f"{len(data.classes)}: {listed(data.classes)}",
        **({"Notices": " ".join(data.notices)} if data.notices else {}),
        "Seeds": f"{seeds(results.seeds)}, counted from 0; each draws its splits, pairs, oracle and networks",
        "Oracle": (
            f"{facts.model}, {oracle.epochs} epochs without mixing on {oracle.rows:,} rows that the training split "
            f"lacks; {oracle.neighbours} nearest of these rows vote as the second opinion"
        ),
        "Pairs": f"{results.pairs:,} random pairs of training rows a seed, in {results.bins} bins of distance",
        "Controls": f"{CONTROLS['shuffled']}; {CONTROLS['shuffled_within']}",
        "Network": facts.model,
        "Training": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.settings.items()),
        "Environment": ", ".join(f"{name} {value}" for name, value in facts.environment.items()),
    }
