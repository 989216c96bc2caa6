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
# (ch-kernels)=
# # Make the blocks fast
#
# A processor multiplies sixteen numbers in the time of one, if they lie side by side and somebody has put them into its registers.
# Zeros that lie anywhere break the first condition.
# This page derives the inner loop that keeps both for 1×N blocks ({ref}`ch-onexn`), compiles it from Python, and measures it on the machine that you are reading on.
# No compiler is needed: the code is written as LLVM's intermediate language and translated when it is first used.

# %% [markdown]
# ## What you will do
#
# - **Do**: write a convolution as a loop of multiply-adds over kept blocks, count its loads, run it, and find the sparsity from which it pays on your machine.
# - **Be able to explain**: why half of the weights gone at random gains nothing, why four in a row gain nearly all of it, and which part of a speed-up sparsity did not earn.
# - **Need**: {ref}`ch-onexn`; an idea of what a register is.
# - **Time**: twenty minutes to read, under a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from lithe import figures, onexn
from lithe.onexn import kernels, program, speed
from lithe.vision import torchvision

torch.set_num_threads(1)


def same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).norm() < 1e-5 * theirs.norm())


assert not overrides, "this page has nothing to override"

# %% [markdown]
# ## The ladder, on your machine
#
# One layer of a MobileNet, half of its weights dropped, one thread.
# `torch` computes it dense, or from compressed sparse rows, which skip every single zero.
# Our kernel does the same work in blocks of one, two, four and eight filters.

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Bar chart of the speed relative to dense torch. Compressed sparse rows are slower than dense, single weights about equal, and blocks of two, four and eight more than twice as fast, with little left to gain after four."}, "figure": {"caption": "Half of the weights of one layer, dropped in six ways, as fast as this machine computes what is left.", "name": "fig-kernels-ladder"}}
rungs = speed.ladder("512-512@14", 0.5)
_, (axis,) = figures.canvas()
names = [rung.name for rung in rungs]
axis.barh(
    names, [rung.speedup for rung in rungs], color=figures.PALETTE["blue"]
)
axis.axvline(1, color=figures.PALETTE["ink"], linewidth=1)
axis.invert_yaxis()
axis.set(xlabel="times as fast as dense torch")
plt.show()

# %% [markdown]
# ## Build it up
#
# ### A convolution is a list of offsets
#
# An image lies in memory as one long row of numbers.
# At output pixel $p$, the weight of filter $o$ for input channel $c$ meets the number at $c \cdot HW + p$.
# So a pointwise layer is
#
# $$y_o[p] = b_o + \sum_{k} D_{k,o}\; x[\,\mathrm{off}_k + p\,],$$ (eq-kernels-gather)
#
# where $k$ runs over the channels that are kept and $\mathrm{off}_k$ is where each begins.
# A 3×3 layer is the same sum with nine offsets for every kept block, over a copy of the image with a border of zeros.
# Stride two reads four smaller images, of even and odd rows and columns.
# **One loop serves all; only the list of offsets differs.**

# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(6, 4 * 4, generator=generator)  # six channels of 4x4 pixels
weight = torch.randn(8, 6, generator=generator)
mask = onexn.block_mask(weight, 4, 0.5)
packed = onexn.pack_weight(weight, mask, 4)
y = torch.zeros(8, 16)
for row, (first, last) in enumerate(zip(packed.pointers, packed.pointers[1:])):
    for k in range(int(first), int(last)):
        pixels = x.flatten()[packed.columns[k] * 16 :][:16]
        y[4 * row : 4 * row + 4] += packed.values[k, :, None] * pixels
assert same(y, (weight * mask) @ x)

# %% [markdown]
# ### Count the loads
#
# A multiply-add needs its operands in registers.
# A *tile* holds sums for $R$ filters by $T$ vectors of pixels, and every kept block adds to all of them: $T$ loads of pixels, $R$ broadcasts of a weight, $R\,T$ multiply-adds.
# Loads for each multiply-add:
#
# $$\frac{T + R}{R\,T} = \frac1R + \frac1T$$ (eq-kernels-loads)
#
# Each vector of pixels that is fetched is used $R$ times.
# With single weights $R = 1$: every multiply-add waits for a fetch of its own.
# That is the whole case for blocks.
#
# ```{literalinclude} ../src/lithe/onexn/speed/charts.py
# :pyobject: loads_per_fma
# ```

# %% tags=["nbval-ignore-output"]
unit = kernels.host()
print(f"{unit.name}: {unit.lanes} lanes, {unit.registers} registers")
for n in (1, 2, 4, 8, 16):
    print(
        f"N = {n:2d}: {speed.loads_per_fma(n):.2f} loads for each multiply-add"
    )

