"""Do wrong labels grow with distance, and what does each method do about it? Measured, seed by seed.

    OUT/diagnosis.json, OUT/scores.csv         the finished diagnosis, see `results`
    OUT/seeds/seed0.json, OUT/oracle/seed0.pt  one seed's scores and its oracle's weights, taken again on --resume
    OUT/mixes/SLUG.npz, OUT/surfaces/SLUG.npz  of seed 0: a batch of each method's mixes, and its decision surface

Each seed: an oracle is trained without mixing on other rows of the set. Random pairs of training rows are mixed at
every share, and the oracle judges them. Each method trains a network as in a comparison, and the oracle judges a sample
of its mixes, too. Two controls give the same lams to other pairs: `shuffled` to random pairs of training rows, so that
exactly as much is mixed, whatever the distance; `shuffled_within` to random pairs of the same kind (same class or not),
which takes out what merely knowing the classes would give. Rows mixed with themselves are left out of both.

What is measured, as conditions of `Scores`. ORACLE, SPACE, POPULATION, SHARE and CONTROL are those of `conditions`; BIN
counts bins of distance from 1, the nearest. A bin that is empty has no means.

    of no method (""):
    oracle                                     count: rows that the oracle learnt
    oracle/ORACLE                              accuracy, on the test split
    edges/SPACE/PLACE                          distance: the edges 0 .. B of the bins with equally many random pairs
    pairs/ORACLE/SPACE/POPULATION/SHARE/BIN    neither, excess, hard, mass; count and mean distance of the pairs
    deviation/ORACLE/SPACE/POPULATION/SHARE/BIN  the four measures' standard deviations over these pairs

    of each method:
    plain                                      mixing, label_mixing, different; mixes: how many were recorded
    labels/ORACLE/CONTROL                      neither, excess, hard, mass
    labels/ORACLE/none/SPACE/BIN               the same in the bins of `edges`
    lam/SPACE/BIN                              mixes, and their mixing, in the same bins
    lam/SPACE/BIN/cell/CELL                    mixes whose smaller parent's share lies in this of CELLS cells, from 1
    expansion/EPOCH                            clean_loss, mixup_loss of the smooth network at that epoch
    expansion/EPOCH/ORDER                      term, term_size, output_size from order 1 on; remainder from 0 on
    reach/PART and reach/PART/ORDER            the same of the trained network, partners moved to that part of the way
    plane                                      accuracy, ece, nll; of two classes auroc and moved_accuracy
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from calmix.core.method import Method, Scheduled
from calmix.core.mix import Batch
from calmix.data import DataSource
from calmix.engines import Tick
from calmix.errors import DataError, SettingError
from calmix.models import ModelFactory, digest_of, smooth_mlp
from calmix.results.files import check_labels, hold_folder, refuse_finished, refuse_others
from calmix.results.jobs import same_run
from calmix.results.records import Epoch
from calmix.results.scores import Measured, Scores
from calmix.studies.diagnosis.conditions import NO_METHOD
from calmix.studies.diagnosis.expansion import Follower
from calmix.studies.diagnosis.labels import Ground, method_scores, pair_scores
from calmix.studies.diagnosis.mixes import mixed_rows, recording, write_batch
from calmix.studies.diagnosis.oracle import Oracle, OracleSettings, Parts, parts_of, train_oracle
from calmix.studies.diagnosis.results import (
    DiagnosisResults,
    OracleFacts,
    SeedResults,
    read_seed,
    seed_path,
    write_results,
    write_seed,
)
from calmix.studies.diagnosis.surface import is_plane, plane_scores, write_surface
from calmix.threads import using_threads
from calmix.train import Recipe, Trained, TrainingSettings, train
from calmix.train.recipe import facts_of
from calmix.train.running import try_step

_MIXES = 4000  # about as many are recorded of each training
_SHOWN = 64  # rows of the batch to look at


@dataclass(frozen=True)
class Diagnosis:
    """What to diagnose: methods by label on one source, over seeds 0 .. seeds - 1.

    pairs: random pairs of training rows, each judged at every share. bins: of distance, with equally many pairs each.
    derivatives: whether Mixup's loss is expanded, for which each method trains a smooth network, too.
    """

    data: DataSource
    methods: Mapping[str, Method | Scheduled]
    model: ModelFactory | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    seeds: int = 3
    oracle: OracleSettings = field(default_factory=OracleSettings)
    pairs: int = 3000
    bins: int = 5
    derivatives: bool = True

    def __post_init__(self) -> None:
        for name in ("seeds", "pairs", "bins"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.bins > self.pairs:
            raise SettingError(f"{self.bins} bins of distance need as many pairs; got {self.pairs}.")
        if not self.methods:
            raise SettingError("no methods to diagnose; name at least one, such as sk_mixup.")
        check_labels(self.methods)
        for label, method in self.methods.items():
            try:
                recording(method)
            except SettingError as error:
                raise SettingError(f"{label}: {error}") from None

    @property
    def text(self) -> str:
        """All that a seed's scores depend on but the seed."""
        network = next(digest_of(self.recipe(label, seed=0).network(), self.model) for label in self.methods)
        content = self.data.splits(0).about.digest
        return (
            f"Diagnosis(data={self.data!r} {content}, methods={dict(self.methods)!r}, model={network}, "
            f"settings={self.settings!r}, "
            f"oracle={self.oracle!r}, pairs={self.pairs}, bins={self.bins}, derivatives={self.derivatives})"
        )

    @property
    def labels(self) -> list[str]:
        """What `tick` calls the trainings of each seed: the oracle's, each method's, each smooth network's."""
        second = [f"{label}, derivatives" for label in self.methods] if self.trains_twice else []
        return ["oracle", *self.methods, *second]

    @property
    def runs(self) -> int:
        """How many trainings there are in all."""
        return self.seeds * len(self.labels)

    @property
    def trains_twice(self) -> bool:
        """Whether each method trains a smooth network beside the one whose mixes are recorded."""
        return self.derivatives and self.model is not smooth_mlp

    def recipe(self, label: str, seed: int) -> Recipe:
        return Recipe(self.data, label, self.methods[label], self.model, self.settings, seed)


