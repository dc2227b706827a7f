"""The frame of reproductions: claims, verdicts, both protocols, and one page; on a made table."""

import csv
import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import calmix
from calmix import Classification, TrainingLoss, cli
from calmix.core.method import Method
from calmix.data import Arrays, Fixed
from calmix.errors import DataError, SettingError, UnknownNameError
from calmix.methods.mixup_idle import mixup_idle
from calmix.models import mlp
from calmix.reproduction import experiment as frame
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, JudgedOnTest, Size, longer, size_of, with_controls
from calmix.reproduction.named import experiment
from calmix.reproduction.reproduced import AS_PUBLISHED, Reproduced, carry_out, read_reproduced
from calmix.reproduction.stated import read_stated, write_stated
from calmix.reproduction.table import EXPERIMENTS, SCALES, Entry, lasting
from calmix.reproduction.verdict import FAILS, HOLDS, UNTOLD, Verdict, in_words, verdict_table, verdicts
from calmix.results.scores import Measured, Scores
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(160, 3, generator=GENERATOR)
Y = (X[:, 0] + 0.5 * torch.randn(160, generator=GENERATOR) > 0).long()
ABOUT = Arrays(X, Y).splits(0).about
METHODS = with_controls({"sk_mixup": calmix.sk_mixup()})
SETTINGS = TrainingSettings(epochs=2, device="cpu")
COMPARISON = Comparison(
    Arrays(X, Y),
    METHODS,
    mlp,
    SETTINGS,
    2,
    own_settings=longer(SETTINGS),
)
CLAIMS = (Claim("sk_mixup", "erm", "accuracy"), Claim("sk_mixup", "mixup", "ece", "scaled"))
ASKED = Experiment(COMPARISON, "Somebody, 2024.", CLAIMS, ("The table is made.", "There are two seeds."), True)
SMALL = replace(
    ASKED, comparison=COMPARISON.of_methods({name: METHODS[name] for name in METHODS if name != "mixup_idle"})
)
ENTRY = Entry("A made paper: a made table", "nothing", (1, 1, 1), ("made", "made"))


# ------------------------------------------------------------------------------------------------- claims, verdicts