# %%
counts = [speed.loads_per_fma(n) for n in (1, 2, 4)]
assert counts[0] > 1 > counts[2]

# %% [markdown]
# ### Keep the sums in registers
#
# The code below *writes* the inner loop; it is run once for each shape of tile.
# Each sum is a value that one turn of the loop hands to the next, which LLVM calls a *phi node*. Such a value has no address, so it can only live in a register.
#
# ```{literalinclude} ../src/lithe/onexn/kernels/micro.py
# :pyobject: _sums
# ```
#
# Translated for an ARM processor of the family that the paper measured, this is the loop for four filters: loads of pixels, and multiply-adds by an element of a vector of weights. No sum goes to memory.

# %%
lines = kernels.inner_loop(kernels.aarch64(), rows=4)
print("\n".join(lines[:6]), f"\n... {len(lines)} instructions in all")
assert sum("fmla" in line for line in lines) >= 16
assert not any("[sp" in line for line in lines)  # nothing is spilled

# %% [markdown]
# ### Write each row where it belongs
#
# A layer whose filters cannot move keeps its neighbours in the dark: each row of a block carries its own place in the output, and the kernel stores it there.
# The rearrangement then costs nothing at run time, and layers that end in a sum can have it too.

# %%
wide = torch.randn(16, 32, generator=generator) * torch.rand(
    16, 1, generator=generator
)
scattered = onexn.block_mask(wide, 4, 0.5, rearrange=True)
order = onexn.rearrangement(wide)
layer = onexn.PackedConv2d(
    wide[:, :, None, None], None, scattered[:, :, None, None], 4, order=order
)
image = torch.randn(1, 32, 9, 9, generator=generator)
with torch.inference_mode():
    ours = layer(image)
    dense = F.conv2d(image, (wide * scattered)[:, :, None, None])
assert same(ours, dense)

# %% [markdown]
# ### Run the whole network in one call
#
# Between two layers that take a fifth of a millisecond each, a call from Python is expensive, and so is a fresh buffer.
# `onexn.pack` therefore turns a network into a list of steps over buffers that are planned beforehand: batch norms are folded into weights, activations and sums done while results are still in registers, concatenations written side by side.
# One native call works through the list.
# With more threads, each takes the next piece of work from a counter; nobody is assigned one, so that nobody waits for a thread that was late.

# %%
net = speed.network("mobilenet_v2")
picture = torch.randn(1, 3, 96, 96, generator=generator)
pruned = onexn.prune(net, n=4, sparsity=0.5, example=picture)
fast = onexn.pack(pruned, picture, tune=False)
with torch.inference_mode():
    wanted, got = pruned.eval()(picture), fast(picture)
assert same(got, wanted)

# %% [markdown]
# ## What is the limit?
#
# A *roofline* {cite:p}`williams2009roofline` has two parts: what the multiply-add units can do, and what the cache can deliver, times the work done for each byte.
# Single weights sit under the slope; blocks of four reach the flat roof.

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Roofline on logarithmic axes: operations per byte against billions of operations per second. The slope of the cache meets the flat roof of the multiply-add units; the point for single weights lies under the slope, those for blocks of four and more near the roof."}, "figure": {"caption": "The points are measured at half sparsity, on the weights that stay; the roof is measured too.", "name": "fig-kernels-roof"}}
roof = speed.roof()
ns = (1, 2, 4, 8)
at = [speed.intensity(n) for n in ns]
grid = torch.logspace(-1, 1.3, 40).tolist()
_, (axis,) = figures.canvas()
axis.plot(
    grid, [roof.attainable(i, "L2") for i in grid], marker="", label="roof"
)
points = {rung.name: rung.gflops for rung in rungs if "ours" in rung.name}
axis.plot(at, list(points.values()), "o", label="measured")
for n, place, value in zip(ns, at, points.values()):
    axis.annotate(
        f"N={n}", (place, value), xytext=(4, -12), textcoords="offset points"
    )
axis.set(
    xscale="log",
    yscale="log",
    xlabel="operations for each byte",
    ylabel="GFLOP/s",
)
axis.legend()
plt.show()

# %% [markdown]
# ## From which sparsity does it pay?
#
# The chart is made here and now.
# Where a curve crosses one, packed is as fast as dense `torch`.

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Speed relative to dense torch against sparsity from 0 to 90 percent, one curve per block size and one for compressed sparse rows. Blocks of four and more are above one from the start and rise steeply; single weights cross one near half sparsity; compressed sparse rows much later."}, "figure": {"caption": "Break-even on this machine: one layer, one thread.", "name": "fig-kernels-break-even"}}
chart = speed.break_even("512-512@14", ns=(1, 2, 4, 16))
_, (axis,) = figures.canvas()
series = {f"N = {n}": row for n, row in chart.speedups.items()}
figures.lines(axis, series | {"torch CSR": chart.csr}, x=chart.sparsities)
axis.axhline(1, color=figures.PALETTE["ink"], linewidth=1)
axis.set(
    xlabel="share of weights dropped",
    ylabel="times as fast as dense torch",
    yscale="log",
)
axis.legend()
plt.show()

