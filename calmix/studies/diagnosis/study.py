"""Do wrong labels grow with distance, and what does each method do about it? Measured, seed by seed.

    OUT/seeds/seed0.json   one seed's measurements; OUT/oracle/seed0.pt  its oracle's weights, taken again on --resume
    OUT/mixes/SLUG.npz     a batch of each method's mixes, to look at
    OUT/diagnosis.json     all seeds and the summary; OUT/mismatch.csv and OUT/methods.csv the same as tables
    OUT/derivatives.json, OUT/surfaces.json  the other parts, see `explain`

n training rows, m pairs or mixes, G shares, B bins of distance, K classes
"""

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.core.method import Method, Scheduled
from calmix.core.mix import Batch, Mix
from calmix.diagnose import (
    MEASURES,
    MixedRows,
    ask,
    bin_means,
    bin_of,
    edges_of,
    mixed_rows,
    random_pairs,
    rate_interval,
    verdict,
    watched,
)
from calmix.errors import DataError, SettingError
from calmix.experiment.compare import environment
from calmix.experiment.derivatives import directional_derivatives
from calmix.experiment.oracle import ORACLES, Oracle, OracleSettings, Parts, parts_of, train_oracle
from calmix.experiment.recipe import Recipe, Source, task_of
from calmix.experiment.record import read_json, slug, write_json, write_whole
from calmix.experiment.run import initial_model, try_step
from calmix.experiment.statistics import Interval, interval
from calmix.experiment.surface import decision_surfaces
from calmix.models import default_model
from calmix.train import TrainingSettings, fit

SPACES = ("inputs", "embedding")  # where distances are measured: of the inputs, and in the oracle's embedding
POPULATIONS = ("all", "different", "sound")  # pairs: all; of different classes; of these, ends the oracle agrees on
DEALS = ("own", "dealt", "dealt_within")
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the larger parent; pairs in both orders make the others superfluous
LAM_CELLS = 10  # of the smaller share, 0 to 1/2
_MIXES = 4000  # about as many are kept of each training
_SHOWN = 64  # rows of the batch to look at

Tick = Callable[[str, int, int], object]  # told label, seed, epochs done; an oracle's as if it had the methods' many


