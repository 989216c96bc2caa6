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
# (ch-arm)=
# # Spend computation where the picture needs it
#
# A network that enlarges photographs works as hard on a blue sky as on a line of print.
# ARM {cite:p}`chen2022arm` trains one network that can run at several widths, and sends each patch of a picture through the width that its edges seem to call for; how much may be spent is said afterwards, by one number.
# This chapter builds the method, runs it, and asks what the routing is worth: against chance, against a plain order, and against hindsight.
#
# ```{verdict-box}
# :paper: arm
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: slim a network by taking prefixes of its weights, score edges, build the table that routes, spend a budget to the last step, and enlarge a photograph of your own.
# - **Be able to explain**: why a score that foretells the quality of a patch need not foretell what a larger network adds to it, and why decibels are the wrong thing to add up.
# - **Need**: convolutions, and what PSNR measures; no GPU.
# - **Time**: half an hour to read, under a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from lithe import arm, figures, ledger, profiles, stats
from lithe.arm import routers, run
from lithe.arm.testsets import bundled

torch.set_num_threads(1)
config = profiles.load("04_arm", profile, run.Config, **overrides)

# %% [markdown]
# ## The claim in one picture
#
# A photograph, a quarter of its size, and the edge score of each of its cells, 32 pixels wide and high.
# Where nothing happens, interpolation is nearly as good as any network, and free.

# %% mystnb={"image": {"alt": "Left: a small photograph of a rocket on its launch pad under a dark sky. Right: a grid of four by three cells of the same picture, dark where the sky is, bright at tower and rocket."}, "figure": {"caption": "The edge score is high where there is structure. The method spends there.", "name": "fig-arm-claim"}}
[photo] = bundled(("rocket",)).images.values()
_, small = arm.degrade(photo)
corners = [(r, c) for r in range(0, 74, 32) for c in range(0, 128, 32)]
cells = np.stack([small[r : r + 32, c : c + 32] for r, c in corners])
scores = arm.edge_scores(cells).reshape(3, 4)
_, (left, right) = figures.canvas(2, height=2)
left.imshow(small[:96, :128], interpolation="nearest")
shown = right.imshow(scores, cmap="viridis")
for axis in (left, right):
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
plt.colorbar(shown, ax=right, label="edge score", fraction=0.04)
plt.show()

# %%
print(f"edge scores from {scores.min():.0f} to {scores.max():.0f}")
assert scores.max() > 3 * scores.min()

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $j$ | `index`, `width` | $0 \ldots M$ | branch: 0 interpolates, the others are widths of one network |
# | $e$ | `edge_score(patch)` | scalar | mean magnitude of the Laplacian of gray |
# | $K$ | `bins` | whole number | bins of the score |
# | $P_j(e)$ | `EdgeTable.values` | `(m, bins)` | quality that branch $j$ is expected to have |
# | $C_j$ | `costs` | `(m,)` | cost of branch $j$ on one patch |
# | $\eta$ | `eta` | scalar | cost that one unit of quality is worth |
# | $k$ | | scalar | $\eta$ over the largest cost, as the released runs state it |
#
# The letters are ours: we could not read the body of the paper.

# %% [markdown]
# ## Build it up
#
# ### A narrow network is the beginning of a wide one
#
# Width $w$ uses the first $w$ channels of every tensor: no weight belongs to one width alone.
#
# $$W^{(w)} = W_{\,:w,\ :w}$$ (eq-arm-prefix)
#
# ```{literalinclude} ../src/lithe/arm/supernet.py
# :pyobject: prefix
# ```
#
# The rule is blunt. It cuts through the groups of a grouped convolution and through the parts of a concatenation, and a released network only works if it is cut the same way.

# %%
net = arm.Supernet("fsrcnn", generator=torch.Generator().manual_seed(0)).eval()
narrow = net.branch(1)
x = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(1))
with torch.inference_mode():
    assert torch.allclose(net(x, width=16), narrow(x), atol=1e-6)
wide, thin = net.full.head_conv[0].weight, narrow.head_conv[0].weight
print(tuple(wide.shape), "->", tuple(thin.shape))
assert torch.equal(wide[:16], thin)

# %% [markdown]
# ### What a patch costs
#
# All savings are counted in operations, so the counter decides what is saved.
# The released one takes the transposed convolution, with which FSRCNN {cite:p}`dong2016fsrcnn` ends, at the size of its *output*.
# But each of its input pixels is multiplied once with each weight: at scale 4 that is a sixteenth.
#
# ```{literalinclude} ../src/lithe/arm/cost.py
# :pyobject: _operations
# ```

# %%
released, true = net.costs(released=True), net.costs()
for name, a, b in zip(net.names, released, true):
    print(f"{name:10s} {a / 1e6:6.1f} M released {2 * b / 1e6:5.1f} M true")
assert released[-1] == 467_877_892
assert released[-1] > 9 * 2 * true[-1]
assert released[1] / released[-1] < true[1] / true[-1]

