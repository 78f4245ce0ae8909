"""A small graph network over the neighbour graph of lesions, fitted to marks.

Each layer adds to a lesion's numbers what it makes of them and of the mean of its neighbours' (Hamilton et al. 2017,
GraphSAGE, arXiv 1706.02216, with a residual connection). It starts as no change at all, is held there by a ridge, and
stops when marks of patients kept aside no longer gain: where there is nothing to learn it stays no change. Fitting
alone is here; what was fitted runs in NumPy (`core.evidence.learned_metric`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from core.errors import InputError
from core.evidence.learned_metric import Layer
from core.evidence.learning import (
    PLAIN_SHARE,
    TYPICAL,
    Click,
    Comparisons,
    check_clicks,
    checked_vectors,
    comparisons_of,
)

Floats = NDArray[np.float64]

MOST_NUMBERS = 40
HIDDEN = 32
LAYERS = 2
#: Share of the patients that the fit does not learn from, but asks when to stop.
KEPT_ASIDE = 0.25
STEPS, PATIENCE, RATE = 300, 40, 0.01
#: Ridges: on what a layer gives out, which holds it at no change, and on what it looks at.
OUTER_RIDGE, INNER_RIDGE = 1e-2, 1e-3


@dataclass(frozen=True, eq=False)
class _Asked:
    """Comparisons as torch reads them."""

    query: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    weight: torch.Tensor

    @staticmethod
    def of(comparisons: Comparisons) -> _Asked:
        parts = (comparisons.query, comparisons.near, comparisons.far, comparisons.weight)
        return _Asked(*(torch.from_numpy(part) for part in parts))


def fit_network(
    vectors: Floats,
    neighbours: NDArray[np.integer],
    clicks: Sequence[Click],
    seed: int = 0,
    layers: int = LAYERS,
) -> tuple[Layer, ...]:
    """Layers under which marked lesions come in the right order.

    Args:
        vectors: (n, d) of all lesions, d at most `MOST_NUMBERS`, as learned weights have scaled them.
        neighbours: (n, k) rows of the nearest, -1 where there are fewer. clicks: marks, in any order.
        seed: of the start and of who is kept aside. layers: 1 or 2.

    Returns:
        The layers at their best on patients kept aside; () where that was the start, or with fewer than four patients.

    Raises:
        InputError: too many numbers or layers, vectors that are not finite, or clicks on no row.
    """
    found = checked_vectors(vectors)
    check_clicks(clicks, len(found))
    if found.shape[1] > MOST_NUMBERS or layers not in (1, 2):
        raise InputError(
            f"Expected at most {MOST_NUMBERS} numbers a lesion and 1 or 2 layers, got {found.shape[1]} and {layers}. "
            "Learn weights alone."
        )
    aside = groups_aside(clicks, seed)
    if not aside:
        return ()
    learned = _Asked.of(comparisons_of([one for one in clicks if one.group not in aside]))
    asked = _Asked.of(comparisons_of([one for one in clicks if one.group in aside]))
    with _one_thread():
        graph = _graph_of(neighbours, len(found))
        return _fitted(torch.from_numpy(found), graph, learned, asked, _start(found.shape[1], layers, seed))


def groups_aside(clicks: Sequence[Click], seed: int) -> frozenset[str]:
    """The patients whose marks say when to stop; none of fewer than four."""
    groups = sorted({click.group for click in clicks})
    if len(groups) < 4:
        return frozenset()
    order = np.random.default_rng(seed).permutation(len(groups))
    return frozenset(groups[at] for at in order[: max(1, round(KEPT_ASIDE * len(groups)))])


def _start(width: int, layers: int, seed: int) -> list[torch.Tensor]:
    """Inner, bias and outer of each layer: outer zero, so that nothing changes.

    Hidden units look at the neighbours' mean along orthogonal ways, two at each, forward and back, so that a share of
    that mean is one step away; those left over look anywhere.
    """
    random = torch.Generator().manual_seed(seed)
    ways = min(width, HIDDEN // 2)
    parts: list[torch.Tensor] = []
    for _ in range(layers):
        along, _ = torch.linalg.qr(torch.randn(width, ways, generator=random, dtype=torch.float64))
        inner = torch.randn(2 * width, HIDDEN, generator=random, dtype=torch.float64) / (2 * width) ** 0.5
        inner[:width, : 2 * ways] = 0.0
        inner[width:, : 2 * ways] = torch.cat([along, -along], dim=1)
        parts += [inner, torch.zeros(HIDDEN, dtype=torch.float64), torch.zeros(HIDDEN, width, dtype=torch.float64)]
    return [part.requires_grad_() for part in parts]


def _graph_of(neighbours: NDArray[np.integer], count: int) -> torch.Tensor:
    """(n, n) sparse: a row's product is the mean over its neighbours; a lesion without any is its own."""
    rows, columns = np.nonzero(neighbours >= 0)
    others = neighbours[rows, columns]
    alone = np.flatnonzero(~(neighbours >= 0).any(axis=1))
    rows, others = np.concatenate([rows, alone]), np.concatenate([others, alone])
    share = 1.0 / np.bincount(rows, minlength=count)[rows]
    places = torch.from_numpy(np.stack([rows, others]).astype(np.int64))
    return torch.sparse_coo_tensor(places, torch.from_numpy(share), (count, count), check_invariants=True).coalesce()


