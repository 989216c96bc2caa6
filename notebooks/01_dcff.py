# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# (ch-dcff)=
# # Fuse filters while they train
#
# Dynamic-coded filter fusion, DCFF {cite:p}`lin2023dcff`, trains a narrow network out of a wide pool of filters.
# Nothing is trained first and cut later: the narrow network is there from the first step, and each of its filters starts as a blend of the whole pool.
# This chapter builds the method, runs it, and asks what the blending is worth.
#
# ```{verdict-box}
# :paper: dcff
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: build filter fusion in six short functions, train it on real digits, and convert a network of your own.
# - **Be able to explain**: why the method as released blends for a single epoch, and which control tells blending from mere narrowness.
# - **Need**: convolutions, softmax, and stochastic gradient descent; no GPU.
# - **Time**: half an hour to read, under a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import matplotlib.pyplot as plt
import torch

from lithe import cost, data, dcff, export, figures
from lithe import ledger, profiles, stats, zoo
from lithe.dcff import contest, run

torch.set_num_threads(1)
config = profiles.load("01_dcff", profile, run.Config, **overrides)

# %% [markdown]
# ## The claim in one picture
#
# Every narrow filter is a weighted mean of all wide ones.
# The weights are a softmax, and a temperature sharpens it while training runs until each mean is one real filter.
# The picture shows those weights for one layer: a row per narrow filter, a column per wide one.

# %% mystnb={"image": {"alt": "Three heat maps of mixing weights, eight rows by sixteen columns. Epoch 0: every row is spread, with its own filter strongest. Released schedule at epoch 1: each row is a single bright cell. Spanning schedule at epoch 1: still spread."}, "figure": {"caption": "The blend is alive for one epoch under the released schedule (middle), and at these weights for about a third of the training under one that spans it (right).", "name": "fig-dcff-claim"}}
net = zoo.small_cnn(generator=torch.Generator().manual_seed(0))
weight = net[3].weight.detach()
distance = dcff.pairwise_distance(weight)
moments = {
    "epoch 0": 1.0,
    "epoch 1, released": dcff.inverse_temperature(1, 300),
    "epoch 1, spanning": dcff.inverse_temperature(1, 300, kind="geometric"),
}
rows = {
    when: dcff.log_proxy(distance, t).exp()[::2] for when, t in moments.items()
}
figures.heatmaps(rows, label="mixing weight")
plt.show()

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $\mathcal{W}$ | `weight` | `(o, i, kh, kw)` | the pool: all filters of a layer, trained |
# | $D$ | `distance` | `(o, o)` | Euclidean distance of each pair of filters |
# | $T$ | `t` | scalar | inverse temperature: 1 is soft, large is one-hot |
# | $P$ | `log_proxy(...).exp()` | `(o, o)` | row $j$: the proxy of filter $j$, a distribution over the pool |
# | $s$ | `scores` | `(o,)` | importance of each filter |
# | $R$ | `proxy_rows` | `(k, o)` | the $k$ proxies that are kept |
# | $\tilde{\mathcal{W}} = R\,\mathcal{W}$ | `fused()` | `(k, i, kh, kw)` | the narrow filters that the image meets |
#
# $T$ divides nothing here: it is the *inverse* of the usual softmax temperature, so sharpening means growing.

# %% [markdown]
# ## Build it up
#
# ### Distance between filters
#
# The abstract rests the method on how much filters resemble each other {cite:p}`lin2023dcff`; the released code takes the plain Euclidean distance of the flattened weights.
#
# $$D_{jk} = \lVert w_j - w_k \rVert_2$$ (eq-dcff-distance)
#
# ```{literalinclude} ../src/lithe/dcff/proxy.py
# :pyobject: pairwise_distance
# ```
#
# Four filters with one weight each make it concrete.

# %%
pool = torch.tensor([0.0, 0.0, 1.0, 3.0]).view(4, 1, 1, 1)
distance = dcff.pairwise_distance(pool)
print(distance.tolist())
assert torch.equal(distance, distance.T)
assert distance[0].tolist() == [0, 0, 1, 3]

