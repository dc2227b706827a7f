"""What the numbers of an evaluation mean, in plain sentences, for people who do not know what ECE is."""

from calmix.report.sentences import ENOUGH_ANSWERS, Advice, in_a_hundred
from calmix.results.catalogue import METRICS, number
from calmix.results.scores import PLAIN, Measured

_ROWS_ONLY = (
    "This is one set of predictions: intervals say what other rows of this kind would show, not what another training "
    "run would."
)
_ONE_SET = "This is one set of predictions: another training run would give other numbers."


def class_verdict(
    measured: Measured, confidence: float, temperature: float | None = None, calibration_rows: int | None = None
) -> Advice:
    """What is said of class predictions.

    confidence: the mean over the test rows. temperature, calibration_rows: None where nothing was corrected.
    """
    plain = measured[PLAIN]
    headline = f"{_points(plain['accuracy'])} of 100 answers are right, and {_manner(measured, confidence)}."
    said = []
    sure = measured.get("sure", {})
    if sure.get("count", 0) >= ENOUGH_ANSWERS:
        said.append(f"Of the answers that are about 90 % sure, {in_a_hundred(sure['observed'])} of 100 are right.")
    if temperature is not None:
        said.append(
            f"The confidence is off by {_points(plain['ece'])} points on average, and after temperature scaling by "
            f"{_points(measured['scaled']['ece'])}. Temperature scaling divides the logits by one number, here "
            f"{number(temperature, 2)}, which was fitted on other rows."
        )
    if 0 < plain["accuracy"] < 1:
        said.append(
            "Of a right and a wrong answer, the right one has the higher confidence in "
            f"{100 * plain['auroc_correct']:.0f} of 100 pairs (chance: 50)."
        )
    if "conformal" in measured:
        sets = measured["conformal"]
        said.append(
            f"Sets of classes that should hold the true class in {100 * sets['promised']:.0f} of 100 rows hold it in "
            f"{_points(sets['coverage'])}, with {number(sets['size'], 2)} classes on average."
        )
    for condition, numbers in measured.items():
        root, _, rest = condition.partition("/")
        name, _, score = rest.rpartition("/")
        if root == "ood" and score == "max_probability":
            auroc = 100 * numbers["auroc"]
            said.append(f"A row of {name} has a lower confidence than a test row in {auroc:.0f} of 100 pairs.")
    if "human_labels" in measured:
        wrong = _points(measured["human_labels"]["total_variation"])
        said.append(f"To match people's labels, {wrong} % of the probability would have to move to other classes.")
    cautions = [_ROWS_ONLY, *_near_zero(measured), *_worst_bin(measured)]
    if temperature is not None:
        low, high = (measured[f"intervals/{end}"]["temperature"] for end in ("low", "high"))
        if low <= 1 <= high:
            cautions.append(
                f"{calibration_rows:,} calibration rows cannot tell the temperature from 1, which is no correction "
                f"(95 % interval: {number(low, 2)} to {number(high, 2)})."
            )
    return Advice(headline, said, cautions)


FEW = 20  # rows in a bin, below which its error is mostly chance
NOTABLE = 0.05  # of the NLL, which so few rows carry that it is worth a sentence


def _near_zero(measured: Measured) -> list[str]:
    """That a few rows make the NLL, if they do; and what it is in tools that clip."""
    found = measured.get("near_zero")
    if found is None or found["nll_share"] < NOTABLE:
        return []
    one = found["count"] == 1
    rows = f"{found['count']:,.0f} row{'' if one else 's'} give{'s' if one else ''} the truth a probability below 1e-6"
    nll, clipped = (METRICS["nll"].text(value) for value in (measured[PLAIN]["nll"], found["nll_clipped"]))
    carry = f"and carr{'ies' if one else 'y'} {_points(found['nll_share'])} % of the NLL of {nll}"
    others = "" if clipped == nll else f"; other tools clip probabilities at 1e-15, and say {clipped}"
    return [f"{rows} {carry}{others}."]


def _worst_bin(measured: Measured) -> list[str]:
    """That the maximum error is of a few rows, if it is."""
    rows = measured[PLAIN].get("mce_rows", FEW)
    if rows >= FEW:
        return []
    of = "a single row" if rows == 1 else f"{rows:,.0f} rows"
    return [f"The maximum error of {_points(measured[PLAIN]['mce'])} points is that of a bin with {of}: mostly chance."]


def _manner(measured: Measured, confidence: float) -> str:
    """Whether confidence is honest: too high, too low, or off without a side."""
    error, lean = measured[PLAIN]["ece"], confidence - measured[PLAIN]["accuracy"]
    if measured["intervals/low"]["ece"] <= 0:
        return "no error of their confidence can be told from chance"
    if abs(lean) < 0.5 * error:
        return f"their confidence is off by {_points(error)} points"
    return f"their confidence is {_points(abs(lean))} points too {'high' if lean > 0 else 'low'}"


def multilabel_verdict(measured: Measured) -> Advice:
    """What is said of predictions of any number of labels a row."""
    plain = measured[PLAIN]
    headline = (
        f"{_points(plain['label_accuracy'])} of 100 labels are right, and their probabilities are off by "
        f"{_points(plain['positive_ece'])} points on average."
    )
    said = f"All labels of a row are right in {_points(plain['exact_match'])} of 100 rows."
    return Advice(headline, [said], [_ONE_SET])


def regression_verdict(measured: Measured) -> Advice:
    """What is said of predicted numbers, with standard deviations or without."""
    plain = measured[PLAIN]
    error = METRICS["rmse"].text(plain["rmse"])
    explained = f", and explain {_points(plain['r2'])} % of their variance" if plain["r2"] > 0 else ""
    headline = f"The predictions are off by {error} (root mean square), in the unit of the targets{explained}."
    if "coverage_90" not in plain:
        said = "No standard deviations were given, so their calibration cannot be measured."
        return Advice(headline, [said], [_ONE_SET])
    said = [f"Intervals that should hold 90 of 100 true values hold {_points(plain['coverage_90'])}."]
    if "scaled" in measured:
        after = _points(measured["scaled"]["coverage_90"])
        said.append(
            "After variance scaling, which multiplies all standard deviations by one factor fitted on other rows, "
            f"they hold {after}."
        )
    if "conformal" in measured:
        held = _points(measured["conformal"]["coverage"])
        said.append(f"Conformal intervals, which promise 90 whatever the model, hold {held}.")
    off = number(100 * plain["ence"], 0)
    said.append(f"The errors of rows with similar standard deviations are {off} % larger or smaller than claimed.")
    return Advice(headline, said, [_ONE_SET])


def _points(share: float) -> str:
    """A share in per cent, with one digit."""
    return number(100 * share, 1)
