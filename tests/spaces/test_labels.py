"""Union-find over labels: hand-worked cases, and partitions against a brute-force closure."""

import networkx
import torch
from hypothesis import given
from hypothesis import strategies as st

from spaces.labels import NEUTRAL, Labels


def test_tie_is_transitive_and_leaves_others_alone():
    labels = Labels()
    a, b, c = labels.fresh(3), labels.fresh(3), labels.fresh(3)
    labels.tie(a, b)
    labels.tie(b, c)
    assert labels.find(a).equal(labels.find(c))
    assert len(labels.find(a).unique()) == 3


def test_neutral_ties_nothing():
    labels = Labels()
    a = labels.fresh(2)
    labels.tie(a, torch.tensor(NEUTRAL))
    assert len(labels.find(a).unique()) == 2


def test_what_meets_a_fixed_label_is_frozen_but_not_tied():
    labels = Labels()
    a = labels.fresh(3)
    labels.tie(a[:2], labels.fixed("literal"))
    roots = labels.find(a).tolist()
    assert len(set(roots)) == 3
    assert [labels.frozen().get(root) for root in roots] == ["literal", "literal", None]


def test_a_frozen_class_stays_frozen_when_it_grows():
    labels = Labels()
    a, b = labels.fresh(1), labels.fresh(1)
    labels.freeze(a, "output")
    labels.tie(a, b)
    assert labels.frozen()[int(labels.find(b))] == "output"


def test_varying_sees_through_repeats_and_ties():
    labels = Labels()
    channels = labels.fresh(4)
    image = channels.view(1, 4, 1, 1).expand(2, 4, 5, 5)
    assert labels.varying(image) == [1]
    labels.tie(channels, channels[:1])
    assert labels.varying(image) == []


def test_along_ties_what_meets_at_one_index():
    labels = Labels()
    a, b = labels.fresh(4), labels.fresh(4)
    line = labels.along(torch.stack([a, b]), 1)
    assert line.shape == (4,)
    assert labels.find(a).equal(labels.find(b))


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=60))
def test_classes_are_the_connected_components(pairs):
    labels = Labels()
    labels.fresh(30)
    if pairs:
        left, right = torch.tensor(pairs).T
        labels.tie(left, right)
    graph = networkx.Graph(pairs)
    graph.add_nodes_from(range(1, 31))
    expected = {frozenset(part) for part in networkx.connected_components(graph)}
    roots = labels.find(torch.arange(1, 31)).tolist()
    found = {frozenset(i + 1 for i in range(30) if roots[i] == root) for root in set(roots)}
    assert found == expected