# %% [markdown]
# ## Which part did sparsity earn?
#
# A ratio to `torch` mixes two things: fewer multiply-adds, and a kernel that happens to be better or worse than oneDNN's.
# So beside every ratio stands a second one, to *our own kernel with no zeros*: that one is what sparsity earned.

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Two rising curves against sparsity for blocks of four: the ratio to dense torch and, a little below it, the ratio to the same kernel without zeros, beside a dashed line for the ideal of one over the share that is kept."}, "figure": {"caption": "What sparsity earned follows the ideal closely; the rest of the ratio to torch is kernel quality.", "name": "fig-kernels-earned"}}
_, (axis,) = figures.canvas()
ideal = [1 / (1 - p) for p in chart.sparsities]
series = {"over dense torch": chart.speedups[4], "earned": chart.earned[4]}
figures.lines(axis, series | {"ideal": ideal}, x=chart.sparsities)
axis.set(
    xlabel="share of weights dropped",
    ylabel="times as fast, N = 4",
    yscale="log",
)
axis.legend()
plt.show()

# %% [markdown]
# ## Measured once, with care
#
# What follows was measured in one run on an otherwise idle machine of two cores with AVX-512: images of 224×224, batch one, float32, all ways interleaved round by round, the faster of `torch`'s two memory layouts, batch norm folded.
# With one thread times are processor time, with two they are wall clock; both are medians.
# The multiply-add units of that machine peak at {result}`onexn/roof/small/0:gflops_t1|.0f` on one core, measured the same way.
# To repeat it on yours: `python -m lithe.onexn.bench`, about a quarter of an hour; `--quick` takes a minute or two.
#
# Pointwise layers of each network, summed as often as they occur, one thread:
#
# | network | N | half dropped: over torch | earned | three quarters: over torch | earned | nine tenths: over torch |
# |---|---|---|---|---|---|---|
# | MobileNetV1 | 1 | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n1_p50_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n1_p50_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n1_p75_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n1_p75_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n1_p90_t1_ratio ; .2f` |
# | | 4 | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n4_p50_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n4_p50_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n4_p75_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n4_p75_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v1_1x1_n4_p90_t1_ratio ; .2f` |
# | MobileNetV2 | 4 | {result}`onexn/speed-layers/small/0:mobilenet_v2_1x1_n4_p50_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v2_1x1_n4_p50_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v2_1x1_n4_p75_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v2_1x1_n4_p75_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:mobilenet_v2_1x1_n4_p90_t1_ratio ; .2f` |
# | ResNet-50 | 4 | {result}`onexn/speed-layers/small/0:resnet50_1x1_n4_p50_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_1x1_n4_p50_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_1x1_n4_p75_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_1x1_n4_p75_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_1x1_n4_p90_t1_ratio ; .2f` |
# | ResNet-50, 3×3 | 4 | {result}`onexn/speed-layers/small/0:resnet50_3x3_n4_p50_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_3x3_n4_p50_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_3x3_n4_p75_t1_ratio ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_3x3_n4_p75_t1_earned ; .2f` | {result}`onexn/speed-layers/small/0:resnet50_3x3_n4_p90_t1_ratio ; .2f` |
#
# Whole networks, everything included, blocks of four at half sparsity:
#
# | network | ms, one thread | over torch | over onnxruntime | over torch, two threads | over onnxruntime |
# |---|---|---|---|---|---|
# | MobileNetV1 | {result}`onexn/speed-networks/small/0:mobilenet_v1_n4_p50_t1_ms ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v1_n4_p50_t1_torch ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v1_n4_p50_t1_onnxruntime ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v1_n4_p50_t2_torch ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v1_n4_p50_t2_onnxruntime ; .2f` |
# | MobileNetV2 | {result}`onexn/speed-networks/small/0:mobilenet_v2_n4_p50_t1_ms ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v2_n4_p50_t1_torch ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v2_n4_p50_t1_onnxruntime ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v2_n4_p50_t2_torch ; .2f` | {result}`onexn/speed-networks/small/0:mobilenet_v2_n4_p50_t2_onnxruntime ; .2f` |
# | ResNet-50 | {result}`onexn/speed-networks/small/0:resnet50_n4_p50_t1_ms ; .2f` | {result}`onexn/speed-networks/small/0:resnet50_n4_p50_t1_torch ; .2f` | {result}`onexn/speed-networks/small/0:resnet50_n4_p50_t1_onnxruntime ; .2f` | {result}`onexn/speed-networks/small/0:resnet50_n4_p50_t2_torch ; .2f` | {result}`onexn/speed-networks/small/0:resnet50_n4_p50_t2_onnxruntime ; .2f` |
#
# `torch` spends a good part of a small network on buffers and on passes over memory that a fused program does not make; the comparison with onnxruntime, which fuses as well, is the fairer one.
#
# ### What the paper measured, and what we aimed at
#
# The paper timed MobileNetV2 on two ARM processors, with kernels tuned by TVM.
# Ours are other processors, other kernels and another baseline; what can be compared is the direction.
#
# ```{claims-table}
# :paper: onexn
# :only: onexn.latency
# ```
#
# ````{dropdown} What we aimed at ourselves, fixed before the kernels were written
# ```{claims-table}
# :paper: onexn
# :only: onexn.ours.pointwise onexn.ours.square onexn.ours.single onexn.ours.network onexn.ours.runtime onexn.ours.roof onexn.ours.never onexn.ours.same onexn.ours.startup
# ```
# ````

