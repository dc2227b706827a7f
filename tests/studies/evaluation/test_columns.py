"""Tables whose names calmix does not know: columns by option, and what is ignored is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calmix.cli import main
from calmix.data import TableFormat
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.predictions import ClassPredictions
from calmix.studies.evaluation.columns import Columns
from calmix.studies.evaluation.files import read_given
from calmix.studies.evaluation.given import Given

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(60, 3))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
LABELS = RNG.integers(3, size=60)
NAMES = np.array(["cat", "dog", "eel"])
P = PROBS[:, 0]  # of one class against the other
YES = np.where(LABELS == 0, "yes", "no")


def table(folder: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_csv(folder / "test.csv", index=False)
    return folder / "test.csv"


def classified(given: Given) -> ClassPredictions:
    assert isinstance(given.test, ClassPredictions)
    return given.test


def read(path: Path, probs: tuple[str, ...] = (), label: str | None = None, positive: str | None = None) -> Given:
    return read_given(path, columns=Columns(probs, label, positive))


def test_columns_of_any_name_are_named_by_options(tmp_path: Path):
    scores = {"id": np.arange(60), **{f"p({name})": PROBS[:, k] for k, name in enumerate(NAMES)}}
    path = table(tmp_path, **scores, truth=LABELS, prob_entropy=LABELS)
    given = read(path, ("p(cat)", "p(dog)", "p(eel)"), "truth")
    assert np.allclose(classified(given).probs, PROBS)
    assert np.array_equal(classified(given).labels, LABELS)
    assert classified(given).classes == ("cat", "dog", "eel")
    [notice] = given.notices
    assert "ignored" in notice
    assert "id" in notice
    assert "prob_entropy" in notice  # it would be taken for a class of its own


def test_classes_are_what_differs_in_the_names(tmp_path: Path):
    scores = {f"model_{name}_score": PROBS[:, k] for k, name in enumerate(NAMES)}
    test = classified(read(table(tmp_path, **scores, y=NAMES[LABELS]), tuple(scores), "y"))
    assert test.classes == ("cat", "dog", "eel")
    assert np.array_equal(test.labels, LABELS)
    assert Columns(("dog", "doe")).classes == ("dog", "doe")  # not g and e
    assert Columns(("p_1", "p_10")).classes == ("1", "10")


def test_one_probability_is_of_the_positive_class(tmp_path: Path):
    path = table(tmp_path, score=P, outcome=YES)
    for positive in ("yes", "no"):
        test = classified(read(path, ("score",), "outcome", positive))
        assert np.allclose(test.probs[:, 1], P)
        assert np.array_equal(test.labels, positive == YES)
    with pytest.raises(DataError, match="--positive CLASS"):
        read(path, ("score",), "outcome")
    with pytest.raises(UnknownNameError, match="'maybe'"):
        read(path, ("score",), "outcome", "maybe")
    path = table(tmp_path, score=P, outcome=NAMES[LABELS])
    with pytest.raises(DataError, match="3 classes"):
        read(path, ("score",), "outcome", "cat")


def test_the_positive_class_of_two_columns_comes_second(tmp_path: Path):
    two = {"p_no": 1 - P, "p_yes": P}
    for truth in (YES, (YES == "yes").astype(int)):
        path = table(tmp_path, **two, truth=truth)
        for positive, expected in (("yes", P), ("no", 1 - P)):
            test = classified(read(path, ("p_no", "p_yes"), "truth", positive))
            assert np.allclose(test.probs[:, 1], expected)
            assert np.array_equal(test.labels, positive == YES)


def test_the_named_label_is_the_label(tmp_path: Path):
    """Also where another column has the name that would be taken otherwise."""
    scores = {f"probs_{one}": PROBS[:, k] for k, one in enumerate(NAMES)}
    given = read(table(tmp_path, **scores, label=np.zeros(60, int), truth=LABELS), label="truth")
    assert np.array_equal(classified(given).labels, LABELS)
    assert "label" in given.notices[0]


def test_true_and_false_are_still_labels(tmp_path: Path):
    test = classified(read_given(table(tmp_path, probs=P, label=LABELS == 0)))
    assert np.array_equal(test.labels, LABELS == 0)


def test_calibration_files_have_the_same_columns(tmp_path: Path):
    scores = {name: PROBS[:, k] for k, name in enumerate(NAMES)}
    path = table(tmp_path, **scores, truth=NAMES[LABELS])
    held = tmp_path / "held.csv"
    pd.DataFrame({**{name: PROBS[::-1, k] for k, name in enumerate(NAMES)}, "truth": NAMES[LABELS]}).to_csv(held)
    given = read_given(path, held, columns=Columns(tuple(NAMES), "truth"))
    assert given.calibration is not None
    foreign = tmp_path / "foreign.csv"
    pd.DataFrame(scores).to_csv(foreign, index=False)
    assert list(read_given(path, ood=[foreign], columns=Columns(tuple(NAMES), "truth")).ood) == ["foreign"]


@pytest.mark.parametrize("name", ["lables", "probz_cat", "calibration_label_", "ood_x"])
def test_a_name_that_was_hardly_meant_otherwise_is_refused(tmp_path: Path, name: str):
    scores = {f"probs_{one}": PROBS[:, k] for k, one in enumerate(NAMES)}
    with pytest.raises(UnknownNameError, match="remove or rename it"):
        read_given(table(tmp_path, **scores, label=LABELS, **{name: LABELS}))


def test_arrays_that_are_no_predictions_are_ignored_aloud(tmp_path: Path):
    np.savez(tmp_path / "test.npz", probs=PROBS, labels=LABELS, row_ids=np.arange(60))
    given = read_given(tmp_path / "test.npz")
    assert given.notices == ("test.npz: ignored what is no prediction by its name: row_ids.",)


def test_bad_options_become_advice(tmp_path: Path):
    with pytest.raises(SettingError, match="twice"):
        Columns(("a", "a"))
    with pytest.raises(SettingError, match="as probability and as label"):
        Columns(("a", "b"), "a")
    with pytest.raises(SettingError, match="two classes"):
        Columns(("a", "b", "c"), positive="a")
    with pytest.raises(UnknownNameError, match="did you mean 'truth'"):
        read(table(tmp_path, a=P, truth=YES), ("a",), "truht")
    scores = {f"probs_{one}": PROBS[:, k] for k, one in enumerate(NAMES)}
    with pytest.raises(DataError, match="is for two"):
        read(table(tmp_path, **scores, label=LABELS), positive="cat")
    with pytest.raises(DataError, match="--label-column"):
        read(table(tmp_path, score=P, truth=YES), ("score",), positive="yes")
    np.savez(tmp_path / "test.npz", probs=PROBS, labels=LABELS)
    with pytest.raises(SettingError, match="are for tables"):
        read(tmp_path / "test.npz", label="labels")


def test_what_calmix_predict_writes_beside_the_predictions_is_no_surprise(tmp_path: Path):
    path = table(tmp_path, file="a.jpg", probs_no=1 - P, probs_yes=P, answer="yes", set="yes; no", label=YES)
    assert read_given(path).notices == ()


def test_the_command_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    certain = np.where(np.arange(60) == 0, 1e-18, P)
    path = table(tmp_path, row=np.arange(60), score=certain, outcome=np.where(np.arange(60) == 0, "yes", YES))
    options = ["--prob-columns", "score", "--label-column", "outcome", "--positive", "yes"]
    main(["evaluate", str(path), *options, "--out", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert "ignored what is no prediction by its name: row" in shown.err
    said = " ".join(shown.out.split())
    assert "1 row gives the truth a probability below 1e-6 and carries" in said
    assert "other tools clip probabilities at 1e-15" in said
    assert "Rows in the worst bin" in said
    assert "mostly chance" in said
    assert "Notices" in (tmp_path / "out" / "report.html").read_text()


def european(folder: Path, *extra: str) -> Path:
    """A table of predictions as a spreadsheet of a German program writes it."""
    rows = [
        ";".join([str(label), *(f"{value:.5f}".replace(".", ",") for value in row)])
        for label, row in zip(LABELS, PROBS, strict=True)
    ]
    path = folder / "test.csv"
    path.write_text("\n".join(["label;prob_cat;prob_dog;prob_eel", *rows, *extra]) + "\n", encoding="utf-8")
    return path


def test_what_the_reader_had_to_find_is_on_the_terminal_and_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main(["evaluate", str(european(tmp_path, "Summe;20,1;19,8;20,1")), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text()
    for notice in (
        "test.csv was read with ';' between cells, decimal commas.",
        "the last row looks like totals and is left out: 'Summe', '20,1', '19,8', '20,1'.",
    ):
        assert notice in shown
        assert notice.replace("'", "&#39;") in page
    assert "<dd>60</dd>" in page  # rows


def test_a_cell_that_is_no_number_is_named(tmp_path: Path):
    said = r"column 'prob_cat' holds 'k.A.' in row 61, which is no number \(1 of 61 rows\)"
    with pytest.raises(DataError, match=said):
        read(european(tmp_path, "1;k.A.;0,5;0,5"))


def test_how_a_table_is_written_can_be_said(tmp_path: Path):
    """Two rows of 0,5;0,5 show neither what parts cells nor what stands before decimals."""
    path = tmp_path / "p.txt"
    path.write_text("probs_a~probs_b~label\n" + "0,75~0,25~a\n0,5~0,5~b\n" * 10)
    given = read_given(path, format=TableFormat(sep="~", decimal=","))
    assert isinstance(given.test, ClassPredictions)
    assert given.test.probs[0].tolist() == pytest.approx([0.75, 0.25])
    np.savez(tmp_path / "p.npz", probs=given.test.probs.numpy(), labels=given.test.labels.numpy())
    with pytest.raises(SettingError, match=r"how a table is written was said, and p\.npz is none"):
        read_given(tmp_path / "p.npz", format=TableFormat(sep="~"))
