"""Joint selection of filters whose channels meet."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe import dcff
from lithe.dcff.coupling import Coupling, class_scores, select_classes, select_together


@st.composite
def groups(draw):
    """A few layers over the same classes: any order, any number of filters a class."""
    seed = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    count, times = draw(st.integers(2, 8)), draw(st.integers(1, 3))
    pools = torch.randint(0, 2, (count,), generator=seed).unique(return_inverse=True)[1]
    couplings, selected, scores = [], [], []
    stays = torch.zeros(count, dtype=torch.bool)
    for pool in pools.unique():
        members = (pools == pool).nonzero()[:, 0]
        keep = int(torch.randint(1, len(members) + 1, (), generator=seed))
        stays[members[torch.randperm(len(members), generator=seed)[:keep]]] = True
    for _ in range(draw(st.integers(1, 3))):
        classes = torch.arange(count).repeat_interleave(times)
        classes = classes[torch.randperm(len(classes), generator=seed)]
        couplings.append(Coupling("g", classes, pools))
        selected.append(stays[classes].nonzero()[:, 0])
        scores.append(torch.rand(len(classes), generator=seed, dtype=torch.float64))
    return couplings, selected, scores


@settings(max_examples=60, deadline=None)
@given(groups(), st.sampled_from(["ascending", "slot_stable", "by_score"]))
def test_layers_move_in_step_and_pools_keep_their_size(group, policy):
    couplings, selected, scores = group
    swaps = {}
    for coupling, old, new in zip(
        couplings, selected, select_together(couplings, selected, scores, policy)
    ):
        assert len(set(new.tolist())) == len(old)
        for before, after in zip(coupling.classes[old].tolist(), coupling.classes[new].tolist()):
            assert coupling.pools[before] == coupling.pools[after]
            assert swaps.setdefault(before, after) == after
    total = class_scores(couplings, scores)
    for pool in couplings[0].pools.unique().tolist():
        inside = [c for c in range(len(total)) if couplings[0].pools[c] == pool]
        kept = [after for after in swaps.values() if couplings[0].pools[after] == pool]
        best = sorted(inside, key=lambda c: (-float(total[c]), c))[: len(kept)]
        assert sorted(kept) == sorted(best)


def test_one_plain_layer_is_an_ordinary_selection():
    scores = torch.rand(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coupling = Coupling("g", torch.arange(9), torch.zeros(9).long())
    (new,) = select_together([coupling], [torch.tensor([0, 4, 8])], [scores], "slot_stable")
    expected = dcff.select(scores, 3, torch.tensor([0, 4, 8]), "slot_stable")
    assert new.tolist() == expected.tolist()


def test_filters_of_a_block_keep_their_places_in_it():
    # four classes of two filters: 0 0 1 1 2 2 3 3; the worse of the kept, class 1, gives way to 3
    coupling = Coupling("g", torch.arange(4).repeat_interleave(2), torch.zeros(4).long())
    scores = torch.tensor([9.0, 9, 1, 1, 2, 2, 8, 8])
    (new,) = select_together([coupling], [torch.arange(4)], [scores], "slot_stable")
    assert new.tolist() == [0, 1, 6, 7]


def test_scores_count_every_layer_alike():
    couplings = [Coupling("g", torch.arange(3), torch.zeros(3).long())] * 2
    total = class_scores(couplings, [torch.tensor([1.0, 2, 3]), torch.tensor([3000.0, 2000, 1000])])
    torch.testing.assert_close(total, torch.full((3,), 2.0, dtype=torch.float64))


def test_a_score_that_is_not_finite_is_the_largest():
    coupling = Coupling("g", torch.arange(3), torch.zeros(3).long())
    total = class_scores([coupling], [torch.tensor([1.0, float("nan"), 3])])
    assert total.argmax() == 1
    swap = select_classes(total, coupling.pools, torch.tensor([0]))
    assert swap[0] == 1
