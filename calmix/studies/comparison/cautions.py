"""Reasons not to trust a comparison yet, in sentences: trained too short or too long, chosen among on the test split.

And that most of the time may have gone into waiting for rows.

S  seeds
E  points of a learning curve
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calmix.report.sentences import called, joined, listed
from calmix.results.catalogue import ACCURACY, number
from calmix.results.machines import described, differing, runs_by_machine
from calmix.results.statistics import interval
from calmix.results.store import PLAIN_TRAINING, Results
from calmix.studies.comparison import balance
from calmix.studies.comparison.goals import unequal
from calmix.studies.comparison.lucky import lucky_seeds
from calmix.studies.comparison.wording import one_round

FALLS, FALLS_BY = 0.05, 0.01  # of the loss, and in its unit, in the last half of the epochs: still learning
ROSE, ROSE_BY = 0.10, 0.02  # the same, from its lowest point to the end: over-fitted
LATEST = 2 / 3  # of the epochs, after which a lowest point is no reason to worry
BEHIND = 0.05  # training rows, as a share of all: further from plain training's, a method has not learnt them yet
WAITED, WAITED_SECONDS = 0.10, 5.0  # of the training time, and in all: from then on it is said
MOST_MACHINES = 4  # that are named
TOLD_ALONE = 2  # how many times these a single seed must show, as nothing tells its noise


def cautions(results: Results) -> list[str]:
    """Full sentences, none where there is nothing to mind."""
    return [
        *balance.cautions(results),
        *(sentence for sentence in (_too_short(results), _behind(results), _too_long(results)) if sentence),
        *lucky_seeds(results),
        *named_often(results),
        *waited(results),
        *unlike_machines(results),
    ]


# ------------------------------------------------------------------------------------------- too short, too long


@dataclass(frozen=True, eq=False)
class Course:
    """The validation loss of a method's runs."""

    epochs: NDArray[np.int64]  # (E,)
    losses: NDArray[np.float64]  # (S, E)

    @property
    def last(self) -> int:
        return int(self.epochs[-1])


@dataclass(frozen=True)
class Change:
    """What became of the loss, as a share of it, on average over seeds; and from which epoch on."""

    share: float
    since: int


def course_of(results: Results, method: str) -> Course | None:
    """None where fewer than three points are known."""
    runs = [[epoch for epoch in run.history if "loss" in epoch.validation] for run in results.of_method(method)]
    epochs = [[epoch.number for epoch in run] for run in runs]
    if not runs or len(epochs[0]) < 3 or any(one != epochs[0] for one in epochs):
        return None
    losses = [[epoch.validation["loss"] for epoch in run] for run in runs]
    return Course(np.array(epochs[0]), np.array(losses, dtype=float))


