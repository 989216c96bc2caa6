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
# (ch-pssnet)=
# # Train one network for every budget
#
# A telephone that is warm, or busy, or low on power, has less to spend on a network than an hour before.
# Prioritized subnet sampling, PSS-Net {cite:p}`chen2023pss`, trains one set of weights of which every budget uses a slice, and remembers for each budget which slices did well.
# This chapter builds the method, runs it against its controls, and reads the published curves once more.
#
# ```{verdict-box}
# :paper: pssnet
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: slice a network, count and sample its subnets at a budget, keep pools, train a supernet, and switch it in use.
# - **Be able to explain**: why sampling by priority is a bandit, what the released sampler cannot reach, and which control tells the method from the space it searches.
# - **Need**: convolutions, cross-entropy, and stochastic gradient descent; no GPU.
# - **Time**: forty minutes to read, about half a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import matplotlib.pyplot as plt
import torch

from lithe import cost, figures, ledger, profiles, pssnet, zoo
from lithe.pssnet import charts, run

torch.set_num_threads(1)
config = profiles.load("03_pssnet", profile, run.Config, **overrides)

# %% [markdown]
# ## The claim in one picture
#
# Take one budget, and forget the network.
# What is left is a bandit: arms are subnets, a reward is minus a noisy loss, and the question is which arm to pull next.
# PSS-Net pulls new arms at first; later it pulls known ones, and of these the better ones more and more often.
# The toy below plays that for one budget, with true qualities that we know and the method does not.

# %% mystnb={"image": {"alt": "Two panels over the epochs of a bandit. Left: new subnets per epoch fall from all visits to almost none under PSS-Net and without priority, and stay at all visits when sampling from the space only. Right: the effective size of the pool falls from fifty to about one under PSS-Net and stays at fifty without priority."}, "figure": {"caption": "New subnets give way to known ones (left; with and without priority alike), and with priority the pool narrows down to one or two (right): a search that needs no second stage.", "name": "fig-pssnet-claim"}}
names = ("pss", "no priority", "always space")
rules = {name: pssnet.VARIANTS[name] for name in names}
games = {
    name: pssnet.play(game, torch.Generator().manual_seed(0))
    for name, game in rules.items()
}
_, (left, right) = figures.canvas(2)
for name, game in games.items():
    new, size = zip(*game.history)
    figures.lines(left, {name: new[::10]}, x=range(0, 250, 10))
    if name != "always space":
        figures.lines(right, {name: size[::10]}, x=range(0, 250, 10))
left.set(xlabel="epoch", ylabel="new subnets, of 28 visits")
right.set(xlabel="epoch", ylabel="effective size of the pool")
left.legend()
plt.show()

# %%
assert games["pss"].pool_size < 5 < games["no priority"].pool_size
assert games["always space"].candidates == 250 * 28

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $a$ | `subnet` | resolution, widths | a subnet: input size and active channels of every free width |
# | $\mathcal{A}$ | `space` | | all subnets |
# | $b$ | `target` | scalar | a budget; its *bin* is half a step to either side |
# | $W$ | weights of the supernet | | shared by all subnets; each uses the first channels |
# | $m$ | `metric` | scalar | minus the cross-entropy of a subnet on the present batch |
# | $\lambda$ | `smoothing` | scalar | weight of the old value in a pool |
# | $p(e)$ | `anneal(e, E)` | scalar | chance of a subnet from the space in epoch $e$ of $E$ |
# | $T(e)$ | `anneal(e, E)` | scalar | temperature of the priority |
# | $P_i$ | `priority(values, t)` | `(k,)` | chance of entry $i$ of a pool |
#
# FLOPs in the paper are multiply-accumulates here: MACs.

