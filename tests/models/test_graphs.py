"""GIN and GCN against formulas, against each other's order of nodes, and where rows are mixed."""

import copy
import pickle
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import calmix
from calmix.core.method import Method
from calmix.core.mix import Batch, Mix, mixed_output
from calmix.core.space import Embedding
from calmix.errors import SettingError, ShapeError
from calmix.models.graphs import GCN, GIN
from tests.data.raw_graphs import geometric

SIZES = (4, 1, 6, 3)  # nodes of each graph


def graphs() -> tuple[Tensor, Tensor, Tensor]:
    """Features (14, 3), edges in random order, and the graph of each node."""
    generator = torch.Generator().manual_seed(0)
    graph_of = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    joined = (torch.rand(14, 14, generator=generator) < 0.6).triu(1)
    joined &= graph_of[:, None] == graph_of
    edges = (joined | joined.T).nonzero().T
    return (
        torch.randn(14, 3, generator=generator),
        edges[:, torch.randperm(edges.shape[1], generator=generator)],
        graph_of,
    )


def gin(**options: float) -> GIN:
    torch.manual_seed(0)
    return GIN(*graphs(), 2, **{"width": 5, "depth": 3, **options})  # pyright: ignore[reportArgumentType]


def column(*numbers: int) -> Tensor:
    return torch.tensor(numbers)[:, None]


def adjacency(edges: Tensor, nodes: int) -> Tensor:
    dense = torch.zeros(nodes, nodes)
    dense[edges[0], edges[1]] = 1
    return dense


# ---------------------------------------------------------------------------------------------------------------- GIN


@pytest.mark.parametrize("training", [False, True])
def test_gin_is_its_formula_on_dense_matrices(training: bool):
    """Of each graph's own adjacency matrix, the MLPs with batch norm over all nodes of the batch."""
    model, numbers = gin(dropout=0.0).train(training), [2, 0, 1]
    features, edges, graph_of = graphs()
    own = [(graph_of == graph).nonzero()[:, 0] for graph in numbers]
    nodes = torch.cat(own)
    dense = adjacency(edges, 14)[nodes][:, nodes]
    each, sums = features[nodes], []
    belongs = torch.block_diag(*(torch.ones(1, len(rows)) for rows in own))  # (3, nodes)
    by_hand = copy.deepcopy(model)
    sums.append(belongs @ each)
    for layer in by_hand.readout.layers:
        each = layer.nn((torch.eye(len(nodes)) + dense) @ each)  # pyright: ignore[reportCallIssue]
        sums.append(belongs @ each)
    expected = by_hand.head(torch.cat(sums, 1))
    assert torch.allclose(model(column(*numbers)), expected, atol=1e-5)


def test_gin_does_not_depend_on_the_order_of_nodes_and_edges():
    """Nodes change places within their graphs."""
    features, edges, graph_of = graphs()
    moved = torch.randperm(14, generator=torch.Generator().manual_seed(1))
    moved = moved[graph_of[moved].argsort(stable=True)]  # the node that stands at each place
    place = moved.argsort()
    assert (moved != torch.arange(14)).sum() > 7
    model = gin()
    changed = GIN(features[moved], place[edges].flip(1), graph_of, 2, width=5, depth=3)
    changed.load_state_dict(model.state_dict())
    numbers = column(0, 1, 2, 3)
    assert torch.allclose(model.eval()(numbers), changed.eval()(numbers), atol=1e-5)


def test_a_graph_is_the_same_alone_among_others_and_twice():
    model = gin().eval()
    alone = torch.cat([model(column(number)) for number in (3, 1, 3, 0)])
    assert torch.allclose(model(column(3, 1, 3, 0)), alone, atol=1e-6)


def test_a_readout_is_a_sum_over_nodes():
    """Twice the graph in one, and no edge between the halves, has twice the embedding."""
    features, edges, graph_of = graphs()
    own = graph_of == 0
    once = edges[:, own[edges[0]]]
    torch.manual_seed(0)
    single = GIN(features[own], once, torch.zeros(4, dtype=torch.int64), 2, width=5).eval()
    double = GIN(
        features[own].repeat(2, 1), torch.cat([once, once + 4], 1), torch.zeros(8, dtype=torch.int64), 2, width=5
    )
    double.load_state_dict(single.state_dict())
    assert torch.allclose(double.eval().readout(column(0)), 2 * single.readout(column(0)), rtol=1e-5)


