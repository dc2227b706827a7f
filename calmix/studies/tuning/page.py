"""A search as a page and in the terminal."""

import shlex
from pathlib import Path

from calmix.report.columns import columns_section
from calmix.report.page import Page, PageTable, Section, write_page
from calmix.report.sentences import listed
from calmix.report.style import Style, styles
from calmix.report.tables import Cell, Row, Table, mean_cell
from calmix.report.terminal import Sheet, print_sheets
from calmix.results.catalogue import Column, number, significant
from calmix.studies.tuning.figures import last_drawing, prepare_last, prepare_search, search_drawing
from calmix.studies.tuning.outcome import CHOSEN, DEFAULT, PLAIN, Outcome
from calmix.studies.tuning.search import RUNGS
from calmix.studies.tuning.sentences import settings_in_words, tuning_advice
from calmix.studies.tuning.trials import Trial, best_of, bests_of, by_family
from calmix.studies.tuning.weights import gains_of
from calmix.threads import using_threads

MOST_TRIALS = 20  # of a method, in the table
_LOOKS = {DEFAULT: Style("#000000", "o", "-"), CHOSEN: Style("#0072B2", "^", "-"), PLAIN: Style("#E69F00", "s", "-")}


def tuning_page(outcome: Outcome) -> Page:
    """The page of a search."""
    said, facts = tuning_advice(outcome), outcome.facts
    goal = outcome.columns[0]
    families = by_family(outcome.trials)
    looks = styles(families)
    searches = {name: tried for name, own in families.items() if (tried := prepare_search(name, own))}
    return Page(
        title=f"calmix: {facts.data.name}, tuned",
        lead=[said.headline, " ".join(said.reasons)],
        cautions=" ".join(said.cautions),
        sections=[
            Section("", tables=[PageTable("On the test rows", final_table(outcome), corner="", note=_tested_note())]),
            Section("Train it", terms=_commands(outcome)),
            Section(
                "Default against chosen",
                "On the test rows, which nothing was chosen by: the mean over fresh seeds, and a grey dot a seed.",
                [last_drawing(prepare_last(outcome.tested, outcome.named, c), c, _LOOKS) for c in outcome.columns],
            ),
            Section(
                "Best so far",
                f"{goal.title} on the rows to choose by, which are neither trained on nor tested. A line is the best "
                "so far of a method's first seeds. A marker is the mean over all seeds of a trial that stayed in the "
                "race, with one standard error: where it lies above the line, the trial was lucky in its first seed.",
                [search_drawing(searches, goal, looks)],
            ),
            *_weights_section(outcome),
            Section("What was spent", _spent_caption(outcome), tables=[_spent_table(outcome)]),
            Section("All trials", _trials_caption(), tables=_trials_tables(outcome), folded=True),
            *columns_section(facts.data.columns),
        ],
        facts=_facts(outcome),
        command=facts.command,
        date=facts.date,
        files=("tuning.json", "results.csv", "figures/"),
    )


def write_tuning(folder: Path, outcome: Outcome) -> Path:
    """Write report.html, and figures/ with each figure as PNG, SVG and CSV. Return the path of the page.

    Raises:
        DataError: the folder cannot be written.
    """
    with using_threads(1):
        return write_page(folder, tuning_page(outcome))


def print_tuning(outcome: Outcome) -> None:
    """Default against chosen on the test rows, and the verdict, on stdout."""
    title = f"calmix: {outcome.facts.data.name}, tuned: on the test rows"
    print_sheets([Sheet(title, final_table(outcome), [_tested_note()], corner="")], tuning_advice(outcome))


def final_table(outcome: Outcome) -> Table:
    """Default, chosen and tuned plain training on the test rows."""
    scores, rows = outcome.tested, []
    for name, trial in outcome.named.items():
        cells = []
        for column in outcome.columns:
            cells.append(mean_cell(_sized(outcome, column), scores.interval(name, column.key, column.condition)))
        rows.append(Row(f"{name}: {trial.text}", [*cells, *_settings_cells(trial)]))
    headings = [_sized(outcome, column).heading for column in outcome.columns]
    return Table([*headings, *_SETTINGS], rows, [])


_SETTINGS = ("Learning rate", "Weight decay", "Epochs", "Weights")


def _settings_cells(trial: Trial) -> list[Cell]:
    settings = trial.settings
    shown = (f"{settings.peak_rate:g}", f"{settings.weight_decay:g}", str(settings.epochs), settings.weights)
    return [Cell(text) for text in shown]


def _sized(outcome: Outcome, column: Column) -> Column:
    """With the power of ten in which numbers in the unit of the targets are shown."""
    if column.metric.digits is not None:
        return column
    return column.sized(max(abs(value) for value in outcome.tested.values(DEFAULT, column.key, column.condition)))


def _tested_note() -> str:
    return "Means over fresh seeds, with half of their 95 % intervals."


def _commands(outcome: Outcome) -> dict[str, str]:
    command = shlex.join(outcome.train_command)
    return {**({"command": command} if command else {}), "Python": "; ".join(outcome.python)}