# %% [markdown]
# ### From distance to proxy
#
# A filter's *proxy* is a softmax over minus the distances, its own distance of zero included, so that it always ranks itself first.
#
# $$P_{ji} = \frac{\exp(-T D_{ji})}{\sum_l \exp(-T D_{jl})}$$ (eq-dcff-proxy)
#
# ```{literalinclude} ../src/lithe/dcff/proxy.py
# :pyobject: log_proxy
# ```
#
# With a small $T$ all filters count alike; with a large one only exact copies share.

# %%
soft = dcff.log_proxy(distance, 1e-9).exp()
sharp = dcff.log_proxy(distance, 1e4).exp()
print("soft row 2: ", [round(p, 3) for p in soft[2].tolist()])
print("sharp rows: ", sharp.tolist())
assert torch.allclose(soft, torch.full((4, 4), 0.25, dtype=torch.float64))
assert sharp[0].tolist() == [0.5, 0.5, 0, 0]
assert sharp[2].tolist() == [0, 0, 1, 0]

# %% [markdown]
# ### Sharpen as training goes
#
# The released ramp runs from $T_s = 1$ to $T_e = 10^4$ over $E$ epochs.
# Its formula folds into one line:
#
# $$T(e) = T_s + (T_e - T_s)\,\frac{\tanh(e/2)}{\tanh(E/2)}$$ (eq-dcff-schedule)
#
# The epoch $e$ enters on its own, not as a share of $E$: the ramp takes about five epochs whether training lasts twenty or three hundred.
#
# ```{literalinclude} ../src/lithe/dcff/schedule.py
# :pyobject: inverse_temperature
# ```

# %% mystnb={"image": {"alt": "Line chart of the inverse temperature on a logarithmic axis against the epoch. The released ramp is the same for 20 and for 300 epochs and nearly flat after epoch four; the geometric one rises evenly over the whole training."}, "figure": {"caption": "Training fifteen times as long does not make the released ramp any slower.", "name": "fig-dcff-schedule"}}
_, (axis,) = figures.canvas()
epochs = range(20)
curves = {
    "released, E = 20": [dcff.inverse_temperature(e, 20) for e in epochs],
    "released, E = 300": [dcff.inverse_temperature(e, 300) for e in epochs],
    "geometric, E = 20": [
        dcff.inverse_temperature(e, 20, kind="geometric") for e in epochs
    ],
}
figures.lines(axis, curves)
axis.set(yscale="log", xlabel="epoch", ylabel="inverse temperature T")
axis.legend()
plt.show()

# %%
released, longer = curves["released, E = 20"], curves["released, E = 300"]
assert max(abs(a - b) / b for a, b in zip(released, longer)) < 1e-4
assert released[0] == 1 and dcff.inverse_temperature(20, 20) == 1e4

# %% [markdown]
# ### Score what to keep
#
# A filter matters if its proxy differs from the others': the score is the mean Kullback-Leibler divergence from its proxy to all.
#
# $$s_j = \frac1n \sum_k \sum_i P_{ji} \log \frac{P_{ji}}{P_{ki}}$$ (eq-dcff-score)
#
# Written out, that is an $n \times n \times n$ tensor.
# But $\log P$ is linear in what we sum over, so two matrix passes do: with $L = \log P$ and $S_i = \sum_k L_{ki}$,
#
# $$n\,s_j = n \sum_i P_{ji} L_{ji} - \sum_i P_{ji} S_i .$$ (eq-dcff-score-fast)
#
# ```{literalinclude} ../src/lithe/dcff/score.py
# :pyobject: kl_scores
# ```

# %%
logp = dcff.log_proxy(dcff.pairwise_distance(weight), 1.0)
cube = logp.exp()[:, None] * (logp[:, None] - logp[None])
naive = cube.sum((1, 2)) / len(logp)
scores = dcff.kl_scores(logp)
print(
    "scores of the first three filters:",
    [round(float(x), 4) for x in scores[:3]],
)
assert torch.allclose(scores, naive, rtol=1e-10)

# %% [markdown]
# What does it measure? As $T$ grows, $P_j$ becomes one-hot and $s_j$ tends to $\frac{T}{n} \sum_k D_{jk}$: the summed distance to all other filters, which is the criterion of FPGM {cite:p}`he2019fpgm`.
# The limit can be checked to the last digit.

