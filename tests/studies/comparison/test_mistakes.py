"""The rows that networks get most wrong are found, lead back to the user's file, and are shown without the data."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import calmix
from calmix.data import Arrays, DataSource, Folds, NamedSet, Noisy, Symmetric, TableFile
from calmix.data.given_rows import Unusual
from calmix.engines import Processes
from calmix.errors import DataError
from calmix.metrics import classification_metrics, regression_metrics
from calmix.reading import typed
from calmix.results.files import NamedArrays, write_arrays
from calmix.results.records import Epoch, Record, save_record
from calmix.results.store import Results, references, write_results
from calmix.studies.comparison.compared import Compared, read_comparison
from calmix.studies.comparison.kept import train_and_keep
from calmix.studies.comparison.mistakes import (
    MOST,
    SIDE,
    Content,
    Judged,
    Mistakes,
    Picture,
    WrongAnswer,
    find_mistakes,
    judged_of,
    most_wrong,
    picture_of,
    read_mistakes,
    write_mistakes,
)
from calmix.studies.comparison.mistakes_shown import confidence_text, doubts, mistakes_section, unusual_text
from calmix.studies.comparison.study import Comparison, carry_out_comparison
from calmix.train import Recipe, TrainingSettings
from calmix.train.recipe import facts_of

EVIL = "<b>=1+1"
Said = Mapping[int, tuple[int, float]]  # by the number of a row, which class a network says and how surely


def judged(*tests: tuple[int, int, float]) -> Judged:
    """Of (row, whether wrong, confidence)."""
    rows, wrong, confidence = (np.array(values) for values in zip(*tests, strict=True))
    return Judged(rows, np.zeros(len(rows), int), np.zeros(len(rows), int), wrong, confidence.astype(float))


def told(source: DataSource, said: Mapping[str, Said], seeds: int = 2) -> tuple[Results, Callable, list[Recipe]]:
    """A comparison of made-up networks: they are right with confidence 0.6, unless it is said otherwise."""
    recipes = [Recipe(source, label, calmix.erm(), seed=seed) for seed in range(seeds) for label in said]
    predictions: dict[tuple[str, int], NamedArrays] = {}
    records = []
    for recipe in recipes:
        splits = recipe.splits()
        assert splits.given is not None
        rows, labels, k = splits.given.tested, splits.test.y.numpy(), len(splits.about.classes)
        probs = np.full((len(rows), k), 0.4 / (k - 1))
        probs[np.arange(len(rows)), labels] = 0.6
        for place, row in enumerate(rows.tolist()):
            if row in said[recipe.label]:
                answer, confidence = said[recipe.label][row]
                probs[place] = (1 - confidence) / (k - 1)
                probs[place, answer] = confidence
        arrays = {
            "logits": np.log(probs.clip(1e-30)),
            "probs": probs.astype(np.float32),
            "labels": labels,
            "temperature": np.array(1.0),
            "rows": rows,
        }
        scores = {name: classification_metrics(probs, labels) for name in ("plain", "scaled")}
        predictions[recipe.label, recipe.seed] = arrays
        records.append(record(recipe, scores, 1.0))
    labels = list(said)
    results = Results(facts_of(recipes[0]), records, references(labels)[0])
    return results, lambda record: predictions[record.method, record.seed], recipes


def record(recipe: Recipe, scores: Mapping, temperature: float | None) -> Record:
    history = tuple(Epoch(n, {"loss": 1.0}, {"loss": 1 / n, "accuracy": 0.5}) for n in (1, 2))
    return Record(recipe.label, "Method()", recipe.seed, scores, temperature, 1.0, 1.0, 2, history, "")


def kept(folder: Path, results: Results, predictions_of: Callable, recipes: Sequence[Recipe]) -> Mistakes:
    """The folder as a comparison leaves it."""
    for one in results.records:
        save_record(folder, one, predictions_of(one))
    found = find_mistakes(results, predictions_of, recipes)
    assert found is not None
    write_mistakes(folder, found)
    write_results(folder, results)
    return found


def table(path: Path, rows: int = 120) -> Path:
    """Two classes, `yes` where x is positive; every third row after the tenth lacks its class."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    cells = [f"{a:.4f},{rng.choice(['red', 'blue'])},{'yes' if a > 0 else 'no'}" for a in x]
    cells[10::9] = [cell.rpartition(",")[0] + "," for cell in cells[10::9]]
    cells[40] = cells[40].replace("red", EVIL).replace("blue", EVIL)
    path.write_text(f"x,{EVIL},y\n" + "\n".join(cells) + "\n")
    return path