# %% [markdown]
# ## Build it up
#
# ### Slice a network
#
# A subnet with $c$ active channels uses the first $c$ filters of a layer, and the first $c$ inputs of the next.
# Channel counts are multiples of a divisor, rounded as the released code rounds, and the input may be shrunk as well.
#
# ```{literalinclude} ../src/lithe/pssnet/rounding.py
# :pyobject: make_divisible
# ```
#
# `elastic` finds out from the channel graph which layers share a width, for any network, and returns the supernet and its space.
# Sliced or cut out physically, a subnet computes the same.

# %%
model = zoo.small_cnn(generator=torch.Generator().manual_seed(0))
example = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
supernet, space = pssnet.elastic(
    model, example, (0.5, 1.0), (24, 32), divisor=4
)
half = space.subnet(24, 0.5)
print(f"{space.count():,} subnets; the narrowest widths are {half.widths}")
small = supernet.extract(half).eval()
with torch.inference_mode(), supernet.eval().using(half):
    assert torch.allclose(supernet(example), small(example), atol=1e-6)
assert pssnet.make_divisible(64 * 0.75) == 48

# %% [markdown]
# ### Sample at a budget
#
# Training asks for subnets *at* a budget, thousands of times.
# The released code draws a hundred thousand configurations beforehand (a million in one script), keeps a histogram of every width for every budget, and then draws each width from its own histogram until the whole happens to fit.
# So the budget counts twice: once in the histograms, once in the rejection.
#
# We count instead. A budget is a sum over layers, each depending on two neighbouring widths, so the number of subnets that end in width $c$ at cost $x$ follows by dynamic programming:
#
# $$N_j(c, x) = \sum_{c'} N_{j-1}\bigl(c',\, x - \rho_j(c', c)\bigr)$$ (eq-pssnet-count)
#
# and a subnet is drawn by walking back through the counts, every one in the bin with equal chance.
#
# ```{literalinclude} ../src/lithe/pssnet/exact.py
# :pyobject: sample_at
# ```
#
# In the paper's own space of MobileNetV1 that reaches all budgets of the released grid for MACs, the largest included.

# %%
v1 = pssnet.mobilenet_v1_space()
generator = torch.Generator().manual_seed(0)
drawn = [
    pssnet.sample_at(v1, "macs", target, 5e6, generator)
    for target in (120e6, 340e6, 560e6)
]
for subnet in drawn:
    print(f"{subnet.resolution} pixels, {v1.macs(subnet) / 1e6:.1f} M MACs")
assert all(
    abs(v1.macs(s) - t) <= 5e6 for s, t in zip(drawn, (120e6, 340e6, 560e6))
)

# %% [markdown]
# How far the released sampler is from the space, and what it never reaches, can be counted too.

# %% mystnb={"image": {"alt": "Two bar charts. Left: shares of four resolutions among subnets at 200 million MACs, in the space and as the released sampler draws them; the most common one is drawn far too often. Right: configurations per budget on a logarithmic axis, with five crosses at the largest budgets that have none."}, "figure": {"caption": "The released sampler sharpens what is common (left) and has nothing to offer at the five largest budgets (right), though a published subnet stands at each.", "name": "fig-pssnet-bias"}}
charts.bias()
plt.show()

# %% [markdown]
# ### Remember what did well
#
# Each budget has a *pool*, a memory of at most fifty subnets with a smoothed metric:
#
# $$v \leftarrow \lambda v + (1 - \lambda)\,m$$ (eq-pssnet-smoothing)
#
# A newcomer enters with its first $m$. When the pool is too full the smallest value leaves, be it the newcomer's.
#
# ```{literalinclude} ../src/lithe/pssnet/pools.py
# :pyobject: Pool.update
# ```

# %%
pool = pssnet.Pool(capacity=2, smoothing=0.9)
pool.update("thin", -2.0)
pool.update("deep", -1.0)
pool.update("thin", -1.0)
change = pool.update("late", -3.0)
print(pool.items(), "out:", change.evicted)
assert change.evicted == "late" and pool.best() == "deep"
assert abs(dict(pool.items())["thin"] - (0.9 * -2.0 + 0.1 * -1.0)) < 1e-12

