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
# (ch-onexn)=
# # Drop blocks of weights, not single ones
#
# Half of a network's weights can often go, and it still recognises what it did.
# It just does not get faster: zeros that lie anywhere are as much work to skip as to multiply.
# The 1×N pattern {cite:p}`lin2022onexn` drops weights in blocks of $N$ filters by one input channel, small enough to choose well and regular enough for a processor.
# This chapter builds the pattern and asks what it costs in accuracy; {ref}`the next one <ch-kernels>` asks what it gains in time.
#
# ```{verdict-box}
# :paper: onexn
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: cut a weight into blocks, drop the weak ones, move filters so that weak ones stand together, pack what is left, and prune a network of your own.
# - **Be able to explain**: what a block is, why reordering filters is free, and which control tells a good choice of blocks from mere sparsity.
# - **Need**: convolutions, and the idea of fine-tuning; no GPU.
# - **Time**: half an hour to read, under a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%

import matplotlib.pyplot as plt
import torch

from lithe import figures, ledger
from lithe import onexn, profiles, stats
from lithe.onexn import run, speed
from lithe.vision import torchvision

torch.set_num_threads(1)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).norm() < 1e-5 * theirs.norm())


config = profiles.load("02_onexn", profile, run.Config, **overrides)

# %% [markdown]
# ## The claim in one picture
#
# Three ways to drop half of one layer's weights.
# Single weights keep the most of its strength, and leave holes everywhere.
# Whole filters leave a smaller layer, and take the strong weights along with the weak.
# Blocks of four filters by one channel stand between the two.

# %% mystnb={"image": {"alt": "Three heat maps of one weight matrix, rows are filters and columns input channels, half of it blank in each. Left: single cells blank, scattered. Middle: vertical runs of four cells blank. Right: whole rows blank."}, "figure": {"caption": "The same share of a layer kept in three patterns. The number above each is the part of the weights' total magnitude that stays.", "name": "fig-onexn-claim"}}
generator = torch.Generator().manual_seed(0)
strength = torch.rand(24, 1, generator=generator) + 0.3
weight = strength * torch.randn(24, 40, generator=generator)
patterns = {
    "weights": onexn.weight_mask(weight, 0.5),
    "1×4 blocks": onexn.block_mask(weight, 4, 0.5),
    "filters": onexn.filter_mask(weight, 0.5),
}
mass = weight.abs().sum()
kept = {
    name: float(weight[m].abs().sum() / mass) for name, m in patterns.items()
}
figures.heatmaps(
    {f"{n}: {kept[n]:.2f}": weight.abs() * m for n, m in patterns.items()},
    label="magnitude",
    top=2.5,
)
plt.show()

# %%
assert kept["weights"] > kept["1×4 blocks"] > kept["filters"]
assert len({int(mask.sum()) for mask in patterns.values()}) == 1

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $W$ | `weight` | `(o, i, kh, kw)` | filters of a layer; a linear layer has no `kh, kw` |
# | $N$ | `n` | whole number | filters in a block |
# | $B_{r,i}$ | | `(n, kh, kw)` | block: the kernels of input channel $i$ in filters $rN \ldots rN+N-1$ |
# | $p$ | `sparsity` | in [0, 1) | share of the blocks that is dropped |
# | $s_{r,i}$ | `Grid.scores` | `(r, i)` | score of each block |
# | $M$ | `block_mask(...)` | `(o, i, kh, kw)` | true where a weight stays |
# | $\pi$ | `rearrangement(...)` | `(o,)` | the order that puts filters of like strength together |

# %% [markdown]
# ## Build it up
#
# ### A block and its score
#
# A block holds the kernels that $N$ neighbouring filters apply to one input channel.
# Its score is the sum of magnitudes {cite:p}`lin2022onexn`:
#
# $$s_{r,i} = \sum_{o=rN}^{rN+N-1} \lVert W_{o,i} \rVert_1$$ (eq-onexn-score)
#
# ```{literalinclude} ../src/lithe/onexn/grid.py
# :pyobject: Grid.scores
# ```
#
# Four filters that read three channels, cut into blocks of two:

# %%
tiny = torch.tensor([[3.0, 1, 0], [3, 1, 2], [0, 1, 4], [1, 1, 4]])
grid = onexn.Grid(tiny.shape, n=2)
print(grid.scores(tiny).tolist())
assert grid.scores(tiny).tolist() == [[6, 2, 2], [1, 2, 8]]

