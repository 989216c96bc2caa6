"""The released numbers: proxies, scores, fused layers and a whole training run."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe import dcff

TEMPERATURES = ("1", "2", "10", "30", "e1of300", "1e4")
LAYERS = ("A_8x3x3x3", "B_16x8x3x3", "D_32x16x1x1", "E_24x6x3x3_degenerate")


@pytest.fixture(params=LAYERS)
def layer(request, golden):
    with np.load(golden / f"dcff_{request.param}.npz") as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}


def close(ours, theirs, atol=0.0, rtol=0.0):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=rtol, equal_nan=True)


def test_schedule_to_nine_digits(golden):
    table = json.loads((golden / "dcff_temperature.json").read_text())
    for run, rows in table.items():
        for row in rows if run.startswith("E") else ():
            ours = dcff.inverse_temperature(row["epoch"], int(run[1:]))
            assert ours == pytest.approx(row["T"], rel=1e-9)
    for epochs, end in table["T_at_e_equals_E"].items():
        assert dcff.inverse_temperature(int(epochs), int(epochs)) == pytest.approx(end, rel=1e-9)


def test_distances_and_norms(layer):
    distance = dcff.pairwise_distance(layer["weight"])
    assert distance.dtype == torch.float64
    assert not distance.diagonal().any()
    close(distance, layer["dist_f64"], atol=1e-9)
    close(dcff.total_distances(distance), layer["sum_dist_f64"], rtol=1e-12)
    close(dcff.l1_norms(layer["weight"]), layer["l1norm"], rtol=1e-6)
    close(dcff.l2_norms(layer["weight"]), layer["l2norm"], rtol=1e-6)


@pytest.mark.parametrize("name", TEMPERATURES)
def test_proxies_and_scores(layer, name):
    t = float(layer[f"T{name}_T"])
    logarithms = dcff.log_proxy(dcff.pairwise_distance(layer["weight"]), t)
    close(logarithms.exp(), layer[f"T{name}_proxy_f64"], atol=1e-9)
    scores = dcff.kl_scores(logarithms)
    close(scores, layer[f"T{name}_score_exact_f64"], rtol=1e-8)
    close(dcff.kl_matrix(logarithms).sum(1), scores, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", TEMPERATURES)
def test_released_arithmetic_nan_included(layer, name):
    t = float(layer[f"T{name}_T"])
    proxy = dcff.released_proxy(dcff.pairwise_distance(layer["weight"]), t)
    close(proxy, layer[f"T{name}_proxy_f32"], atol=1e-6)
    scores = dcff.released_scores(proxy)
    close(scores, layer[f"T{name}_kl_official_f32"], rtol=1e-5, atol=1e-6)
    assert bool(scores.isfinite().all()) == bool(layer[f"T{name}_official_all_finite"])
    if (matrix := layer.get(f"T{name}_kl_matrix_official_f32")) is not None:
        close(dcff.released_kl_matrix(proxy), matrix, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["e1of300", "1e4"])
def test_released_scores_are_all_nan_from_epoch_1(layer, name):
    proxy = dcff.released_proxy(dcff.pairwise_distance(layer["weight"]), float(layer[f"T{name}_T"]))
    assert dcff.released_scores(proxy).isnan().all()


@pytest.mark.parametrize("name", TEMPERATURES)
def test_selected_sets_where_the_gap_decides(layer, name):
    m, t = int(layer["m"]), float(layer[f"T{name}_T"])
    distance = dcff.pairwise_distance(layer["weight"])
    exact = layer[f"T{name}_score_exact_f64"].sort(descending=True).values
    if exact[m - 1] - exact[m] > 1e-8 * exact[0]:
        chosen = dcff.select(dcff.kl_scores(dcff.log_proxy(distance, t)), m)
        assert set(chosen.tolist()) == set(layer[f"T{name}_topk_exact_sorted"].tolist())
    if float(layer.get(f"T{name}_gap_m", 0)) > 1e-5 and name != "30":
        chosen = dcff.select(dcff.released_scores(dcff.released_proxy(distance, t)), m)
        assert chosen.tolist() == layer[f"T{name}_set_official_ascending"].tolist()


def fused_layer(layer):
    n, c, kernel, _ = layer["weight"].shape
    geometry = {"stride": int(layer["stride"]), "padding": int(layer["padding"])}
    module = dcff.FusedConv2d(c, n, int(layer["m"]), kernel, bias="bias" in layer, **geometry)
    with torch.no_grad():
        module.weight.copy_(layer["weight"])
        if "bias" in layer:
            module.bias.copy_(layer["bias"])
    return module


@pytest.mark.parametrize("mode", ["released", "intended"])
def test_epoch_0_forward_and_backward(layer, mode):
    module = fused_layer(layer)
    (report,) = dcff.refresh(module, 0, 300, mode)
    assert report.finite
    assert module.selected.tolist() == layer["ep0_idx_ascending"].tolist()
    x = layer["x"].clone().requires_grad_()
    y = module(x)
    (y * layer["ep0_loss_weighting"]).sum().backward()
    close(module.fused().detach(), layer["ep0_fused_weight"], atol=1e-5)
    close(y.detach(), layer["ep0_y"], atol=1e-5, rtol=1e-5)
    close(module.weight.grad, layer["ep0_grad_weight"], atol=1e-5, rtol=1e-5)
    close(x.grad, layer["ep0_grad_x"], atol=1e-5, rtol=1e-5)
    if "bias" in layer:
        close(module.fused_bias().detach(), layer["ep0_fused_bias"], atol=1e-5)
        close(module.bias.grad, layer["ep0_grad_bias"], atol=1e-4, rtol=1e-5)


def test_epoch_1_frozen_selection(layer):
    module = fused_layer(layer)
    dcff.refresh(module, 0, 300, "released")
    with torch.no_grad():
        module.weight.copy_(layer["ep1_weight"])
    (report,) = dcff.refresh(module, 1, 300, "released")
    assert report.t == pytest.approx(float(layer["ep1_T"]), rel=1e-9)
    assert (report.finite, report.accepted, report.reselected) == (False, False, False)
    assert bool(layer["ep1_score_finite"]) is False
    close(module.proxy_rows, layer["ep1_proxy_rows"], atol=1e-6)
    y = module(layer["x"])
    (y * layer["ep0_loss_weighting"]).sum().backward()
    close(module.fused().detach(), layer["ep1_fused_weight"], atol=1e-5)
    close(y.detach(), layer["ep1_y"], atol=1e-5, rtol=1e-5)
    close(module.weight.grad, layer["ep1_grad_weight"], atol=1e-5, rtol=1e-5)
    distance = dcff.pairwise_distance(layer["ep1_weight"])
    exact = dcff.kl_scores(dcff.log_proxy(distance, report.t))
    close(exact, layer["ep1_score_exact_f64"], rtol=1e-8)
    reselected = dcff.select(exact, int(layer["m"]))
    assert reselected.tolist() == layer["ep1_idx_if_exact_reselected"].tolist()


def test_released_training_trace_step_by_step(golden):
    with np.load(golden / "dcff_tinytrain_released.npz") as arrays:
        trace = {name: torch.as_tensor(arrays[name]) for name in arrays.files}
    net = tiny_net(trace)
    options = {"momentum": 0.9, "weight_decay": 5e-4}
    optimiser = torch.optim.SGD(net.parameters(), lr=float(trace["lr"]), **options)
    losses = []
    for epoch in range(6):
        reports = dcff.refresh(net, epoch, 6, "released")
        assert reports[0].t == pytest.approx(float(trace["T"][epoch]), rel=1e-9)
        assert [r.finite for r in reports] == trace["score_finite"][epoch].tolist()
        for report, peak in zip(reports, trace["mean_max_proxy"][epoch]):
            assert report.max_proxy == pytest.approx(float(peak), abs=1e-5)
        assert net[0].selected.tolist() == trace["sel0"][epoch].tolist()
        assert net[3].selected.tolist() == trace["sel1"][epoch].tolist()
        for part in (slice(0, 16), slice(16, 32)):
            loss = F.cross_entropy(net(trace["X"][part]), trace["Y"][part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses, trace["losses"], atol=1e-4, rtol=0)
    check_final_state(net.eval(), trace)


def tiny_net(trace):
    net = nn.Sequential(
        dcff.FusedConv2d(3, 8, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        dcff.FusedConv2d(4, 12, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    state = {k.removeprefix("init_"): v for k, v in trace.items() if k.startswith("init_")}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    state = {"proxy_rows", "selected", "scores", "refreshed"}
    assert {key.split(".")[1] for key in missing} == state
    return net


def check_final_state(net, trace):
    tolerance = {"atol": 1e-4, "rtol": 1e-4}
    with torch.no_grad():
        close(net(trace["X"]), trace["final_eval_logits"], **tolerance)
        close(net[0].fused(), trace["final_fused0_weight"], **tolerance)
        close(net[3].fused(), trace["final_fused1_weight"], **tolerance)
        close(net[3].fused_bias(), trace["final_fused1_bias"], **tolerance)
    close(net[0].weight.data, trace["final_full0_weight"], **tolerance)
    close(net[3].weight.data, trace["final_full1_weight"], **tolerance)
    close(net[8].weight.data, trace["final_fc_weight"], **tolerance)
    close(net[8].bias.data, trace["final_fc_bias"], **tolerance)
    for norm, name in ((net[1], "final_bn1"), (net[4], "final_bn4")):
        stack = [norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var]
        close(torch.stack(stack), trace[name], **tolerance)
    assert torch.equal(dcff.compact(net)(trace["X"]), net(trace["X"]))


def naive_fused(weight, m, t):
    """Mixing rows and selection by the definitions, with nothing of the library."""
    w = weight.detach().flatten(1).double()
    distance = (w[:, None] - w[None]).norm(dim=2)
    log_p = (-t * distance).log_softmax(1)
    scores = (log_p.exp()[:, None] * (log_p[:, None] - log_p[None])).sum(2).mean(1)
    chosen = scores.argsort(descending=True)[:m].sort().values
    return log_p.exp()[chosen].float(), chosen


def naive_forward(net, rows, x):
    for index, module in enumerate(net):
        if index in rows:
            filters = torch.einsum("mn,ncij->mcij", rows[index], module.weight)
            bias = None if module.bias is None else rows[index] @ module.bias
            x = F.conv2d(x, filters, bias, padding=1)
        else:
            x = module(x)
    return x


def geometric(epoch, epochs):
    return 100 ** (epoch / (epochs - 1))


def test_reselecting_training_equals_a_naive_twin(golden):
    with np.load(golden / "dcff_tinytrain_released.npz") as arrays:
        trace = {name: torch.as_tensor(arrays[name]) for name in arrays.files}
    net, twin = tiny_net(trace), tiny_net(trace)
    options = {"lr": 0.3, "momentum": 0.9, "weight_decay": 5e-4}
    optimisers = [torch.optim.SGD(model.parameters(), **options) for model in (net, twin)]
    moved = 0.0
    for epoch in range(6):
        if epoch in (1, 2):  # a push that changes who is chosen
            for model in (net, twin):
                model[3].weight.data.mul_(
                    torch.linspace(0.5, 2, 12).roll(epoch)[:, None, None, None]
                )
        reports = dcff.refresh(net, epoch, 6, "intended", temperature=geometric, policy="ascending")
        moved += sum(report.set_change for report in reports)
        naive = {
            k: naive_fused(twin[k].weight, m, geometric(epoch, 6)) for k, m in ((0, 4), (3, 5))
        }
        assert all(net[k].selected.tolist() == chosen.tolist() for k, (_, chosen) in naive.items())
        rows = {k: pair[0] for k, pair in naive.items()}
        for part in (slice(0, 16), slice(16, 32)):
            outputs = net(trace["X"][part]), naive_forward(twin, rows, trace["X"][part])
            losses = [F.cross_entropy(output, trace["Y"][part]) for output in outputs]
            assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-4)
            for loss, optimiser in zip(losses, optimisers):
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    assert moved > 0  # otherwise this shows nothing that the frozen run does not