def test_the_embedding_holds_the_inputs_and_each_layer():
    model = gin()
    features, _, graph_of = graphs()
    assert model.readout(column(0, 1)).shape == (2, 3 + 2 * 5)
    assert torch.allclose(model.readout(column(2))[0, :3], features[graph_of == 2].sum(0), atol=1e-6)


def test_mixing_at_the_readout_mixes_embeddings():
    model = gin(dropout=0.0).eval()
    lam = torch.tensor([0.25, 0.9])
    mix = Mix(torch.tensor([0, 1]), torch.tensor([1, 0]), lam, lam, "readout")
    embeddings = model.readout(column(3, 0))
    expected = model.head(lam[:, None] * embeddings + (1 - lam[:, None]) * embeddings.flip(0))
    assert torch.allclose(mixed_output(model, column(3, 0), mix), expected, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------- GCN


def citations() -> tuple[Tensor, Tensor]:
    features, edges, _ = graphs()
    return features * (features > 0), edges


def gcn(**options: float) -> GCN:
    torch.manual_seed(0)
    model = GCN(*citations(), 3, **{"width": 4, **options})  # pyright: ignore[reportArgumentType]
    nn.init.normal_(model.hidden.bias)
    nn.init.normal_(model.head.bias)
    return model


def normalised() -> Tensor:
    """D^-1/2 (adjacency + I) D^-1/2, dense."""
    joined = adjacency(citations()[1], 14) + torch.eye(14)
    scale = joined.sum(1) ** -0.5
    return scale[:, None] * joined * scale


def dense_hidden(model: GCN) -> Tensor:
    a = normalised()
    return a @ torch.relu(a @ citations()[0] @ model.hidden.weight + model.hidden.bias)


def test_gcn_is_its_formula_on_dense_matrices():
    model = gcn().eval()
    expected = dense_hidden(model) @ model.head.weight.T + model.head.bias
    assert torch.allclose(model(column(*range(14))), expected, atol=1e-5)
    assert torch.allclose(model(column(5, 0, 5)), expected[[5, 0, 5]], atol=1e-5)


def test_gcn_is_that_of_torch_geometric():
    model = gcn().eval()
    features, edges = citations()
    with geometric():
        from torch_geometric.nn import GCNConv

        first, second = GCNConv(3, 4), GCNConv(4, 3)
        first.lin.weight.data, first.bias.data = model.hidden.weight.data.T, model.hidden.bias.data  # pyright: ignore
        second.lin.weight.data, second.bias.data = model.head.weight.data, model.head.bias.data  # pyright: ignore
        expected = second(first(features, edges).relu(), edges)
    assert torch.allclose(model(column(*range(14))), expected, atol=1e-5)


def test_gradients_of_gcn_are_those_of_the_dense_formula():
    model = gcn(dropout=0.0)
    model(column(1, 4, 9)).square().sum().backward()
    given = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    (dense_hidden(model) @ model.head.weight.T + model.head.bias)[[1, 4, 9]].square().sum().backward()
    assert len(given) == 4
    assert all(torch.allclose(one, other.grad, atol=1e-4) for one, other in zip(given, model.parameters(), strict=True))  # pyright: ignore


def test_mixing_at_hidden_is_the_dense_formula_of_mixed_messages():
    """Each node's own neighbours are summed, and the two sums are mixed before the second layer's weights."""
    model = gcn().eval()
    anchor, partner, lam = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]), torch.tensor([0.3, 1.0, 0.6])
    nodes = torch.tensor([7, 2, 11])
    a = normalised()
    first = torch.relu(a @ citations()[0] @ model.hidden.weight + model.hidden.bias)
    rows = lam[:, None] * a[nodes[anchor]] + (1 - lam[:, None]) * a[nodes[partner]]  # mixed rows of A
    expected = rows @ first @ model.head.weight.T + model.head.bias
    found = mixed_output(model, nodes[:, None], Mix(anchor, partner, lam, lam, "hidden"))
    assert torch.allclose(found, expected, atol=1e-5)


