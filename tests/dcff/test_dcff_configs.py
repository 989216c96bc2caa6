"""The ten released configurations, to the integer."""

import json

import pytest
import torch

from lithe import cost, dcff

KEYS = list(dcff.PAPER_CONFIGS)


@pytest.fixture(scope="module")
def table(golden):
    return json.loads((golden / "dcff_flops.json").read_text())


@pytest.fixture(params=KEYS)
def row(request, table):
    return request.param, table[request.param.replace("r50", "resnet50")]


def counted(key, kind, convention):
    with torch.device("meta"):
        model = dcff.paper_model(key, kind)
    return cost.count(model, dcff.PAPER_CONFIGS[key].example("meta"), convention)


def test_keys_are_the_ten():
    runs = [f"r50_{recipe}_{letter}" for recipe in ("step", "cos") for letter in "abc"]
    assert ["vgg16", "resnet56", "resnet110", "googlenet", *runs] == KEYS


@pytest.mark.parametrize("kind", ["compact", "fused"])
def test_kept_network_costs_what_was_counted(row, kind):
    key, expected = row
    thop, macs = (counted(key, kind, name) for name in ("thop031", "macs"))
    training = "training_model_params(full-width filters, compact fan-in)"
    assert thop.macs == expected["thop_flops"]
    assert thop.params == expected["params" if kind == "compact" else training]
    assert macs.macs == expected["conv_macs"] + expected["linear_macs"]


def test_dense_network_costs_what_was_counted(row):
    key, expected = row
    thop, macs = (counted(key, "dense", name) for name in ("thop031", "macs"))
    assert (thop.macs, thop.params) == (expected["origin_thop_flops"], expected["origin_params"])
    assert macs.macs == expected["origin_conv_macs"] + expected["origin_linear_macs"]


def test_every_fused_layer_has_its_shape(row):
    key, expected = row
    config = dcff.PAPER_CONFIGS[key]
    with torch.device("meta"):
        layers = dcff.fused_layers(dcff.paper_model(key, "fused"))
    assert list(layers) == list(config.filters) == [r["name"] for r in expected["fuse_layers"]]
    for each in expected["fuse_layers"]:
        layer = layers[each["name"]]
        assert (layer.in_channels, layer.n_filters, layer.kept) == (
            each["cin"],
            each["n_filters"],
            each["kept"],
        )
        assert (*layer.kernel_size, *layer.stride) == (each["k"],) * 2 + (each["stride"],) * 2
        assert (layer.bias is not None) == each["bias"]
        assert config.widths[each["name"]] == each["kept"]


def test_rates_hazards_and_published_row(row):
    key, expected = row
    config = dcff.PAPER_CONFIGS[key]
    hazards = "rounding_hazards(name,n,rate,float64_result,exact_decimal_result)"
    assert list(config.layer_rates.values()) == expected["layerwise_cprate"]
    assert list(config.rates) == eval(expected["cprate"], {"__builtins__": {}})
    assert [list(hazard) for hazard in config.hazards] == expected[hazards]
    published = config.published
    cuts = [f"{published.flops_cut_percent:.2f}", f"{published.params_cut_percent:.2f}"]
    assert [published.flops, cuts[0], published.params, cuts[1]] == expected["readme"]


def test_plain_convolutions_are_those_of_the_table(row):
    key, expected = row
    with torch.device("meta"):
        model = dcff.paper_model(key, "fused")
    plain = [name for name, m in model.named_modules() if type(m) is torch.nn.Conv2d]
    assert plain == expected["plain_conv_layers"]


def test_zero_padded_shortcuts_have_their_widths(row):
    key, expected = row
    with torch.device("meta"):
        model = dcff.paper_model(key, "compact")
    pads = expected["resnet_pad_shortcuts(block,cin,cout,stride,out_shape@8x8)"]
    for block, c_in, c_out, _, shape in pads:
        y = model.get_submodule(f"{block}.shortcut")(torch.zeros(1, c_in, 8, 8))
        assert list(y.shape) == shape
        assert c_out == shape[1]


def test_fused_and_compact_paper_models_agree():
    model = dcff.paper_model("resnet56", "fused", torch.Generator().manual_seed(0)).eval()
    dcff.refresh(model, 0, 300)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    plain = dcff.compact(model)
    with torch.no_grad():
        assert torch.equal(plain(x), model(x))
    shapes = {k: v.shape for k, v in dcff.paper_model("resnet56", "compact").state_dict().items()}
    assert {k: v.shape for k, v in plain.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("filters", "rate", "width"), [(160, 0.8, 31), (160, 0.9, 15), (64, 0.5, 32), (1, 0.0, 1)]
)
def test_kept_truncates_in_double_precision(filters, rate, width):
    assert dcff.kept(filters, rate) == width


def test_kept_can_round_to_multiples():
    assert [dcff.kept(64, rate, 8) for rate in (0.0, 0.4, 0.55, 0.99)] == [64, 40, 32, 8]
    assert dcff.kept(6, 0.5, 8) == 6
    assert dcff.kept(20, 0.0, 8) == 20


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dcff.kept(4, 0.8), "leaves none of 4 filters"),
        (lambda: dcff.kept(4, 1.0), "rate is 1.0"),
        (lambda: dcff.kept(4, -0.1), "rate is -0.1"),
        (lambda: dcff.kept(4, float("nan")), "rate is nan"),
        (lambda: dcff.kept(0, 0.5), "filters is 0"),
        (lambda: dcff.kept(8, 0.5, 0), "multiple_of is 0"),
        (lambda: dcff.widths({"a": 4}, {"b": 0.5}), "name b; layers are a"),
        (lambda: dcff.widths({"a": 4}, {"a": 0.9}), "a: rate 0.9"),
        (lambda: dcff.paper_model("vgg19"), "'vgg19'.*vgg16"),
        (lambda: dcff.paper_model("vgg16", "thin"), "'thin'.*'compact'"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