# %% [markdown]
# The last line matters more than the factor: seen through the released counter, the narrow networks look cheaper in comparison than they are.
#
# ### Score the edges
#
# The score is the mean of $\min(|L * Y|, 255)$ over the gray patch $Y$, in whole numbers, with a Laplacian that looks at the four diagonal neighbours:
#
# $$L = \begin{pmatrix} 2 & 0 & 2 \\ 0 & -8 & 0 \\ 2 & 0 & 2 \end{pmatrix}$$ (eq-arm-laplacian)
#
# ```{literalinclude} ../src/lithe/arm/edge.py
# :pyobject: laplacian
# ```
#
# A checkerboard of single pixels has the most edges there can be, and all of its diagonal neighbours are alike.

# %%
flat = np.full((32, 32, 3), 90, np.uint8)
board = np.indices((32, 32)).sum(0) % 2 * 255
board = np.repeat(board[..., None].astype(np.uint8), 3, 2)
step = np.where(np.arange(32)[None, :, None] < 16, 0, 255)
step = np.broadcast_to(step, (32, 32, 3)).astype(np.uint8)
for name, patch in {"flat": flat, "one edge": step, "board": board}.items():
    print(f"{name:9s} {arm.edge_score(patch):.1f}")
assert arm.edge_score(board) == 0 < arm.edge_score(step)
assert arm.edge_score(board, "laplacian4") == 255

# %% [markdown]
# ### A table instead of a classifier
#
# Patches of validation images are put into $K$ bins of equal width by their score; $P_j$ is the mean quality of branch $j$ in a bin.
# A look-up takes the bin with the nearest centre.
#
# ```{literalinclude} ../src/lithe/arm/table.py
# :pyobject: EdgeTable.bin_of
# ```
#
# Six patches, two branches, three bins:

# %%
score = np.array([0.0, 2, 8, 9, 28, 30])
psnr = np.array([[40.0, 38, 30, 29, 22, 20], [40, 38, 33, 32, 23, 21]])
table = arm.EdgeTable.build(score, psnr, bins=3, names=("bicubic", "network"))
print(table.values.tolist(), "from", table.counts.tolist(), "patches")
assert table.counts.tolist() == [4, 0, 2]
assert table.psnr(1, 29) == 22
assert table.psnr(1, 500) == table.psnr(1, 30)

# %% [markdown]
# The bin in the middle had no patches. Here it is interpolated between its neighbours; the released code leaves it *not a number*, and *Break it on purpose* shows where that leads.
#
# ### Choose
#
# At the rate $\eta$ a decibel is worth $\eta$ operations, and every patch takes the branch with the best balance:
#
# $$j^* = \arg\max_j \ \eta\,P_j(e) - C_j$$ (eq-arm-choose)
#
# ```{literalinclude} ../src/lithe/arm/choose.py
# :pyobject: choose_all
# ```
#
# As $\eta$ grows, a patch climbs the upper convex hull of its points $(C_j, P_j)$; a branch below the hull is never chosen.

# %%
costs, quality = [0, 1, 2, 3], [30.0, 30.4, 31.6, 32.0]
climb = [arm.choose(quality, costs, eta) for eta in (0, 1, 2, 3, 10)]
print("chosen as eta grows:", climb)
assert climb == [0, 0, 2, 3, 3]
assert arm.choose(quality, costs, "best") == 3
on = arm.upper_hull(np.array([quality]), np.array(costs))[0]
assert on.tolist() == [True, False, True, True]

# %% [markdown]
# ### Spend a budget
#
# A rate is not what anyone has; a budget is.
# Since every patch climbs its own hull, all steps of all patches can be put into one order, the best buy first, and bought until the money is gone.
# That is the rule above at the $\eta$ which exhausts the budget.
#
# ```{literalinclude} ../src/lithe/arm/budget.py
# :pyobject: allocate
# :lines: 1-2,22-33
# ```
#
# What are the gains that it adds up?
# In the paper they are decibels of single patches.
# But the PSNR of a picture is a function of its *summed squared error*, and a decibel on a smooth patch saves next to none.
# So the table can hold squared errors as well, `target="mse"`.

# %%
before = np.array([2.0, 400.0])  # squared error of two patches
after = np.array([1.0, 300.0])  # the same, enlarged by the network
in_db = arm.psnr_of(after) - arm.psnr_of(before)
for name, gain in {"psnr": in_db, "mse": before - after}.items():
    gains = np.stack([np.zeros(2), gain], 1)
    chosen = arm.allocate(gains, costs=[0, 1], budget=1)
    left = np.where(chosen == 1, after, before).mean()
    print(f"by {name:4s}: routes {chosen}, error {left:.1f}")
assert in_db[0] > in_db[1]
assert chosen.tolist() == [0, 1]

# %% [markdown]
# With money for one patch, decibels buy the smooth one, and the picture hardly changes.
#
# Drag the budget, and move the divider over the picture.
# The photograph is one of scikit-image's, enlarged four times by the released CARN {cite:p}`ahn2018carn`; the pictures on this page are compressed, its numbers were taken before.
#
# ```{raw} html
# :file: ../book/_static/arm-explorer.html
# ```