def test_dropout_leaves_entries_of_zero_and_keeps_the_mean():
    """Of the features, whose mean over many draws is what they are."""
    features, edges = torch.eye(14)[:, :6] * 2.0, citations()[1]
    torch.manual_seed(0)
    model = GCN(features, edges, 2, width=3, dropout=0.5)
    nn.init.constant_(model.hidden.bias, 50.0)  # ReLU is then the identity
    model.train()
    mean = torch.stack([model.hidden(column(*range(14))) for _ in range(3000)]).mean(0)
    assert torch.allclose(mean, model.eval().hidden(column(*range(14))), rtol=0.05)


# ----------------------------------------------------------------------------------------------------------- of both


@pytest.mark.parametrize("make", [gin, gcn])
def test_graphs_are_no_weights(make):
    model = make()
    floats = [name for name, values in model.state_dict().items() if values.shape == (14, 3) or 14 in values.shape]
    assert floats == []
    again = make()
    again.load_state_dict(model.state_dict())
    assert torch.equal(copy.deepcopy(model).eval()(column(1, 3)), again.eval()(column(1, 3)))
    assert torch.equal(pickle.loads(pickle.dumps(model)).eval()(column(1, 3)), again(column(1, 3)))


@pytest.mark.parametrize(("make", "site"), [(gin, "readout"), (gcn, "hidden")])
@pytest.mark.parametrize("method", [calmix.mixup(), calmix.sk_mixup(), calmix.mixup_e(), calmix.sk_mixup_e()])
def test_methods_mix_at_the_site_and_repeat_themselves(make, site: str, method: Method):
    def step() -> tuple[Tensor, list[Tensor]]:
        model, task = make().train(), calmix.Classification(make()(column(0)).shape[1])
        loss = calmix.TrainingLoss(replace(method, site=site), task)
        torch.manual_seed(0)
        value = loss(model, column(0, 1, 2, 3), torch.tensor([0, 1, 0, 1]))
        value.backward()
        return value, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    (one, grads), (other, again) = step(), step()
    assert torch.equal(one, other)
    assert all(map(torch.equal, grads, again))


@pytest.mark.parametrize(("make", "site"), [(gin, "readout"), (gcn, "hidden")])
def test_the_kernel_measures_distances_of_embeddings(make, site: str):
    model = make().eval()
    task, rows = calmix.Classification(2), column(0, 1, 2, 3)
    step = calmix.sk_mixup().step(model, task, Batch(rows, torch.tensor([0, 1, 0, 1])))
    found = Embedding(site)(step)
    assert torch.equal(found, getattr(model, site)(rows))


@pytest.mark.parametrize("make", [gin, gcn])
def test_numbers_of_rows_cannot_be_mixed(make):
    loss = calmix.TrainingLoss(calmix.mixup(), calmix.Classification(2))
    with pytest.raises(ShapeError, match=r"rows of dtype int64 cannot be blended.*site="):
        loss(make(), column(0, 1), torch.tensor([0, 1]))


@pytest.mark.parametrize("make", [gin, gcn])
def test_without_torch_geometric_it_says_how_to_install_it(make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(
        SettingError, match=r"made with torch-geometric; install it with: pip install 'calmix\[graph\]'"
    ):
        make()


def test_tensors_that_do_not_fit_are_refused():
    features, edges, graph_of = graphs()
    with pytest.raises(ShapeError, match=r"edges \(2, E\) numbers below N; got \(9, 3\)"):
        GIN(features[:9], edges, graph_of[:9], 2)
    with pytest.raises(ShapeError, match="graph_of must hold a graph of each of 14 nodes and not fall"):
        GIN(features, edges, graph_of.flip(0), 2)
    with pytest.raises(ShapeError, match=r"features must be \(N, d\)"):
        GCN(features[:, 0], edges, 2)
    for wrong in ({"width": 0}, {"depth": 0}):
        with pytest.raises(SettingError, match="must be at least 1"):
            GIN(features, edges, graph_of, 2, **wrong)
    with pytest.raises(SettingError, match="dropout must be at least 0 and below 1"):
        GCN(features, edges, 2, dropout=1.0)