def _weights_section(outcome: Outcome) -> list[Section]:
    """What other weights of the same trainings gained."""
    gains, goal = gains_of(outcome.trials), outcome.columns[0]
    if not gains:
        return []
    families = list(by_family(outcome.trials))
    rows = [
        Row(one.weights, [_gained(goal, one.means.get(family)) for family in families] + [Cell(str(one.kept))])
        for one in gains
    ]
    caption = (
        "Other weights of the same trainings, which cost no further one: averages over the steps (ema) or over the "
        "last quarter of the epochs (swa), and batch norm re-estimated on clean training rows (refreshed). The numbers "
        f"say by how much each lowers the {goal.title} on the rows to choose by, in the mean over all trainings of a "
        f"method, and how many of the {gains[0].trials} trials keep it. A trial keeps what is best in the mean over "
        "its seeds, so that a small gain of what is kept is partly luck."
    )
    table = Table([*families, "Kept by"], rows, [])
    return [Section("Which weights", caption, tables=[PageTable("Gain of other weights", table, corner="Weights")])]


def _gained(goal: Column, gain: float | None) -> Cell:
    if gain is None:
        return Cell("")
    return Cell(significant(gain) if goal.metric.digits is None else number(goal.scale * gain, goal.digits + 1))


def _spent_caption(outcome: Outcome) -> str:
    plan, epochs, (_, seeds) = outcome.plan, outcome.default.settings.epochs, bests_of(outcome.trials)
    return (
        f"Each method could spend {number(plan.share, 1)} plain trainings of {epochs} epochs. The cost of a step is "
        "counted in operations, plain training's being 1; times are those of this machine. The best trials of all "
        f"methods are compared on the first {seeds} seeds, which all of them have."
    )


def _spent_table(outcome: Outcome) -> PageTable:
    rows, (_, seeds) = [], bests_of(outcome.trials)
    for family, own in by_family(outcome.trials).items():
        best, runs = best_of(own), [run for trial in own for run in trial.runs]
        cells = [
            Cell(f"{outcome.plan.costs[family]:.2f}"),
            Cell(str(len(own))),
            Cell(str(len(runs))),
            Cell(number(sum(trial.spent for trial in own), 1)),
            Cell(number(sum(run.seconds for run in runs), 1)),
            Cell("" if best is None else _shown(outcome.columns[0], best.goal(seeds)), f"{best.text}" if best else ""),
        ]
        rows.append(Row(family, cells))
    headings = ["Cost of a step", "Trials", "Trainings", "Spent", "Seconds", f"Best {outcome.columns[0].title}"]
    return PageTable("What was spent", Table(headings, rows, []), stacked=True)


def _trials_caption() -> str:
    return (
        "Those with the most seeds first, on the rows to choose by. A method's first trial has its own options and the "
        f"settings that were given. After {RUNGS[0]} seed and after {RUNGS[1]}, the better third goes on. Means over "
        "different seeds do not compare, as some seeds are easier than others."
    )


def _trials_tables(outcome: Outcome) -> list[PageTable]:
    tables = []
    for family, own in by_family(outcome.trials).items():
        order = sorted(own, key=lambda trial: (-len(trial.runs), trial.goal()))
        rows = [Row(trial.text, _trial_cells(outcome, trial)) for trial in order[:MOST_TRIALS]]
        headings = [column.heading for column in outcome.columns]
        more = f"{len(own) - MOST_TRIALS} more stand in results.csv." if len(own) > MOST_TRIALS else ""
        table = Table([*headings, "Seeds", *_SETTINGS], rows, [])
        tables.append(PageTable(f"Trials of {family}", table, corner=family, note=more))
    return tables


def _trial_cells(outcome: Outcome, trial: Trial) -> list[Cell]:
    if trial.failure or not trial.runs:
        shown = [Cell("failed"), Cell(""), Cell("")]
    else:
        values = [trial.goal(), trial.beside(0), trial.beside(1)]
        shown = [Cell(_shown(column, value)) for column, value in zip(outcome.columns, values, strict=True)]
    return [*shown, Cell(str(len(trial.runs))), *_settings_cells(trial.settled)]


def _shown(column: Column, value: float) -> str:
    return significant(value) if column.metric.digits is None else number(column.scale * value, column.digits)


def _facts(outcome: Outcome) -> dict[str, str]:
    facts = outcome.facts
    data = facts.data
    shown = {
        "Data": f"{data.name}: {data.source}",
        "Rows": ", ".join(f"{part} {size}" for part, size in data.sizes.items()),
        "Rows to choose by": "The validation and the calibration rows together; test rows took no part in the search.",
        "Classes": f"{len(data.classes)}: {listed(data.classes)}" if data.classes else "",
        "Notices": " ".join(data.notices),
        "Default": f"{outcome.default.text}, {settings_in_words(outcome.default)}",
        "Rule": "The default stays unless the gain on the test rows exceeds one standard error, over seeds and rows.",
        "Network": facts.model,
        "Training": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.settings.items()),
        "Environment": ", ".join(f"{name} {value}" for name, value in facts.environment.items()),
    }
    return {name: fact for name, fact in shown.items() if fact}
