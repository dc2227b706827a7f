"""Graphs: MixupE and others where rows are mixed after they were looked up, at a hidden layer.

Row numbers cannot be mixed. So each method has the same site: the embedding of a graph, or the last hidden layer of a
node. Plain Mixup there is what Manifold Mixup would be at that one layer, so there is no further baseline of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from calmix.core.method import Method
from calmix.core.space import Embedding
from calmix.data import DataSource, Folds
from calmix.data.graphs import CitationGraph, GraphFolder, find_graphs, find_nodes
from calmix.methods.mixup import mixup
from calmix.methods.mixup_e import mixup_e
from calmix.methods.sk_mixup import sk_mixup
from calmix.methods.sk_mixup_e import sk_mixup_e
from calmix.models.graphs import GCN, GIN
from calmix.reproduction.claims import Claim
from calmix.reproduction.experiment import Experiment, Size, longer, size_of, with_controls
from calmix.studies.comparison.study import Comparison
from calmix.train import TrainingSettings

_MIXUP_E = (
    "Zou et al., UAI 2023 (arXiv 2212.13381), whose public code has no networks for graphs; Similarity Kernel Mixup "
    "has no experiments on them"
)
_CLAIMS = (
    Claim("mixup_e", "erm", "accuracy"),
    Claim("mixup_e", "mixup", "accuracy"),
    Claim("sk_mixup", "mixup", "accuracy"),
    Claim("sk_mixup", "erm", "ece"),
    Claim("sk_mixup", "mixup", "ece"),
    Claim("sk_mixup", "mixup", "ece", "scaled"),
)
_MIXED = "Wang et al., Mixup for Node and Graph Classification, WWW 2021"


def graph_classification(scale: str, data_dir: Path | None = None, *, name: str) -> Experiment:
    """Graphs of a TUDataset by GIN: five layers of width 64, Adam with a rate of 0.01 that halves six times, ten folds.

    Source: Zou et al., UAI 2023 (arXiv 2212.13381); GIN and its settings: Xu et al., ICLR 2019 (arXiv 1810.00826).
    """
    source = find_graphs(name, data_dir)
    size = size_of(scale, smoke=Size(2, 5, 300), small=Size(10, 100), paper=Size(10, 350))
    data = Folds(source, size.seeds)
    if size.train_size is not None and len(data.splits(0).train) > size.train_size:
        data = Folds(replace(source, train_size=size.train_size), size.seeds)
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=32,
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.0,
        schedule=f"steps(at={[round(step / 7, 4) for step in range(1, 7)]}, factor=0.5)",
    )
    return _experiment(
        data,
        OfGraphs(source),
        "readout",
        settings,
        size,
        f"{_MIXUP_E}; mixed at the readout as by {_MIXED}; the network and its settings: Xu et al., ICLR 2019 (arXiv "
        "1810.00826).",
        (
            "The paper's networks and settings for graphs were not at hand; these are GIN's own, with one width, one "
            "batch size and one dropout for all sets, where GIN's authors choose among several by test folds.",
            "The last epoch is kept, and a fold's test graphs are looked at once; GIN's authors report the epoch that "
            "has the best mean accuracy on the test folds.",
            "Of the graphs that are not tested, an eighth each are validation and calibration rows; published code "
            "trains on all of them.",
            "Dropout comes before the last layer, and not after it.",
            "The penalty of MixupE is that of the network's output; graphs have no mean to move towards, and the "
            "version that this library takes by default needs none.",
        ),
    )


def node_classification(scale: str, data_dir: Path | None = None, *, name: str) -> Experiment:
    """Nodes of a citation graph by a GCN of two layers: 20 labelled nodes a class, 200 epochs of one step, ten seeds.

    Source: Zou et al., UAI 2023 (arXiv 2212.13381); the GCN and its settings: Kipf and Welling, ICLR 2017 (arXiv
    1609.02907).
    """
    source = find_nodes(name, data_dir)
    size = size_of(scale, smoke=Size(2, 50), small=Size(10, 200), paper=Size(10, 200))
    settings = TrainingSettings(
        epochs=size.epochs,
        batch_size=1024,  # more than there are nodes to train on: all in one step
        optimizer="adamw",
        learning_rate=0.01,
        weight_decay=0.5,
        schedule="constant",
    )
    return _experiment(
        source,
        OfNodes(source),
        "hidden",
        settings,
        size,
        f"{_MIXUP_E}; mixed at a hidden layer, each node with its own neighbours, as by {_MIXED}; the network and its "
        "settings: Kipf and Welling, ICLR 2017 (arXiv 1609.02907).",
        (
            "The paper's networks and settings for graphs were not at hand; these are those of Kipf and Welling.",
            "Nodes are mixed in the second layer alone; Wang et al. mix the inputs and the first layer, too.",
            "The weight decay is AdamW's, 0.5 of all weights; Kipf and Welling add 0.0005 / 2 times the squared first "
            "layer's weights to the loss. With 0.5, plain training comes to about the same validation loss.",
            "All 200 epochs are trained and the last is kept; Kipf and Welling stop when the validation loss has not "
            "fallen for ten.",
            "Half of the 500 validation nodes are calibration rows. Splits are the public ones for every seed: seeds "
            "draw weights, dropout and mixes, and intervals speak of these alone.",
            "The penalty of MixupE is that of the network's output; nodes have no mean to move towards, and the "
            "version that this library takes by default needs none.",
        ),
    )


def _experiment(
    data: DataSource,
    model: Callable[[int], nn.Module],
    site: str,
    settings: TrainingSettings,
    size: Size,
    source: str,
    deviations: tuple[str, ...],
) -> Experiment:
    space = Embedding(site)  # between what is mixed
    own = {"sk_mixup": sk_mixup(space=space), "mixup_e": mixup_e(), "sk_mixup_e": sk_mixup_e(space=space)}

    def at_site(method: Method) -> Method:
        return replace(method, site=site)

    methods = with_controls({label: at_site(method) for label, method in own.items()}, at_site(mixup()))
    return Experiment(
        Comparison(data, methods, model, settings, size.seeds, own_settings=longer(settings)),
        source,
        _CLAIMS,
        deviations,
    )


@dataclass(frozen=True)
class OfGraphs:
    """A factory of `GIN`s that hold the graphs of a source."""

    source: GraphFolder
    label: str = "gin"

    @property
    def digest(self) -> str:
        return self.source.splits(0).about.digest

    def __call__(self, outputs: int) -> nn.Module:
        graphs = self.source.graphs()
        return GIN(graphs.features, graphs.edges, graphs.graph_of, outputs)


@dataclass(frozen=True)
class OfNodes:
    """A factory of `GCN`s that hold the graph of a source; the features of a node are shares of their sum."""

    source: CitationGraph
    label: str = "gcn"

    @property
    def digest(self) -> str:
        return self.source.splits(0).about.digest

    def __call__(self, outputs: int) -> nn.Module:
        graph = self.source.graph()
        return GCN(shares_of(graph.features), graph.edges, outputs)


def shares_of(features: Tensor) -> Tensor:
    """Each row (N, d) divided by its sum; a row of zeros stays one."""
    sums = features.sum(1, keepdim=True)
    return features / sums.where(sums != 0, 1.0)