# %% [markdown]
# ### Turn from the space to the pools
#
# In epoch $e$ of $E$ a subnet comes from the space with probability $p(e)$, else from the pool with chances $P_i$ at temperature $T(e)$:
#
# $$p(e) = T(e) = 0.01^{\,e/E}, \qquad P_i = \frac{\exp(v_i/T)}{\sum_j \exp(v_j/T)}$$ (eq-pssnet-priority)
#
# ```{literalinclude} ../src/lithe/pssnet/priority.py
# :pyobject: priority
# ```

# %%
values = [-2.0, -2.1, -2.3]
for epoch in (0, 125, 249):
    t = pssnet.anneal(epoch, 250)
    chances = pssnet.priority(values, t)
    print(
        f"epoch {epoch:3d}: T = {t:.3f}, chances",
        [round(c, 3) for c in chances.tolist()],
    )
assert pssnet.anneal(125, 250) == 0.1
assert chances[0] > 0.99

# %% [markdown]
# ### Train the sandwich
#
# One iteration trains three networks on one batch: the max net on the labels, and a middle subnet and the min net on the max net's answer $q$.
#
# $$\mathcal{L} = \mathrm{CE}(z_{\max}, y) + \mathrm{KL}(q \,\|\, z_a) + \mathrm{KL}(q \,\|\, z_{\min})$$ (eq-pssnet-sandwich)
#
# The middle subnet's own cross-entropy, before the step, is the metric that its pool gets.
#
# ```{literalinclude} ../src/lithe/pssnet/supernet_training.py
# :pyobject: Sandwich.__call__
# ```
#
# What a subnet does not use gets no gradient, to the last bit.

# %%
images = torch.randn(8, 3, 32, 32, generator=generator)
labels = torch.arange(8) % 10
supernet.train().set(half)
loss = torch.nn.functional.cross_entropy(supernet(images), labels)
loss.backward()
first = dict(supernet.named_parameters())["body.0.weight"].grad
used = half.widths[0]
print("filters with a gradient:", used, "of", len(first))
assert (first[:used].abs().amax((1, 2, 3)) > 0).all()
assert torch.count_nonzero(first[used:]) == 0

# %% [markdown]
# ## The whole method on a small problem
#
# The problem: handwritten digits pasted over patches of photographs, at half size.
# A call trains whatever the profile asks for, writes a record of each run, and does nothing where the record is there already.
# At `smoke` that is two policies for a few iterations, too few to learn anything: enough to see the machinery turn.

# %%
ids = run.run(config)
found = {
    name: [
        r.metric("space_share").value
        for r in ledger.find(f"pssnet/digits-{name}/{config.profile}/*")
    ]
    for name in ("space", "released")
}
for name, shares in found.items():
    print(name, "takes from the space", [round(x, 1) for x in shares], "%")
assert set(found["space"]) == {100.0}
assert max(found["released"]) < 100

# %% [markdown]
# Here is one training at the size of the book's comparison, {result}`pssnet/digits-released/small/0:iterations` iterations, with every visit of every pool.
# Choose a budget, and move through the run: subnets come from the space, most leave soon, and in the end nearly every visit goes to one or two.
#
# ```{raw} html
# :file: ../book/_static/pssnet-pools.html
# ```
#
# Look at the column *last*: an entry that rests keeps the value of its last visit, from when every loss was higher.
# A newcomer of the last epochs beats it for being new; detail 4 below comes back to that.

# %% [markdown]
# ## Use it on your own model
#
# `elastic` takes any network that the channel graph can trace, and says what it could not slice and why.

# %%
from lithe.vision import torchvision

resnet = torchvision().models.resnet18(weights=None, num_classes=10)
picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
network, own = pssnet.elastic(resnet, picture, (0.5, 1.0), divisor=16)
print("\n".join(str(network.report).splitlines()[:4]))
budget = (own.macs(own.largest()) + own.macs(own.smallest())) / 2
middle = pssnet.sample_at(own, "macs", budget, budget / 20, generator)
assert abs(own.macs(middle) - budget) <= budget / 20