def test_a_claim_needs_a_metric_with_a_better_side():
    with pytest.raises(UnknownNameError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        Claim("sk_mixup", "erm", "acuracy")
    with pytest.raises(SettingError, match="of epoch neither more nor less is better; claim another"):
        Claim("sk_mixup", "erm", "epoch")


def test_a_claim_is_of_methods_that_are_compared():
    for claim in (Claim("sk_mixap", "erm", "ece"), Claim("sk_mixup", "sk_mixap", "ece")):
        with pytest.raises(SettingError, match="'sk_mixap' is in a claim, and is not compared"):
            replace(ASKED, claims=(claim,))


def scores_of(gains: dict[str, list[float]]) -> Scores:
    """sk_mixup differs from plain training by these gains in each metric, seed by seed; seeds differ by much more."""

    def measured(seed: int, share: int) -> Measured:
        return {"plain": {metric: 10.0 * seed + share * found[seed] for metric, found in gains.items()}}

    seeds = range(len(next(iter(gains.values()))))
    methods = {"erm": 0, "sk_mixup": 1}
    return Scores.of((label, seed, measured(seed, share)) for seed in seeds for label, share in methods.items())


UP, DOWN, EITHER = [0.20, 0.21, 0.19, 0.20], [-0.20, -0.21, -0.19, -0.20], [0.2, -0.2, 0.2, -0.2]


@pytest.mark.parametrize(
    ("metric", "gains", "said"),
    [
        ("accuracy", UP, HOLDS),
        ("accuracy", DOWN, FAILS),
        ("accuracy", EITHER, UNTOLD),
        ("accuracy", UP[:1], UNTOLD),  # a single seed decides nothing
        ("ece", DOWN, HOLDS),
        ("ece", UP, FAILS),
        ("ece", EITHER, UNTOLD),
        ("rmse", DOWN, HOLDS),
    ],
)
def test_a_claim_holds_where_the_paired_interval_lies_on_its_side(metric: str, gains: list[float], said: str):
    (found,) = verdicts([Claim("sk_mixup", "erm", metric)], scores_of({metric: gains}), None)
    assert found.said == said
    assert found.difference.mean == pytest.approx(sum(gains) / len(gains))
    assert (found.published, found.said_as_published) == (None, None)


def test_the_protocols_are_judged_apart():
    claim = Claim("sk_mixup", "erm", "ece")
    honest, published = scores_of({"ece": UP}), scores_of({"ece": DOWN})
    (found,) = verdicts([claim], honest, published)
    assert (found.said, found.said_as_published) == (FAILS, HOLDS)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.published is not None
    assert found.published.mean == pytest.approx(-0.2)


def test_a_claim_of_what_was_not_measured_has_no_verdict():
    claims = [Claim("sk_mixup", "erm", "ece"), Claim("sk_mixup", "mixup", "ece"), Claim("sk_mixup", "erm", "nll")]
    scores = scores_of({"ece": UP})
    assert [one.claim for one in verdicts(claims, scores, None)] == claims[:1]
    assert [one.published for one in verdicts(claims[:1], scores, scores_of({"nll": UP}))] == [None]
    assert verdicts([replace(claims[0], condition="scaled")], scores, None) == []


def test_the_table_of_verdicts_has_a_row_a_claim_and_the_published_protocol_where_there_is_one():
    claims = [Claim("sk_mixup", "erm", "ece"), Claim("sk_mixup", "erm", "accuracy")]
    honest, published = scores_of({"ece": DOWN, "accuracy": DOWN}), scores_of({"ece": UP})
    table = verdict_table(verdicts(claims, honest, None))
    assert list(table.headings) == ["Metric", "Difference", "Verdict"]
    assert [row.cells[0].value for row in table.rows] == ["ECE, points", "Accuracy, points"]
    assert [row.cells[2].value for row in table.rows] == [HOLDS, FAILS]
    assert [row.cells[1].mark for row in table.rows] == [1, -1]
    both = verdict_table(verdicts(claims, honest, published))
    assert list(both.headings) == ["Metric", "Difference", "Verdict", "As published", "Verdict as published"]
    assert [[cell.value for cell in row.cells][2::2] for row in both.rows] == [[HOLDS, FAILS], [FAILS, ""]]


def test_a_difference_in_the_target_s_unit_has_digits_enough():
    """Half a thousandth, and a ten millionth."""
    gains = [-0.0004, -0.0005, -0.0006, -0.0005, -0.0004, -0.0006]
    claims = [Claim("sk_mixup", "erm", "rmse"), Claim("sk_mixup", "erm", "uce")]
    [rmse, uce] = verdict_table(
        verdicts(claims, scores_of({"rmse": gains, "uce": [one / 5000 for one in gains]}), None)
    ).rows
    assert [cell.value for cell in rmse.cells[:2]] == ["RMSE, 10⁻⁶", "−500.00"]
    assert [cell.value for cell in uce.cells[:2]] == ["UCE, 10⁻⁹", "−100.00"]


def test_a_claim_says_which_side_is_better():
    assert in_words(Claim("sk_mixup", "mixup", "accuracy")) == "sk_mixup has a higher accuracy than plain Mixup"
    assert in_words(Claim("sk_mixup", "erm", "rmse")) == "sk_mixup has a lower RMSE than plain training"


# -------------------------------------------------------------------------------------------------------- protocols


def test_as_published_test_rows_are_those_to_validate_and_to_calibrate_with():
    published = ASKED.as_published()
    honest, judged = COMPARISON.data.splits(1), published.data.splits(1)
    for part in (judged.validation, judged.calibration, judged.test):
        assert torch.equal(part.x, honest.test.x)
        assert torch.equal(part.y, honest.test.y)
    assert torch.equal(judged.train.x, honest.train.x)
    assert not torch.equal(honest.validation.x, honest.test.x)
    assert published.settings == replace(COMPARISON.settings, select="best")
    assert (published.seeds, published.model, published.own_settings) == (2, mlp, COMPARISON.own_settings)


def test_as_published_no_method_learns_from_the_test_rows():
    assert "auto" in COMPARISON.methods
    assert list(ASKED.as_published().methods) == ["erm", "mixup", "sk_mixup", "mixup_idle", "mixup_longer"]


def test_settings_and_reference_of_a_method_that_is_left_out_go_with_it():
    asked = replace(
        ASKED, comparison=replace(COMPARISON, reference="auto", own_settings={"auto": SETTINGS, **longer(SETTINGS)})
    )
    published = asked.as_published()
    assert (published.reference, published.own_settings) == (None, longer(SETTINGS))


def test_an_honest_protocol_has_no_other():
    with pytest.raises(SettingError, match="the published protocol is the comparison itself"):
        replace(ASKED, judged_on_test=False).as_published()


def test_the_source_of_a_published_protocol_is_a_source():
    source = JudgedOnTest(Arrays(X, Y, train_size=40))
    assert (source.train_size, source.whole().train_size) == (40, None)
    assert len(source.splits(0).train) == 40


def test_controls_are_plain_mixup_with_a_clean_pass_and_for_longer():
    plain = calmix.with_whole_set(calmix.mixup(alpha=0.3))
    methods = with_controls({"sk_mixup": calmix.sk_mixup()}, plain, classes=False)
    assert list(methods) == ["erm", "mixup", "sk_mixup", "mixup_idle", "mixup_longer"]
    assert methods["mixup"] == methods["mixup_longer"] == plain
    idle = methods["mixup_idle"]
    assert isinstance(idle, calmix.parts.Method)
    assert (idle.pairing, idle.coefficient) == (plain.pairing, plain.coefficient)
    assert idle.objective == mixup_idle().objective != plain.objective


def test_longer_has_as_many_passes_as_mixup_e():
    def passes(method: Method) -> tuple[int, int]:
        """Of a step: forward and backward."""
        network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        told: list[str] = []
        network[1].register_forward_hook(lambda *_: told.append("forward"))
        network[1].register_full_backward_hook(lambda *_: told.append("backward"))
        loss = TrainingLoss(method, Classification(2), 0)
        loss(network, torch.rand(8, 2), torch.arange(8) % 2).backward()
        return told.count("forward"), told.count("backward")

    assert (passes(calmix.mixup()), passes(calmix.mixup_e())) == ((1, 1), (2, 2))
    assert longer(SETTINGS) == {frame.LONGER: replace(SETTINGS, epochs=2 * SETTINGS.epochs)}


def test_sizes_are_those_of_the_scale():
    sizes = [Size(2, 1, 100), Size(5, 10), Size(10, 200)]
    assert [size_of(scale, *sizes) for scale in SCALES] == sizes
    with pytest.raises(UnknownNameError, match="unknown scale 'smal'; did you mean 'small'"):
        size_of("smal", *sizes)


# ---------------------------------------------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduced")


@pytest.fixture(scope="module")
def found(folder: Path) -> Reproduced:
    found = carry_out("made/table", "small", ENTRY, SMALL, folder, command=["calmix", "reproduce", "made/table"])
    assert found.write(folder) == folder / "report.html"
    return found


def runs_in(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "runs").glob("*.json")}