def still_falls(course: Course) -> Change | None:
    """By how much the loss falls in the last half of the epochs, by a line through its points; None if it does not.

    Half, as schedules that end at a rate of zero flatten the last third of every training. Of 32 trainings of four data
    sets (`python -m benchmarks.cut_short`) it named all eight whose loss twice as many epochs lower by a third or more
    (by 59 to 85 %), and no other (of which they lower the loss by 27 % at most).

    It falls where the interval over seeds excludes zero, and the fall is 5 % of the loss and 0.01 or more.
    """
    count = max(2, len(course.epochs) // 2)
    epochs, losses = course.epochs[-count:].astype(float), course.losses[:, -count:]
    slopes = np.polyfit(epochs, losses.T, 1)[0]  # (S,)
    return _told(-slopes * (epochs[-1] - epochs[0]), float(losses.mean()), FALLS, FALLS_BY, int(epochs[0]))


def rose_long_ago(course: Course) -> Change | None:
    """By how much the loss is above its lowest point, which lies long before the end; None if it is not, or does not.

    The lowest point is that of the mean over seeds, a mean of three points; so is the end. It lies long before where it
    is in the first two thirds. The interval over seeds must exclude zero, and the rise be 10 % of the loss and 0.02.
    """
    smooth = np.stack([course.losses[:, max(0, i - 1) : i + 2].mean(1) for i in range(len(course.epochs))], 1)  # (S, E)
    lowest = int(smooth.mean(0).argmin())
    if course.epochs[lowest] > LATEST * course.last:
        return None
    rises = smooth[:, -1] - smooth[:, lowest]
    return _told(rises, float(smooth[:, lowest].mean()), ROSE, ROSE_BY, int(course.epochs[lowest]))


def _told(changes: NDArray[np.float64], loss: float, share: float, least: float, since: int) -> Change | None:
    """The mean change (S,), if it is large and, of several seeds, beyond chance."""
    found = interval(changes.tolist())
    needed = max(share * loss, least) * (1 if found.count > 1 else TOLD_ALONE)
    if found.mean < needed or (found.count > 1 and found.side != 1):
        return None
    return Change(found.mean / loss if loss > 0 else 0.0, since)


def _too_short(results: Results) -> str:
    found = {method: (course, still_falls(course)) for method, course in _courses(results).items()}
    falling = {method: (course, change) for method, (course, change) in found.items() if change}
    if not falling:
        return ""
    course = next(iter(falling.values()))[0]
    since = min(change.since for _, change in falling.values())
    they = joined([f"{called(method)} (by {_percent(change)})" for method, (_, change) in falling.items()])
    return (
        f"Training was cut short: from epoch {since} to the last, {course.last}, the validation loss still fell for "
        f"{they}; train longer, such as for {2 * course.last} epochs, before you choose."
    )


def _too_long(results: Results) -> str:
    if results.facts.settings.get("select") == "best":
        return ""
    found = {method: (course, rose_long_ago(course)) for method, course in _courses(results).items()}
    risen = {method: (course, change) for method, (course, change) in found.items() if change}
    if not risen:
        return ""
    course = next(iter(risen.values()))[0]
    they = joined([f"{called(m)} (epoch {change.since}, {_percent(change)})" for m, (_, change) in risen.items()])
    return (
        f"Over-fitted: the validation loss was lowest long before the last epoch, {course.last}, and is higher at the "
        f"end, for {they}; keep the best epoch (--select best), or train fewer."
    )


def _behind(results: Results) -> str:
    """Methods that have learnt far fewer of the training rows than plain training, which shows what the network can.

    A method that is nevertheless right more often on the test split has left out what is better left out, such as wrong
    labels.
    """
    scores = results.scores
    if PLAIN_TRAINING not in results.methods or results.seeds < 2 or not scores.has("accuracy", "training"):
        return ""
    if unequal(results):  # right answers are not what networks are to learn then
        return ""
    plain = course_of(results, PLAIN_TRAINING)
    if plain is not None and rose_long_ago(plain):  # it has learnt rows by heart, and others need not follow
        return ""

    def is_behind(method: str) -> bool:
        learnt = scores.difference(method, PLAIN_TRAINING, "accuracy", "training")
        test = scores.difference(method, PLAIN_TRAINING, ACCURACY.key)
        return learnt.side == -1 and learnt.mean <= -BEHIND and test.side != 1

    def learnt(method: str) -> str:
        return number(100 * scores.interval(method, "accuracy", "training").mean, 1)

    behind = [f"{called(m)} {learnt(m)}" for m in results.methods if m != PLAIN_TRAINING and is_behind(m)]
    if not behind:
        return ""
    epochs = results.facts.settings.get("epochs")
    after = f"After {epochs} epochs, of" if epochs else "Of"
    return (
        f"{after} 100 training rows as they are, {joined(behind)} are answered right, where plain training reaches "
        f"{learnt(PLAIN_TRAINING)}: mixing needs longer here, so train longer before you choose."
    )


def _courses(results: Results) -> dict[str, Course]:
    found = {method: course_of(results, method) for method in results.methods}
    return {method: course for method, course in found.items() if course is not None}


def _percent(change: Change) -> str:
    return f"{number(100 * change.share, 0)} %"


# ------------------------------------------------------------------------------------------- chosen among on the test


def named_often(results: Results) -> list[str]:
    """That options of one method are not to be chosen among on the test split; nothing where each stands once."""
    bases = [method.partition("(")[0] for method in results.methods]
    several = {base: bases.count(base) for base in dict.fromkeys(bases) if bases.count(base) > 1}
    if not several:
        return []
    they = joined([f"{base} stands {_times(count)}" for base, count in several.items()])
    metric = "rmse" if results.regression else "nll"
    said = f"{they}, with other options: the best of them on the test rows is flattered by chance"
    if not results.scores.has(metric, "validation"):
        return [f"{said}; choose on other rows, and then test that one."]
    columns = "validation_rmse" if results.regression else "validation_accuracy or validation_nll"
    best = [
        min(
            (method for method, of in zip(results.methods, bases, strict=True) if of == base),
            key=lambda method: results.scores.interval(method, metric, "validation").mean,
        )
        for base in several
    ]
    title = "RMSE" if results.regression else "NLL"
    return [
        f"{said}; choose among them by {columns} in results.csv (lowest validation {title}: {joined(best)}), and "
        "report the test rows of that one alone."
    ]


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count} times"


# ------------------------------------------------------------------------------------------- waited for rows


def waited(results: Results) -> list[str]:
    """That trainings waited for rows to be read, where that took a tenth of their time; nothing else."""
    known = [(run.waited_seconds, run.train_seconds) for run in results.records if run.waited_seconds is not None]
    seconds, whole = (sum(times) for times in zip(*known, strict=True)) if known else (0.0, 0.0)
    if seconds < WAITED_SECONDS or seconds < WAITED * whole:
        return []
    share = number(100 * seconds / whole, 0)
    return [
        f"Training waited for rows to be read during {share} % of its time: take smaller images or a faster disk, or "
        "in Python a DataLoader with more num_workers."
    ]


# ------------------------------------------------------------------------------------------- unlike machines


def unlike_machines(results: Results) -> list[str]:
    """What runs were carried out on, where those machines are known to differ; nothing else."""
    counts = runs_by_machine(record.machine for record in results.compared)
    names = differing(counts)
    if not names:
        return []
    runs: dict[str, int] = {}
    for machine, count in counts.items():
        said = described(machine, names)
        runs[said] = runs.get(said, 0) + count
    there = listed([f"{count} on {said}" for said, count in runs.items()], MOST_MACHINES)
    seeds: dict[int, set[str]] = {}
    for record in results.compared:
        seeds.setdefault(record.seed, set()).add(described(record.machine, names))
    torn = sum(len(machines) > 1 for machines in seeds.values())
    unit = one_round(results)
    paired = f"in {torn} of {len(seeds)} {unit}s the methods met unlike ones, so some of what they differ by is theirs"
    alike = f"in each {unit} all methods met the same kind"
    measured = {record.cost_machine for record in results.compared if record.relative_cost is not None}
    on_one = None not in measured and len({machine.kind for machine in measured if machine}) == 1
    costs = "; costs can, as all were measured on one kind" if on_one else ", nor can costs"
    return [
        f"Runs were carried out on unlike machines ({there}); {paired if torn else alike}. Their seconds cannot be "
        f"compared{costs}."
    ]