# %% [markdown]
# Train it with `pssnet.policy` and `lithe.pssnet.supernet_training.train_supernet`; then keep the subnets that the pools retained.
# `Deployed` stores running statistics for each of them once; after that a budget is one assignment, and no weight is copied.

# %%
subnets = [own.smallest(), middle, own.largest()]
batches = [picture.repeat(8, 1, 1, 1)]
deployed = pssnet.Deployed(network, subnets, batches=batches)
for macs in (own.macs(s) for s in subnets):
    chosen = deployed.set_budget(macs=macs)
    assert own.macs(chosen) <= macs
    assert deployed(picture).shape == (1, 10)
counted = cost.count(network.extract(middle), picture).macs
assert counted == own.macs(middle)

# %% [markdown]
# Milliseconds instead of MACs: `pssnet.LatencyTable.measure(own)` times your machine block by block, and `deployed.set_budget(ms=...)` uses it.
#
# A load that changes can be replayed against a deadline, with any subnet held fixed as the control.
# Here the times are those just measured, and the load doubles halfway.

# %%
from lithe.pssnet.replay import replay

deployed.measure(repeats=9)
limit = 1.5 * max(entry.ms for entry in deployed.retained)
load = [1.0] * 20 + [2.0] * 20
chosen = replay(deployed, limit, load)
fixed = replay(deployed, limit, load, fixed=own.largest())
assert fixed.miss_rate == 0.5  # every frame of the second half
assert chosen.miss_rate < fixed.miss_rate

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the released code and its numbers, not the body of the paper; where they differ, this is what the *code* does.
# The full register is on the [page of deviations](../book/deviations.md).
#
# 1. **The sampler is biased.** Histograms and rejection count the budget twice. At 200 million MACs, {result}`pssnet/sampler/small/0:r144_space|.2f` of the subnets of the space have resolution 144, and {result}`pssnet/sampler/small/0:r144_released|.2f` of those that are drawn. `effective` draws without bias.
# 2. **The sampler does not reach the published nets.** Of {result}`pssnet/sampler/small/0:pools` budgets it has candidates for {result}`pssnet/sampler/small/0:released_bins`; the largest is {result}`pssnet/sampler/small/0:released_largest|.0f` million MACs. The exact sampler reaches {result}`pssnet/sampler/small/0:exact_bins`.
# 3. **Equal subnets are told apart.** A pool's key is the written ratio, and many ratios round to the same channels. In our runs on digits {result}`pssnet/digits-released/small/*:doubles|mean` of the entries are doubles.
# 4. **Resting entries are never measured again.** While losses fall, newcomers beat old entries for being new. `rescored` measures one resting entry more per iteration.
# 5. **The metric is not the accuracy that counts.** It is taken in training mode on an augmented batch; what is reported uses recalibrated statistics. The rank correlation of the two inside our final pools on digits is {result}`pssnet/digits-released/small/*:tau|mean`.
# 6. **Five subnets a budget are validated, and the best validation accuracy is reported.** That selects on what it reports. We select on held-out images and report on others.
# 7. **The last ratio of MobileNetV2 is dead** in the network and in the MACs, and alive in the latency tables.
# 8. **The latency tables are noisy.** In {result}`pssnet/tables/small/0:wider_faster_mbv1_cpu|.0f` of neighbouring pairs of the MobileNetV1 CPU table the wider block is the faster one.

# %%
v2 = pssnet.mobilenet_v2_space()
wide = v2.largest()
narrow = pssnet.Subnet(wide.resolution, (*wide.widths[:-1], 960))
assert v2.macs(narrow) == v2.macs(wide)
assert v2.effective(narrow) == wide