def test_both_protocols_are_carried_out(found: Reproduced, folder: Path):
    assert set(runs_in(folder)) == {f"{label}-seed{seed}" for label in SMALL.comparison.methods for seed in (0, 1)}
    published = json.loads((folder / AS_PUBLISHED / "results.json").read_text())
    honest = json.loads((folder / "results.json").read_text())
    assert {run["method"] for run in honest["runs"]} - {run["method"] for run in published["runs"]} == {"auto"}
    assert (honest["settings"]["select"], published["settings"]["select"]) == ("last", "best")
    assert (
        published["data"]["sizes"]["validation"]
        == published["data"]["sizes"]["test"]
        == len(COMPARISON.data.splits(0).test)
    )
    for run in published["runs"]:  # the kept epoch is the best by the test rows
        losses = [epoch["validation"]["loss"] for epoch in run["history"]]
        assert run["epoch"] == 1 + losses.index(min(losses))
    assert {len(run["history"]) for run in honest["runs"] if run["method"] == "mixup_longer"} == {4}


def test_the_pages_hold_claims_and_deviations(found: Reproduced, folder: Path):
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("calmix: made/table", "Claims", "Somebody, 2024.", "The table is made.", "There are two seeds."):
        assert text in page
    for claim in CLAIMS:
        assert in_words(claim) in page
    assert "As published" in page
    assert found.advice.headline in page
    other = (folder / AS_PUBLISHED / "report.html").read_text(encoding="utf-8")
    assert "made/table, as published" in other
    assert "the epoch is chosen by test rows, and the temperature is fitted on them" in other


def test_the_headline_counts_the_verdicts(found: Reproduced):
    said = [one.said for one in found.verdicts]
    assert len(said) == 2
    holds, fails = said.count(HOLDS), said.count(FAILS)
    assert found.advice.headline == (
        f"A made paper: a made table, at the scale small. Of 2 claims: {holds} {'holds' if holds == 1 else 'hold'}; "
        f"{fails} {'does' if fails == 1 else 'do'} not hold; {said.count(UNTOLD)} cannot be told."
    )
    assert found.advice.cautions == []


def test_a_claim_that_cannot_be_judged_is_named(found: Reproduced):
    stated = replace(found.stated, claims=(*CLAIMS, Claim("sk_mixup", "erm", "rmse")))
    advice = replace(found, stated=stated).advice
    assert advice.headline.startswith("A made paper: a made table, at the scale small. Of 2 claims: ")
    assert advice.cautions == [
        "Not judged, as a method or its metric is missing: sk_mixup has a lower RMSE than plain training."
    ]