# %% [markdown]
# ## The whole method on a small problem
#
# A small FSRCNN with three widths is trained on seven photographs.
# In every step one width is drawn, with a chance that grows with the square of its cost, and trained with a plain $\ell_1$ loss:
#
# $$p_j = C_j^2 \big/ \textstyle\sum_i C_i^2$$ (eq-arm-sampling)
#
# ```{literalinclude} ../src/lithe/arm/sampling.py
# :pyobject: sampling_probabilities
# :lines: 1-2,17-21
# ```
#
# Then three other photographs make its table, and two more are enlarged at twenty budgets by each of the routers.
# One call runs whatever the profile asks for and writes a record of each run; at `small` it is the comparison that the section *Reproduction* reports.

# %% mystnb={"image": {"alt": "Two panels. Left: training loss falling over the epochs. Right: PSNR of two photographs against the budget, one line for each router; hindsight is highest."}, "figure": {"caption": "One run on few photographs, for the shape of the curves and not for their order.", "name": "fig-arm-smoke"}}
ids = run.run(config)
own = [name for name in ids if name.split("/")[1].startswith(config.data)]
curves = ledger.curves(own[0])
figure, (left, right) = figures.canvas(2, height=2.3)
figure.set_dpi(85)
figures.lines(left, {"squared": curves["train_loss"]})
shown = {name: curves[name] for name in ("psnr", "mse", "chord", "oracle")}
figures.lines(right, shown, x=curves["fraction"])
left.set(xlabel="epoch", ylabel="training loss")
right.set(xlabel="share of the full cost", ylabel="PSNR (dB)")
right.legend()
plt.show()

# %%
assert curves["train_loss"][-1] < curves["train_loss"][0]
for name in ("psnr", "mse", "score", "variance", "random", "chord"):
    assert (curves["oracle"] >= curves[name] - 0.02).all(), name

# %% [markdown]
# `oracle` knows the squared error of every branch on every cell, and buys the best steps; `chord` knows nothing, and is what the best random mixture of branches makes on average.
# What a router is worth lies between the two.
#
# ## Use it on your own image
#
# Five lines: branches, patches measured on pictures of your own, a table, an upscaler, a budget.
# Any size, gray, transparent, 16 bit; no seam and no cropped border.

# %%
branches = run.outcome(config).net
pictures = bundled(("hubble", "gravel", "motorcycle")).cut(320).images.values()
patches = arm.measure(branches, pictures, step=16)
table = patches.table(bins=10, target="mse", spacing="count")
upscaler = arm.Upscaler(branches, table)
result = upscaler(small, macs=0.6 * branches.macs(3, *small.shape[:2]))

# %%
print(result.image.shape, result.counts)
assert result.image.shape == (4 * small.shape[0], 4 * small.shape[1], 3)
assert result.macs <= 0.6 * branches.macs(3, *small.shape[:2])
assert len(set(result.routes.ravel().tolist())) > 1

# %% [markdown]
# The branches are the supernet that was trained above; `arm.load_official` reads the released weights where you have the file.
# Instead of `macs=` say `ms=` for a time, or `deadline_ms=` for a moment after which the best so far is handed back.
# On the command line: `python -m lithe.arm upscale IN OUT --ms 200`.
#
# A network of your own is slimmed through its channel graph, and different networks can stand behind one router.

# %%
from torch import nn

mine = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(32, 48, 3, padding=1),
    nn.PixelShuffle(4),
)
example = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
slim = arm.slimmable(mine, example, widths=(0.5, 1.0))
print(slim.names, [slim.macs(j) for j in range(len(slim))])
mixed = arm.Mixed(
    [arm.Interpolation(4), mine, narrow], ["bicubic", "mine", "fsrcnn-16"]
)
with torch.inference_mode():
    assert torch.allclose(
        slim(example, len(slim) - 1), mine(example), atol=1e-6
    )
    assert all(mixed(example, j).shape == (1, 3, 64, 64) for j in range(3))

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the released code, weights, logs and tables, not the body of the paper.
# The full register with sources is on the [page of deviations](../book/deviations.md).
#
# 1. **The counter.** FSRCNN's transposed convolution is counted at its output size; the network is over-counted by a factor of {result}`arm/costs-fsrcnn/small/0:overcount|.1f`. Its narrowest width costs {result}`arm/costs-fsrcnn/small/0:true_share_w16|.1f` of the widest, and is said to cost {result}`arm/costs-fsrcnn/small/0:released_share_w16|.1f` ([D41](../book/deviations.md)). Tables follow the released counter; everything that this book measures, multiply-accumulates.
# 2. **The overlap.** Patches of 32 pixels with a step of 28 cover {result}`arm/published/small/0:overlap|.2f` times the area of the picture, which is not counted. A network that runs once over the whole picture does not pay it. The cheapest published saving of all, {result}`arm/published/small/0:headline_fsrcnn|.1f`, is {result}`arm/published/small/0:headline_true_fsrcnn|.2f` in multiply-accumulates and {result}`arm/published/small/0:headline_area_fsrcnn|.2f` against one such pass.
# 3. **What is free before any routing.** The first bin of the released table prefers interpolation at every $\eta$. On F2K that is {result}`arm/published/small/0:free_carn_f2k_l|.1f` of all patches, on Test8K {result}`arm/published/small/0:free_carn_test8k_l|.1f`, with every network. It prefers it because equal patches count {result}`arm/released-table/small/0:cap|.0f` for interpolation and less for the networks; with one cap the bin would hold {result}`arm/released-table/small/0:bin0_same_cap|.2f` instead of {result}`arm/released-table/small/0:bin0_interpolation|.2f`, below the {result}`arm/released-table/small/0:bin0_largest_fsrcnn|.2f` of FSRCNN ([D44](../book/deviations.md)).
# 4. **The branch that is measured and the one that runs.** The table's row of interpolation is bilinear, the patches are enlarged bicubically ([D44](../book/deviations.md)).
# 5. **Where $k$ comes from.** Each cell of the tables has its own $k$, picked for the test set that it is reported on. Baselines are quoted from another paper, which trained them for half as long ([D48](../book/deviations.md)).
# 6. **Decibels do not add up.** The objective sums them over patches ([D45](../book/deviations.md)).
# 7. **An integer $\eta$ below 100 is a branch.** The released option runs that branch everywhere ([D49](../book/deviations.md)). Here a rate is a rate.

