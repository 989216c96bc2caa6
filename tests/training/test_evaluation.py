from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lithe.data import fake_images
from lithe.training import evaluate
from lithe.training.evaluation import correct_at


def test_evaluation_equals_the_definition_whatever_the_batch_size(small_net):
    model, data = small_net(), fake_images((3, 8, 8), 4, 14, seed=2)
    model.eval()
    x, y = data.batch(torch.arange(14))
    with torch.no_grad():
        outputs = model(x)
    for batch_size in (1, 5, 14, 100):
        found = evaluate(model, data, batch_size)
        assert found["n"] == 14
        assert found["loss"] == pytest.approx(F.cross_entropy(outputs, y).item(), abs=1e-5)
        assert found["top1"] == pytest.approx(100 * (outputs.argmax(1) == y).float().mean().item())
        assert found["top5"] is None  # of four classes


def test_top5_counts_the_five_best():
    outputs = torch.tensor([[9.0, 8, 7, 6, 5, 4], [1, 2, 3, 4, 5, 6], [0, 0, 9, 0, 0, 1]])
    targets = torch.tensor([4, 0, 2])
    assert correct_at(outputs, targets, 1) == 1
    assert correct_at(outputs, targets, 5) == 2
    assert correct_at(outputs.t().contiguous().t(), targets, 5) == 2  # any memory layout


def test_regressions_have_a_loss_but_no_accuracy():
    class Lines:
        name, workers, fingerprint = "lines", 0, "0"

        def __len__(self):
            return 6

        def batch(self, indices, generator=None, augment=False, part=slice(None)):
            x = indices[part, None].float()
            return x, 3 * x

    found = evaluate(nn.Linear(1, 1), Lines(), 4, loss=F.mse_loss)
    assert found["top1"] is None
    assert found["top5"] is None
    assert found["loss"] > 0


def test_flags_and_random_state_are_left_as_they_were(small_net, images):
    model = small_net()
    model[1].eval()
    before, state = [m.training for m in model.modules()], torch.get_rng_state()
    evaluate(model, images)
    assert [m.training for m in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)


def test_flags_come_back_after_an_error(small_net, images):
    model = small_net()
    with pytest.raises(RuntimeError):
        evaluate(model, fake_images((1, 8, 8), 4, 3))
    assert all(m.training for m in model.modules())


def test_bf16_evaluates_close_to_float32(small_net, images):
    model = small_net()
    exact, rough = evaluate(model, images), evaluate(model, images, precision="bf16")
    assert rough["loss"] == pytest.approx(exact["loss"], abs=0.02)  # 8 bits of mantissa
    assert rough["loss"] != exact["loss"]


def test_an_empty_data_set_is_refused(small_net, images):
    with pytest.raises(ValueError, match="is empty"):
        evaluate(small_net(), images.subset(0))


def test_an_unknown_precision_is_refused(small_net):
    with pytest.raises(ValueError, match="precision is 'fp8'; known are 'no' and 'bf16'"):
        evaluate(small_net(), fake_images((3, 8, 8), 4, 4), precision="fp8")
