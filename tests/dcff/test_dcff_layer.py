"""The fused layer, its refresh, and the plain network it becomes."""

import copy
import io

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from lithe import cost, dcff


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        dcff.FusedConv2d(3, 10, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        dcff.FusedConv2d(6, 8, 4, (3, 1), stride=2, dilation=(1, 2), bias=False),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


def ready_net(**switches):
    net = small_net()
    dcff.refresh(net, 0, 10, **switches)
    net(images())
    return net


def images(n=2):
    return torch.randn(n, 3, 9, 9, generator=generator(9))


def weights(net):
    return [layer.weight for layer in dcff.fused_layers(net).values()]


@pytest.mark.parametrize("onehot", [True, False])
def test_forward_is_a_convolution_with_mixed_filters(onehot):
    layer = dcff.FusedConv2d(3, 10, 6, 3, stride=2, padding=1)
    dcff.refresh(layer, 0, 10, onehot=onehot)
    filters = torch.einsum("mn,ncij->mcij", layer.proxy_rows, layer.weight)
    expected = F.conv2d(images(), filters, layer.proxy_rows @ layer.bias, 2, 1)
    torch.testing.assert_close(layer(images()), expected)


def test_gradient_is_the_transpose_of_mixing():
    layer = dcff.FusedConv2d(3, 10, 6, 3)
    dcff.refresh(layer, 0, 10)
    slope = torch.randn(6, 3, 3, 3, generator=generator())
    (layer.fused() * slope).sum().backward()
    expected = torch.einsum("mn,mcij->ncij", layer.proxy_rows, slope)
    torch.testing.assert_close(layer.weight.grad, expected)


@pytest.mark.parametrize("switches", [{"onehot": True}, {"temperature": 1e4}])
def test_onehot_rows_leave_unselected_filters_without_any_gradient(switches):
    net = ready_net(**switches)
    net(images()).square().sum().backward()
    for layer in dcff.fused_layers(net).values():
        assert layer.onehot
        out = torch.ones(layer.n_filters, dtype=torch.bool)
        out[layer.selected] = False
        assert not layer.weight.grad[out].any()
        assert layer.weight.grad[~out].flatten(1).any(1).all()


def test_a_look_up_gives_what_the_matrix_product_gives():
    layer = dcff.FusedConv2d(3, 10, 6, 3)
    dcff.refresh(layer, 0, 10, onehot=True)
    looked_up = layer.fused()
    layer._onehot = False
    assert torch.equal(layer.fused(), looked_up)


def test_duplicates_are_not_taken_for_one_filter():
    layer = dcff.FusedConv2d(3, 4, 2, 3)
    with torch.no_grad():
        layer.weight[1] = layer.weight[0]
        layer.weight[2:] = 0
    dcff.refresh(layer, 0, 10, temperature=1e4)
    assert not layer.onehot
    assert layer.proxy_rows.max() == 0.5


def test_a_layer_never_refreshed_says_so():
    net = small_net()
    with pytest.raises(RuntimeError, match=r"never refreshed.*lithe\.dcff\.refresh"):
        net[0](images())
    with pytest.raises(RuntimeError, match=r"^0: this FusedConv2d was never refreshed"):
        dcff.compact(net)


def test_a_state_dict_alone_resumes():
    net = ready_net(temperature=1e4)
    bytes_ = save(net.state_dict())
    other = small_net(seed=1)
    dcff.refresh(other, 0, 10)
    other(images())
    other.load_state_dict(load(bytes_))
    assert all(layer.onehot for layer in dcff.fused_layers(other).values())
    net.eval(), other.eval()
    assert torch.equal(net(images()), other(images()))
    reports = [dcff.refresh(m, 1, 10, "released") for m in (net, other)]
    assert reports[0] == reports[1]


def test_a_fresh_layer_is_ready_after_loading_and_not_before():
    saved, fresh = dcff.FusedConv2d(3, 4, 2, 3), dcff.FusedConv2d(3, 4, 2, 3)
    fresh.load_state_dict(saved.state_dict())
    with pytest.raises(RuntimeError, match="never refreshed"):
        fresh(images())
    dcff.refresh(saved, 0, 10)
    fresh.load_state_dict(saved.state_dict())
    assert torch.equal(fresh(images()), saved(images()))


@pytest.mark.parametrize("temperature", [1.0, 1e4])
def test_compact_equals_fused(temperature):
    net = ready_net(temperature=temperature).eval()
    plain = dcff.compact(net)
    assert not dcff.fused_layers(plain)
    assert type(plain[0]) is nn.Conv2d
    assert torch.equal(plain(images()), net(images()))
    assert plain[3].dilation == (1, 2)
    assert cost.count(plain, images()).macs == cost.count(net, images()).macs


def test_compact_copies_and_leaves_the_original():
    net = ready_net()
    plain = dcff.compact(net)
    assert len(dcff.fused_layers(net)) == 2
    assert plain.training
    with torch.no_grad():
        plain[1].weight.zero_()
    assert net[1].weight.all()


def test_compact_keeps_a_shared_layer_shared():
    layer = dcff.FusedConv2d(4, 6, 4, 3, padding=1)
    net = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer)})
    dcff.refresh(net, 0, 10)
    plain = dcff.compact(net)
    assert plain["a"] is plain["b"][0]
    assert type(dcff.compact(layer)) is nn.Conv2d