# %% [markdown]
# ### Drop the weakest
#
# All blocks of a layer are ranked together, and the lowest $\lfloor p \cdot \text{blocks} \rfloor$ go.
# Every layer loses the same share; within a layer, rows of blocks may keep different numbers.
#
# ```{literalinclude} ../src/lithe/onexn/pattern.py
# :pyobject: block_mask
# ```

# %%
mask = onexn.block_mask(tiny, n=2, sparsity=0.5)
print((tiny * mask).int().tolist())
assert int(mask.sum()) == 6
even = onexn.block_mask(tiny, n=2, sparsity=0.5, budget="row")
assert even.sum(1).tolist() == [2, 2, 2, 2]

# %% [markdown]
# The second mask spends the budget row by row, so that each filter keeps equally many channels: threads that share the rows then have equal work.
#
# ### When $N$ does not divide the filters
#
# Ten filters in blocks of four: the last row of blocks has only two.
# The released code flattens the weight instead and cuts it every $N$ kernels, so that its blocks run over from one input channel into the next ([D21](../book/deviations.md)).
# Here the last row is narrower, and is ranked by its mean, so that it is not dropped for its size.

# %%
wide = torch.ones(10, 6)
ragged = onexn.Grid(wide.shape, n=4)
print("filters in each row of blocks:", ragged.sizes.tolist())
assert ragged.sizes.tolist() == [4, 4, 2]
assert ragged.scores(wide).unique().tolist() == [4]

# %% [markdown]
# ### Put like filters together
#
# A block is kept or dropped whole, so it is a waste if a strong filter stands beside a weak one.
# Sorting the filters by their norm first makes blocks that are strong or weak throughout:
#
# $$\pi = \operatorname{argsort}_o \lVert W_o \rVert_1$$ (eq-onexn-order)
#
# ```{literalinclude} ../src/lithe/onexn/rearrange.py
# :pyobject: rearrangement
# ```
#
# How much of the layer's magnitude stays, as the blocks grow:

# %% mystnb={"image": {"alt": "Two curves of the kept share of magnitude against the block size from 1 to 16. Both fall; the one with rearrangement stays well above the other."}, "figure": {"caption": "The wider the block, the more a good order of the filters is worth.", "name": "fig-onexn-order"}}
sizes = [1, 2, 4, 8, 12, 24]
curves = {"as they are": [], "rearranged": []}
for n in sizes:
    for name, rearrange in zip(curves, (False, True)):
        stays = onexn.block_mask(weight, n, 0.5, rearrange)
        curves[name].append(float(weight[stays].abs().sum() / mass))
_, (axis,) = figures.canvas()
figures.lines(axis, curves, x=sizes)
axis.set(xlabel="filters in a block, N", ylabel="kept share of magnitude")
axis.legend()
plt.show()

# %%
plain, sorted_first = (torch.tensor(curve) for curve in curves.values())
assert sorted_first[0] == plain[0]  # one filter per block: order is nothing
assert (sorted_first[1:-1] > plain[1:-1]).all()

# %% [markdown]
# ### Move them for real
#
# Reordering a layer's filters reorders the channels that the next layer reads, and the batch norm between them.
# If all of them follow, the network computes the same function.
# The released code never does this: it sorts to shape the mask and scatters the mask back, so the stored weights have no blocks ([D24](../book/deviations.md)).
# Here the channel graph carries the order through sums, concatenations and depthwise layers.

# %%
net = speed.network("mobilenet_v2")
image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
moved, names = onexn.move_filters(net, image)
with torch.inference_mode():
    before, after = net(image), moved.eval()(image)
assert same(after, before)
print(f"{len(names)} layers changed the order of their filters")

# %% [markdown]
# Where a layer cannot move, as one that makes the network's output, a packed layer remembers which filters form its rows, and writes each result to its own place.
#
# ### Pack what stays
#
# Three arrays hold the blocks that stay: their values, the input channel of each, and where each row begins.
# At rate $p$ that is about $(1-p)\,(N+1)/N$ of the dense bytes: an index of four bytes for every $N$ values.
#
# ```{literalinclude} ../src/lithe/onexn/packed.py
# :pyobject: PackedWeight
# :lines: 1-25
# ```

