"""What is said of a search: a function of its numbers."""

from statistics import fmean

from calmix.report.sentences import Advice, joined
from calmix.report.tables import seeds
from calmix.results.catalogue import Column, number, significant
from calmix.studies.tuning.outcome import CHOSEN, DEFAULT, PLAIN, Outcome
from calmix.studies.tuning.search import RUNGS
from calmix.studies.tuning.trials import Trial

FEW_ROWS = 200  # to test on, or to choose by


def tuning_advice(outcome: Outcome) -> Advice:
    """Whether to change the default, why, and how far to trust it."""
    return Advice(_headline(outcome), _reasons(outcome), _cautions(outcome))


def settings_in_words(trial: Trial) -> str:
    """The settings of a trial's training that are searched.

    >>> from calmix.train import TrainingSettings
    >>> settings_in_words(Trial("erm", 0, {}, "erm", TrainingSettings(epochs=20, learning_rate=0.03), 1.0))
    'learning rate 0.03, weight decay 0.0005, 20 epochs'
    """
    settings = trial.settings
    said = f"learning rate {settings.peak_rate:g}, weight decay {settings.weight_decay:g}, {settings.epochs} epochs"
    return said if settings.weights == "trained" else f"{said}, weights: {settings.weights}"


def _headline(outcome: Outcome) -> str:
    default, chosen = outcome.default, outcome.chosen
    if outcome.gain is None:
        return f"Keep the default, {default.text}: nothing that was tried did better on the rows to choose by."
    if outcome.gain.pays:
        return f"Take {chosen.text} with {settings_in_words(chosen)}: it beats the default, {default.text}."
    return f"Keep the default, {default.text}: what the search chose does not beat it on the test rows."


def _reasons(outcome: Outcome) -> list[str]:
    reasons, gain = [], outcome.gain
    if gain is not None:
        error = "one standard error, which is not known" if gain.error == float("inf") else _error(outcome)
        verb = "gains" if gain.mean >= 0 else "loses"
        least = "more than" if gain.pays else "no more than"
        told = f", {least} {error}" if gain.mean >= 0 else f" ({error})"
        reasons.append(
            f"On the test rows, over {seeds(len(gain.seeds))} that no search saw, {outcome.chosen.text} {verb} "
            f"{significant(abs(gain.mean))} in {_loss(outcome)}{told}."
        )
    reasons.append(_numbers(outcome))
    if PLAIN in outcome.finals and outcome.plain is not None:
        reasons.append(f"Plain training was tuned alike: it has {settings_in_words(outcome.plain)}.")
    return reasons


def _error(outcome: Outcome) -> str:
    assert outcome.gain is not None
    return f"one standard error, {significant(outcome.gain.error)}"


def _loss(outcome: Outcome) -> str:
    return "mean squared error" if outcome.facts.regression else "NLL after temperature scaling"


def _numbers(outcome: Outcome) -> str:
    """The goal, and the accuracy or its like, of all that were trained anew."""
    names = {DEFAULT: "of the default", CHOSEN: "of what was chosen", PLAIN: "of tuned plain training"}
    said = []
    for column in (outcome.columns[0], outcome.columns[-1]):
        values = [f"{_mean(outcome, name, column)} {names[name]}" for name in outcome.finals]
        said.append(f"{column.title}: {joined(values)}.")
    return " ".join(said)


def _mean(outcome: Outcome, name: str, column: Column) -> str:
    value = fmean(record.metrics[column.condition][column.key] for record in outcome.finals[name])
    if column.metric.digits is None:
        return significant(value)
    return number(column.scale * value, column.digits) + (" %" if column.metric.unit == "%" else "")


def _cautions(outcome: Outcome) -> list[str]:
    sizes, cautions = outcome.facts.data.sizes, []
    held = sizes["validation"] + sizes["calibration"]
    if held < FEW_ROWS:
        cautions.append(f"There were {held} rows to choose by in a seed: another draw may choose otherwise.")
    if sizes["test"] < FEW_ROWS:
        cautions.append(f"There are {sizes['test']} test rows: small gains cannot be told.")
    if outcome.facts.settings.get("select") == "best":
        cautions.append("The epochs were chosen on validation rows that the trials were judged by, too.")
    failed = [trial for trial in outcome.trials if trial.failure]
    if failed:
        cautions.append(
            f"{len(failed)} of {len(outcome.trials)} trials failed; the first, {failed[0].text} with "
            f"{settings_in_words(failed[0])}: {failed[0].failure}"
        )
    if outcome.failures:
        first = outcome.failures[0]
        cautions.append(f"{len(outcome.failures)} of the last trainings failed; the first: {first.reason}")
    raced = {
        trial.family: max(len(t.runs) for t in outcome.trials if t.family == trial.family) for trial in outcome.trials
    }
    short = [family for family, count in raced.items() if count < RUNGS[1]]
    if short:
        cautions.append(f"No trial of {joined(short)} has {RUNGS[1]} seeds, so that its best may be a lucky one.")
    return cautions