def diagnose(
    diagnosis: Diagnosis,
    out: Path,
    resume: bool = False,
    command: Sequence[str] = (),
    tick: Tick = lambda label, seed, epochs, entry: None,
) -> DiagnosisResults:
    """Measure every seed that is not yet stored in `out`, then write and return the diagnosis.

    Raises:
        DataError: a regression; `out` holds other results, or a diagnosis and `resume` is False, or cannot be written.
        SettingError: a method that does not fit the data or the network.
    """
    about = diagnosis.data.splits(0).about
    if not about.classes:
        raise DataError(f"{about.name} is a regression, and labels are wrong only where there are classes.")
    for label in diagnosis.methods:
        try_step(diagnosis.recipe(label, 0))
    _check_folder(diagnosis, out, resume)
    with hold_folder(out), using_threads(diagnosis.settings.threads):
        _check_folder(diagnosis, out, resume)  # what was finished in the meantime
        for seed in range(diagnosis.seeds):
            if _stored(out, seed) is None:
                scores = _measure_seed(diagnosis, seed, out, tick)
                write_seed(seed_path(out, seed), SeedResults(diagnosis.text, seed, scores))
            for label in diagnosis.labels:
                tick(label, seed, diagnosis.settings.epochs, None)
        results = _collected(diagnosis, out, command)
        write_results(out, results)
    return results


def _check_folder(diagnosis: Diagnosis, out: Path, resume: bool) -> None:
    """Raise DataError where the folder holds anything but seeds of this very diagnosis."""
    if not resume:
        refuse_finished(out, "add --resume to go on with a diagnosis, or give another --out")
    refuse_others(out, "diagnosis.json")
    for seed in range(diagnosis.seeds):
        stored = _stored(out, seed)
        if stored is not None and not same_run(stored.asked, diagnosis.text):
            raise DataError(
                f"{out} holds a diagnosis with other settings, data or code; repeat its command, or give another --out."
            )


def _stored(out: Path, seed: int) -> SeedResults | None:
    """The seed's results; None where there are none that can be read."""
    try:
        return read_seed(seed_path(out, seed))
    except DataError:
        return None