# %% [markdown]
# ## Reproduction
#
# The tables are computed: each row holds a claim, its test, and what the records say.
# First the claims of direction, on released weights and at small scale.
#
# ```{claims-table}
# :paper: arm
# :tier: T1
# ```
#
# ````{dropdown} Costs, published tables, headlines
# ```{claims-table}
# :paper: arm
# :tier: T0
# ```
# ````
#
# ````{dropdown} The paper's own training runs, with the command for each
# ```{claims-table}
# :paper: arm
# :tier: T2
# ```
# ````
#
# ### The three observations, measured again
#
# On patches of Set5, Set14 and what is there of B100 and Urban100 {cite:p}`bevilacqua2012set5,zeyde2010set14,martin2001bsd,huang2015urban`, with the released weights:
#
# | rank correlation of the edge score with | FSRCNN | CARN |
# |---|---|---|
# | the PSNR of the largest width | {result}`arm/official-fsrcnn/small/0:psnr_rho_w56 ; .2f` | {result}`arm/official-carn/small/0:psnr_rho_w64 ; .2f` |
# | the dB it gains on the smallest | {result}`arm/official-fsrcnn/small/0:db_rho_w56_w16 ; .2f` | {result}`arm/official-carn/small/0:db_rho_w64_w36 ; .2f` |
# | the dB it gains on the middle one | {result}`arm/official-fsrcnn/small/0:db_rho_w56_w36 ; .2f` | {result}`arm/official-carn/small/0:db_rho_w64_w52 ; .2f` |
# | the squared error it saves on the smallest | {result}`arm/official-fsrcnn/small/0:mse_rho_w56_w16 ; .2f` | {result}`arm/official-carn/small/0:mse_rho_w64_w36 ; .2f` |
# | the squared error it saves on the middle one | {result}`arm/official-fsrcnn/small/0:mse_rho_w56_w36 ; .2f` | {result}`arm/official-carn/small/0:mse_rho_w64_w52 ; .2f` |
#
# The first row is the third observation, and it holds.
# But routing asks for the rows below it: not how good a patch will be, but how much better the larger network makes it.
# In decibels the score says little about that; in squared error it says a good deal.
# On a share of {result}`arm/official-fsrcnn/small/0:idle_share_w56_w36|.0f` of the patches the widest FSRCNN gains less than can be seen on the middle one, for CARN it is {result}`arm/official-carn/small/0:idle_share_w64_w52|.0f`.
#
# ### Released weights, real photographs
#
# Whole pictures, RGB, a border of four pixels left out:
#
# | PSNR | Set5 | Set14 | B100 (part) | Urban100 (part) |
# |---|---|---|---|---|
# | bicubic | {result}`arm/official-fsrcnn/small/0:psnr_bicubic_set5 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_bicubic_set14 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_bicubic_b100 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_bicubic_urban100 ; .2f` |
# | FSRCNN, 16 | {result}`arm/official-fsrcnn/small/0:psnr_w16_set5 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w16_set14 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w16_b100 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w16_urban100 ; .2f` |
# | FSRCNN, 36 | {result}`arm/official-fsrcnn/small/0:psnr_w36_set5 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w36_set14 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w36_b100 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w36_urban100 ; .2f` |
# | FSRCNN, 56 | {result}`arm/official-fsrcnn/small/0:psnr_w56_set5 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w56_set14 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w56_b100 ; .2f` | {result}`arm/official-fsrcnn/small/0:psnr_w56_urban100 ; .2f` |
# | CARN, 36 | {result}`arm/official-carn/small/0:psnr_w36_set5 ; .2f` | {result}`arm/official-carn/small/0:psnr_w36_set14 ; .2f` | {result}`arm/official-carn/small/0:psnr_w36_b100 ; .2f` | {result}`arm/official-carn/small/0:psnr_w36_urban100 ; .2f` |
# | CARN, 52 | {result}`arm/official-carn/small/0:psnr_w52_set5 ; .2f` | {result}`arm/official-carn/small/0:psnr_w52_set14 ; .2f` | {result}`arm/official-carn/small/0:psnr_w52_b100 ; .2f` | {result}`arm/official-carn/small/0:psnr_w52_urban100 ; .2f` |
# | CARN, 64 | {result}`arm/official-carn/small/0:psnr_w64_set5 ; .2f` | {result}`arm/official-carn/small/0:psnr_w64_set14 ; .2f` | {result}`arm/official-carn/small/0:psnr_w64_b100 ; .2f` | {result}`arm/official-carn/small/0:psnr_w64_urban100 ; .2f` |
#
# ### The anytime curve
#
# Every router gets the same budgets and the same branches; only what it believes differs.
# The number to compare is the area between its curve and interpolation: the mean gain over all budgets.