# %% [markdown]
# ## Reproduction
#
# The tables are computed: each row holds a claim, its test, and what the records say.
# First the claims of direction, measured at small scale against their controls.
# Some thirty paired intervals are shown without correction; one or two would leave out zero by chance.
#
# ```{claims-table}
# :paper: pssnet
# :tier: T1
# ```
#
# ````{dropdown} Spaces, samplers, and readings of the published numbers
# ```{claims-table}
# :paper: pssnet
# :tier: T0
# ```
# ````
#
# ````{dropdown} The paper's own training runs, with the command for each
# ```{claims-table}
# :paper: pssnet
# :tier: T2
# ```
# ````
#
# ### What the published curves say by themselves
#
# Before training anything, look at the two ends of the published figure.

# %% mystnb={"image": {"alt": "Published top-1 accuracy against million MACs for MobileNetV1 and MobileNetV2, three curves each: PSS-Net above MutualNet above US-Net. A shaded band at the cheap end marks where the PSS-Net curve is flat."}, "figure": {"caption": "At the dear end all three curves are the same architecture; at the cheap end, shaded, a subnet that costs more is no better than the min net.", "name": "fig-pssnet-published"}}
charts.published()
plt.show()

# %% [markdown]
# *The dear end.* The max net has the same architecture and resolution in all series, yet it gains {result}`pssnet/published/small/0:max_net_gain_mbv1_usnet|.1f` over US-Net {cite:p}`yu2019universally` on MobileNetV1 and {result}`pssnet/published/small/0:max_net_gain_mbv2_mutualnet|.1f` over MutualNet {cite:p}`yang2020mutualnet` on MobileNetV2.
# No choice of middle subnets explains that directly; a narrower range of widths can, and against MutualNet on MobileNetV2, whose range is nearly the same, the gain is smallest.
#
# *The cheap end.* On MobileNetV1 all {result}`pssnet/published/small/0:low_end_mbv1_points` points from {result}`pssnet/published/small/0:low_end_mbv1_low|.1f` to {result}`pssnet/published/small/0:low_end_mbv1_high|.1f` million MACs lie within {result}`pssnet/published/small/0:low_end_mbv1_spread|.1f`.
# The min net is trained in every iteration, and its neighbours are not.
#
# ### Is it the priority, the pools, or only the space?
#
# A plain network of four convolutions, its widths from a quarter up, its input from 8 to 16 pixels; {result}`pssnet/digits-released/small/*:curve_pool|seeds` seeds on generated digits and on real CIFAR-10 images.
# Every policy starts from the same weights, sees the same batches, and trains one middle subnet in each of {result}`pssnet/digits-released/small/0:iterations` iterations.
# Each curve is the upper envelope of what was retained, chosen among the best five on held-out images, with the min and the max net at its ends.
# The envelope itself looks at test accuracy: a subnet that a cheaper one beats there is passed over, alike for every policy.

# %% mystnb={"image": {"alt": "Test accuracy against million MACs for five policies with confidence bands, on cluttered digits and on CIFAR-10 images, and crosses for subnets trained alone."}, "figure": {"caption": "Mean envelopes with 95 % bands over seeds; crosses are subnets trained alone for as many iterations.", "name": "fig-pssnet-tradeoff"}}
charts.tradeoff()
plt.show()