# %%
big = torch.randn(64, 128, generator=torch.Generator().manual_seed(2))
for n in (1, 4, 16):
    packed = onexn.pack_weight(big, onexn.block_mask(big, n, 0.5), n)
    bytes_ = onexn.Storage.of(packed)
    share = bytes_.packed / bytes_.dense
    print(
        f"N = {n:2d}: {share:.3f} of the dense bytes, CSR {bytes_.csr / bytes_.dense:.3f}"
    )
    assert share == 0.5 * (n + 1) / n + (64 // n + 1) * 4 / bytes_.dense
    assert torch.equal(packed.unpack(), big * onexn.block_mask(big, n, 0.5))

# %% [markdown]
# Blocks are yours to try: choose $N$ and the rate, with and without the rearrangement, on layers of trained networks.
#
# ```{raw} html
# :file: ../book/_static/onexn-explorer.html
# ```

# %% [markdown]
# ## The whole method on a small problem
#
# A dense network is trained first; that is the difference to {ref}`the chapter before <ch-dcff>`.
# Then three quarters of its weights go at one stroke, by each of three patterns, and what is left is fine-tuned with the mask held: the forward pass sees `where(mask, weight, 0)`, so a dropped weight gets no gradient and stays zero.
#
# ```{literalinclude} ../src/lithe/onexn/masked.py
# :pyobject: _Masked.masked_weight
# ```
#
# One call runs whatever the profile asks for and writes a record of each run.
# At `smoke` that is seconds, on handwritten digits pasted over patches of photographs; at `small` it is the comparison that the section *Reproduction* reports.

# %% mystnb={"image": {"alt": "Test accuracy over the epochs of fine-tuning, one line each for the dense network tuned as long, single weights, blocks of four, and filters."}, "figure": {"caption": "One run each, for the shape of the curves and not for their order: that takes seeds and intervals.", "name": "fig-onexn-smoke"}}
ids = run.run(config)
curves = {
    name.split("/")[1].split("-", 1)[1]: ledger.curves(name)
    for name in ids
    if name.split("/")[1].startswith(config.data)
}
_, (axis,) = figures.canvas()
figures.lines(
    axis,
    {n: c["evaluate_top1"] for n, c in curves.items() if n != "dense"},
)
axis.set(xlabel="epoch of fine-tuning", ylabel="test accuracy (%)")
axis.legend()
plt.show()

# %%
for name, curve in curves.items():
    assert curve["train_loss"][-1] <= curve["train_loss"][0], name

# %% [markdown]
# ## Use it on your own model
#
# `prune` takes any network and says what it did; fine-tune what it returns with your own loop, or with `lithe.training.fit`.

# %%
model = torchvision().models.resnet18(weights=None, num_classes=10)
example = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
pruned = onexn.prune(model, n=4, sparsity=0.5, example=example)
print("\n".join(str(pruned.pruning).splitlines()[:4]))
print(str(pruned.pruning).splitlines()[-1])

# %% [markdown]
# A training step later the zeros are still zeros.

# %%
optimizer = torch.optim.SGD(
    pruned.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01
)
pruned.train()(example.expand(2, -1, -1, -1)).square().sum().backward()
optimizer.step()
for layer in onexn.masked_layers(pruned).values():
    assert not layer.weight[~layer.mask].any()

# %% [markdown]
# `pack` turns the whole network into packed kernels for the CPU that it runs on, and keeps dense whatever is faster dense; {ref}`ch-kernels` shows how, and how fast.
# The packed network is saved without pickle and loaded without its class.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

packed = onexn.pack(pruned, example, tune=False)
with torch.inference_mode(), TemporaryDirectory() as folder:
    onexn.save(packed, Path(folder) / "small")
    back = onexn.load(Path(folder) / "small")
    wanted = pruned.eval()(example)
    assert same(packed(example), wanted)
    assert same(back(example), wanted)

# %%
sizes = onexn.storage(pruned).values()
dense, ours = sum(x.dense for x in sizes), sum(x.packed for x in sizes)
print(f"pruned layers: {dense / 1e6:.1f} MB dense, {ours / 1e6:.1f} MB packed")
assert ours < 0.63 * dense

# %% [markdown]
# Little by little instead of at one stroke: `onexn.tighten` drops more blocks of a pruned network, and `onexn.cubic_sparsity` says how many at which step {cite:p}`zhu2018prune`.
# One budget for the whole network instead of one for each layer: `budget="global"`.

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the released code, its README and figures, not the body of the paper; where they differ, this is what the *code* does.
# The full register with sources is on the [page of deviations](../book/deviations.md).
#
# 1. **Blocks straddle input channels** (D21). Where $N$ does not divide the filters, a released block ends in one input channel and begins in another. At $N = 16$ it is {result}`onexn/exact-mobilenet_v2/small/0:straddling_blocks_n16` blocks of MobileNetV2 and {result}`onexn/exact-mobilenet_v3_large/small/0:straddling_blocks_n16` of MobileNetV3-large. Here the last row is narrower.
# 2. **The published ResNet-50 code stops before the first step** (D22), and its classifier is pruned by an off-by-one (D23): {result}`onexn/exact-resnet50/small/0:released_weights_n4_p50` weights stay where {result}`onexn/exact-resnet50/small/0:weights_n4_p50` were meant.
# 3. **Rearranged filters never move** (D24). The mask is computed in sorted order and scattered back, so what is exported has no blocks. Here filters move, or the packed layer remembers.
# 4. **Random blocks are drawn with replacement** (D26). Asked for {result}`onexn/exact-random/small/0:asked_percent`, the released baseline drops {result}`onexn/exact-random/small/0:removed_percent`. Here exactly as many go as by any other pattern.
# 5. **A larger norm is not a better network.** Rearranging keeps {result}`onexn/oneshot-mobilenet_v2/small/0:gain_mean_n4|.1f` points more of the norm of a MobileNetV2 layer on average. But it puts weak filters side by side, and their blocks go together: a trained ResNet-20, a quarter of its blocks dropped and not tuned at all, scores {result}`onexn/oneshot-resnet20/small/0:top1_1x4_moved_p25|.1f` rearranged and {result}`onexn/oneshot-resnet20/small/0:top1_1x4_plain_p25|.1f` as it stands ({result}`onexn/oneshot-resnet20/small/0:top1_dense|.1f` dense). Filters that lose nearly all their inputs no longer match the statistics of their batch norm. Fine-tuning mends it; the next section shows what is left of it.
# 6. **The reported accuracy is the best epoch on the validation set** (D30). Here it is the last.
# 7. **Rates are floored.** At nine tenths and large $N$ slightly less goes than is asked for (D29).

# %%
channel = torch.arange(8).repeat_interleave(24)  # of each kernel, as released
cuts = channel.reshape(-1, 16)  # blocks of 16 of a layer with 24 filters
straddling = int((cuts[:, 0] != cuts[:, -1]).sum())
assert straddling == 4
print(f"{straddling} of {len(cuts)} blocks read two input channels")
drawn = torch.randint(
    10_000, (5_000,), generator=torch.Generator().manual_seed(5)
)
share = len(drawn.unique()) / 10_000
assert abs(share - (1 - torch.tensor(-0.5).exp())) < 0.02
print(f"drawn with replacement, a request for half drops {share:.0%}")

# %% [markdown]
# ## Reproduction
#
# The tables are computed: each row holds a claim, its test, and what the records say.
# First the claims of direction at small scale, against their controls.
#
# ```{claims-table}
# :paper: onexn
# :only: onexn.small onexn.ours.row onexn.ours.gradual
# ```
#
# ````{dropdown} Trained networks, one stroke, no fine-tuning
# ```{claims-table}
# :paper: onexn
# :only: onexn.oneshot
# ```
# ````
#
# ````{dropdown} Sizes and other exact claims
# ```{claims-table}
# :paper: onexn
# :tier: T0
# :without: onexn.oneshot
# ```
# ````
#
# ````{dropdown} The paper's own training runs, with the command for each
# ```{claims-table}
# :paper: onexn
# :tier: T2
# ```
# ````
#
# Latency has {ref}`a chapter of its own <ch-kernels>`.
#
# ### What does the pattern cost?
#
# Six thousand real CIFAR-10 images at half size, a plain network of six convolutions with {result}`onexn/cifar-dense/small/0:params` in all, {result}`onexn/cifar-dense/small/*:top1|seeds` seeds.
# For each seed one dense network is trained for {result}`onexn/cifar-1x4-p50/small/0:params.epochs` epochs; every row starts from that same network, drops the same share of weights in the same layers at one stroke, and is fine-tuned for {result}`onexn/cifar-1x4-p50/small/0:params.tune_epochs` epochs on the same batches.
# Accuracy is that of the last epoch, on {result}`onexn/cifar-dense/small/0:top1|n` test images; nothing was chosen on them.
# The intervals cover seeds only, and are not corrected for the number of rows.

# %% mystnb={"image": {"alt": "Dot plot of paired accuracy differences to the dense network tuned as long, at 75 percent sparsity: single weights, blocks of 2, 4, 8, 16 rearranged, as they stand and at random, and filters, each with its 95 percent interval."}, "figure": {"caption": "Three quarters of the weights dropped: paired differences to the dense network that was tuned as long, with 95 % intervals over seeds.", "name": "fig-onexn-contest"}}
names = ["weight", "1x2", "1x2-plain", "1x4", "1x4-plain", "1x4-row"]
names += ["1x8", "1x8-plain", "1x16", "1x16-plain", "1x4-random", "filter"]


def accuracies(name: str) -> list[float]:
    return [
        r.metric("top1").value
        for r in ledger.find(f"onexn/cifar-{name}/small/*")
    ]


rows = {
    n: stats.paired(accuracies(f"{n}-p75"), accuracies("tuned")) for n in names
}
figures.differences(
    {name: (row.mean, row.low, row.high) for name, row in rows.items()},
    unit="accuracy difference (points)",
    zero="dense network, tuned as long",
)
plt.show()

# %% [markdown]
# | pattern | half dropped: accuracy | difference to dense | three quarters dropped: accuracy | difference to dense |
# |---|---|---|---|---|
# | single weights | {result}`onexn/cifar-weight-p50/small/*:top1 ; mean` | {result}`onexn/cifar-weight-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-weight-p75/small/*:top1 ; mean` | {result}`onexn/cifar-weight-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | single 3×3 kernels | {result}`onexn/cifar-kernel-p50/small/*:top1 ; mean` | {result}`onexn/cifar-kernel-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-kernel-p75/small/*:top1 ; mean` | {result}`onexn/cifar-kernel-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×2, rearranged | {result}`onexn/cifar-1x2-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x2-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×2, as they stand | {result}`onexn/cifar-1x2-plain-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-plain-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x2-plain-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-plain-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×2, at random | {result}`onexn/cifar-1x2-random-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-random-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x2-random-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x2-random-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×4, rearranged | {result}`onexn/cifar-1x4-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x4-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×4, as they stand | {result}`onexn/cifar-1x4-plain-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-plain-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x4-plain-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-plain-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×4, at random | {result}`onexn/cifar-1x4-random-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-random-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x4-random-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-random-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×8, rearranged | {result}`onexn/cifar-1x8-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x8-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×8, as they stand | {result}`onexn/cifar-1x8-plain-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-plain-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x8-plain-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-plain-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×8, at random | {result}`onexn/cifar-1x8-random-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-random-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x8-random-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x8-random-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×16, rearranged | {result}`onexn/cifar-1x16-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x16-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×16, as they stand | {result}`onexn/cifar-1x16-plain-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-plain-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x16-plain-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-plain-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×16, at random | {result}`onexn/cifar-1x16-random-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-random-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x16-random-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x16-random-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×4, rearranged, equal rows | {result}`onexn/cifar-1x4-row-p50/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-row-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-1x4-row-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-row-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | whole filters | {result}`onexn/cifar-filter-p50/small/*:top1 ; mean` | {result}`onexn/cifar-filter-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` | {result}`onexn/cifar-filter-p75/small/*:top1 ; mean` | {result}`onexn/cifar-filter-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | 1×4, rearranged, little by little | | | {result}`onexn/cifar-1x4-gradual-p75/small/*:top1 ; mean` | {result}`onexn/cifar-1x4-gradual-p75/small/*:top1 - onexn/cifar-tuned/small/*:top1 ; diff` |
# | dense, tuned as long (control) | {result}`onexn/cifar-tuned/small/*:top1 ; mean` | | {result}`onexn/cifar-tuned/small/*:top1 ; mean` | |
#
# To run it again: `python -m lithe.run 02_onexn --profile small`.
# One row of the paper's own tables: `python -m lithe.onexn.run --key mobilenet_v2-1x4 --sparsity 0.5 --weights FILE --data-folder IMAGENET`.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** Finer is better, as the paper has it. With three quarters of the weights gone, its order holds from single weights to whole filters ({claim}`onexn.small.order-p75`); with half of them gone, neighbours change places within the noise ({claim}`onexn.small.order-p50`).
# Blocks of four beat whole filters by {result}`onexn/cifar-1x4-p50/small/*:top1 - onexn/cifar-filter-p50/small/*:top1|diff` at half and {result}`onexn/cifar-1x4-p75/small/*:top1 - onexn/cifar-filter-p75/small/*:top1|diff` at three quarters; for that they pay, against single weights, {result}`onexn/cifar-weight-p50/small/*:top1 - onexn/cifar-1x4-p50/small/*:top1|diff` and {result}`onexn/cifar-weight-p75/small/*:top1 - onexn/cifar-1x4-p75/small/*:top1|diff`.
# Against blocks drawn at random, the norm is worth {result}`onexn/cifar-1x4-p75/small/*:top1 - onexn/cifar-1x4-random-p75/small/*:top1|diff` at three quarters; at half, {result}`onexn/cifar-1x4-p50/small/*:top1 - onexn/cifar-1x4-random-p50/small/*:top1|diff`, the interval does not exclude zero.
#
# Rearranging is the paper's second idea, and here it shows no gain: {result}`onexn/cifar-1x4-p75/small/*:top1 - onexn/cifar-1x4-plain-p75/small/*:top1|diff` at three quarters for blocks of four, {result}`onexn/cifar-1x16-p75/small/*:top1 - onexn/cifar-1x16-plain-p75/small/*:top1|diff` for blocks of sixteen.
# The README prints gains of {given}`0.06 to 0.38 points | released: README, rearrangement table` on ImageNet; intervals as wide as ours can neither show nor refute them.
# What it does without fine-tuning (detail 5) is no small matter, and the paper does not mention it.
#
# Half of the weights are not free either: single weights, the finest pattern, end at half {result}`onexn/cifar-weight-p50/small/*:top1 - onexn/cifar-tuned/small/*:top1|diff` against the dense network that was tuned as long.
# Equal rows, which threads like, cost nothing that we can see ({claim}`onexn.ours.row-budget` asks for proof of that, and does not get it); nor does pruning little by little gain anything in so short a time.
#
# These are short runs of a small network on few images, with {result}`onexn/cifar-dense/small/*:top1|seeds` seeds. The table of the paper's own runs says *not run*, with the command.
#
# **What was easy.** The pattern is a dozen lines, and every published size follows from it, once one knows which layers are left out ({claim}`onexn.exact.mobilenet-v2`, {claim}`onexn.exact.resnet50`).
#
# **What was hard.** Moving filters for real: a filter's place is known to its batch norm, to every layer that reads it, to the depthwise layer between, and to all partners of a sum.
#
# ### Break it on purpose
#
# Move the filters of one layer and forget the batch norm behind it: the shapes fit, nothing complains, and the network computes something else.

# %%
layer, norm = net.features[1].conv[0][0], net.features[1].conv[0][1]
order = torch.arange(len(layer.weight)).flip(0)
with torch.no_grad():
    norm.running_mean.copy_(torch.linspace(-1, 1, len(order)))
    expected = net.features(image)
    layer.weight.copy_(layer.weight[order])  # depthwise: its inputs stay
    forgotten = net.features(image)
assert (expected - forgotten).norm() > 0.1 * expected.norm()

# %% [markdown]
# The check that catches it is the one from above: outputs before and after must agree.
# `move_filters` passes it because the channel graph knows who reads what.

# %%
moved, _ = onexn.move_filters(net, image)
with torch.inference_mode():
    assert same(moved.eval()(image), net(image))

# %% [markdown]
# ## Exercises
#
# **1.** A layer has 24 filters and $N = 16$. How many rows of blocks are there, how wide is each, and what does the released code do instead?
#
# ```{admonition} Solution
# :class: dropdown
# Two rows, of 16 and 8 filters. The released code cuts the flattened weight every 16 kernels, so every other block has its first half in one input channel and its second half in the next.
# ```
#
# **2.** At which $N$ does the packed format need less than three fifths of the dense bytes at half sparsity?
#
# ```{admonition} Solution
# :class: dropdown
# $(N + 1)/2N < 3/5$ needs $N > 5$.
# ```
#
# **3.** Prune a trained network of yours at $N = 4$ with and without `rearrange`, and compare both before and after an epoch of fine-tuning. Then compare again with `budget="row"`.
#
# ```{admonition} Solution
# :class: dropdown
# Detail 5 above tells what to look for: before fine-tuning the rearranged one may be worse, unless each row keeps as many blocks as the others.
# ```
#
# ## Further reading
#
# Gradual pruning and its cubic schedule: {cite:t}`zhu2018prune`. Norms of filters as importance: {cite:t}`li2017pruning`.
# What sparse convolutions can do on a telephone: {cite:t}`elsen2020fast`.