# %% mystnb={"image": {"alt": "Two panels, FSRCNN and CARN: lead over the random mixture in dB against the share of the full cost, one line for each router, two of them with a band. For FSRCNN hindsight is highest, the order of scores and the table of squared error follow, the released table lies below zero at small budgets."}, "figure": {"caption": "Lead of each router on the best random mixture of the same picture, mean over the test pictures, with a 95 % band for the released table and the order of scores. One budget for each picture.", "name": "fig-arm-anytime"}}
measured = [
    n for n in ("fsrcnn", "carn") if ledger.find(f"arm/official-{n}/small/0")
]
figure, axes = figures.canvas(len(measured), height=2.3)
figure.set_dpi(85)
for axis, name in zip(axes, measured):
    c = ledger.curves(f"arm/official-{name}/small/0")
    names = ("released", "mse", "score", "oracle")
    bands = {n: c[f"{n}_band"] for n in ("released", "score")}
    lead = {n: np.subtract(c[n], c["chord"]) for n in names}
    figures.lines(axis, lead, x=c["fraction"], spread=bands)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.set(title=name.upper(), xlabel="share of the full cost")
axes[0].set(ylabel="lead on the random mixture (dB)")
axes[0].legend()
plt.show()

# %% [markdown]
# | area under the curve (dB) | FSRCNN, each picture | FSRCNN, whole set | CARN, each picture | CARN, whole set |
# |---|---|---|---|---|
# | released table of PSNR | {result}`arm/official-fsrcnn/small/0:area_released ; .3f` | {result}`arm/official-fsrcnn/small/0:pooled_area_released ; .3f` | {result}`arm/official-carn/small/0:area_released ; .3f` | {result}`arm/official-carn/small/0:pooled_area_released ; .3f` |
# | our table of PSNR | {result}`arm/official-fsrcnn/small/0:area_psnr ; .3f` | {result}`arm/official-fsrcnn/small/0:pooled_area_psnr ; .3f` | {result}`arm/official-carn/small/0:area_psnr ; .3f` | {result}`arm/official-carn/small/0:pooled_area_psnr ; .3f` |
# | our table of squared error | {result}`arm/official-fsrcnn/small/0:area_mse ; .3f` | {result}`arm/official-fsrcnn/small/0:pooled_area_mse ; .3f` | {result}`arm/official-carn/small/0:area_mse ; .3f` | {result}`arm/official-carn/small/0:pooled_area_mse ; .3f` |
# | the same by the deviation of gray | {result}`arm/official-fsrcnn/small/0:area_variance ; .3f` | | {result}`arm/official-carn/small/0:area_variance ; .3f` | |
# | the order of the scores | {result}`arm/official-fsrcnn/small/0:area_score ; .3f` | | {result}`arm/official-carn/small/0:area_score ; .3f` | |
# | chance, drawn | {result}`arm/official-fsrcnn/small/0:area_random ; .3f` | | {result}`arm/official-carn/small/0:area_random ; .3f` | |
# | chance, the best mixture | {result}`arm/official-fsrcnn/small/0:area_chord ; .3f` | {result}`arm/official-fsrcnn/small/0:pooled_area_chord ; .3f` | {result}`arm/official-carn/small/0:area_chord ; .3f` | {result}`arm/official-carn/small/0:pooled_area_chord ; .3f` |
# | hindsight | {result}`arm/official-fsrcnn/small/0:area_oracle ; .3f` | {result}`arm/official-fsrcnn/small/0:pooled_area_oracle ; .3f` | {result}`arm/official-carn/small/0:area_oracle ; .3f` | {result}`arm/official-carn/small/0:pooled_area_oracle ; .3f` |
#
# *Each picture* has its own budget, as a user's has; *whole set* spends one budget over all pictures at one $\eta$, as the paper does, and its chance is the straight line between the mean PSNR of single branches.
# The two differ because a common rate may take from one picture and give to another.
#
# Is it the pictures? The standard sets are small and full of things. On eight photographs of scikit-image, four of them mostly sky or background, with one budget for all, the released table leads chance by {result}`arm/photographs-fsrcnn/small/0:pooled_released_over_chord|.3f` for FSRCNN (95% interval over pictures {result}`arm/photographs-fsrcnn/small/0:pooled_released_over_chord_low|.3f` to {result}`arm/photographs-fsrcnn/small/0:pooled_released_over_chord_high|.3f`) and by {result}`arm/photographs-carn/small/0:pooled_released_over_chord|.3f` for CARN ({result}`arm/photographs-carn/small/0:pooled_released_over_chord_low|.3f` to {result}`arm/photographs-carn/small/0:pooled_released_over_chord_high|.3f`).
# With a budget for each picture, {result}`arm/photographs-fsrcnn/small/0:released_over_chord|.3f` and {result}`arm/photographs-carn/small/0:released_over_chord|.3f` are left: part of the lead is money moved from one picture to another.
#
# ### A supernet trained on real photographs
#
# Twenty-two photographs to train on, eight for the table, the same test sets; {result}`arm/shared-squared/small/*:psnr_w56|seeds` seeds, {result}`arm/shared-squared/small/0:params.epochs` epochs.
# The network is FSRCNN with the enlarged input added to its output; without that it does not leave the ground in so short a training ([D47](../book/deviations.md)).
#
# | training | PSNR, width 16 | width 36 | width 56 |
# |---|---|---|---|
# | chances by squared cost | {result}`arm/shared-squared/small/*:psnr_w16 ; mean` | {result}`arm/shared-squared/small/*:psnr_w36 ; mean` | {result}`arm/shared-squared/small/*:psnr_w56 ; mean` |
# | all widths alike | {result}`arm/shared-uniform/small/*:psnr_w16 ; mean` | {result}`arm/shared-uniform/small/*:psnr_w36 ; mean` | {result}`arm/shared-uniform/small/*:psnr_w56 ; mean` |
# | the widest alone | | | {result}`arm/shared-alone/small/*:psnr_w56 ; mean` |
# | squared cost over alike | {result}`arm/shared-squared/small/*:psnr_w16 - arm/shared-uniform/small/*:psnr_w16 ; diff` | {result}`arm/shared-squared/small/*:psnr_w36 - arm/shared-uniform/small/*:psnr_w36 ; diff` | {result}`arm/shared-squared/small/*:psnr_w56 - arm/shared-uniform/small/*:psnr_w56 ; diff` |