# %% [markdown]
# One number a curve, its mean height over the range of the budgets, lets seeds be paired.
# Hypervolume, the area above chance, is the other column; it counts every step and not the line between.
#
# | policy | curve, digits | hypervolume, digits | curve, CIFAR-10 | hypervolume, CIFAR-10 |
# |---|---|---|---|---|
# | uniform width | {result}`pssnet/digits-uniform/small/*:curve_chosen ; mean` | {result}`pssnet/digits-uniform/small/*:hypervolume_chosen ; mean` | {result}`pssnet/cifar-uniform/small/*:curve_chosen ; mean` | {result}`pssnet/cifar-uniform/small/*:hypervolume_chosen ; mean` |
# | space only | {result}`pssnet/digits-space/small/*:curve_chosen ; mean` | {result}`pssnet/digits-space/small/*:hypervolume_chosen ; mean` | {result}`pssnet/cifar-space/small/*:curve_chosen ; mean` | {result}`pssnet/cifar-space/small/*:hypervolume_chosen ; mean` |
# | pools without priority | {result}`pssnet/digits-pool-uniform/small/*:curve_chosen ; mean` | {result}`pssnet/digits-pool-uniform/small/*:hypervolume_chosen ; mean` | {result}`pssnet/cifar-pool-uniform/small/*:curve_chosen ; mean` | {result}`pssnet/cifar-pool-uniform/small/*:hypervolume_chosen ; mean` |
# | PSS-Net `released` | {result}`pssnet/digits-released/small/*:curve_chosen ; mean` | {result}`pssnet/digits-released/small/*:hypervolume_chosen ; mean` | {result}`pssnet/cifar-released/small/*:curve_chosen ; mean` | {result}`pssnet/cifar-released/small/*:hypervolume_chosen ; mean` |
# | ours, `effective` | {result}`pssnet/digits-effective/small/*:curve_chosen ; mean` | {result}`pssnet/digits-effective/small/*:hypervolume_chosen ; mean` | {result}`pssnet/cifar-effective/small/*:curve_chosen ; mean` | {result}`pssnet/cifar-effective/small/*:hypervolume_chosen ; mean` |
#
# The two ends, and the controls beyond them:
#
# | | digits | CIFAR-10 |
# |---|---|---|
# | max net, `released` | {result}`pssnet/digits-released/small/*:max_top1 ; mean` | {result}`pssnet/cifar-released/small/*:max_top1 ; mean` |
# | max net, uniform width | {result}`pssnet/digits-uniform/small/*:max_top1 ; mean` | {result}`pssnet/cifar-uniform/small/*:max_top1 ; mean` |
# | min net, `released` | {result}`pssnet/digits-released/small/*:min_top1 ; mean` | {result}`pssnet/cifar-released/small/*:min_top1 ; mean` |
# | random subnets, `released` | {result}`pssnet/digits-released/small/*:random_top1 ; mean` | {result}`pssnet/cifar-released/small/*:random_top1 ; mean` |
# | random subnets, space only | {result}`pssnet/digits-space/small/*:random_top1 ; mean` | {result}`pssnet/cifar-space/small/*:random_top1 ; mean` |
# | trained alone, middle budget | {result}`pssnet/digits-alone/small/*:top1_1 ; mean` | {result}`pssnet/cifar-alone/small/*:top1_1 ; mean` |
# | the same inside `effective` | {result}`pssnet/digits-effective/small/*:top1_at_1 ; mean` | {result}`pssnet/cifar-effective/small/*:top1_at_1 ; mean` |

# %% mystnb={"image": {"alt": "Dot plot of paired differences in mean curve height on cluttered digits, one row per comparison with its 95 percent interval."}, "figure": {"caption": "Paired differences with 95 % intervals over seeds, digits. The rows with a plus climb from the released method to ours, one change at a time.", "name": "fig-pssnet-ladder"}}
charts.ladder("digits")
plt.show()

# %% mystnb={"image": {"alt": "The same dot plot of paired differences on CIFAR-10 images."}, "figure": {"caption": "The same on CIFAR-10 images.", "name": "fig-pssnet-ladder-cifar"}}
charts.ladder("cifar")
plt.show()