def test_export_does_not_need_a_forward_pass():
    # a cached fused weight would still be zero here, as on the master of a replicated model
    layer = dcff.FusedConv2d(3, 10, 6, 3)
    dcff.refresh(layer, 0, 10)
    with torch.no_grad():
        layer.weight.mul_(2)
    expected = torch.einsum("mn,ncij->mcij", layer.proxy_rows, layer.weight)
    torch.testing.assert_close(dcff.compact(layer).weight.data, expected.detach())


def test_fusing_is_counted_apart_from_the_model():
    layer = dcff.FusedConv2d(3, 10, 6, 3)
    dcff.refresh(layer, 0, 10)
    counted = cost.count(layer, torch.zeros(1, 3, 9, 9))
    assert counted.macs == 6 * 49 * 27
    assert counted.preparation == 6 * 10 * 27  # the bias adds a vector product, not counted


def test_copies_and_pickles_keep_their_state():
    net = ready_net()
    twin = copy.deepcopy(net)
    buffer = io.BytesIO()
    torch.save(net.state_dict(), buffer)
    buffer.seek(0)
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(net.eval()(images()), twin.eval()(images()))


def test_refresh_reports_what_happened():
    net = small_net()
    (first, _) = dcff.refresh(net, 0, 10, "released")
    assert (first.name, first.filters, first.kept, first.t) == ("0", 10, 6, 1.0)
    assert first.finite
    assert first.accepted
    assert not first.reselected
    assert 0 < first.max_proxy < 1
    assert first.off_diagonal == pytest.approx(1 - first.max_proxy, abs=1e-6)
    assert 0 < first.entropy < torch.tensor(10.0).log()
    (second, _) = dcff.refresh(net, 1, 10, "released")
    assert (second.nan_count, second.finite, second.accepted) == (10, False, False)
    assert (second.max_proxy, second.off_diagonal, second.entropy) == (1, 0, 0)
    assert second.onehot
    assert (second.set_change, second.slot_change) == (0, 0)


def test_released_freezes_and_intended_reselects():
    changed = {}
    for mode in ("released", "intended"):
        net = small_net()
        dcff.refresh(net, 0, 10, mode)
        with torch.no_grad():
            for weight in weights(net):
                weight.copy_(torch.randn(weight.shape, generator=generator(1)))
        changed[mode] = [r.reselected for r in dcff.refresh(net, 1, 10, mode)]
    assert changed == {"released": [False, False], "intended": [True, True]}


@pytest.mark.parametrize("key", ["vgg16", "resnet56"])
def test_every_layer_of_a_real_initialisation_freezes_at_epoch_1(key):
    net = dcff.paper_model(key, "fused", generator=generator())
    first = dcff.refresh(net, 0, 300, "released")
    second = dcff.refresh(net, 1, 300, "released")
    assert all(report.finite and not report.onehot for report in first)
    assert all(report.onehot and not report.finite for report in second)
    assert not any(report.accepted or report.set_change for report in second)
    assert len(first) == {"vgg16": 13, "resnet56": 55}[key]


def test_guard_takes_finite_scores_and_refuses_others():
    net = small_net()
    dcff.refresh(net, 0, 10, "released", temperature=1.0)
    with torch.no_grad():
        for weight in weights(net):
            weight.mul_(-1).add_(torch.randn(weight.shape, generator=generator(2)))
    before = net[0].scores.clone()
    (refused, _) = dcff.refresh(net, 1, 10, "released", temperature=1e4)
    assert not refused.accepted
    assert torch.equal(net[0].scores, before)
    (taken, _) = dcff.refresh(net, 2, 10, "released", temperature=1.0)
    assert taken.accepted
    assert not torch.equal(net[0].scores, before)


@pytest.mark.parametrize("score", ["kl", "l1", "l2", "total_distance", "random"])
@pytest.mark.parametrize("mode", ["released", "intended"])
def test_every_score_selects_its_own_largest(score, mode):
    layer = dcff.FusedConv2d(3, 10, 4, 3)
    dcff.refresh(layer, 0, 10, mode, score=score, generator=generator())
    distance = dcff.pairwise_distance(layer.weight)
    expected = {
        "kl": dcff.kl_scores(dcff.log_proxy(distance, 1.0)),
        "l1": layer.weight.detach().abs().sum((1, 2, 3)),
        "l2": layer.weight.detach().square().sum((1, 2, 3)),
        "total_distance": distance.sum(1),
        "random": torch.rand(10, generator=generator(), dtype=torch.float64),
    }[score]
    assert layer.selected.tolist() == expected.topk(4).indices.sort().values.tolist()