@dataclass(frozen=True)
class Diagnosis:
    """What to diagnose: methods by label on one source, over seeds 0..seeds-1.

    pairs: random pairs of training rows, each judged at every one of SHARES. bins: of distance, with equally many.
    """

    source: Source
    methods: Mapping[str, Method | Scheduled]
    model: str | None = None
    fit: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    seeds: int = 3
    oracle: OracleSettings = dataclasses.field(default_factory=OracleSettings)
    pairs: int = 3000
    bins: int = 5

    def __post_init__(self) -> None:
        for name in ("seeds", "pairs", "bins"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.bins > self.pairs:
            raise SettingError(f"{self.bins} bins of distance need as many pairs; got {self.pairs}.")
        if not self.methods:
            raise SettingError("no methods to diagnose; name at least one, e.g. --methods mixup sk_mixup.")
        if len({slug(label, 0) for label in self.methods}) < len(self.methods):
            raise SettingError(
                f"two methods have the same name in files: {', '.join(self.methods)}; name each one once."
            )
        for label, method in self.methods.items():
            try:
                watched(method)
            except SettingError as error:
                raise SettingError(f"{label}: {error}") from None

    def recipe(self, label: str, seed: int) -> Recipe:
        return Recipe(self.source, label, self.methods[label], self.model, self.fit, seed)


def diagnose(
    diagnosis: Diagnosis,
    out: Path,
    resume: bool = False,
    command: Sequence[str] = (),
    tick: Tick = lambda label, seed, epochs: None,
) -> dict[str, Any]:
    """Measure every seed that is not yet stored in `out`, then write and return the diagnosis.

    Each seed: an oracle is trained without mixing on other rows of the set; random pairs of training rows are mixed at
    every share and shown to it; each method trains a network as in a comparison, and a sample of its mixes is shown to
    the oracle, too. The controls deal the same lams anew: `dealt` to random pairs of training rows, so that the amount
    of mixing is equal to the last digit and only its distance is left to chance; `dealt_within` to random pairs of the
    same kind (same class or not), so that what merely knowing the classes would give is taken out, too. Rows mixed with
    themselves are left out of both.

    Raises:
        DataError: a regression; `out` holds another diagnosis, or one and `resume` is False, or cannot be written.
        SettingError: a method that mixes inside the network, or settings out of range.
    """
    splits = diagnosis.source.splits(0)
    if not splits.about.classes:
        raise DataError(f"{splits.about.name} is a regression, and labels are wrong only where there are classes.")
    for label in diagnosis.methods:
        try_step(diagnosis.recipe(label, 0), splits)
    stored = _stored(diagnosis, out, resume)
    seeds = []
    for seed in range(diagnosis.seeds):
        if seed not in stored:
            stored[seed] = _diagnose_seed(diagnosis, seed, out, tick)
            write_json(_seed_path(out, seed), stored[seed])
        for label in ("oracle", *diagnosis.methods):
            tick(label, seed, diagnosis.fit.epochs)
        seeds.append(stored[seed])
    return _write(diagnosis, seeds, out, command)


def explain(
    diagnosis: Diagnosis, out: Path, resume: bool = False, tick: Tick = lambda label, seed, epochs: None
) -> None:
    """The other two parts, as OUT/derivatives.json and, for points of a plane, OUT/surfaces.json.

    See `directional_derivatives`, of smooth networks trained with the same methods, and `decision_surfaces`.
    """

    def derivatives(told: Tick) -> dict[str, Any]:
        return directional_derivatives(diagnosis.source, diagnosis.methods, diagnosis.fit, diagnosis.seeds, tick=told)

    def surfaces(told: Tick) -> dict[str, Any]:
        model = diagnosis.model or "mlp"
        return decision_surfaces(diagnosis.source, diagnosis.methods, diagnosis.fit, diagnosis.seeds, model, tick=told)

    plane = diagnosis.source.splits(0).train.x.shape[1:] == (2,)
    for name, find in {"derivatives": derivatives, **({"surfaces": surfaces} if plane else {})}.items():
        path = out / f"{name}.json"
        if not (resume and path.exists() and read_json(path).get("asked") == repr(diagnosis)):
            found = find(lambda label, seed, epochs: tick(f"{label}, {name}", seed, epochs))  # noqa: B023
            write_json(path, {"asked": repr(diagnosis), **found})
        for seed in range(diagnosis.seeds):
            for label in diagnosis.methods:
                tick(f"{label}, {name}", seed, diagnosis.fit.epochs)


def _stored(diagnosis: Diagnosis, out: Path, resume: bool) -> dict[int, dict[str, Any]]:
    paths = {seed: _seed_path(out, seed) for seed in range(diagnosis.seeds)}
    found = {seed: read_json(path) for seed, path in paths.items() if path.exists()}
    if (out / "results.json").exists():
        raise DataError(f"{out} holds a comparison; give another --out.")
    if found and not resume:
        raise DataError(f"{out} already holds a diagnosis; add --resume to go on, or give another --out.")
    if any(seed["asked"] != _asked(diagnosis) for seed in found.values()):
        raise DataError(f"{out} holds a diagnosis with other settings; repeat its command, or give another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror or error}; give another --out.") from None
    return found


def _seed_path(out: Path, seed: int) -> Path:
    return out / "seeds" / f"seed{seed}.json"


def _asked(diagnosis: Diagnosis) -> str:
    """All that a seed's measurements depend on but the seed."""
    return repr(dataclasses.replace(diagnosis, seeds=1))


# ------------------------------------------------------------------------------------------------ one seed


def _diagnose_seed(diagnosis: Diagnosis, seed: int, out: Path, tick: Tick) -> dict[str, Any]:
    parts = parts_of(diagnosis.source, seed, diagnosis.oracle.rows)
    epochs = diagnosis.oracle.fit(len(parts.others)).epochs
    oracle = train_oracle(
        diagnosis.source,
        seed,
        parts,
        diagnosis.oracle,
        diagnosis.model,
        out / "oracle" / f"seed{seed}.pt",
        lambda epoch: tick("oracle", seed, epoch * diagnosis.fit.epochs // epochs),
        diagnosis.fit.device,
    )
    ground = _Ground.of(parts, oracle, diagnosis, seed)
    methods = {}
    for label in diagnosis.methods:
        mixes, network = _train(diagnosis, label, seed, parts, lambda epoch: tick(label, seed, epoch))  # noqa: B023
        methods[label] = {"repr": repr(diagnosis.methods[label]), **_judge_method(ground, mixes, seed)}
        if seed == 0:
            _save_batch(out, diagnosis.recipe(label, seed), parts, network)
    return {
        "asked": _asked(diagnosis),
        "seed": seed,
        "oracle": {"rows": len(parts.others), "accuracy": oracle.accuracy},
        "mismatch": _judge_pairs(ground, diagnosis),
        "methods": methods,
    }


@dataclass(frozen=True, eq=False)
class _Ground:
    """What all measurements of a seed stand on: rows, their labels, and random pairs with their distances."""

    x: Tensor  # (n, ...), as the oracle knows them
    y: Tensor  # (n,), as the methods are told
    target: Tensor  # (n, K)
    oracle: Oracle
    positions: Mapping[str, Tensor]  # by space: (n, d)
    anchor: Tensor  # (m,)
    partner: Tensor
    mean: Mapping[str, float]  # by space: the mean squared distance over the pairs
    edges: Mapping[str, Tensor]  # by space: (B + 1,)

    @staticmethod
    def of(parts: Parts, oracle: Oracle, diagnosis: Diagnosis, seed: int) -> "_Ground":
        x, y = parts.rows, parts.splits.train.y
        anchor, partner = random_pairs(len(x), diagnosis.pairs, torch.Generator().manual_seed(seed))
        positions = {"inputs": x.flatten(1), "embedding": oracle.embedding(x)}
        squared = {space: (z[anchor] - z[partner]).square().sum(1) for space, z in positions.items()}
        mean = {space: float(values.mean()) or 1.0 for space, values in squared.items()}
        edges = {space: edges_of(values / mean[space], diagnosis.bins) for space, values in squared.items()}
        target = F.one_hot(y, oracle.classes).float()
        return _Ground(x, y, target, oracle, positions, anchor, partner, mean, edges)

    def distance(self, space: str, anchor: Tensor, partner: Tensor) -> Tensor:
        """|z_anchor - z_partner|^2 over its mean over random pairs (m,)."""
        z = self.positions[space]
        return (z[anchor] - z[partner]).square().sum(1) / self.mean[space]

    def judge(self, mix: Mix) -> dict[str, Tensor]:
        """By oracle: the measures (measures, m), in the order of MEASURES."""
        answers = ask(self.oracle, self.x, mix).unbind(1)
        judged = (verdict(probs, self.target, mix) for probs in answers)
        return {
            name: torch.stack([getattr(one, measure) for measure in MEASURES]).double()
            for name, one in zip(ORACLES, judged, strict=True)
        }


def _judge_pairs(ground: _Ground, diagnosis: Diagnosis) -> dict[str, Any]:
    """By oracle, space and population: bins of distance and, by measure, means (G, B) and their deviations."""
    anchor, partner = ground.anchor, ground.partner
    by_share = []
    for share in SHARES:
        lam = torch.full((len(anchor),), share)
        by_share.append(ground.judge(Mix(anchor, partner, lam, lam)))
    rows, alone = torch.arange(len(ground.x)), torch.ones(len(ground.x))
    said = ask(ground.oracle, ground.x, Mix(rows, rows, alone, alone))
    agreed = said.argmax(2) == ground.y[:, None]  # (n, oracles)
    different = ground.y[anchor] != ground.y[partner]
    found: dict[str, Any] = {}
    for place, oracle in enumerate(ORACLES):
        values = torch.stack([judged[oracle] for judged in by_share], 1)  # (measures, G, m)
        sound = different & agreed[anchor, place] & agreed[partner, place]
        population = {"all": torch.ones_like(different), "different": different, "sound": sound}
        found[oracle] = {
            space: {
                name: _binned(values[..., some], ground.distance(space, anchor[some], partner[some]), diagnosis.bins)
                for name, some in population.items()
                if some.any()
            }
            for space in SPACES
        }
    return found


def _binned(values: Tensor, distance: Tensor, bins: int) -> dict[str, Any]:
    """Means over bins with equally many of these pairs, and the standard deviations within."""
    distance = distance.double()
    place = bin_of(distance, edges_of(distance, bins))
    mean = bin_means(values, place, bins)  # (measures, G, B)
    deviation = (bin_means(values.square(), place, bins) - mean.square()).clamp(min=0).sqrt()
    return {
        "count": torch.bincount(place, minlength=bins).tolist(),
        "distance": _plain(bin_means(distance, place, bins)),
        "mean": dict(zip(MEASURES, _plain(mean), strict=True)),
        "deviation": dict(zip(MEASURES, _plain(deviation), strict=True)),
    }


def _plain(values: Tensor) -> Any:
    """Nested lists, None where a bin was empty; six digits are more than the pairs can tell."""
    if values.ndim:
        return [_plain(value) for value in values]
    return None if values.isnan() else round(float(values), 6)


def _train(
    diagnosis: Diagnosis, label: str, seed: int, parts: Parts, on_epoch: Callable[[int], object]
) -> tuple[Mix, nn.Module]:
    """A network trained as in a comparison, and a sample of the mixes that it was trained on."""
    recipe, splits = diagnosis.recipe(label, seed), parts.splits
    steps = recipe.fit.epochs * -(-len(splits.train) // recipe.fit.batch_size)
    method, watch = watched(recipe.method, keep=-(-_MIXES // steps))
    network = initial_model(recipe, splits)
    fit(network, splits, method, task_of(splits.about), recipe.fit, seed, on_epoch)
    return watch.mixes(), network.cpu().eval()


def _judge_method(ground: _Ground, mixes: Mix, seed: int) -> dict[str, Any]:
    """How much and at what distances a method mixed, and how wrong its labels were, own and dealt anew."""
    mixes = _of_two_rows(mixes)
    generator = torch.Generator().manual_seed(seed)
    share = mixes.lam_x.reshape(len(mixes.lam_x), -1).mean(1)  # a map's mean over its pixels
    smaller, of_label = torch.minimum(share, 1 - share), torch.minimum(mixes.lam_y, 1 - mixes.lam_y)
    different = ground.y[mixes.anchor] != ground.y[mixes.partner]
    pairs = {
        "own": (mixes.anchor, mixes.partner),
        "dealt": random_pairs(len(ground.x), len(smaller), generator),
        "dealt_within": _pairs_like(ground.y, different, generator),
    }
    wrong = {
        deal: ground.judge(dataclasses.replace(mixes, anchor=anchor, partner=partner))
        for deal, (anchor, partner) in pairs.items()
    }
    return {
        "mixes": len(smaller),
        "mixing": float(smaller.mean()),
        "label_mixing": float((of_label * different).mean()),
        "different": float(different.double().mean()),
        "wrong": {
            oracle: {
                measure: {deal: float(wrong[deal][oracle][place].mean()) for deal in DEALS}
                for place, measure in enumerate(MEASURES)
            }
            for oracle in ORACLES
        },
        "lam": {space: _lam_by_distance(ground, space, mixes, smaller) for space in SPACES},
        "wrong_by_distance": {
            oracle: {space: _wrong_by_distance(ground, space, mixes, values) for space in SPACES}
            for oracle, values in wrong["own"].items()
        },
    }


def _of_two_rows(mixes: Mix) -> Mix:
    """Without the rows that a shuffle left with themselves, which a kernel takes for its most similar pairs; all where
    a method pairs no others, as plain training does."""
    two = mixes.anchor != mixes.partner
    if not two.any():
        return mixes
    return Mix(mixes.anchor[two], mixes.partner[two], mixes.lam_x[two], mixes.lam_y[two])


def _pairs_like(y: Tensor, different: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random pairs (m,) of two rows, each of the same class or of different classes as `different` says: uniform over
    all such pairs. So the anchor counts as often as it has partners. There must be a pair of each kind asked for.
    """
    n, m = len(y), len(different)
    order = y.argsort()  # rows by class: those of other classes follow a class in a circle
    size = torch.bincount(y)
    first = size.cumsum(0) - size
    place = torch.empty(m, dtype=torch.int64)  # of the anchor, in that order
    for kind, partners in ((False, size - 1), (True, n - size)):
        asked = different == kind
        if asked.any():
            weights = partners[y[order]].double()
            place[asked] = torch.multinomial(weights, int(asked.sum()), replacement=True, generator=generator)
    start, own = first[y[order[place]]], size[y[order[place]]]
    u = torch.rand(m, generator=generator, dtype=torch.float64)
    same = start + (place - start + 1 + (u * (own - 1)).long()) % own
    other = (start + own + (u * (n - own)).long()) % n
    return order[place], order[torch.where(different, other, same)]


def _lam_by_distance(ground: _Ground, space: str, mixes: Mix, smaller: Tensor) -> dict[str, Any]:
    """In bins of random pairs' distances: how many mixes, the mean of their smaller share, and its histogram."""
    edges = ground.edges[space]
    bins = len(edges) - 1
    distance = ground.distance(space, mixes.anchor, mixes.partner)
    place = bin_of(distance, edges)
    cell = (smaller * 2 * LAM_CELLS).long().clamp(max=LAM_CELLS - 1)
    histogram = torch.zeros(bins, LAM_CELLS, dtype=torch.int64)
    histogram.index_put_((place, cell), torch.ones_like(cell), accumulate=True)
    return {
        "edges": [round(edge, 4) for edge in edges.tolist()],
        "count": histogram.sum(1).tolist(),
        "mean": _plain(bin_means(smaller.double(), place, bins)),
        "histogram": histogram.tolist(),
    }


def _wrong_by_distance(ground: _Ground, space: str, mixes: Mix, values: Tensor) -> dict[str, Any]:
    """The measures (measures, m) of a method's own mixes, averaged in the same bins."""
    edges = ground.edges[space]
    place = bin_of(ground.distance(space, mixes.anchor, mixes.partner), edges)
    return dict(zip(MEASURES, _plain(bin_means(values, place, len(edges) - 1)), strict=True))


def _save_batch(out: Path, recipe: Recipe, parts: Parts, network: nn.Module) -> None:
    """One batch of mixes under the trained network, as arrays."""
    train = parts.splits.train
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(recipe.seed))[:_SHOWN]
    method = recipe.method.at(0)
    step = method.step(network, task_of(parts.splits.about), Batch(train.x[rows], train.y[rows], rows))
    try:
        shown = mixed_rows(method, step, torch.Generator().manual_seed(recipe.seed))
    except SettingError:  # methods that ask for the memory of a whole training
        return
    arrays = {name: value.detach().numpy() for name, value in vars(shown).items() if value is not None}
    path = batch_path(out, recipe.label)
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def batch_path(out: Path, label: str) -> Path:
    """Where the batch of a method's mixes is kept."""
    return out / "mixes" / f"{slug(label, 0).removesuffix('-seed0')}.npz"


def read_batch(out: Path, label: str) -> MixedRows | None:
    """The batch of a method's mixes; None where there is none."""
    path = batch_path(out, label)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored}
    return MixedRows(**{"tau": None, **arrays})


# ------------------------------------------------------------------------------------------- all seeds together


def _write(diagnosis: Diagnosis, seeds: list[dict[str, Any]], out: Path, command: Sequence[str]) -> dict[str, Any]:
    splits = diagnosis.source.splits(0)
    about = splits.about
    results = {
        "data": {
            **dataclasses.asdict(about),
            "sizes": {part: len(getattr(splits, part)) for part in ("train", "validation", "calibration", "test")},
            "shape": list(splits.train.x.shape[1:]),
        },
        "model": diagnosis.model or default_model(tuple(splits.train.x.shape[1:])),
        "fit": {**dataclasses.asdict(diagnosis.fit), "learning_rate": diagnosis.fit.peak_rate},
        "settings": {
            **dataclasses.asdict(diagnosis.oracle),
            "epochs": diagnosis.oracle.fit(seeds[0]["oracle"]["rows"]).epochs,
            "learnt": seeds[0]["oracle"]["rows"],
            "pairs": diagnosis.pairs,
            "bins": diagnosis.bins,
        },
        "seeds": len(seeds),
        "command": list(command),
        "environment": environment(diagnosis.fit),
        "oracle": {
            oracle: dataclasses.asdict(interval([seed["oracle"]["accuracy"][oracle] for seed in seeds]))
            for oracle in ORACLES
        },
        "mismatch": summarise_pairs(seeds),
        "methods": summarise_methods(seeds),
    }
    for name, rows in (("mismatch", _pair_rows(seeds)), ("methods", _method_rows(seeds))):
        table = _csv(rows)
        write_whole(out / f"{name}.csv", lambda file, table=table: file.write(table))
    write_json(out / "diagnosis.json", results)
    return read_json(out / "diagnosis.json")


def summarise_pairs(seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An entry for each oracle, space, population, measure and share: intervals by bin, and the rise from the nearest
    bin to the farthest.

    Over several seeds the intervals are over seeds (Student's t). For one they are over its pairs, taken as independent
    (Wilson's for rates), which they are not quite, as pairs share rows.
    """
    entries = []
    for oracle in ORACLES:
        for space in SPACES:
            for population in POPULATIONS:
                found = [seed["mismatch"][oracle][space].get(population) for seed in seeds]
                if any(one is None for one in found):
                    continue
                for measure in MEASURES:
                    for place, share in enumerate(SHARES):
                        entries.append(
                            {
                                "oracle": oracle,
                                "space": space,
                                "pairs": population,
                                "measure": measure,
                                "share": share,
                                **_over_seeds(found, measure, place),
                            }
                        )
    return entries


def _over_seeds(found: list[dict[str, Any]], measure: str, share: int) -> dict[str, Any]:
    def known(values: Sequence[float | None]) -> list[float]:
        return [value for value in values if value is not None]

    means = [one["mean"][measure][share] for one in found]  # (seeds, B)
    bins = range(len(means[0]))
    if len(found) > 1:
        intervals = [_interval(known([seed[b] for seed in means])) for b in bins]
    else:
        one = found[0]
        intervals = [
            _of_pairs(measure, means[0][b], one["deviation"][measure][share][b], one["count"][b]) for b in bins
        ]
    rises = known([None if None in (seed[0], seed[-1]) else seed[-1] - seed[0] for seed in means])
    return {
        "distance": [
            one and one["mean"] for one in (_interval(known([f["distance"][b] for f in found])) for b in bins)
        ],
        "bins": intervals,
        "rise": _interval(rises),
    }


def _interval(values: Sequence[float]) -> dict[str, Any] | None:
    """The interval over seeds; None for no values."""
    return dataclasses.asdict(interval(values)) if values else None


def _of_pairs(measure: str, mean: float | None, deviation: float | None, count: int) -> dict[str, Any] | None:
    """The interval of a bin's mean over its pairs, whose number is `count`; None for an empty bin."""
    if mean is None or deviation is None:
        return None
    if measure == "neither":
        return dataclasses.asdict(Interval(mean, *rate_interval(mean, count), count))
    half = 1.96 * deviation / count**0.5
    return dataclasses.asdict(Interval(mean, max(0.0, mean - half), min(1.0, mean + half), count))


def summarise_methods(seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An entry a method: amounts of mixing, wrong labels own and dealt anew, and what the method cuts of them.

    cut: by control, 1 - own / dealt, seed by seed: the part of the wrong labels that comes off by choosing what is
    mixed strongly, with the amount of mixing left as it is.
    """
    entries = []
    for label in seeds[0]["methods"]:
        found = [seed["methods"][label] for seed in seeds]

        def amount(name: str, found: list[dict[str, Any]] = found) -> dict[str, Any]:
            return dataclasses.asdict(interval([one[name] for one in found]))

        entries.append(
            {
                "method": label,
                "repr": found[0]["repr"],
                "mixes": sum(one["mixes"] for one in found),
                **{name: amount(name) for name in ("mixing", "label_mixing", "different")},
                "wrong": {
                    oracle: {measure: _wrong([one["wrong"][oracle][measure] for one in found]) for measure in MEASURES}
                    for oracle in ORACLES
                },
                "lam": {space: _pooled([one["lam"][space] for one in found]) for space in SPACES},
                "wrong_by_distance": {
                    oracle: {
                        space: {
                            measure: _by_bin([one["wrong_by_distance"][oracle][space][measure] for one in found])
                            for measure in MEASURES
                        }
                        for space in SPACES
                    }
                    for oracle in ORACLES
                },
            }
        )
    return entries


def _wrong(values: list[dict[str, float]]) -> dict[str, Any]:
    own = [one["own"] for one in values]
    result: dict[str, Any] = {deal: dataclasses.asdict(interval([one[deal] for one in values])) for deal in DEALS}
    for deal in DEALS[1:]:
        other = [one[deal] for one in values]
        result[f"own-{deal}"] = dataclasses.asdict(interval([a - b for a, b in zip(own, other, strict=True)]))
        cuts = [1 - mine / theirs for mine, theirs in zip(own, other, strict=True) if theirs > 0]
        result[f"cut-{deal}"] = _interval(cuts)
    return result


def _pooled(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Histograms added up over seeds; the means of a bin over seeds; edges as their mean."""
    histogram = np.sum([one["histogram"] for one in found], 0)
    edges = np.mean([one["edges"] for one in found], 0)
    return {
        "edges": edges.round(4).tolist(),
        "histogram": histogram.tolist(),
        "mean": _by_bin([one["mean"] for one in found]),
    }


def _by_bin(seeds: Sequence[Sequence[float | None]]) -> list[dict[str, Any] | None]:
    """The interval over seeds of each bin; None where no seed has anything in it."""
    return [_interval([value for value in column if value is not None]) for column in zip(*seeds, strict=True)]


def _pair_rows(seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed["seed"],
            "oracle": oracle,
            "space": space,
            "pairs": population,
            "share": share,
            "bin": b + 1,
            "distance": found["distance"][b],
            "count": found["count"][b],
            **{measure: found["mean"][measure][place][b] for measure in MEASURES},
        }
        for seed in seeds
        for oracle, spaces in seed["mismatch"].items()
        for space, populations in spaces.items()
        for population, found in populations.items()
        for place, share in enumerate(SHARES)
        for b in range(len(found["count"]))
    ]


def _method_rows(seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed["seed"],
            "method": label,
            "mixing": found["mixing"],
            "label_mixing": found["label_mixing"],
            "different": found["different"],
            "oracle": oracle,
            "labels": deal,
            **{measure: found["wrong"][oracle][measure][deal] for measure in MEASURES},
        }
        for seed in seeds
        for label, found in seed["methods"].items()
        for oracle in ORACLES
        for deal in DEALS
    ]


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