# %% mystnb={"image": {"alt": "Dot plot of the area under the anytime curve of each router minus that of the random mixture, with 95 percent intervals over seeds."}, "figure": {"caption": "Routers of the trained supernets against the best random mixture: paired differences of the area, with 95 % intervals over seeds; a diamond marks an interval that excludes zero.", "name": "fig-arm-contest"}}
trained = ledger.find("arm/shared-squared/small/*")
names = [n for n in routers.ROUTERS if n != "chord" and len(trained) > 2]
areas = {
    n: [r.metric(f"area_{n}").value for r in trained] for n in (*names, "chord")
}
rows = {n: stats.paired(areas[n], areas["chord"]) for n in names}
if rows:
    leads = {n: (r.mean, r.low, r.high) for n, r in rows.items()}
    figures.differences(leads, unit="area (dB)", zero="random mixture")
    plt.show()

# %% [markdown]
# How many bins?
#
# | bins $K$ | 5 | 10 | 15 | 30 | 60 |
# |---|---|---|---|---|---|
# | area, table of PSNR | {result}`arm/shared-squared/small/*:area_psnr_k5 ; mean` | {result}`arm/shared-squared/small/*:area_psnr_k10 ; mean` | {result}`arm/shared-squared/small/*:area_psnr_k15 ; mean` | {result}`arm/shared-squared/small/*:area_psnr_k30 ; mean` | {result}`arm/shared-squared/small/*:area_psnr_k60 ; mean` |
# | area, table of squared error | {result}`arm/shared-squared/small/*:area_mse_k5 ; mean` | {result}`arm/shared-squared/small/*:area_mse_k10 ; mean` | {result}`arm/shared-squared/small/*:area_mse_k15 ; mean` | {result}`arm/shared-squared/small/*:area_mse_k30 ; mean` | {result}`arm/shared-squared/small/*:area_mse_k60 ; mean` |
# | the same, bins of equally many patches | {result}`arm/shared-squared/small/*:area_mse_count_k5 ; mean` | {result}`arm/shared-squared/small/*:area_mse_count_k10 ; mean` | {result}`arm/shared-squared/small/*:area_mse_count_k15 ; mean` | {result}`arm/shared-squared/small/*:area_mse_count_k30 ; mean` | {result}`arm/shared-squared/small/*:area_mse_count_k60 ; mean` |
#
# ### Does it pay in milliseconds?
#
# Multiply-accumulates are no milliseconds. On this machine, in one run, side by side: the upscaler at any budget against one pass of each width over the whole picture in plain torch, against blind routing, and against the released loop over patches.
# Our executor, tiles that are clipped at the border, and routing all help; so the whole pass in our executor and the largest width in our tiles are shown as well, and tell the three apart.