def test_smoke_shows_nothing_of_a_claim(found: Reproduced):
    smoke = replace(found, stated=replace(found.stated, scale="smoke"))
    assert smoke.advice.cautions == [
        "This scale shows that everything is there; with so few rows, epochs and seeds its verdicts say nothing."
    ]
    assert smoke.advice.cautions[0] in str(smoke.page().sections[0])


def test_claims_csv_has_a_line_a_claim_and_protocol(found: Reproduced, folder: Path):
    with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["method"], line["than"], line["metric"], line["condition"], line["protocol"]) for line in lines] == [
        ("sk_mixup", "erm", "accuracy", "plain", "honest"),
        ("sk_mixup", "erm", "accuracy", "plain", "as published"),
        ("sk_mixup", "mixup", "ece", "scaled", "honest"),
        ("sk_mixup", "mixup", "ece", "scaled", "as published"),
    ]
    assert found.published is not None
    for line, compared in zip(lines, [found.honest, found.published] * 2, strict=True):
        expected = compared.scores.difference(line["method"], line["than"], line["metric"], line["condition"])
        assert float(line["difference"]) == pytest.approx(expected.mean)
        assert (float(line["low"]), float(line["high"])) == pytest.approx((expected.low, expected.high))
        assert (line["experiment"], line["seeds"]) == ("made/table", "2")
        assert line["verdict"] in (HOLDS, FAILS, UNTOLD)