def line(path: Path, number: int) -> list[str]:
    return path.read_text().splitlines()[number - 1].split(",")


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]*>", " ", page.read_text(encoding="utf-8"))


def section_of(page: Path, anchor: str = "most-confident-mistakes") -> str:
    found = re.search(rf'<h2 id="{anchor}">.*?</section>', page.read_text(encoding="utf-8"), re.DOTALL)
    return found[0] if found else ""


# ----------------------------------------------------------------------------------------------- which rows


def test_the_order_is_by_the_mean_confidence_of_wrong_answers_a_right_one_counting_as_none():
    tests = judged((1, 1, 0.9), (1, 0, 0.9), (2, 1, 0.6), (2, 1, 0.6), (3, 0, 1.0), (4, 1, 0.7))
    assert most_wrong(tests, tests.confidence * tests.wrong) == [4, 2, 1]
    assert most_wrong(tests, tests.confidence * tests.wrong, most=1) == [4]


def test_of_equally_wrong_rows_those_tested_more_often_come_first_then_the_first_ones():
    tests = judged((7, 1, 1.0), (5, 1, 1.0), (9, 1, 1.0), (9, 1, 1.0), (8, 0, 1.0))
    assert most_wrong(tests, tests.confidence * tests.wrong) == [9, 5, 7]
    many = judged(*((row, 1, 1.0) for row in range(50, 0, -1)))
    assert most_wrong(many, many.confidence * many.wrong) == list(range(1, MOST + 1))


@pytest.mark.parametrize("folds", [True, False])
def test_designed_mistakes_are_found_in_the_lines_of_the_file(tmp_path: Path, folds: bool):
    path = table(tmp_path / "t.csv")
    source = TableFile(path, "y")
    source, seeds = (Folds(source, 4), 8) if folds else (source, 6)
    lines = {n: line(path, n) for n in range(2, 122) if line(path, n)[2]}
    wrong = [n for n in lines if n % 10 == 3]
    said = {n: (int(lines[n][2] == "no"), 0.7 + n / 1000) for n in wrong}  # class 1 is yes
    other = {n + 1: (int(lines[n + 1][2] == "no"), 0.9) for n in wrong if n + 1 in lines}
    results, predictions_of, recipes = told(source, {"erm": said, "mixup": other}, seeds)
    assert results.facts.data.classes == ("no", "yes")
    found = find_mistakes(results, predictions_of, recipes)
    assert found is not None
    tested = [n for seed in range(seeds) for n in judged_of(seed, predictions_of(results.of_method("erm")[seed])).rows]  # pyright: ignore[reportOptionalMemberAccess]
    assert found.rows == len(set(tested)) == (len(lines) if folds else found.rows)
    assert [one.row for one in found.answers] == sorted(set(wrong) & set(tested), reverse=True)[:MOST]
    for one, content in zip(found.answers, found.contents, strict=True):
        cells = line(path, one.row)
        assert one.truth == cells[2]
        assert {one.truth, one.said} == {"yes", "no"}
        assert one.confidence == pytest.approx(0.7 + one.row / 1000)
        assert one.wrong == one.tested == tested.count(one.row)
        assert (one.all_wrong, one.all_tested) == (one.wrong, 2 * one.tested)
        assert one.all_confidence == pytest.approx(one.confidence)
        assert content.unusual is not None
        for value in content.unusual:
            assert value.value in (cells[0].rstrip("0"), cells[1])
    if folds:
        assert {one.tested for one in found.answers} == {2}