# %% mystnb={"image": {"alt": "Three panels, PSNR against milliseconds on one thread, for FSRCNN and CARN on a mosaic of photographs and CARN on a smooth photograph: curves of routing by a table of squared error, by a table of PSNR and blindly, and single marks for the whole picture in plain torch, in our executor, and in our tiles."}, "figure": {"caption": "Quality against time on one thread. The diamond is what people run today; the triangle is the same pass in our executor.", "name": "fig-arm-speed"}}
from lithe.arm.speed import charts

charts.quality_against_time()
plt.show()

# %% [markdown]
# | times as fast | FSRCNN, 1 thread | 2 threads | CARN, 1 thread | 2 threads | aim |
# |---|---|---|---|---|---|
# | over the released loop, at equal PSNR | {result}`arm/speed-aims/small/0:fsrcnn_t1_released ; .2f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_released ; .2f` | {result}`arm/speed-aims/small/0:carn_t1_released ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_released ; .2f` | {given}`3 ; definition: aim` |
# | at most, by any routing | {result}`arm/speed-aims/small/0:fsrcnn_t1_released_bound ; .2f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_released_bound ; .2f` | {result}`arm/speed-aims/small/0:carn_t1_released_bound ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_released_bound ; .2f` |  |
# | over one pass of plain torch, at most a fiftieth of a dB less | {result}`arm/speed-aims/small/0:fsrcnn_t1_whole_002 ; .2f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_whole_002 ; .2f` | {result}`arm/speed-aims/small/0:carn_t1_whole_002 ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_whole_002 ; .2f` | {given}`1 ; definition: aim` |
# | the same at a tenth of a dB |  |  | {result}`arm/speed-aims/small/0:carn_t1_whole_01 ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_whole_01 ; .2f` | {given}`1.5 ; definition: aim` |
# | at most, by any routing in one runtime |  |  | {result}`arm/speed-aims/small/0:carn_t1_whole_01_bound ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_whole_01_bound ; .2f` |  |
# | large smooth areas, a tenth of a dB | {result}`arm/speed-aims/small/0:fsrcnn_t1_smooth ; .2f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_smooth ; .2f` | {result}`arm/speed-aims/small/0:carn_t1_smooth ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_smooth ; .2f` | {given}`2 ; definition: aim` |
# | at most, by any routing in one runtime | {result}`arm/speed-aims/small/0:fsrcnn_t1_smooth_bound ; .2f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_smooth_bound ; .2f` | {result}`arm/speed-aims/small/0:carn_t1_smooth_bound ; .2f` | {result}`arm/speed-aims/small/0:carn_t2_smooth_bound ; .2f` |  |
# | least lead of the squared-error table over the PSNR table (dB) | {result}`arm/speed-aims/small/0:fsrcnn_t1_mse_over_psnr ; .3f` | {result}`arm/speed-aims/small/0:fsrcnn_t2_mse_over_psnr ; .3f` | {result}`arm/speed-aims/small/0:carn_t1_mse_over_psnr ; .3f` | {result}`arm/speed-aims/small/0:carn_t2_mse_over_psnr ; .3f` | {given}`0 ; definition: aim` |
#
# The bounds know the true error of every branch on every cell, and spend the budget best; no table can do better.
# Where a bound lies below the aim, no routing reaches it: the widths lie too close together in quality, or too far apart from interpolation.
#
# | promise | measured | aim |
# |---|---|---|
# | median miss of ten budgets in milliseconds | {result}`arm/speed-promises/small/0:ms_median_off ; .1f` | {given}`5% ; definition: aim` |
# | deadlines missed beside a busy neighbour, of {result}`arm/speed-promises/small/0:deadlines_missed ; n` | {result}`arm/speed-promises/small/0:deadlines_missed` | {given}`0 ; definition: aim` |
# | spread of megapixels a second over sizes from a tenth to 33 megapixels, full quality | {result}`arm/speed-promises/small/0:size_spread ; .0f` | {given}`15% ; definition: aim` |
# | the same, routed | {result}`arm/speed-promises/small/0:size_spread_routed ; .0f` | |
# | peak memory at 8K, largest width of CARN | {result}`arm/speed-promises/small/0:gb_8k ; .2f` | {given}`1.5 GB ; definition: aim` |
#
# To run it again: `python -m lithe.run 04_arm --profile small`; the times, on an idle machine: `python -m lithe.arm.bench --record`.
# One row of the paper's own tables, at full length: `python -m lithe.arm.run --key carn-test8k --train DIV2K_PAIRS --valid DIV2K_VALID --test TEST8K`, after `python -m lithe.arm.prepare DIV2K_TRAIN_HR DIV2K_PAIRS`.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** The supernet works, and so does running it at any budget.
# What routes it is another matter. On pictures that each have their own budget, the released table comes out at {result}`arm/official-fsrcnn/small/0:released_over_chord|.3f` against the best random mixture for FSRCNN and {result}`arm/official-carn/small/0:released_over_chord|.3f` for CARN; with one budget over the whole set, as the paper spends it, at {result}`arm/official-fsrcnn/small/0:pooled_released_over_chord|.3f` and {result}`arm/official-carn/small/0:pooled_released_over_chord|.3f`.
# A table of squared error on the same score gains {result}`arm/official-fsrcnn/small/0:mse_over_released|.3f` and {result}`arm/official-carn/small/0:mse_over_released|.3f` on it.
# The plain order of the scores, with no table at all, is apart from that by {result}`arm/official-fsrcnn/small/0:mse_over_score|.3f` and {result}`arm/official-carn/small/0:mse_over_score|.3f`.
# Hindsight is {result}`arm/official-fsrcnn/small/0:oracle_over_mse|.3f` and {result}`arm/official-carn/small/0:oracle_over_mse|.3f` above the table of squared error.
#
# Savings are smaller here than in the paper's figure: within a fiftieth of a decibel of CARN's full width the released table needs a share of {result}`arm/official-carn/small/0:share_released_002db|.0f` of the cost, ours {result}`arm/official-carn/small/0:share_mse_002db|.0f`, hindsight {result}`arm/official-carn/small/0:share_oracle_002db|.0f`.
# The published sets are large pictures with much sky; these are small ones, full of things.
# We have neither DIV8K nor Flickr2K; those rows say *not run*, with the command.
#
# **What was easy.** Thirty-six published costs follow from the logged class counts, once one knows how the counter counts.
#
# **What was hard.** Prefixes that cut through groups and concatenations; they look like mistakes, and correcting them breaks every released weight. And no seam: the released patches pad their own borders with zeros, so a tile needs to see as far as the network does.
#
# ### Break it on purpose
#
# A table with many bins and few patches has empty ones.
# Left as *not a number*, an entry wins every comparison of an arg max, and the first branch, interpolation, is taken, whatever is paid.