def _collected(diagnosis: Diagnosis, out: Path, command: Sequence[str]) -> DiagnosisResults:
    """The stored seeds as one diagnosis."""
    seeds = [read_seed(seed_path(out, seed)) for seed in range(diagnosis.seeds)]
    scores = Scores.of((label, seed.seed, measured) for seed in seeds for label, measured in seed.scores.items())
    learnt = int(scores.values(NO_METHOD, "count", "oracle")[0])
    return DiagnosisResults(
        facts=facts_of(diagnosis.recipe(next(iter(diagnosis.methods)), 0), tuple(command)),
        methods={label: repr(method) for label, method in diagnosis.methods.items()},
        oracle=OracleFacts(learnt, diagnosis.oracle.training(learnt).epochs, diagnosis.oracle.neighbours),
        pairs=diagnosis.pairs,
        scores=scores,
    )


# -------------------------------------------------------------------------------------------------- one seed


def _measure_seed(diagnosis: Diagnosis, seed: int, out: Path, tick: Tick) -> dict[str, Measured]:
    """By method, NO_METHOD first: all scores of a seed."""
    parts, oracle = _train_oracle(diagnosis, seed, out, tick)
    ground = Ground.of(parts, oracle, diagnosis.pairs, diagnosis.bins, seed)
    scores: dict[str, Measured] = {
        NO_METHOD: {
            "oracle": {"count": len(parts.others)},
            **{f"oracle/{name}": {"accuracy": value} for name, value in oracle.accuracy(parts.test).items()},
            **pair_scores(ground),
        }
    }
    for label in diagnosis.methods:
        scores[label] = _measure_method(diagnosis, ground, label, seed, out, tick)
    return scores


def _train_oracle(diagnosis: Diagnosis, seed: int, out: Path, tick: Tick) -> tuple[Parts, Oracle]:
    parts = parts_of(diagnosis.data, seed, diagnosis.oracle.rows)
    epochs = diagnosis.oracle.training(len(parts.others)).epochs
    oracle = train_oracle(
        parts,
        seed,
        diagnosis.oracle,
        diagnosis.model,
        out / "oracle" / f"seed{seed}.pt",
        lambda epoch: tick("oracle", seed, epoch * diagnosis.settings.epochs // epochs, None),
        diagnosis.settings.device,
    )
    return parts, oracle


def _measure_method(
    diagnosis: Diagnosis, ground: Ground, label: str, seed: int, out: Path, tick: Tick
) -> dict[str, dict[str, float]]:
    """Train the method's network as in a comparison, with its mixes recorded, and measure both."""
    recipe = diagnosis.recipe(label, seed)
    steps = recipe.settings.epochs * -(-len(recipe.splits().train) // recipe.settings.batch_size)
    method, record = recording(recipe.method, keep=-(-_MIXES // steps))
    smooth = replace(recipe, model=smooth_mlp)
    follower = Follower.of(smooth) if diagnosis.derivatives else None

    def on_epoch(epoch: Epoch, model: nn.Module) -> None:
        tick(label, seed, epoch.number, epoch)
        if follower is not None and not diagnosis.trains_twice:
            follower.on_epoch(epoch, model)

    trained = train(replace(recipe, method=method), on_epoch)
    scores = method_scores(ground, record.mixes(), seed)
    plane = is_plane(trained.splits)
    if plane:
        scores["plane"] = plane_scores(trained.model, trained.splits)
    if seed == 0:
        _keep_batch(recipe, trained, out)
        if plane:
            write_surface(out, label, trained.model, trained.splits.train)
    if follower is not None:
        network = _train_smooth(smooth, follower, tick) if diagnosis.trains_twice else trained.model
        scores |= follower.scores(network)
    return scores


def _train_smooth(recipe: Recipe, follower: Follower, tick: Tick) -> nn.Module:
    def on_epoch(epoch: Epoch, model: nn.Module) -> None:
        tick(f"{recipe.label}, derivatives", recipe.seed, epoch.number, epoch)
        follower.on_epoch(epoch, model)

    return train(recipe, on_epoch).model


def _keep_batch(recipe: Recipe, trained: Trained, out: Path) -> None:
    """Write one batch of mixes under the trained network."""
    rows = trained.splits.train
    some = torch.randperm(len(rows), generator=torch.Generator().manual_seed(recipe.seed))[:_SHOWN]
    method = recipe.method.at(0)
    step = method.step(trained.model, trained.task, Batch(rows.x[some], rows.y[some], some))
    try:
        batch = mixed_rows(method, step, torch.Generator().manual_seed(recipe.seed))
    except SettingError:  # methods that need what is remembered of a whole training
        return
    write_batch(out, recipe.label, batch)