# %%
distance = dcff.pairwise_distance(weight)
sharp_scores = dcff.kl_scores(dcff.log_proxy(distance, 1e4))
total = distance.sum(1)
assert torch.allclose(sharp_scores * len(total) / 1e4, total, rtol=1e-12)
assert torch.equal(sharp_scores.argsort(), total.argsort())

# %% [markdown]
# ### Fuse, and train through it
#
# The $k$ best proxies become the rows of $R$, and the narrow filters are $\tilde{\mathcal{W}} = R\,\mathcal{W}$.
# $R$ stays fixed for an epoch; $\tilde{\mathcal{W}}$ is computed anew in every step, so the gradient reaches the whole pool.
#
# $$\frac{\partial \mathcal{L}}{\partial \mathcal{W}} = R^\top \frac{\partial \mathcal{L}}{\partial \tilde{\mathcal{W}}}$$ (eq-dcff-gradient)
#
# `fused()` hands the pool to the function below; where all rows are one-hot, the product is a look-up.
#
# ```{literalinclude} ../src/lithe/dcff/fused.py
# :pyobject: FusedConv2d._fuse
# ```
#
# Once the rows are one-hot, the gradient of every filter that was not selected is exactly zero.
# Weight decay goes on shrinking it, and it never comes back.

# %%
layer = dcff.FusedConv2d(
    in_channels=3, n_filters=8, kept=4, kernel_size=3, padding=1
)
dcff.refresh(layer, epoch=0, epochs=300, mode="released")
layer(torch.ones(1, 3, 8, 8)).square().sum().backward()
alive = (layer.weight.grad.abs().amax((1, 2, 3)) > 0).sum()
layer.weight.grad = None
dcff.refresh(layer, epoch=1, epochs=300, mode="released")
layer(torch.ones(1, 3, 8, 8)).square().sum().backward()
selected = (layer.weight.grad.abs().amax((1, 2, 3)) > 0).sum()
print(
    f"filters that learn: {alive} of 8 in epoch 0, {selected} of 8 in epoch 1"
)
assert (alive, selected) == (8, 4)

# %% [markdown]
# ### Leave the pool behind
#
# At the end $\tilde{\mathcal{W}}$ is written into ordinary convolutions; the pool and the rows are dropped.
# The compact network computes the same function.
#
# ```{literalinclude} ../src/lithe/dcff/compact.py
# :pyobject: compact
# ```

# %%
image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
fused = dcff.convert(zoo.small_cnn(), 0.5, image[:1]).eval()
plain = dcff.compact(fused).eval()
assert not any(isinstance(part, dcff.FusedConv2d) for part in plain.modules())
with torch.inference_mode():
    assert torch.allclose(fused(image), plain(image), atol=1e-6)
before, after = (cost.count(net, image[:1]) for net in (zoo.small_cnn(), plain))
print(
    f"MACs {before.macs:,} -> {after.macs:,}; parameters {before.params:,} -> {after.params:,}"
)

# %% [markdown]
# ## The whole method on a small problem
#
# The problem: real handwritten digits, pasted at random place, size and colour onto patches of real photographs.
# Three networks of one compact shape see the same batches: DCFF as *released*, DCFF as *intended* (safe scores, selection every epoch, a schedule that spans training), and the control, the same narrow network trained *from scratch* without any of it.