# %% [markdown]
# ### Is a switch free, and is a deadline kept?
#
# Timed on one thread of this machine, both sides of every ratio within one run.
#
# | what | measured | aim |
# |---|---|---|
# | exact over released sampler, subnets a second, MobileNetV1: median budget, many at once | {result}`pssnet/bench/small/0:sampling_mobilenet_v1_batch_median ; .0f` | {given}`10 ; definition: aim` |
# | the same, slowest budget | {result}`pssnet/bench/small/0:sampling_mobilenet_v1_batch_least ; .1f` | {given}`1 ; definition: aim` |
# | the same, one at a time: median budget | {result}`pssnet/bench/small/0:sampling_mobilenet_v1_single_median ; .1f` | |
# | the same, one at a time: slowest budget | {result}`pssnet/bench/small/0:sampling_mobilenet_v1_single_least ; .1f` | |
# | a sliced training step over the same subnet made small | {result}`pssnet/bench/small/0:step_cpu_ratio ; .3f` | {given}`1.05 ; definition: aim` |
# | a switch between retained subnets | {result}`pssnet/bench/small/0:switch_median_ms ; .4f` | {given}`1 ms ; definition: aim` |
# | latency table, median error on unseen subnets | {result}`pssnet/bench/small/0:table_median_error ; .3f` | {given}`0.10 ; definition: aim` |
# | control: a line through MACs, median error | {result}`pssnet/bench/small/0:table_macs_error ; .3f` | |
# | latency table, rank correlation | {result}`pssnet/bench/small/0:table_spearman ; .3f` | {given}`0.95 ; definition: aim` |
# | control: MACs alone, rank correlation | {result}`pssnet/bench/small/0:table_macs_spearman ; .3f` | |
#
# Then a trace of {result}`pssnet/bench/small/0:frames` frames of MobileNetV1 under a load that jumps, one subnet chosen for every frame by the times of the frames before it.
# {result}`pssnet/bench/small/0:missed_chosen|.1f` of the frames come too late; with the largest subnet throughout it is {result}`pssnet/bench/small/0:missed_largest|.1f`, with the smallest {result}`pssnet/bench/small/0:missed_smallest|.1f`.
# The chosen subnets spend {result}`pssnet/bench/small/0:work_chosen|.0f` of the largest one's MACs, the smallest {result}`pssnet/bench/small/0:work_smallest|.0f`.

# %% mystnb={"image": {"alt": "Milliseconds per frame over a trace of changing load. The time of the largest subnet rises far above the dashed deadline in several stretches; the time of the chosen subnet stays below it but for single frames, marked with crosses, right after the load has jumped."}, "figure": {"caption": "A deadline under changing load: what comes too late, comes in the frames right after a jump, before the load is known.", "name": "fig-pssnet-deadline"}}
charts.deadline()
plt.show()

# %% [markdown]
# To run it again: `python -m lithe.run 03_pssnet --profile small`.
# One supernet of the paper, at full length: `python -m lithe.pssnet.run --key mobilenet_v1-F --data-folder IMAGENET`.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** On digits prioritised sampling against sampling from the space comes out at {result}`pssnet/digits-released/small/*:curve_pool - pssnet/digits-space/small/*:curve_pool|diff` as the pools rank, and at {result}`pssnet/digits-released/small/*:curve_chosen - pssnet/digits-space/small/*:curve_chosen|diff` once both may choose on held-out images; on CIFAR-10 images at {result}`pssnet/cifar-released/small/*:curve_pool - pssnet/cifar-space/small/*:curve_pool|diff` and {result}`pssnet/cifar-released/small/*:curve_chosen - pssnet/cifar-space/small/*:curve_chosen|diff`.
# Against plain uniform widths the differences are {result}`pssnet/digits-released/small/*:curve_chosen - pssnet/digits-uniform/small/*:curve_chosen|diff` and {result}`pssnet/cifar-released/small/*:curve_chosen - pssnet/cifar-uniform/small/*:curve_chosen|diff`.
# The uniform line is a hard rival at short budgets: its few subnets are nested, and every step trains them all.
#
# What the released choices cost, on digits and on CIFAR-10 images: keys of written ratios {result}`pssnet/digits-keys/small/*:curve_pool - pssnet/digits-released/small/*:curve_pool|diff` and {result}`pssnet/cifar-keys/small/*:curve_pool - pssnet/cifar-released/small/*:curve_pool|diff`; entries that age {result}`pssnet/digits-rescored/small/*:curve_pool - pssnet/digits-keys/small/*:curve_pool|diff` and {result}`pssnet/cifar-rescored/small/*:curve_pool - pssnet/cifar-keys/small/*:curve_pool|diff`; the sampler {result}`pssnet/digits-effective/small/*:curve_pool - pssnet/digits-rescored/small/*:curve_pool|diff` and {result}`pssnet/cifar-effective/small/*:curve_pool - pssnet/cifar-rescored/small/*:curve_pool|diff`.
#
# These are short runs of a small network. They say nothing about 250 epochs of ImageNet; the table says *not run* there, with the command.
#
# **What was easy.** Spaces, MACs, parameters and latencies of every recorded subnet come out to the digit, and so do pools, schedules and priorities.
#
# **What was hard.** Batch normalisation: all subnets share one set of running statistics while training, which fits none of them. And the ends of the space, which independent draws never see.
#
# ### Break it on purpose
#
# All subnets share one set of running statistics while training.
# Cut a subnet out with a slice of those, and nothing crashes; the answers are simply wrong.