def forward(vectors: torch.Tensor, graph: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """(n, d) what the layers make of all lesions; `parts` as inner, bias, outer of each."""
    out = vectors
    for at in range(0, len(parts), 3):
        seen = torch.cat([out, torch.sparse.mm(graph, out)], dim=1)
        out = out + torch.relu(seen @ parts[at] + parts[at + 1]) @ parts[at + 2]
    return out


def _loss(out: torch.Tensor, asked: _Asked) -> torch.Tensor:
    """The mean loss of `core.evidence.learning`, of vectors (n, d)."""
    queries, no_near, no_far = out[asked.query], asked.near == TYPICAL, asked.far == TYPICAL
    near, far = (((queries - out[others]) ** 2).sum(dim=1) for others in (asked.near, asked.far))
    typical = torch.cat([near[~no_near], far[~no_far]]).mean()
    spread = out.var(dim=0, correction=0).sum()
    apart = torch.where(no_far, typical, far) - torch.where(no_near, typical, near)
    plain = apart / (2.0 * spread).clamp_min(1e-12) / PLAIN_SHARE
    return (asked.weight * softplus(-plain)).sum() / asked.weight.sum()


def _fitted(
    vectors: torch.Tensor, graph: torch.Tensor, learned: _Asked, aside: _Asked, parts: list[torch.Tensor]
) -> tuple[Layer, ...]:
    """Adam on all comparisons at once; the layers of the step that was best on those kept aside."""
    adam = torch.optim.Adam(parts, lr=RATE)
    least, since = float("inf"), 0
    best: list[torch.Tensor] = []
    for step in range(STEPS):
        out = forward(vectors, graph, parts)
        now = float(_loss(out.detach(), aside))
        since += 1
        if now < least - 1e-6:
            least, since = now, 0
            best = [part.detach().clone() for part in parts] if step else []
        elif since >= PATIENCE:
            break
        adam.zero_grad()
        held = torch.zeros((), dtype=torch.float64)
        for inner, outer in zip(parts[::3], parts[2::3], strict=True):
            held = held + OUTER_RIDGE * (outer**2).sum() + INNER_RIDGE * (inner**2).sum()
        (_loss(out, learned) + held).backward()
        adam.step()
    single = [part.numpy().astype(np.float32) for part in best]
    return tuple(Layer(*single[at : at + 3]) for at in range(0, len(single), 3))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch with one thread, so that sums are added in one order; as it was afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
