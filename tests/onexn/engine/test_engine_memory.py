"""Buffers: no two that live at the same time overlap."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.onexn.engine.memory import ALIGNMENT, Life, place


@st.composite
def lives(draw):
    rows = draw(
        st.lists(
            st.tuples(st.integers(1, 500), st.integers(-1, 30), st.integers(0, 12)), max_size=40
        )
    )
    return [Life(size, first, first + length) for size, first, length in rows]


@settings(max_examples=200, deadline=None)
@given(lives())
def test_no_two_live_buffers_overlap(buffers):
    offsets, total = place(buffers)
    spans = [(o, o + x.size, x.first, x.last) for o, x in zip(offsets, buffers, strict=True)]
    for index, (start, stop, first, last) in enumerate(spans):
        assert start % ALIGNMENT == 0
        assert 0 <= start < stop <= total
        for other_start, other_stop, other_first, other_last in spans[:index]:
            apart_in_time = last < other_first or other_last < first
            assert apart_in_time or stop <= other_start or other_stop <= start


@settings(max_examples=50, deadline=None)
@given(lives())
def test_never_larger_than_side_by_side_nor_smaller_than_the_fullest_moment(buffers):
    def rounded(life):
        return -(-life.size // ALIGNMENT) * ALIGNMENT

    total = place(buffers)[1]
    assert total <= sum(map(rounded, buffers))
    moments = {x.first for x in buffers}
    fullest = [sum(rounded(x) for x in buffers if x.first <= t <= x.last) for t in moments]
    assert total >= max(fullest, default=0)


def test_a_chain_needs_two_buffers():
    chain = [Life(1000, step, step + 1) for step in range(20)]
    assert place(chain)[1] == 2 * 1008
