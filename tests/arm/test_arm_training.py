"""Computation-aware sampling, the released schedule, and a supernet that learns."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lithe import arm
from lithe.data import DataError, DataSet
from lithe.training.errors import CheckpointError
from lithe.training.schedule import learning_rate

COSTS = {  # of the released counter; test_arm_cost.py counts them
    "fsrcnn": [141_262_852, 304_570_372, 467_877_892],
    "carn": [380_215_296, 771_563_520, 1_154_875_392],
    "srresnet": [1_658_216_448, 3_438_010_368, 5_193_990_144],
}


@pytest.fixture(scope="module")
def photo():
    return dict(arm.photographs(("coffee", "astronaut")))


def tiny(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return arm.Supernet("fsrcnn", widths=(4, 8), base="bilinear", generator=generator)


def test_chances_are_the_released_ones(golden):
    theirs = np.load(golden / "arm_schedule_sampling.npz")
    for name, costs in COSTS.items():
        ours = arm.sampling_probabilities(costs).numpy()
        assert np.allclose(ours, theirs[f"{name}_sampling_prob"], rtol=0, atol=1e-12)
    uniform = arm.sampling_probabilities(COSTS["carn"], 0)
    assert torch.equal(uniform, torch.full((3,), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize("backbone", ["fsrcnn", "carn"])
def test_the_schedule_is_the_released_one(golden, backbone):
    config = arm.recipe(backbone, epochs=4)
    theirs = np.load(golden / "arm_schedule_sampling.npz")[f"lr_T2000_lr{config.lr:g}"]
    ours = [learning_rate(config, t // 500, t % 500, 500) for t in range(2000)]
    assert np.allclose(ours, theirs[:2000], rtol=0, atol=1e-15)
    assert theirs[2000] == config.lr_end
    assert (config.betas, config.weight_decay, config.batch_size) == ((0.9, 0.99), 0.0, 16)


def test_widths_are_drawn_as_often_as_they_should_and_anew_for_each_seed():
    chances = arm.sampling_probabilities(COSTS["carn"])
    draws = {s: arm.WidthSampling((1, 2, 3), chances, s) for s in (0, 1)}
    first = [draws[0].draw(k) for k in range(3000)]
    share = np.bincount(first, minlength=3) / 3000
    assert np.abs(share - chances.numpy()).max() < 4 * (0.25 / 3000) ** 0.5
    assert first[:50] != [draws[1].draw(k) for k in range(50)]
    assert first[:50] == [draws[0].draw(k) for k in range(50)]  # whatever was drawn before


def test_a_step_is_the_plain_l1_loss_of_one_width():
    net = tiny()
    sampling = arm.WidthSampling((1, 2), torch.tensor([0.5, 0.5]), 0, accumulate=2)
    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    for step in range(6):
        chosen = 1 + sampling.draw(step // 2)  # both micro-batches train the same width
        loss, outputs = sampling(net, x, y)
        assert torch.equal(outputs, net(x, chosen))
        assert torch.equal(loss, F.l1_loss(outputs, y))
    assert sum(sampling.drawn) == sampling.calls == 6
    again = arm.WidthSampling((1, 2), torch.tensor([0.5, 0.5]), 0, accumulate=2)
    again.load_state_dict(sampling.state_dict())
    assert (again.calls, again.drawn) == (6, sampling.drawn)


def test_a_small_supernet_learns_from_photographs_in_seconds(photo):
    pairs = arm.pairs_of([photo["coffee"]], size=24)
    net = tiny()
    before = [arm.ImageQuality(net, [photo["astronaut"][:128, 200:328]]).of(net, j) for j in (1, 2)]
    history = arm.train(
        net,
        pairs,
        arm.recipe(epochs=8, device="cpu"),
        images=[photo["astronaut"][:128, 200:328]],
    )
    last = history.rows[-1]
    after = [last["psnr_fsrcnn-4"], last["psnr_fsrcnn-8"]]
    assert last["train_loss"] < history.rows[0]["train_loss"]
    assert all(b > a + 0.3 for a, b in zip(before, after)), (before, after)
    assert last["psnr_bicubic"] == history.rows[0]["psnr_bicubic"]


def test_a_stopped_run_ends_with_the_bits_of_one_that_was_not(photo, tmp_path):
    pairs = arm.pairs_of([photo["coffee"][:160, :160]], size=12, step=14)
    config = arm.recipe(epochs=3, device="cpu", batch_size=2)
    whole = tiny()
    arm.train(whole, pairs, config)

    step = arm.WidthSampling.__call__

    def stopping(self, *batch):
        if self.calls == 7:  # Ctrl-C in the middle of the second epoch
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arm.WidthSampling, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt, match="epoch 1 after step 3"):
            arm.train(tiny(), pairs, config, directory=tmp_path)
    other = tiny(seed=5)  # what it begins with does not matter: the checkpoint has it
    arm.train(other, pairs, config, directory=tmp_path)
    for a, b in zip(whole.parameters(), other.parameters()):
        assert torch.equal(a, b)
    with pytest.raises(CheckpointError, match="objective"):
        arm.train(tiny(), pairs, config, directory=tmp_path, power=0)


def test_a_network_of_ones_own_trains_at_all_its_widths(photo):
    pairs = arm.pairs_of([photo["coffee"][:160, :200]], size=16)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.Conv2d(8, 48, 3, padding=1),
        torch.nn.PixelShuffle(4),
    )
    branches = arm.slimmable(model, torch.rand(1, 3, 16, 16), (0.5, 1))
    before = model[0].weight.detach().clone()
    history = arm.train(branches, pairs, arm.recipe("own", epochs=3, device="cpu", lr=1e-2))
    assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
    assert ((model[0].weight - before).abs().sum((1, 2, 3)) > 0).all()


def test_pairs_are_aligned_and_turned_alike(photo):
    large, small = arm.degrade(photo["coffee"][:300, :280])
    pairs = arm.Pairs([(large, small)], size=16, step=10, least=4)
    assert isinstance(pairs, DataSet)
    rows, columns = (arm.cut_starts(n, 16, 10, 4) for n in small.shape[:2])
    assert len(pairs) == len(rows) * len(columns)
    assert pairs.place(len(columns) + 1) == (0, rows[1], columns[1])
    x, y = pairs.batch(torch.tensor([3]))
    r, c = rows[0], columns[3]
    assert np.array_equal(x[0].permute(1, 2, 0) * 255, small[r : r + 16, c : c + 16])
    cut = large[4 * r : 4 * r + 64, 4 * c : 4 * c + 64]
    assert np.array_equal((y[0].permute(1, 2, 0) * 255).round(), cut)
    indices = torch.arange(len(pairs))
    many, tall = pairs.batch(indices, torch.Generator().manual_seed(0), augment=True)
    plain, _ = pairs.batch(indices)
    pooled = F.avg_pool2d(tall, 4)
    assert (pooled - many).abs().mean() < 0.02  # each small patch belongs to its large one
    turns = [lambda t: t, lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.flip(-1, -2)]
    seen = set()
    for k in range(len(pairs)):
        for number, turn in enumerate([*turns, *(lambda t, f=f: f(t).mT for f in turns)]):
            if torch.equal(many[k], turn(plain[k])):
                seen.add(number)
    assert seen == set(range(8))


def test_processes_share_a_batch(photo):
    pairs = arm.pairs_of([photo["coffee"][:200, :200]], size=16)
    indices = torch.arange(6)
    whole = pairs.batch(indices, torch.Generator().manual_seed(3), augment=True)
    for part in (slice(0, 2), slice(2, 6)):
        own = pairs.batch(indices, torch.Generator().manual_seed(3), augment=True, part=part)
        assert all(torch.equal(a, b[part]) for a, b in zip(own, whole))


def test_fingerprints_tell_data_and_cutting_apart(photo):
    image = photo["coffee"][:160, :160]
    one = arm.pairs_of([image], size=16).fingerprint
    assert one == arm.pairs_of([image.copy()], size=16).fingerprint
    assert one != arm.pairs_of([image], size=20).fingerprint
    assert one != arm.pairs_of([255 - image], size=16).fingerprint


def test_what_does_not_fit_is_refused(photo):
    large, small = arm.degrade(photo["coffee"][:160, :160])
    with pytest.raises(DataError, match="no pair"):
        arm.Pairs([(large[:-1], small)])
    with pytest.raises(DataError, match="must have the same"):
        arm.Pairs([(large, small), arm.degrade(large, 2)])
    pairs = arm.Pairs([(large, small)])
    with pytest.raises(DataError, match="asked for 99"):
        pairs.patch(99)
    with pytest.raises(ValueError, match="Generator"):
        pairs.batch(torch.tensor([0]), augment=True)
    with pytest.raises(ValueError, match="scale 4 for branches of scale 2"):
        arm.train(arm.Supernet("fsrcnn", 2), pairs, arm.recipe())
    with pytest.raises(ValueError, match="parameters to train"):
        arm.train(arm.Mixed([arm.Interpolation()]), pairs, arm.recipe())
    with pytest.raises(ValueError, match="above 0"):
        arm.sampling_probabilities([0.0, 1.0])
    with pytest.raises(ValueError, match="2 branches but 1"):
        arm.WidthSampling((1, 2), torch.ones(1), 0)