# %% mystnb={"image": {"alt": "Twelve small colour images: a handwritten digit in a random colour and size over a textured patch of a photograph."}, "figure": {"caption": "Cluttered digits: small, offline, and hard enough that accuracies differ from one.", "name": "fig-dcff-digits"}}
train, test = data.cluttered_digits(12, 1, seed=0)
_, panels = figures.canvas(12, height=0.8)
for panel, picture, label in zip(
    panels, train.pixels, train.labels.tolist(), strict=True
):
    panel.imshow(picture.permute(1, 2, 0))
    panel.set(title=label, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# One call runs whatever the profile asks for and writes a record of each run.
# At `smoke` that is seconds on digits; at `small` it is the whole comparison on real photographs that the section *Reproduction* reports.

# %% mystnb={"image": {"alt": "Two panels over epochs. Left: test accuracy of released, intended and scratch rising together. Right: the mean largest mixing weight; released jumps to one at epoch 1, intended climbs over the training."}, "figure": {"caption": "One run each, for the shape of the curves and not for their order: that takes seeds and intervals.", "name": "fig-dcff-smoke"}}
ids = run.run(config)
curves = {
    name.split("/")[1].split("-", 1)[1]: ledger.curves(name)
    for name in ids
    if name.split("/")[1].startswith(config.data)
}
_, (left, right) = figures.canvas(2)
figures.lines(left, {name: c["evaluate_top1"] for name, c in curves.items()})
sharp = {n: c["max_proxy"] for n, c in curves.items() if "max_proxy" in c}
figures.lines(right, sharp)
left.set(xlabel="epoch", ylabel="test accuracy (%)")
right.set(xlabel="epoch", ylabel="mean largest mixing weight")
left.legend()
plt.show()

# %%
first, *later = sharp["released"]
assert first < 1
assert set(later) <= {1.0}
for curve in curves.values():
    assert curve["train_loss"][-1] <= curve["train_loss"][0]

# %% [markdown]
# ## Use it on your own model
#
# `convert` takes any network that the channel graph can trace.
# It finds out which layers share a width, says what it did, and refuses by name what it cannot do.

# %%
from lithe.vision import torchvision

model = torchvision().models.resnet18(weights=None, num_classes=10)
example = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
narrow = dcff.convert(model, 0.5, example)
dcff.refresh(narrow, epoch=0, epochs=90)
small = dcff.compact(narrow)

# %%
for name, net in {"before": model, "after": small}.items():
    counted = cost.count(net, example)
    print(
        f"{name:6s} {counted.macs / 1e6:7.1f} M MACs {counted.params / 1e6:6.2f} M parameters"
    )
with torch.inference_mode():
    assert torch.allclose(
        narrow.eval()(example), small.eval()(example), atol=1e-5
    )

# %% [markdown]
# What was narrowed, what shares a width with what, and what was left alone and why, is in the report.

# %%
print("\n".join(str(narrow.conversion).splitlines()[:6]))

# %% [markdown]
# The result leaves the house without its class: weights as safetensors, structure as a JSON plan.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

with TemporaryDirectory() as folder:
    export.save(small, Path(folder) / "small", example)
    back = export.load(Path(folder) / "small")
with torch.inference_mode():
    assert torch.equal(back(example), small.eval()(example))

# %% [markdown]
# A rate per layer is a dictionary, and a budget is a target: `convert(model, None, example, target={"macs": 0.4})`.
# Train `narrow` with your own loop and call `refresh` before each epoch; or hand it to `lithe.training.fit` with `contest.Refresh`.
# `lithe.export.to_onnx` writes ONNX, and `lithe.export.check_onnx` compares it with the model.

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the released code and its tables, not the body of the paper; where they differ, this is what the *code* does.
# The full register with sources is on the [page of deviations](../book/deviations.md).
#
# 1. **The ramp is counted in epochs, not in shares of training.** At epoch 1 of 300, $T$ is already {result}`dcff/schedule/small/0:t_epoch1_of_300|.1f`. At initial weights that makes {result}`dcff/schedule/small/0:onehot_layers_epoch1_vgg16` of {result}`dcff/schedule/small/0:layers_vgg16` VGG-16 layers and {result}`dcff/schedule/small/0:onehot_layers_epoch1_resnet56` of {result}`dcff/schedule/small/0:layers_resnet56` ResNet-56 layers exactly one-hot. `released` follows; `intended` spans the training.
# 2. **The released score turns into NaN, and the trainer keeps the old one.** One-hot rows hold exact zeros, and $0 \log 0$ is not a number. From epoch 1 on, {result}`dcff/schedule/small/0:finite_layers_epoch1_vgg16` of {result}`dcff/schedule/small/0:layers_vgg16` VGG-16 layers have finite scores, so the choice made at random initial weights stands for ever. `intended` computes the score in the log domain, where it is always finite.
# 3. **Epoch 0 is degenerate in wide layers.** With hundreds of filters a softmax over near-equal distances is nearly flat. VGG-16's fused filters start with a mean pairwise cosine of {result}`dcff/schedule/small/0:cosine_epoch0_vgg16|.2f` and an effective rank of {result}`dcff/schedule/small/0:effective_rank_epoch0_vgg16|.1f`: each layer is nearly one filter, repeated.
# 4. **The order of the kept filters is left to chance.** A slot ties a filter to its batch norm and to the next layer's input. The freeze of detail 2 hides this; with fresh scores and an unstable order the slots would be shuffled every epoch, and *Break it on purpose* shows what one shuffle does. `intended` keeps survivors in their slots.
# 5. **At initial weights the score is a size.** Filters are random vectors then; the rank correlation of the score with the summed distance is at least {result}`dcff/score/small/0:spearman_total_distance_t1|.2f` in every layer of both networks, and its choice agrees with the largest $\ell_2$ norms on a share of {result}`dcff/score/small/0:overlap_l2|.2f` of the kept filters.
# 6. **A converted classifier starts smaller.** By default `convert` keeps the weights that it is given; our comparison starts from random ones and asks for `init="fresh"`, which redraws the convolutions at their compact fan-in and slices the rest. So the last layer of the fused variants starts with weights smaller by a factor of $\sqrt{2}$ than those of the network from scratch. The row *one-hot at random* below shares that start and blends nothing: its difference to scratch bounds what this detail can be worth.
# 7. **Widths are truncated in double precision.** `int(160 * (1 - 0.8))` is 31. Two GoogLeNet layers hang on it, and the published MACs with them.

# %%
assert int(160 * (1 - 0.8)) == 31
googlenet = dcff.paper_model("googlenet", "compact")
assert googlenet.get_submodule("e4.b2.0").out_channels == 31

# %% [markdown]
# ## Reproduction
#
# The tables are computed: each row holds a claim, its test, and what the records say.
# First the claims of direction, measured at small scale against their controls.
#
# ```{claims-table}
# :paper: dcff
# :tier: T1
# ```
#
# ````{dropdown} Sizes and other exact claims
# ```{claims-table}
# :paper: dcff
# :tier: T0
# ```
# ````
#
# ````{dropdown} The paper's own training runs, with the command for each
# ```{claims-table}
# :paper: dcff
# :tier: T2
# ```
# ````
#
# ### Is it the fusion, the score, or only the narrow network?
#
# Six thousand real CIFAR-10 images at half size, the plain network of this chapter at half width, {result}`dcff/cifar-scratch/small/*:top1|seeds` seeds, {result}`dcff/cifar-scratch/small/0:params.epochs` epochs.
# Every row has the same compact shape, sees the same batches, and spends the same training compute, unless its name says *long* or *dense*.
# Accuracy is that of the last epoch, on {result}`dcff/cifar-scratch/small/0:top1|n` test images; nothing was chosen on them.
# *Pretrained* spends half of its compute on the dense network, prunes it, and spends the rest on fine-tuning at a tenth of the learning rate; at *full length* both stages last as long as a run from scratch.
# The intervals cover seeds only: all runs share one training and one test set. One such interval in twenty misses its mark by chance; the table has ten.

# %% mystnb={"image": {"alt": "Dot plot of paired accuracy differences to training from scratch, one row per variant with its 95 percent interval."}, "figure": {"caption": "Paired differences to the narrow network from scratch, with 95 % intervals over seeds; a diamond marks an interval that excludes zero.", "name": "fig-dcff-contest"}}
names = [name for name in contest.VARIANTS if name not in ("scratch", "dense")]
tops = {
    name: [
        r.metric("top1").value
        for r in ledger.find(f"dcff/cifar-{name}/small/*")
    ]
    for name in [*names, "scratch"]
}
rows = {name: stats.paired(tops[name], tops["scratch"]) for name in names}
figures.differences(
    {name: (row.mean, row.low, row.high) for name, row in rows.items()},
    unit="accuracy difference (points)",
    zero="narrow network from scratch",
)
plt.show()

# %% [markdown]
# | variant | accuracy | difference to scratch | training MACs |
# |---|---|---|---|
# | DCFF `released` | {result}`dcff/cifar-released/small/*:top1 ; mean` | {result}`dcff/cifar-released/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-released/small/0:train_macs ; .3g` |
# | DCFF `intended` | {result}`dcff/cifar-intended/small/*:top1 ; mean` | {result}`dcff/cifar-intended/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-intended/small/0:train_macs ; .3g` |
# | from scratch (control) | {result}`dcff/cifar-scratch/small/*:top1 ; mean` | | {result}`dcff/cifar-scratch/small/0:train_macs ; .3g` |
# | one-hot by L1 | {result}`dcff/cifar-onehot-l1/small/*:top1 ; mean` | {result}`dcff/cifar-onehot-l1/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-onehot-l1/small/0:train_macs ; .3g` |
# | one-hot at random | {result}`dcff/cifar-onehot-random/small/*:top1 ; mean` | {result}`dcff/cifar-onehot-random/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-onehot-random/small/0:train_macs ; .3g` |
# | one-hot by total distance | {result}`dcff/cifar-onehot-fpgm/small/*:top1 ; mean` | {result}`dcff/cifar-onehot-fpgm/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-onehot-fpgm/small/0:train_macs ; .3g` |
# | $T = 1$ throughout | {result}`dcff/cifar-constant-t1/small/*:top1 ; mean` | {result}`dcff/cifar-constant-t1/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-constant-t1/small/0:train_macs ; .3g` |
# | pretrained, L1, equal cost | {result}`dcff/cifar-pretrained-l1/small/*:top1 ; mean` | {result}`dcff/cifar-pretrained-l1/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-pretrained-l1/small/0:train_macs ; .3g` |
# | pretrained, L1, full length | {result}`dcff/cifar-pretrained-l1-long/small/*:top1 ; mean` | {result}`dcff/cifar-pretrained-l1-long/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-pretrained-l1-long/small/0:train_macs ; .3g` |
# | from scratch, the same cost | {result}`dcff/cifar-scratch-long/small/*:top1 ; mean` | {result}`dcff/cifar-scratch-long/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-scratch-long/small/0:train_macs ; .3g` |
# | dense (reference) | {result}`dcff/cifar-dense/small/*:top1 ; mean` | {result}`dcff/cifar-dense/small/*:top1 - dcff/cifar-scratch/small/*:top1 ; diff` | {result}`dcff/cifar-dense/small/0:train_macs ; .3g` |
#
# To run it again: `python -m lithe.run 01_dcff --profile small`.
# One row of the paper's own tables, at full length: `python -m lithe.dcff.run --key vgg16 --download`.
#
# ### Do fewer MACs become fewer milliseconds?
#
# On one CPU thread, compact VGG-16 has {result}`dcff/latency/small/0:macs_ratio_vgg16|.2f` times fewer MACs than the dense one and takes {result}`dcff/latency/small/0:speedup_vgg16|.2f` times less time ({result}`dcff/latency/small/0:dense_ms_vgg16|.1f` against {result}`dcff/latency/small/0:compact_ms_vgg16|.1f` for one image).
# For ResNet-56 the ratios are {result}`dcff/latency/small/0:macs_ratio_resnet56|.2f` and {result}`dcff/latency/small/0:speedup_resnet56|.2f`. Fewer MACs are not fewer milliseconds at a fixed rate; our guess is that thin layers leave a CPU idle, but we did not test it.
# Scoring all VGG-16 layers runs {result}`dcff/bench/small/0:scoring_speedup|.0f` times faster than the broadcast formula, and fusing costs a training step a factor of {result}`dcff/bench/small/0:step_ratio_256|.3f` at batch 256.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** As released, the fusing lasts one epoch; what follows is ordinary training of the narrow network.
# That one epoch is felt all the same: {result}`dcff/cifar-released/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff` against the same network without the method, and {result}`dcff/cifar-released/small/*:top1 - dcff/cifar-onehot-fpgm/small/*:top1|diff` against one-hot filters by total distance. That row keeps nearly the filters that the released score keeps (a share of {result}`dcff/score/small/0:overlap_total_distance|.2f` at initial weights); what it leaves out is the blended epoch.
# A schedule that spans the training keeps the blend alive for {result}`dcff/cifar-intended/small/*:fused_epochs|mean` of {result}`dcff/cifar-intended/small/0:params.epochs` epochs and comes out at {result}`dcff/cifar-intended/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff`; never sharpening it, at {result}`dcff/cifar-constant-t1/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff`.
# The longer the filters stay blended, the worse the result; a plain reading, which nothing here tests further, is that less time is left to learn different ones.
#
# Which filters are selected makes no difference that we can see: by L1, by total distance or at random, one-hot from the start, the differences to scratch are {result}`dcff/cifar-onehot-l1/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff`, {result}`dcff/cifar-onehot-fpgm/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff` and {result}`dcff/cifar-onehot-random/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff`.
# They are random vectors when they are chosen.
#
# What holds is the economy: no pretrained network is needed, and at equal cost pretraining and pruning ends at {result}`dcff/cifar-pretrained-l1/small/*:top1 - dcff/cifar-scratch/small/*:top1|diff`.
# But that economy belongs to the narrow network, not to the fusing of its filters: given what full-length pruning spends, training from scratch gains {result}`dcff/cifar-scratch-long/small/*:top1 - dcff/cifar-pretrained-l1-long/small/*:top1|diff` on it.
#
# These are short runs of a small network on few images. They say nothing about 300 epochs or ImageNet, where one blended epoch weighs less; the table says *not run* there, with the command.
#
# **What was easy.** All ten published FLOP counts come out to the last printed digit, once one knows that they count a bias as one operation and a batch norm as two. One parameter count and one pair of numbers in the abstract do not ({claim}`dcff.readme.vgg16-params`, {claim}`dcff.abstract.resnet50-pair`).
#
# **What was hard.** Residual streams: layers whose outputs are added share one width, and for a network that brings its own weights they must also share one selection. And stopping: the score of a one-hot row is finite only in the log domain.
#
# ### Break it on purpose
#
# Detail 4 said that a slot is a promise to the layers behind it.
# Here the same filters are kept, but their order changes between two epochs, as an unordered top-k may do; nothing else happens.

# %%
images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(3))
net = dcff.convert(
    zoo.small_cnn(generator=torch.Generator().manual_seed(4)), 0.5, images[:1]
)
dcff.refresh(net, epoch=299, epochs=300)
net.train()(images)  # batch norm learns the statistics of each slot
net.eval()
before = net(images).detach()
for layer in dcff.fused_layers(net).values():
    layer.set_rows(layer.proxy_rows.flip(0), layer.selected.flip(0))