def test_the_answer_given_most_often_is_shown_and_networks_that_were_right_are_counted():
    source = Arrays(torch.randn(60, 2), torch.arange(60) % 3)
    row = int(Folds(source, 2).splits(0).given.tested[0])  # pyright: ignore[reportOptionalMemberAccess]
    truth = row % 3
    results, predictions_of, recipes = told(Folds(source, 2), {"erm": {}}, seeds=8)
    answers = [(truth, 0.9), ((truth + 1) % 3, 0.5), ((truth + 2) % 3, 0.7), ((truth + 2) % 3, 0.9)]
    for one in results.records:
        arrays = predictions_of(one)
        [place] = np.flatnonzero(arrays["rows"] == row).tolist() or [None]
        if place is not None:
            answer, confidence = answers.pop()
            arrays["probs"][place] = (1 - confidence) / 2
            arrays["probs"][place, answer] = confidence
    found = find_mistakes(results, predictions_of, recipes)
    assert found is not None
    [one] = found.answers
    assert (one.row, one.truth, one.said) == (row, str(truth), str((truth + 2) % 3))
    assert (one.wrong, one.tested) == (3, 4)
    assert one.confidence == pytest.approx(0.7)


def test_labels_made_wrong_for_training_leave_the_lines(tmp_path: Path):
    path = table(tmp_path / "t.csv")
    source = Noisy(Folds(TableFile(path, "y"), 3), Symmetric(0.3))
    said = {n: (int(line(path, n)[2] == "no"), 0.99) for n in (5, 50)}
    found = find_mistakes(*told(source, {"erm": said}, seeds=3))
    assert found is not None
    assert [(one.row, one.truth) for one in found.answers] == [(n, line(path, n)[2]) for n in (5, 50)]


def test_trained_networks_find_labels_that_were_made_wrong(tmp_path: Path):
    """Of 150 rows of two far classes, three have the other's label."""
    path, rng = tmp_path / "t.csv", np.random.default_rng(0)
    y = rng.integers(0, 2, 150)
    flipped = [20, 77, 131]
    labels = [f"c{1 - k if place + 2 in flipped else k}" for place, k in enumerate(y.tolist())]
    x = rng.normal(size=(150, 2)) + 6 * y[:, None]
    path.write_text("a,b,y\n" + "".join(f"{a:.3f},{b:.3f},{k}\n" for (a, b), k in zip(x, labels, strict=True)))
    methods = {"erm": calmix.erm(), "mixup": calmix.mixup()}
    settings = TrainingSettings(epochs=15, batch_size=32)
    comparison = Comparison(Folds(TableFile(path, "y"), 2), methods, settings=settings, seeds=2)
    out = tmp_path / "out"
    found = carry_out_comparison(comparison, out, engine=Processes(1))
    assert found.mistakes is not None
    assert sorted(one.row for one in found.mistakes.answers[:3]) == flipped
    assert read_mistakes(out) == typed(Mistakes, asdict(found.mistakes))
    section = section_of(found.write_report(out))
    path.unlink()  # a report needs no data
    assert section_of(read_comparison(out).write_report(out)) == section
    assert all(str(n) in section for n in flipped)
    (out / "report.html").unlink()
    carry_out_comparison(
        Comparison(NamedSet("two_moons"), {"erm": calmix.erm()}, settings=settings, seeds=1), tmp_path / "moons"
    )
    assert not (tmp_path / "moons" / "mistakes.json").exists()


def test_one_training_that_is_kept_shows_its_mistakes(tmp_path: Path):
    recipe = Recipe(NamedSet("wine"), "erm", calmix.erm(), settings=TrainingSettings(epochs=1))
    found = train_and_keep(recipe, tmp_path / "out")
    assert found.mistakes is not None
    assert found.mistakes.networks == 1
    assert all(one.tested == 1 for one in found.mistakes.answers)
    page = found.write_report(tmp_path / "out")
    assert "Most confident mistakes" in text_of(page)
    assert "networks that were wrong" not in section_of(page)


# --------------------------------------------------------------------------------------------- regressions