# %%
batch = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(3))
supernet.train()
for _ in range(20):
    supernet.set(space.largest())(batch)  # statistics of the max net
shared = supernet.extract(half).eval()

# %%
from lithe.pssnet.recalibrate import recalibrate

recalibrate(supernet, half, [batch])
own_statistics = supernet.extract(half).eval()
with torch.inference_mode():
    right, wrong = own_statistics(batch), shared(batch)
gap = (right - wrong).norm() / (right - right.mean(0)).norm()
assert gap > 0.2  # of all that told the images apart

# %% [markdown]
# The check that catches it is at the door: a supernet refuses to evaluate a subnet that was not recalibrated.

# %%
stranger = space.subnet(32, 0.75)
try:
    with supernet.calibrated(stranger):
        pass
except ValueError as error:
    print(str(error).split(";")[-1].strip())
else:
    raise AssertionError("a subnet without statistics was let in")

# %% [markdown]
# ## Exercises
#
# **1.** A pool of fifty entries has one that is {given}`0.05 | released: exercise` better than all the others, which are equal. How often is it drawn at $T = 1$, and at $T = 0.01$?
#
# ```{admonition} Solution
# :class: dropdown
# With $x = e^{0.05/T}$ its chance is $x / (x + 49)$: hardly more than one in fifty at $T = 1$, and three in four at $T = 0.01$. Check it with `pssnet.priority`.
# ```
#
# **2.** Why can no release of the histogram sampler reach the max net's neighbourhood by drawing more configurations?
#
# ```{admonition} Solution
# :class: dropdown
# Fourteen independent ratios concentrate around their mean. That all of them are near the top at once, at full resolution, has a probability that shrinks exponentially with their number; a hundred times as many draws add one or two budgets.
# ```
#
# **3.** Give a pool a smoothing of 0. What does the toy of the first picture lose, and why?
#
# ```{admonition} Solution
# :class: dropdown
# `pssnet.play(pssnet.VARIANTS["no smoothing"], generator)`: the retained arm is then the one with the luckiest last batch. Its percentile gets worse by orders of magnitude.
# ```
#
# **4.** Let every pool fall back on the best retained subnet of any smaller budget. Which published points does that change?
#
# ```{admonition} Solution
# :class: dropdown
# `pssnet.envelope(points)` is that fall-back. It removes the points of the flat low end that cost more than the min net and are no better, and the dips of a noisy curve.
# ```
#
# ## Further reading
#
# Uniform widths and the sandwich: {cite:t}`yu2019universally`. Resolution as a further dimension: {cite:t}`yang2020mutualnet`.
# Candidates conditioned on a budget: {cite:t}`wang2021attentivenas`. One network for many devices, by progressive shrinking: {cite:t}`cai2020once`.
