"""Networks for graphs: GIN for whole graphs, GCN for the nodes of one.

A row is the number of a graph, or of a node. The networks hold the graphs, which are no weights and are not saved with
them, and look rows up. What a row is mixed by is the output of a part: `readout` of GIN, `hidden` of GCN.

n rows, N nodes, E edges, G graphs, d features, K outputs
"""

import warnings
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from calmix.errors import SettingError, ShapeError
from calmix.models.shapes import at_least_one


class GIN(nn.Module):
    """Graph isomorphism network: numbers of graphs (n, 1) -> outputs (n, K).

    Formula: h_v' = MLP(h_v + sum of h_u over the neighbours u), depth - 1 times from the features on; a graph's
    embedding is the sum over its nodes of the features and of each layer's h, side by side; `head` is dropout and a
    linear layer. An MLP has two layers, each with batch norm over all nodes of the batch, and ReLU.
    Source: Xu et al., How Powerful are Graph Neural Networks?, ICLR 2019 (arXiv 1810.00826), GIN-0.
    Deviation: dropout comes before the last layer; in the authors' code it is applied to its outputs, which would drop
    logits.

    features: (N, d). edges: (2, E), from and to, both directions. graph_of: (N,) that does not fall.

    Raises:
        SettingError: torch-geometric is not installed. ShapeError: tensors that do not fit each other.

    >>> graph_of, edges = torch.tensor([0, 0, 1]), torch.tensor([[0, 1], [1, 0]])
    >>> GIN(torch.ones(3, 2), edges, graph_of, 4)(torch.tensor([[1], [0], [1]])).shape
    torch.Size([3, 4])
    """

    def __init__(
        self,
        features: Tensor,
        edges: Tensor,
        graph_of: Tensor,
        outputs: int,
        width: int = 64,
        depth: int = 5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.readout: SumReadout = SumReadout(features, edges, graph_of, width, depth)
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.head: nn.Linear = nn.Linear(self.readout.size, outputs)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.head(self.dropout(self.readout(numbers)))


class SumReadout(nn.Module):
    """Embeddings of graphs: numbers (n, 1) -> (n, d + (depth - 1) width), see `GIN`. size: how many entries they have.

    The batch is one graph of parts that no edge joins. A graph that comes twice is computed twice.
    """

    def __init__(self, features: Tensor, edges: Tensor, graph_of: Tensor, width: int, depth: int) -> None:
        super().__init__()
        at_least_one(width=width, depth=depth)
        _check(features, edges)
        if len(graph_of) != len(features) or (graph_of.diff() < 0).any():
            raise ShapeError(f"graph_of must hold a graph of each of {len(features)} nodes and not fall.")
        convolution = _geometric().GINConv
        sizes = [features.shape[1]] + [width] * (depth - 1)
        self.size: int = sum(sizes)
        self.layers: nn.ModuleList = nn.ModuleList(
            convolution(_mlp(before, after)) for before, after in pairwise(sizes)
        )
        order = graph_of[edges[0]].argsort(stable=True)
        graphs = int(graph_of[-1]) + 1
        self.features: Tensor
        self.edges: Tensor
        self.nodes_of: Tensor
        self.edges_of: Tensor
        _hold(self, "features", features)
        _hold(self, "edges", edges[:, order])  # those of a graph stand together
        _hold(self, "nodes_of", graph_of.bincount(minlength=graphs))  # (G,) how many
        _hold(self, "edges_of", graph_of[edges[0]].bincount(minlength=graphs))

    def forward(self, numbers: Tensor) -> Tensor:
        numbers = numbers.flatten()
        nodes, edges = self.nodes_of[numbers], self.edges_of[numbers]  # (n,)
        first = (self.nodes_of.cumsum(0) - self.nodes_of)[numbers]
        chosen = _spans(first, nodes)
        moved = nodes.cumsum(0) - nodes - first  # how far the nodes of each graph stand from where they were
        joined = self.edges[:, _spans((self.edges_of.cumsum(0) - self.edges_of)[numbers], edges)]
        joined = joined + moved.repeat_interleave(edges)
        row = torch.arange(len(numbers), device=numbers.device).repeat_interleave(nodes)
        each = self.features[chosen]
        sums = [_sum_of(each, row, len(numbers))]
        for layer in self.layers:
            each = layer(each, joined)
            sums.append(_sum_of(each, row, len(numbers)))
        return torch.cat(sums, 1)


def _mlp(inputs: int, width: int) -> nn.Sequential:
    def layer(inputs: int) -> list[nn.Module]:
        return [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU()]

    return nn.Sequential(*layer(inputs), *layer(width))


def _sum_of(each: Tensor, row: Tensor, rows: int) -> Tensor:
    """(n, d): of the nodes (m, d) of each row."""
    return each.new_zeros(rows, each.shape[1]).index_add(0, row, each)


def _spans(starts: Tensor, lengths: Tensor) -> Tensor:
    """start, start + 1, ..., start + length - 1 of each span, one after the other.

    >>> _spans(torch.tensor([5, 0]), torch.tensor([2, 3]))
    tensor([5, 6, 0, 1, 2])
    """
    ends = lengths.cumsum(0)
    return torch.arange(int(ends[-1]), device=starts.device) + (starts - ends + lengths).repeat_interleave(lengths)


class GCN(nn.Module):
    """Graph convolutional network of two layers: numbers of nodes (n, 1) -> outputs (n, K).

    Formula: A ReLU(A X W1 + b1) W2 + b2, of the rows asked for; A = D^-1/2 (adjacency + I) D^-1/2, D the row sums of
    adjacency + I. `hidden` gives the rows of A ReLU(A X W1 + b1), and `head` is W2 and b2. As A is linear, to mix the
    output of `hidden` is to mix the second layer's messages of two nodes, each from its own neighbours.
    Source: Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks, ICLR 2017
    (arXiv 1609.02907): width 16, dropout 0.5 of the features and of the first layer's output, Glorot's weights.

    features: (N, d); entries of 0 cost nothing. edges: (2, E), from and to, both directions.

    Raises:
        SettingError: torch-geometric is not installed. ShapeError: tensors that do not fit each other.

    >>> GCN(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), 4)(torch.tensor([[1], [0]])).shape
    torch.Size([2, 4])
    """

    def __init__(self, features: Tensor, edges: Tensor, outputs: int, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden: HiddenNodes = HiddenNodes(features, edges, width, dropout)
        self.head: nn.Linear = nn.Linear(width, outputs)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.head(self.hidden(numbers))


class HiddenNodes(nn.Module):
    """Numbers of nodes (n, 1) -> rows (n, width) of A ReLU(A X W1 + b1), see `GCN`. All nodes are computed."""

    def __init__(self, features: Tensor, edges: Tensor, width: int, dropout: float) -> None:
        super().__init__()
        at_least_one(width=width)
        _check(features, edges)
        if not 0 <= dropout < 1:
            raise SettingError(f"dropout must be at least 0 and below 1; got {dropout}.")
        geometric = _geometric()
        self.dropout: float = dropout
        self.weight: nn.Parameter = nn.Parameter(torch.empty(features.shape[1], width))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(width))
        nn.init.xavier_uniform_(self.weight)
        self.neighbours: nn.Module = geometric.SimpleConv(aggr="sum")
        joined, shares = geometric.conv.gcn_conv.gcn_norm(edges, None, len(features), dtype=features.dtype)
        node, word = features.nonzero(as_tuple=True)  # in the order of nodes
        self.edges: Tensor
        self.shares: Tensor
        self.words: Tensor
        self.counts: Tensor
        self.starts: Tensor
        _hold(self, "edges", joined)  # (2, E + N)
        _hold(self, "shares", shares)  # (E + N,) entries of A
        _hold(self, "words", word)  # the features of each node that are not 0, one node after the other,
        _hold(self, "counts", features[node, word])  # what they are,
        per_node = node.bincount(minlength=len(features))
        _hold(self, "starts", per_node.cumsum(0) - per_node)  # and (N,) where those of each node begin

    def forward(self, numbers: Tensor) -> Tensor:
        counts = F.dropout(self.counts, self.dropout, self.training)
        # X W1: a node's row is the sum of the rows of W1 that its features name
        each = F.embedding_bag(self.words, self.weight, self.starts, mode="sum", per_sample_weights=counts)
        each = torch.relu(self.neighbours(each, self.edges, self.shares) + self.bias)
        each = F.dropout(each, self.dropout, self.training)
        return self.neighbours(each, self.edges, self.shares)[numbers.flatten()]

    def extra_repr(self) -> str:
        return f"features={len(self.weight)}, width={len(self.bias)}, dropout={self.dropout}"


def _check(features: Tensor, edges: Tensor) -> None:
    """Raise ShapeError unless the edges join the nodes that have features."""
    if features.ndim != 2 or edges.ndim != 2 or len(edges) != 2 or (edges.numel() and edges.max() >= len(features)):
        raise ShapeError(
            f"features must be (N, d), and edges (2, E) numbers below N; got {tuple(features.shape)} and "
            f"{tuple(edges.shape)}."
        )


def _hold(module: nn.Module, name: str, values: Tensor) -> None:
    """Data that move to a device with the module, and are not saved with its weights."""
    module.register_buffer(name, values, persistent=False)


def _geometric() -> Any:
    """torch_geometric.nn, which warns when it is loaded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch_geometric import nn as geometric
    except ImportError:
        raise SettingError(
            "networks for graphs are made with torch-geometric; install it with: pip install 'calmix[graph]'."
        ) from None
    return geometric