def errors(tmp_path: Path, usual: float = 1.0) -> tuple[Results, Callable, list[Recipe]]:
    """Predictions that are off by the usual error, but by -50 in line 20 and by 30 in line 31."""
    rng = np.random.default_rng(0)
    path = tmp_path / "r.csv"
    path.write_text("a,t\n" + "".join(f"{a:.3f},{100 + 10 * a:.2f}\n" for a in rng.normal(size=80)))
    recipes = [Recipe(Folds(TableFile(path, "t"), 4), "erm", calmix.erm(), seed=seed) for seed in range(4)]
    made = {}
    for recipe in recipes:
        splits = recipe.splits()
        about, given = splits.about, splits.given
        assert given is not None
        targets = splits.test.y.double().numpy() * about.target_std + about.target_mean
        off = np.array([{20: -50.0, 31: 30.0}.get(row, usual) for row in given.tested.tolist()])[:, None]
        made[recipe.seed] = {"mean": targets + off, "targets": targets, "rows": given.tested}
    records = [
        record(one, {"plain": regression_metrics(made[one.seed]["mean"], made[one.seed]["targets"])}, None)
        for one in recipes
    ]
    return Results(facts_of(recipes[0]), records, "erm"), lambda one: made[one.seed], recipes


def test_the_largest_errors_are_found_in_the_unit_of_the_target(tmp_path: Path):
    found = kept(tmp_path / "out", *errors(tmp_path))
    first, second = found.errors[:2]
    assert (first.row, second.row) == (20, 31)
    for one, off in ((first, -50), (second, 30)):
        assert one.observed == pytest.approx(float(line(tmp_path / "r.csv", one.row)[1]), abs=1e-4)
        assert one.predicted == one.all_predicted == pytest.approx(one.observed + off)
        assert one.size == pytest.approx(abs(off))
        assert one.tested == 1
    assert found.typical == pytest.approx(1)
    assert found.rows == 80
    section = section_of(read_comparison(tmp_path / "out").write_report(tmp_path / "out"), "largest-errors")
    assert "50.0" in section  # times typical
    assert "Lines are those of r.csv" in section


def test_networks_that_are_right_mostly_have_no_typical_error(tmp_path: Path):
    found = kept(tmp_path / "out", *errors(tmp_path, usual=0.0))
    assert [one.row for one in found.errors] == [20, 31]
    section = section_of(read_comparison(tmp_path / "out").write_report(tmp_path / "out"), "largest-errors")
    assert section.count("<span>–</span>") == 2


def test_several_targets_and_rows_that_were_not_kept_have_no_section(tmp_path: Path):
    assert judged_of(0, {"mean": np.ones((4, 2)), "targets": np.ones((4, 2)), "rows": np.arange(4)}) is None
    results, predictions_of, recipes = errors(tmp_path)

    def without(one: Record) -> NamedArrays:
        return {name: array for name, array in predictions_of(one).items() if name != "rows"}

    assert find_mistakes(results, without, recipes) is None


# -------------------------------------------------------------------------------------------------- pictures


def test_an_image_is_kept_as_it_was_given():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, 5, 4), dtype=np.uint8))
    source = Arrays(images, torch.arange(60) % 2)
    found = find_mistakes(*told(source, {"erm": {row: ((row + 1) % 2, 0.9) for row in range(60)}}, seeds=3))
    assert found is not None
    assert len(found.contents) == MOST
    for one, content in zip(found.answers, found.contents, strict=True):
        assert content.picture is not None
        assert content.unusual is None
        assert np.array_equal(content.picture.array, images[one.row].numpy())


