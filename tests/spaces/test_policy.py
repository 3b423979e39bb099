"""Policy: equality, key and JSON."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import Policy, UserError

widths = st.dictionaries(st.text(min_size=1), st.integers(1, 10**6), max_size=8)


@given(widths)
def test_json_and_pickle_round_trip(values):
    policy = Policy(values)
    assert Policy.from_json(policy.to_json()) == policy
    assert pickle.loads(pickle.dumps(policy)).key == policy.key
    assert dict(policy) == values


@given(widths)
def test_order_changes_neither_equality_nor_key(values):
    policy, turned = Policy(values), Policy(dict(reversed(values.items())))
    assert policy == turned
    assert policy.key == turned.key
    assert hash(policy) == hash(turned)


def test_different_widths_different_keys():
    assert Policy({"a": 1}).key != Policy({"a": 2}).key
    assert len({Policy({"a": 1}), Policy({"a": 1}), Policy({"a": 2})}) == 2


@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_a_width_that_is_none_is_named(bad):
    with pytest.raises(UserError, match="width of group 'a' must be an integer >= 1"):
        Policy({"a": bad})
