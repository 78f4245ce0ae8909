"""The graph network: no change where nothing is to be learned, the same in NumPy and torch, and kept as text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import InputError, ModelError
from core.evidence import graph_network
from core.evidence.learned_metric import Gain, Layer, LearnedMetric, neighbour_mean, none
from core.evidence.learning import Click
from core.gates.mask.neighbours import nearest_of_all


def kinds_that_neighbours_reveal(patients: int = 60) -> tuple[np.ndarray, np.ndarray, list[Click]]:
    """Lesions of two kinds far apart in the first number, known only for every second one: the others' numbers are
    noise around 0 with neighbours of their kind. Marks: relevant is what is of the same kind."""
    random = np.random.default_rng(5)
    kind = np.repeat([0, 1], patients)
    known = np.arange(2 * patients) % 2 == 0
    vectors = random.normal(size=(2 * patients, 3)) * 0.5
    vectors[known, 0] += np.where(kind[known] == 0, -3.0, 3.0)
    pool = {(k, s): np.flatnonzero((kind == k) & (known == s)) for k in (0, 1) for s in (True, False)}
    neighbours = np.stack([random.choice(pool[k, True], 5, replace=False) for k in kind]).astype(np.int32)
    clicks = []
    for query in random.permutation(np.flatnonzero(~known))[: patients - 10].tolist():
        for same in (True, False):
            other = int(
                random.choice(np.setdiff1d(pool[int(kind[query]) if same else 1 - int(kind[query]), False], query))
            )
            clicks.append(Click(query, other, same, f"P{query}"))
    return vectors, neighbours, clicks


def metric(layers: tuple[Layer, ...], weights: np.ndarray) -> LearnedMetric:
    gains = (Gain("graph network", "weights", 0.8, 0.7, 0.1, 0.05, 0.15, 0.03, 0.75, 0.7, 40, 12),)
    single = weights.astype(np.float32)
    return LearnedMetric("graph network", "shape", "gate 1", single, layers, 5, 60, 12, gains, 7, "gains")


def random_layers(width: int, count: int) -> tuple[Layer, ...]:
    random = np.random.default_rng(1)
    shapes = [(2 * width, 32), (32,), (32, width)] * count
    parts = [random.normal(size=shape).astype(np.float32) * 0.3 for shape in shapes]
    return tuple(Layer(*parts[at : at + 3]) for at in range(0, len(parts), 3))


def accuracy(vectors: np.ndarray, clicks: list[Click]) -> float:
    squares = {(one.query, one.relevant): ((vectors[one.query] - vectors[one.other]) ** 2).sum() for one in clicks}
    queries = {one.query for one in clicks}
    return float(np.mean([squares[query, True] < squares[query, False] for query in queries]))


def test_the_mean_of_neighbours_by_hand():
    vectors = np.array([[0.0], [2.0], [10.0]])
    assert neighbour_mean(vectors, np.array([[1, 2], [0, -1], [-1, -1]])).tolist() == [[6.0], [0.0], [10.0]]
    assert neighbour_mean(vectors, np.empty((3, 0), dtype=int)).tolist() == vectors.tolist()


def test_a_layer_by_hand():
    # One number, two units: the first sees the neighbour, the second the lesion less 1.
    inner = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    layer = Layer(inner, np.array([0.0, -1.0], dtype=np.float32), np.array([[0.5], [2.0]], dtype=np.float32))
    found = metric((layer,), np.array([4.0])).apply(np.array([[1.0], [-3.0]]), np.array([[1], [0]]))
    # Scaled by 2: 2 and -6. 2 + .5 max(0, -6) + 2 max(0, 1) = 4; -6 + .5 max(0, 2) + 2 max(0, -7) = -5.
    assert found.tolist() == [[4.0], [-5.0]]


@pytest.mark.parametrize("count", [1, 2])
def test_numpy_gives_what_torch_gives(count):
    random = np.random.default_rng(2)
    vectors, layers = random.normal(size=(30, 4)), random_layers(4, count)
    neighbours = nearest_of_all(vectors, np.arange(30), 6)[0]
    neighbours[3, 2:] = -1
    neighbours[4] = -1
    graph = graph_network._graph_of(neighbours, 30)
    parts = [
        torch.from_numpy(part.astype(np.float64)) for layer in layers for part in (layer.inner, layer.bias, layer.outer)
    ]
    by_torch = graph_network.forward(torch.from_numpy(vectors), graph, parts).numpy()
    assert metric(layers, np.ones(4)).apply(vectors, neighbours) == pytest.approx(by_torch, abs=1e-12)


def test_it_learns_what_only_neighbours_tell():
    vectors, neighbours, clicks = kinds_that_neighbours_reveal()
    seen, new = [one for one in clicks if int(one.group[1:]) % 5], [one for one in clicks if not int(one.group[1:]) % 5]
    layers = graph_network.fit_network(vectors, neighbours, seen, seed=1)
    after = metric(layers, np.ones(3)).apply(vectors, neighbours)
    assert accuracy(vectors, new) < 0.8
    assert accuracy(after, new) > 0.95


def test_it_is_the_same_again_and_does_not_hang_on_the_order_of_marks():
    vectors, neighbours, clicks = kinds_that_neighbours_reveal(20)
    threads = torch.get_num_threads()
    one, two = (graph_network.fit_network(vectors, neighbours, some, seed=3) for some in (clicks, clicks[::-1]))
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("inner", "bias", "outer"))
    assert torch.get_num_threads() == threads


def test_the_start_changes_nothing_and_looks_at_the_neighbours():
    for width in (3, 20):
        parts = graph_network._start(width, 2, 0)
        vectors = torch.randn(6, width, dtype=torch.float64)
        graph = graph_network._graph_of(np.array([[1], [0], [3], [2], [5], [4]]), 6)
        assert torch.equal(graph_network.forward(vectors, graph, parts), vectors)
        ways = min(width, 16)
        assert torch.allclose(parts[0][width:, :ways], -parts[0][width:, ways : 2 * ways])


def test_too_few_patients_learn_no_network():
    vectors, neighbours, clicks = kinds_that_neighbours_reveal(20)
    few = [one for one in clicks if one.group in sorted({click.group for click in clicks})[:3]]
    assert graph_network.fit_network(vectors, neighbours, few) == ()
    assert graph_network.fit_network(vectors, neighbours, []) == ()


def test_patients_kept_aside_are_a_quarter_and_hang_on_the_seed_alone():
    clicks = [Click(at, at + 1, True, f"P{at}") for at in range(20)]
    aside = graph_network.groups_aside(clicks, 4)
    assert len(aside) == 5
    assert graph_network.groups_aside(clicks[::-1], 4) == aside


@pytest.mark.parametrize(("width", "layers"), [(41, 1), (3, 0), (3, 3)])
def test_too_much_is_refused(width, layers):
    with pytest.raises(InputError, match="at most 40"):
        graph_network.fit_network(np.zeros((4, width)), np.zeros((4, 1), dtype=int), [], layers=layers)


# --- as it is kept ---


def test_a_metric_reads_back_as_it_was_kept():
    made = metric(random_layers(3, 2), np.array([0.5, 1.0, 2.0]))
    again = LearnedMetric.from_json(made.to_json())
    vectors, neighbours = np.random.default_rng(0).normal(size=(5, 3)), np.array([[1], [2], [3], [4], [0]])
    assert np.array_equal(again.apply(vectors, neighbours), made.apply(vectors, neighbours))
    assert again.version == made.version == json.loads(made.to_json())["version"]
    assert (again.gains, again.words, again.kind) == (made.gains, made.words, made.kind)
    assert replace(made, seed=8).version != made.version
    nothing = none("both", "", 7, 2, (), "too few marks: 7 of 30")
    assert LearnedMetric.from_json(nothing.to_json()).words == nothing.words
    assert np.array_equal(nothing.apply(vectors), vectors)


@pytest.mark.parametrize(
    "change",
    [
        {"words": "gains a lot"},
        {"weights": "AAAA"},
        {"weights": "AACAvwAAgL8AAIC/"},  # -1 three times
        {"weights": "AADAfwAAwH8AAMB/"},  # no numbers
        {"weights": "no base64"},
        {"layers": []},
        {"kind": "none"},
        {"kind": "forest"},
        {"hidden": 31},
        {"clicks": "60"},
        {"more": 1},
        {"gains": [{"metric": "weights"}]},
    ],
)
def test_an_altered_text_is_refused(change):
    text = json.loads(metric(random_layers(3, 1), np.ones(3)).to_json())
    with pytest.raises(ModelError, match="Expected a learned metric"):
        LearnedMetric.from_json(json.dumps(text | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"version": NaN}', " " * 4_000_001])
def test_another_text_is_refused(text):
    with pytest.raises(ModelError, match="Expected a learned metric"):
        LearnedMetric.from_json(text)


def test_a_metric_of_other_vectors_is_refused():
    made = metric(random_layers(3, 1), np.ones(3))
    with pytest.raises(InputError, match="3 numbers"):
        made.apply(np.zeros((2, 4)), np.zeros((2, 1), dtype=int))
    with pytest.raises(InputError, match="neighbours"):
        made.apply(np.zeros((2, 3)))
    with pytest.raises(InputError, match="neighbours of 2"):
        made.apply(np.zeros((2, 3)), np.array([[2], [0]]))
