"""What the numbers of an evaluation mean, in plain sentences, for people who do not know what ECE is."""

from calmix.report.sentences import ENOUGH_ANSWERS, Advice, in_a_hundred
from calmix.results.catalogue import METRICS, number
from calmix.results.scores import PLAIN, Measured

_ROWS_ONLY = (
    "This is one set of predictions: intervals say what other rows of this kind would show, not what another training "
    "run would."
)


def class_verdict(
    measured: Measured, confidence: float, temperature: float | None = None, calibration_rows: int | None = None
) -> Advice:
    """What is said of class predictions.

    confidence: the mean over the test rows. temperature, calibration_rows: None where nothing was corrected.
    """
    plain = measured[PLAIN]
    headline = f"Right {_points(plain['accuracy'])} times in a hundred, and {_manner(measured, confidence)}."
    said = []
    sure = measured.get("sure", {})
    if sure.get("count", 0) >= ENOUGH_ANSWERS:
        said.append(f"When it says about 90 %, it is right {in_a_hundred(sure['observed'])} times in a hundred.")
    if temperature is not None:
        said.append(
            f"Its confidence is off by {_points(plain['ece'])} points on average; after temperature scaling, which "
            f"divides logits by one number ({number(temperature, 2)}) fitted on held-out rows, by "
            f"{_points(measured['scaled']['ece'])}."
        )
    if 0 < plain["accuracy"] < 1:
        said.append(
            "Of a right and a wrong answer, the right one is the more confident in "
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
            said.append(f"It is less sure of a row of {name} than of a test row in {auroc:.0f} of 100 pairs.")
    if "human_labels" in measured:
        wrong = _points(measured["human_labels"]["total_variation"])
        said.append(f"{wrong} % of its probability would have to move to match people's labels.")
    cautions = [_ROWS_ONLY, *_near_zero(measured), *_worst_bin(measured)]
    if temperature is not None:
        low, high = (measured[f"intervals/{end}"]["temperature"] for end in ("low", "high"))
        if low <= 1 <= high:
            cautions.append(
                f"{calibration_rows} calibration rows cannot tell the temperature from 1, which is no correction (95 % "
                f"interval: {number(low, 2)} to {number(high, 2)})."
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
    of = "a single row" if rows == 1 else f"{rows:.0f} rows"
    return [f"The maximum error of {_points(measured[PLAIN]['mce'])} points is that of a bin of {of}: mostly chance."]


def _manner(measured: Measured, confidence: float) -> str:
    """Whether confidence is honest: too high, too low, or off without a side."""
    error, lean = measured[PLAIN]["ece"], confidence - measured[PLAIN]["accuracy"]
    if measured["intervals/low"]["ece"] <= 0:
        return "its confidence cannot be told from honest"
    if abs(lean) < 0.5 * error:
        return f"its confidence is off by {_points(error)} points"
    return f"it is {_points(abs(lean))} points too {'sure' if lean > 0 else 'unsure'} of itself"


def multilabel_verdict(measured: Measured) -> Advice:
    """What is said of predictions of any number of labels a row."""
    plain = measured[PLAIN]
    headline = (
        f"{_points(plain['label_accuracy'])} of 100 labels are right, and probabilities are off by "
        f"{_points(plain['positive_ece'])} points."
    )
    said = f"All labels of a row are right in {_points(plain['exact_match'])} of 100 rows."
    return Advice(headline, [said], [_ROWS_ONLY])


def regression_verdict(measured: Measured) -> Advice:
    """What is said of predicted numbers, with standard deviations or without."""
    plain = measured[PLAIN]
    error = METRICS["rmse"].text(plain["rmse"])
    headline = f"Off by {error} (root mean square), in the unit of the targets."
    if "coverage_90" not in plain:
        said = "No standard deviations were given, so nothing can be said about how honest they are."
        return Advice(headline, [said], [_ROWS_ONLY])
    said = [f"Intervals that should hold 90 of 100 true values hold {_points(plain['coverage_90'])}."]
    if "scaled" in measured:
        after = _points(measured["scaled"]["coverage_90"])
        said.append(f"After one factor for all deviations, fitted on held-out rows, they hold {after}.")
    if "conformal" in measured:
        held = _points(measured["conformal"]["coverage"])
        said.append(f"Conformal intervals, which promise 90 whatever the model, hold {held}.")
    off = number(100 * plain["ence"], 0)
    said.append(f"Rows with similar deviations are off by {off} % more or less than they claim, on average.")
    return Advice(headline, said, [_ROWS_ONLY])


def _points(share: float) -> str:
    """A share in per cent, with one digit."""
    return number(100 * share, 1)