def test_resume_draws_again_and_trains_nothing(found: Reproduced, folder: Path, monkeypatch: pytest.MonkeyPatch):
    before, page = [runs_in(folder), runs_in(folder / AS_PUBLISHED)], (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    (folder / "claims.csv").unlink()

    def trains(*_: Any, **__: Any) -> None:
        raise AssertionError("it trains anew")

    monkeypatch.setattr("calmix.train.running.train", trains)
    again = carry_out(
        "made/table", "small", ENTRY, SMALL, folder, resume=True, command=["calmix", "reproduce", "made/table"]
    )
    again.write(folder)
    assert [runs_in(folder), runs_in(folder / AS_PUBLISHED)] == before
    assert (folder / "claims.csv").is_file()
    assert len((folder / "report.html").read_text()) == pytest.approx(len(page), rel=0.05)
    assert again.claims().equals(found.claims())


def test_a_report_draws_the_claims_again_from_the_folder_alone(found: Reproduced, folder: Path):
    again = read_reproduced(folder)
    assert again.stated == found.stated
    assert again.claims().equals(found.claims())
    kept, page = (folder / "claims.csv").read_text(), (folder / "report.html").read_text()
    (folder / "report.html").unlink()
    (folder / "claims.csv").unlink()
    cli.main(["report", str(folder), "--quiet"])
    assert (folder / "claims.csv").read_text() == kept
    assert len((folder / "report.html").read_text()) == pytest.approx(len(page), rel=0.01)


def test_a_damaged_statement_is_named(found: Reproduced, tmp_path: Path, folder: Path):
    write_stated(tmp_path, found.stated)
    text = (tmp_path / "reproduction.json").read_text()
    (tmp_path / "reproduction.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match=r"reproduction.json cannot be read"):
        read_stated(tmp_path)
    (tmp_path / "reproduction.json").write_text(text.replace('"accuracy"', '"acuracy"'))
    with pytest.raises(UnknownNameError, match="unknown metric 'acuracy'"):
        read_stated(tmp_path)


def test_an_honest_protocol_is_carried_out_once(tmp_path: Path):
    small = replace(
        COMPARISON, methods={label: COMPARISON.methods[label] for label in ("erm", "mixup")}, own_settings={}
    )
    asked = Experiment(small, "Somebody, 2024.", (Claim("mixup", "erm", "accuracy"),))
    found = carry_out("made/table", "small", ENTRY, asked, tmp_path)
    found.write(tmp_path)
    assert found.published is None
    assert not (tmp_path / AS_PUBLISHED).exists()
    assert list(found.claims()["protocol"]) == ["honest"]
    assert "As published" not in (tmp_path / "report.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------- the command


class FailsWithSeed1(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layers = mlp((features,), outputs)
        self.seed = torch.initial_seed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and self.seed == 1 and torch.is_grad_enabled():
            raise RuntimeError("as it was told")
        return self.layers(x)


def fails_with_seed_1(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return FailsWithSeed1(shape[0], outputs)


def test_the_command_exits_with_1_where_runs_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Two of the honest runs, and two of those as published."""
    few = replace(COMPARISON.of_methods({name: METHODS[name] for name in ("erm", "mixup")}), model=fails_with_seed_1)
    asked = Experiment(few, "Somebody, 2024.", (Claim("mixup", "erm", "accuracy"),), judged_on_test=True)
    monkeypatch.setattr("calmix.reproduction.named.experiment", lambda *_: asked)
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "sk-mixup/two-moons", "--out", str(tmp_path / "out"), "--workers", "1", "--quiet"])
    assert ended.value.code == 1
    assert "calmix: 4 runs are missing; --resume tries those that failed again." in capsys.readouterr().err
    assert (tmp_path / "out" / "claims.csv").exists()


def test_a_run_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    one = replace(COMPARISON.of_methods({"erm": METHODS["erm"]}), seeds=1)
    monkeypatch.setattr("calmix.reproduction.named.experiment", lambda *_: Experiment(one, "Somebody, 2024.", ()))
    asked = ["reproduce", "sk-mixup/two-moons", "--workers", "1", "--out", str(tmp_path), "--quiet", "--run-timeout"]
    for minutes, said in [("0", "run_timeout must be a positive number; got 0"), ("0.0001", "longer than 0.0001 min")]:
        with pytest.raises(SystemExit) as ended:
            cli.main([*asked, minutes])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_the_trainings_of_a_search_are_ended_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def searches(*given: Any) -> None:
        raise SettingError(f"so many minutes: {given[-1]}")

    monkeypatch.setattr("calmix.reproduction.searched.carry_out_search", searches)
    with pytest.raises(SettingError, match=r"so many minutes: 7\.5"):
        carry_out("made/table", "small", ENTRY, SMALL, tmp_path, budget=90, run_timeout=7.5)


def test_notices_are_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    data = Fixed(replace(COMPARISON.data.splits(0), about=replace(ABOUT, notices=("Two rows are left out.",))))
    asked = replace(SMALL, comparison=replace(SMALL.comparison, data=data))
    monkeypatch.setattr("calmix.reproduction.named.experiment", lambda *_: asked)

    def trains(*_: Any) -> None:
        raise SettingError("it trains.")

    monkeypatch.setattr("calmix.reproduction.reproduced.carry_out", trains)
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "sk-mixup/two-moons", "--out", str(tmp_path / "out"), "--quiet"])
    assert capsys.readouterr().err == "Two rows are left out.\ncalmix: it trains.\n"


# --------------------------------------------------------------------------------------------------------------- names


def test_unknown_names_are_suggested():
    with pytest.raises(UnknownNameError, match="unknown experiment 'sk-mixup/airfol'; did you mean 'sk-mixup/airfoil'"):
        experiment("sk-mixup/airfol")
    with pytest.raises(UnknownNameError, match="unknown scale 'papr'; did you mean 'paper'"):
        experiment("sk-mixup/airfoil", "papr")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_entry_is_made_by_a_function_that_is_there(name: str):
    entry = EXPERIMENTS[name]
    module, function = entry.make
    assert callable(getattr(importlib.import_module(f"calmix.reproduction.{module}"), function))
    assert len(entry.minutes) == len(SCALES)
    assert all(minutes > 0 for minutes in entry.minutes)
    assert list(entry.minutes) == sorted(entry.minutes)
    assert entry.gpu_hours is None or entry.gpu_hours > 0


def test_the_list_shows_every_experiment_and_loads_no_pytorch():
    code = "import sys; from calmix.cli import main; main(['reproduce', '--list']); assert 'torch' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, entry in EXPERIMENTS.items():
        times = ", ".join(f"{scale} {lasting(minutes)}" for scale, minutes in zip(SCALES, entry.minutes, strict=True))
        assert f"{name}\n  {entry.stands_for}\n  data: {entry.data}\n  on one CPU core, about: {times}" in result.stdout


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0.2, "1 minute"),
        (1.6, "2 minutes"),
        (59, "59 minutes"),
        (60, "1 hour"),
        (75, "1.2 hours"),
        (600, "10 hours"),
        (47 * 60, "47 hours"),
        (48 * 60, "2 days"),
        (100 * 24 * 60, "100 days"),
    ],
)
def test_times_are_said_in_words(minutes: float, said: str):
    assert lasting(minutes) == said


def test_a_verdict_without_a_published_protocol_says_nothing_of_it():
    (one,) = verdicts([Claim("sk_mixup", "erm", "ece")], scores_of({"ece": DOWN}), None)
    assert one == Verdict(one.claim, one.difference)