# %%
few = np.linspace(0, 200, 12) ** 1.02
errors = np.stack([30 + few, 20 + few / 2])
as_released = arm.EdgeTable.build(
    few, errors[::-1] - 10, bins=40, empty="released"
)
asked = np.linspace(0, 200, 101)
free = arm.choose_all(as_released.predict(asked), [0, 1], "best") == 0
filled = (
    arm.choose_all(as_released.filled().predict(asked), [0, 1], "best") == 0
)
print(
    f"interpolated at any price: {free.mean():.2f} of the scores, filled {filled.mean():.2f}"
)
assert free.mean() > 0.5 > filled.mean()

# %% [markdown]
# No error is raised and no picture looks broken; the quality is just lower than was paid for.
# The check that catches it asks the table before anything is routed:

# %%
assert not np.isfinite(as_released.values).all()
assert np.isfinite(as_released.filled().values).all()
assert (as_released.counts == 0).sum() == np.isnan(as_released.values[0]).sum()

# %% [markdown]
# ## Exercises
#
# **1.** A patch gains $\Delta P$ from a branch that costs a third of the largest more. From which $k$ on does it take it?
#
# ```{admonition} Solution
# :class: dropdown
# When $k\,C_{\max}\,\Delta P > C_{\max}/3$, so from $k = 1/(3\,\Delta P)$: a quarter of a decibel needs $k > 4/3$.
# ```
#
# **2.** Why can the total cost of the rule in {eq}`eq-arm-choose` not be set to an exact budget by $\eta$ alone?
#
# ```{admonition} Solution
# :class: dropdown
# All patches of one bin change sides at the same $\eta$, so the total is a step function with a step as large as a bin. `allocate` takes them one by one; `eta_for` finds the last step below the budget.
# ```
#
# **3.** Build tables with `score="sobel"` and `"variance"` for two photographs of yours. Which foretells the saved squared error best?
#
# ```{admonition} Solution
# :class: dropdown
# `arm.measure(branches, pictures, score="sobel")`, then the rank correlation of `patches.scores` with `patches.mse[0] - patches.mse[-1]`. On ours: {result}`arm/official-carn/small/0:mse_rho_by_laplacian|.2f` for the paper's score, {result}`arm/official-carn/small/0:mse_rho_by_sobel|.2f` for Sobel, {result}`arm/official-carn/small/0:mse_rho_by_variance|.2f` for the deviation.
# ```
#
# **4.** A supernet has a width that never lies on the hull of any patch. What do you do with it?
#
# ```{admonition} Solution
# :class: dropdown
# Leave it out, and train the others more often: no budget ever buys it. Released FSRCNN's middle width nearly is its widest: it lies {result}`arm/released-table/small/0:gain_middle_to_large_fsrcnn|.2f` below it in the released table.
# ```
#
# ## Further reading
#
# Patches routed by a learned classifier between separate networks: {cite:t}`kong2021classsr`.
# Networks that run at any width, with distillation and per-width statistics: {cite:t}`yu2019universally`.
# The photographs that the released weights were trained on: {cite:t}`agustsson2017div2k`.