def test_never_keeps_the_first_choice():
    net = small_net()
    dcff.refresh(net, 0, 10, score="random", update="never", generator=generator(0))
    before = net[0].selected.clone()
    dcff.refresh(net, 1, 10, score="random", update="never", generator=generator(1))
    assert torch.equal(net[0].selected, before)


def coupled_pair():
    net = nn.Sequential(dcff.FusedConv2d(3, 10, 6, 3), dcff.FusedConv2d(6, 10, 6, 3))
    for layer in net:
        dcff.refresh(layer, 0, 10, onehot=True)
        layer.coupling = dcff.Coupling("stream", torch.arange(10), torch.zeros(10).long())
        layer.set_rows(layer.proxy_rows, torch.arange(6))
    return net


def test_coupled_layers_select_by_their_joint_score():
    net = coupled_pair()
    dcff.refresh(net, 0, 10, policy="ascending")
    parts = [dcff.kl_scores(dcff.log_proxy(dcff.pairwise_distance(m.weight), 1.0)) for m in net]
    joint = sum(scores / scores.mean() for scores in parts)
    assert net[0].selected.tolist() == dcff.select(joint, 6).tolist()
    assert torch.equal(net[0].selected, net[1].selected)


def test_one_member_with_nan_freezes_its_group():
    net = coupled_pair()
    dcff.refresh(net, 0, 10, "released")
    with torch.no_grad():
        net[0].weight.mul_(1e-6)  # finite again, were it alone
    first, second = dcff.refresh(net, 1, 10, "released")
    assert (first.finite, second.finite) == (True, False)
    assert not first.accepted


def test_reset_bn_touches_changed_slots_only():
    net = ready_net(policy="slot_stable")
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(net[1], name).fill_(7)
        net[0].weight[net[0].selected[2]] = 0  # the filter of slot 2 drops out
    before = net[0].selected.clone()
    dcff.refresh(net, 1, 10, policy="slot_stable", temperature=1.0, reset_bn=True)
    changed = before != net[0].selected
    assert changed[2]
    assert not changed.all()
    firsts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    for name, first in firsts.items():
        values = getattr(net[1], name)
        assert (values[changed] == first).all()
        assert (values[~changed] == 7).all()


def test_unselected_filters_shrink_by_weight_decay_alone():
    layer = dcff.FusedConv2d(3, 8, 4, 3, bias=False)
    dcff.refresh(layer, 0, 10, onehot=True)
    out = torch.ones(8, dtype=torch.bool)
    out[layer.selected] = False
    before = layer.weight[out].detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(3):
        optimiser.zero_grad()
        layer(images()).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(layer.weight[out].detach(), before * (1 - 1e-3) ** 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dcff.FusedConv2d(4, 8, 4, 3, groups=2), "groups is 2"),
        (lambda: dcff.FusedConv2d(4, 8, 9, 3), "kept is 9.*8"),
        (lambda: dcff.FusedConv2d(4, 8, 0, 3), "kept is 0"),
        (lambda: dcff.FusedConv2d(0, 8, 1, 3), "in_channels 0"),
        (lambda: dcff.FusedConv2d(4, 8, 1, (3, 3, 3)), r"\(3, 3, 3\)"),
        (lambda: dcff.refresh(nn.Conv2d(1, 1, 1), 0, 1), "convert"),
        (lambda: dcff.refresh(small_net(), 0, 1, "officially"), "'officially'.*'released'"),
        (lambda: dcff.refresh(small_net(), 2, 1), "epoch is 2"),
        (lambda: dcff.refresh(small_net(), 0, 1, score="l3"), "'l3'"),
        (lambda: dcff.refresh(small_net(), 0, 1, update="sometimes"), "'sometimes'"),
        (lambda: dcff.refresh(small_net(), 0, 1, temperature="hot"), "'hot'"),
        (lambda: dcff.refresh(small_net(), 0, 1, policy="best"), "'best'"),
        (lambda: dcff.refresh(small_net(), 0, 1, score="random"), "generator"),
        (
            lambda: dcff.FusedConv2d(4, 8, 2, 3).set_rows(torch.zeros(2, 7), torch.zeros(2).long()),
            r"\(2, 7\).*\(2, 8\)",
        ),
        (
            lambda: dcff.FusedConv2d(4, 8, 2, 3).set_rows(torch.ones(2, 8), torch.zeros(2).long()),
            "off a sum of 1 by 7",
        ),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_diverged_weights_are_named():
    net = small_net()
    with torch.no_grad():
        net[3].weight[0] = float("nan")
    with pytest.raises(ValueError, match="1 of 8 filters hold NaN"):
        dcff.refresh(net, 0, 10)