# %% [markdown]
# ## Use it on your own model
#
# Five lines, from a trained network to a packed one; left dense is what is faster dense, as measured when it is packed, and remembered for this machine.

# %% tags=["nbval-ignore-output"]
trained = torchvision().models.resnet18(weights=None, num_classes=10)
example = torch.randn(1, 3, 64, 64, generator=generator)
pruned = onexn.prune(trained, n=4, sparsity=0.75, example=example)
fast = onexn.pack(pruned, example, threads=1)
print("\n".join(str(fast.report).splitlines()[:6]))

# %%
with torch.inference_mode():
    for size in (64, 80):  # another size is planned when it first comes
        picture = torch.randn(2, 3, size, size, generator=generator)
        wanted = pruned.eval()(picture)
        assert same(fast(picture), wanted)

# %% [markdown]
# ## What to keep in mind
#
# - Speed here is latency: one image at a time, float32, on an ordinary processor. Large batches on a GPU are another matter; there these blocks gain nothing.
# - Depthwise layers have one input channel per filter, so there is nothing to drop; the more of a network they are, the less it gains.
# - Maps of 7×7 have 49 pixels, which no vector width divides; their last vector overlaps the one before.
# - Generated code is only as portable as its generator: it knows AVX-512, AVX2, SSE2 and NEON. Everywhere else, or with `LITHE_KERNELS=reference`, the same program runs by plain `torch`.
#
# ### Break it on purpose
#
# Many pieces of work run at once, in no fixed order.
# A layer that writes over what it reads would be right on one thread and wrong on two, now and then.
# Here is a plan that does so, and the check at the door.

# %%
tall = packed.unpack()[:, :, None, None]
whole = onexn.pack_weight(tall, tall != 0, 4)
reads, writes = program.Plane(0, 6, 4, 4), program.Plane(0, 8, 4, 4)
step = program.Conv(reads, writes, whole)
plan = program.Program((step,), ((8, 4, 4),), (0,), 128, (reads,), (writes,))
try:
    kernels.NativeProgram(plan)
except ValueError as error:
    print(error)
else:
    raise AssertionError("a plan that overwrites its input was taken")

# %% [markdown]
# ## Exercises
#
# **1.** With sixteen registers instead of thirty-two, which tiles $R \times T$ fit, if each needs $R\,T$ sums, $T$ vectors of pixels and one weight? Which has the fewest loads for each multiply-add?
#
# ```{admonition} Solution
# :class: dropdown
# $R\,T + T + 1 \le 16$: four by three uses exactly sixteen, at $1/4 + 1/3$ loads. Eight by one has $1/8 + 1$; that is why wide blocks go in two passes of four there.
# ```
#
# **2.** Why does the kernel at $N = 1$ not reach the roof even though it does half of the work?
#
# ```{admonition} Solution
# :class: dropdown
# Each multiply-add needs a new vector of pixels, and those come from the second-level cache at half a vector a cycle or so. The units wait.
# ```
#
# **3.** Pack a network with `budget="row"` and with `budget="layer"`, and compare the two at two threads.
#
# ```{admonition} Solution
# :class: dropdown
# Rows with equal work need no balancing; but work is claimed in pieces here, so the difference should be small.
# ```
#
# ## Further reading
#
# Sparse convolutions that are fast from two thirds of zeros: {cite:t}`elsen2020fast`.
# The roofline: {cite:t}`williams2009roofline`.