signal = (before - before.mean(0)).norm()
moved = (net(images) - before).norm() / signal
assert moved > 0.5  # of all that told the images apart

# %% [markdown]
# The set of filters is the same, so a check of the *set* sees nothing.
# The check that catches it compares slots: `refresh` reports `slot_change` beside `set_change` for every layer.

# %%
again = dcff.refresh(net, epoch=299, epochs=300, policy="slot_stable")
sorted_again = dcff.refresh(net, epoch=299, epochs=300, policy="ascending")
assert again[0].set_change == 0 and again[0].slot_change == 0
assert sorted_again[0].set_change == 0 and sorted_again[0].slot_change > 0

# %% [markdown]
# ## Exercises
#
# **1.** Two exact copies of a filter are in the pool. What do their proxies look like at $T = 10^4$, and what does that do to the fused filter?
#
# ```{admonition} Solution
# :class: dropdown
# Each gives itself and its copy half the weight, as in the second step above. The mean of two equal filters is that filter: nothing changes.
# ```
#
# **2.** At which distance does a float32 softmax entry become an exact zero at epoch 1 of 300? Compare with the distances in a layer of yours.
#
# ```{admonition} Solution
# :class: dropdown
# `exp` underflows in float32 below about $-104$, so at $T\,D > 104$: with the released ramp at epoch 1, beyond a distance of about {given}`0.02 | definition`. Distances at initial weights are tens of times larger.
# ```
#
# **3.** Write the kept set of a layer as a function of the L2 norms alone. On what share of the filters do you agree with `dcff.select`?
#
# ```{admonition} Solution
# :class: dropdown
# `weight.flatten(1).norm(dim=1).topk(k).indices.sort().values`; the chapter's detail 5 has the answer for VGG-16 and ResNet-56.
# ```
#
# **4.** Convert a network of yours with `coupled="skip"` and with `coupled="shared"`. Which layers differ, and why?
#
# ```{admonition} Solution
# :class: dropdown
# Layers whose outputs are added, as in a residual stream, share one width. `skip` leaves them whole; `shared` cuts them together. `print(channels.trace(model, example))` lists the groups.
# ```
#
# ## Further reading
#
# Training the narrow network from scratch as the null hypothesis of pruning: {cite:t}`liu2019rethinking`.
# Norms as importance: {cite:t}`li2017pruning`. Medians as redundancy: {cite:t}`he2019fpgm`.
# A tool that finds coupled widths in any network: {cite:t}`fang2023depgraph`.