def test_images_that_no_one_can_look_at_are_made_small_and_grey():
    about = NamedSet("digits").splits(0).about
    large = picture_of(torch.rand(1, 200, 100), about).array
    assert large.shape == (1, SIDE, SIDE // 2)
    unknown = replace(about, pixel_mean=(), pixel_std=())
    grey = picture_of(torch.tensor([-3.0, 5.0]).view(1, 1, 2).repeat(7, 1, 1), unknown).array
    assert grey.tolist() == [[[0, 255]]]
    assert picture_of(torch.full((3, 2, 2), 4.0), unknown).array.tolist() == np.zeros((3, 2, 2)).tolist()


def test_pictures_stand_on_the_page_and_in_files(tmp_path: Path):
    names = ("=1+1", EVIL)
    source = Arrays(torch.rand(60, 1, 4, 4), torch.arange(60) % 2, classes=names)
    kept(tmp_path, *told(source, {"erm": {row: ((row + 1) % 2, 0.95) for row in range(60)}}))
    page = read_comparison(tmp_path).write_report(tmp_path)
    section = section_of(page)
    assert 'class="photo"' in section
    assert "<b>=1" not in section
    assert "&lt;b&gt;=1+1" in section
    with (tmp_path / "figures" / "mistakes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MOST
    assert {row["truth"] for row in rows} == {"'=1+1", EVIL}
    assert set(rows[0]) > {"image", "confidence", "tested", "all_wrong"}


# ---------------------------------------------------------------------------------------------- on the page


def page_of(tmp_path: Path, said: Mapping[str, Said], seeds: int = 4) -> str:
    path = table(tmp_path / "t.csv")
    out = tmp_path / "out"
    kept(out, *told(Folds(TableFile(path, "y"), 4), said, seeds))
    return section_of(read_comparison(out).write_report(out))


def wrong_lines(tmp_path: Path, confidence: float, *numbers: int) -> Said:
    path = table(tmp_path / "t.csv")
    return {n: (int(line(path, n)[2] == "no"), confidence) for n in numbers}


def test_a_table_shows_its_rows_with_what_is_unusual_in_them_and_escapes_it(tmp_path: Path):
    section = page_of(tmp_path, {"erm": wrong_lines(tmp_path, 0.953, 42, 50), "mixup": {}})
    assert '<th scope="row">42</th>' in section
    assert "95.3" in section
    assert "1 of 2" in section
    assert "<b>=1" not in section
    assert (
        "&lt;b&gt;=1+1 &lt;b&gt;=1+1 (0.9\u00a0% of rows)" in section
        or "&lt;b&gt;=1+1 &lt;b&gt;=1+1 (0.9 % of rows)" in section
    )
    assert "may be wrong" not in section  # a network of mixup was right


def test_labels_are_doubted_where_every_network_is_sure_of_something_else(tmp_path: Path):
    sure, less = wrong_lines(tmp_path, 0.97, 42), wrong_lines(tmp_path, 0.8, 50)
    said = {"erm": {**sure, **less}, "mixup": {**sure, **less}}
    section = page_of(tmp_path, said, seeds=8)  # every row is tested twice
    assert "The label of line 42 may be wrong" in section
    assert "all networks of every method" in section


def test_networks_of_one_seed_are_one_witness(tmp_path: Path):
    sure = wrong_lines(tmp_path, 0.97, 42)
    assert "may be wrong" not in page_of(tmp_path, {"erm": sure, "mixup": sure}, seeds=4)  # every row is tested once


def test_no_mistakes_are_a_sentence(tmp_path: Path):
    section = page_of(tmp_path, {"erm": {}, "mixup": {}})
    assert "None of the 4 networks of plain training (erm) made a mistake on the 107 rows that were tested." in section
    assert "<table" not in section


def test_of_one_seed_nothing_is_said_of_means(tmp_path: Path):
    path = table(tmp_path / "t.csv")
    source = TableFile(path, "y")
    first = int(source.splits(0).given.tested[0])  # pyright: ignore[reportOptionalMemberAccess]
    kept(tmp_path / "out", *told(source, {"erm": wrong_lines(tmp_path, 0.99, first)}, seeds=1))
    section = section_of(read_comparison(tmp_path / "out").write_report(tmp_path / "out"))
    assert "1 of 1" in section
    assert "mean" not in section
    assert "may be wrong" not in section  # one network is no witness


def test_a_folder_without_numbers_of_rows_is_read_and_has_no_section(tmp_path: Path):
    path, out = table(tmp_path / "t.csv"), tmp_path / "out"
    results, predictions_of, recipes = told(Folds(TableFile(path, "y"), 4), {"erm": {}}, 4)
    kept(out, results, predictions_of, recipes)
    (out / "mistakes.json").unlink()
    for one in results.records:
        arrays = {name: array for name, array in predictions_of(one).items() if name != "rows"}
        write_arrays(out / "predictions" / f"{one.run}.npz", arrays)
    found = read_comparison(out)
    assert found.mistakes is None
    assert "mistakes" not in text_of(found.write_report(out))


def test_what_is_no_longer_true_is_taken_away(tmp_path: Path):
    (tmp_path / "mistakes.json").write_text("{}")
    write_mistakes(tmp_path, None)
    assert read_mistakes(tmp_path) is None


ANSWER = WrongAnswer(3, "a", "b", 0.9, 1, 1, 1, 1, 0.9)
KNOWN = Mistakes("erm", "row", "", 1, 9, [ANSWER], contents=[Content(None, Picture((1, 1, 2), "AAE="))])


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.pop("method"),
        lambda raw: raw["contents"].clear(),
        lambda raw: raw["answers"][0].update(row="3"),
        lambda raw: raw["contents"][0]["picture"].update(pixels="AA=="),
        lambda raw: raw["contents"][0]["picture"].update(pixels="no base64"),
        lambda raw: raw["contents"][0]["picture"].update(shape=[2, 1, 1]),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable):
    raw = json.loads(json.dumps(asdict(KNOWN)))
    assert KNOWN.contents[0].picture is not None
    assert KNOWN.contents[0].picture.array.tolist() == [[[0, 1]]]
    write_mistakes(tmp_path, KNOWN)
    assert read_mistakes(tmp_path) == replace(KNOWN, answers=tuple(KNOWN.answers), contents=tuple(KNOWN.contents))
    damage(raw)
    (tmp_path / "mistakes.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=r"mistakes\.json is damaged"):
        read_mistakes(tmp_path)


def test_shares_and_confidences_are_never_rounded_to_all_or_none():
    assert confidence_text(0.99999) == "99.9"
    assert confidence_text(1.0) == "100.0"
    for share, said in ((0.9999, "99.9 %"), (0.0002, "less than 0.1 %"), (0.29, "29 %"), (0.995, "99.5 %")):
        assert unusual_text([Unusual("c", "v", "category", 0, share)]) == f"c v ({said} of rows)"
    said = unusual_text([Unusual("c", "3", "number", -1, 0.97), Unusual("d", "2020", "date", 1, 0.98)])
    assert said == "c 3 (smaller than 97 % of rows); d 2020 (later than 98 % of rows)"
    assert unusual_text([Unusual("c", "", "number", 0, 0.02)]) == "c empty (2 % of rows)"
    assert unusual_text([]) == "all ordinary"


def test_all_labels_are_doubted_in_few_words():
    many = {"wrong": 2, "tested": 2, "all_wrong": 2, "all_tested": 2, "all_confidence": 0.95, "confidence": 0.95}
    sure = [replace(ANSWER, row=row, **many) for row in (3, 4)]
    contents = [Content(), Content()]
    both = Mistakes("erm", "row", "", 2, 9, sure, contents=contents)
    assert doubts(both, 1).startswith(
        "The labels of the 2 rows below may be wrong, so check them first: all networks that"
    )
    some = Mistakes("erm", "row", "", 2, 9, [*sure, ANSWER], contents=[*contents, Content()])
    assert doubts(some, 2).startswith("The labels of rows 3 and 4 may be wrong")
    assert doubts(Mistakes("erm", "row", "", 2, 9, [ANSWER], contents=[Content()]), 2) == ""


def test_compared_in_memory_has_its_mistakes():
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    chosen = {"erm": calmix.erm()}
    found = calmix.compare(data=(x, (x[:, 0] > 0).long()), methods=chosen, seeds=1, settings=TrainingSettings(epochs=1))
    assert isinstance(found, Compared)
    assert found.mistakes is not None
    assert [len(section.tables) for section in mistakes_section(found.results, found.mistakes)] == [1]
    assert found.mistakes.note == "Rows are counted from 0, as in the arrays that were given."
