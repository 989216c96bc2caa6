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
# (ch-syntalker-space)=
# # Put motion and words into one space
#
# Nobody has recorded people who speak, do what a prompt says, and are filmed doing it: there is speech with motion, and there are captions with motion.
# SynTalker {cite:p}`chen2024syntalker` gets by without the missing triple. It learns one space in which a motion and a sentence that mean the same lie close together; then the motion of *any* clip can stand for the prompt that nobody wrote.
# This chapter builds that space, tries it against its controls, and looks hard at the measures that such work is judged by.
# What a motion is, as numbers, was the subject of {ref}`the chapter before <ch-syntalker-motion>`.
#
# ```{verdict-box}
# :paper: syntalker
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: train two encoders and a decoder, work out the contrastive loss by hand, search motion by sentence, and measure motion that has no right answer.
# - **Be able to explain**: what a pseudo-prompt is, which pairs are no negatives, what ties the length of a vector, and why a beat score without another clip's sound beside it says nothing.
# - **Need**: attention, softmax and cross-entropy; {ref}`ch-syntalker-motion` for the features; no GPU.
# - **Time**: forty minutes to read, about a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from lithe import figures, ledger, profiles, syntalker
from lithe.syntalker import losses, metrics, run, space_charts, tmr
from lithe.syntalker.ablations import Corpus, contend_space
from lithe.syntalker.material import featured
from lithe.syntalker.stage2 import space_recipe
from lithe.syntalker.world import movers, talkers

torch.set_num_threads(1)
config = profiles.load("06_syntalker_space", profile, run.Config, **overrides)

# %% [markdown]
# ## The claim in one picture
#
# Six actions of the generated world, twenty-two joints, three seconds each.
# The clips to learn from have captions; those held out are of other people and carry sentences that no clip to learn from has.

# %%
ACTIONS = ("walk", "turn", "sit", "raise", "wave", "clap")


def captioned(count, seed, unseen=False):
    drawn = torch.Generator().manual_seed(seed)
    for clip in movers(count, drawn, 3.0, syntalker.BODY, ACTIONS):
        said = (clip.unseen,) if unseen else clip.captions
        label = f"{clip.truth.action} {clip.truth.side or ''}".strip()
        yield featured(clip.motion.positions, said, label, clip.name)


held_out = sorted(captioned(48, 1, unseen=True), key=lambda clip: clip.label)
corpus = Corpus("six actions", list(captioned(96, 0)), held_out)
print(corpus.train[2].captions)
print(next(c for c in held_out if c.label == "sit").captions)

# %% [markdown]
# Two spaces are trained from the same first weights on the same batches. Both decode motion from motion and from text; only one of them has the contrastive term.

# %%
text = syntalker.HashingEncoder(64)
size = syntalker.SpaceConfig(width=32, layers=1, feedforward=64, dropout=0.0)
recipe = space_recipe(30, lr=3e-3, batch_size=32)
trained = {
    name: contend_space(variant, corpus, text, size, recipe, most=64)
    for name, variant in {"without": "unaligned", "with": "corrected"}.items()
}

# %% mystnb={"image": {"alt": "Two matrices of cosine similarity, held-out captions down, held-out motions across, both sorted by action. Without the contrastive term the left one shows hardly any order; with it, the right one shows bright blocks along the diagonal."}, "figure": {"caption": "Similarity of held-out sentences (rows) and motions (columns), sorted by action, without and with the contrastive term. R@1 is the share of sentences whose nearest motion shows what they say.", "name": "fig-space-claim"}}
motion = torch.stack([clip.features[:64] for clip in held_out])
words, spoken, _ = text([clip.captions[0] for clip in held_out])
shown = {}
for name, found in trained.items():
    said = found.model.embed_text(words, spoken)
    near = losses.cosine(said, found.model.embed_motion(motion))
    score = found.metrics["text_to_motion_r1"]["value"]
    shown[f"{name} contrast: R@1 {score:.0f} %"] = near.clamp(min=0)
figures.heatmaps(shown, label="cosine similarity, 0 or more")
plt.show()

# %%
r1 = {
    name: found.metrics["text_to_motion_r1"]["value"]
    for name, found in trained.items()
}
chance = trained["with"].metrics["chance_r1"]["value"]
assert r1["with"] > max(3 * chance, r1["without"])

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $X$ | `features` | `(n, t, d)` | motion; $d$ is 623, or 263 without hands |
# | | `words`, `spoken` | `(n, s, w)`, `(n, s)` | word vectors of a frozen language model, and which there are |
# | | `sentences` | `(n, w)` | one vector for each whole caption |
# | $\mu, \sigma$ | `Gaussian.mean`, `.std` | `(n, width)` | what an encoder makes of a sequence |
# | $z$ | `Gaussian.sample()` | `(n, width)` | a draw from it |
# | $D$ | `decoder` | | one vector to motion of any length |
# | $\tau$ | `temperature` | scalar | divides similarities; $0.1$ as released |
# | R@k | `recall` | scalar | share of queries with a right answer among the $k$ nearest |
#
# Letters with $m$ belong to motion, with $t$ to text. They are ours: we could not read the body of the paper.

# %% [markdown]
# ## Build it up
#
# ### Two encoders, one decoder
#
# The released code takes the space from TMR {cite:p}`petrovich2023tmr`.
# Two learned tokens go in front of a sequence, of frames or of words; a transformer reads it, and what stands in their two places afterwards is the mean and the log-variance of a Gaussian.
#
# $$q(z \mid X) = \mathcal{N}(\mu_m, \sigma_m^2), \qquad q(z \mid \text{words}) = \mathcal{N}(\mu_t, \sigma_t^2)$$ (eq-space-gaussians)
#
# ```{literalinclude} ../src/lithe/syntalker/tmr.py
# :pyobject: SequenceEncoder.forward
# ```
#
# One decoder serves both. It asks with positions and finds a single vector in its memory, so it can answer at any length.
#
# ```{literalinclude} ../src/lithe/syntalker/tmr.py
# :pyobject: MotionDecoder.forward
# ```
#
# Padding must not be seen: the same clip, alone or beside longer ones, has the same place.

# %%
space = trained["with"].model
alone = space.embed_motion(motion[:1, :48])
padded = torch.cat([motion[:1, :48], torch.full((1, 16, 263), 9.0)], 1)
beside = space.embed_motion(padded, torch.tensor([48]))
assert torch.allclose(alone, beside, atol=1e-5)
for frames in (16, 200):
    print(tuple(alone.shape), "->", tuple(space.decode(alone, frames).shape))
assert space.decode(alone, 200).shape == (1, 200, 263)

# %% [markdown]
# ### Find your own among the others
#
# In a batch of $n$ clips each motion must recognise its caption among all $n$, and each caption its motion.
# Similarity is the cosine between *means*; draws take no part.
#
# $$\mathcal{L} = -\frac{1}{2n} \sum_i \Bigl[ \log \frac{e^{s_{ii}/\tau}}{\sum_j e^{s_{ij}/\tau}} + \log \frac{e^{s_{ii}/\tau}}{\sum_j e^{s_{ji}/\tau}} \Bigr], \qquad s_{ij} = \cos(\mu_{m,i},\, \mu_{t,j})$$ (eq-space-infonce)
#
# ```{literalinclude} ../src/lithe/syntalker/losses.py
# :pyobject: info_nce
# ```
#
# Three pairs in the plane, by hand:

# %%
three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
texts = torch.tensor([[1.0, 0.2], [0.3, 1.0], [-1.0, 0.8]])
logits = losses.cosine(three, texts) / 0.1
own = logits.log_softmax(1).diag() + logits.log_softmax(0).diag()
by_hand = -own.mean() / 2
assert torch.isclose(losses.info_nce(three, texts), by_hand)
for temperature in (1.0, 0.1):
    loss = losses.info_nce(three, texts, temperature)
    print(f"temperature {temperature}: {loss:.4f}")
same = torch.ones(3, 2)
assert torch.isclose(losses.info_nce(same, same), torch.tensor(3.0).log())

# %% [markdown]
# The last line is what a space earns that maps everything to one point: the logarithm of the batch.
#
# ### Leave out what is no negative
#
# Two people who walk are no mistake for each other. So pairs whose *captions* are alike, by the cosine of their sentence vectors, are taken out of both sums, from {given}`0.85 | released: filter threshold` on.
# The released filter asks for similarities above the threshold and *below one*, so that the most alike of all stay in: equal captions.
#
# ```{literalinclude} ../src/lithe/syntalker/losses.py
# :pyobject: false_negatives
# :lines: 1,21-22
# ```

# %%
alike = torch.tensor([[1.0, 0.9, 1.0], [0.9, 1.0, 0.3], [1.0, 0.3, 1.0]])
corrected = losses.false_negatives(alike)
released = losses.false_negatives(alike, released=True)
print("left out:", corrected.nonzero().tolist())
print("released:", released.nonzero().tolist())
assert corrected[0, 2] and not released[0, 2]
assert not corrected.diag().any()

# %% [markdown]
# On paper. In a computer the cosine of two equal vectors is one *or a rounding below*, so the released filter catches some equal captions after all.
# With our captions and batches of thirty-two it lets {result}`syntalker/negatives/small/0:let_through_world|.0f` of the equal pairs through in the generated world and {result}`syntalker/negatives/small/0:let_through_cmu|.0f` in motion capture; equal pairs are {result}`syntalker/negatives/small/0:equal_world|.2f` and {result}`syntalker/negatives/small/0:equal_cmu|.1f` of all.
# What such pairs do, *Break it on purpose* tries out.
#
# ### Two Gaussians, and what a length means
#
# The other losses compare distributions and draws: reconstruction from both draws, a Kullback-Leibler term each way, and a small distance between the draws.
#
# $$\mathcal{L} = \mathcal{L}_\text{rec}(D(z_m)) + \mathcal{L}_\text{rec}(D(z_t)) + \lambda \bigl[ \mathrm{KL}(q_t \,\|\, q_m) + \mathrm{KL}(q_m \,\|\, q_t) + \ell_1(z_t, z_m) \bigr] + 0.1\, \mathcal{L}_\text{InfoNCE}, \quad \lambda = 10^{-5}$$ (eq-space-total)
#
# ```{literalinclude} ../src/lithe/syntalker/losses.py
# :pyobject: gaussian_kl
# ```

# %%
draw = torch.Generator().manual_seed(0)
p, q = (
    tmr.Gaussian(*torch.randn(2, 5, 8, generator=draw).unbind()) for _ in "pq"
)
normal = [torch.distributions.Normal(g.mean, g.std) for g in (p, q)]
theirs = torch.distributions.kl_divergence(*normal).mean()
assert torch.isclose(losses.gaussian_kl(p, q), theirs)
there, back = losses.gaussian_kl(p, q), losses.gaussian_kl(q, p)
print(f"there {there:.3f}, back {back:.3f}")
assert losses.gaussian_kl(p, p) == 0 < (there - back).abs()

# %% [markdown]
# The condition that the next stage gets is $\mu$ itself, with its length. The contrast does not see a length: stretch all motions sevenfold, and the loss is the same.
# A pilot of this method with other encoders ran into just that: its sentences came out a quarter as long as its motions, and retrieval was perfect while control by text failed ({given}`norms 1.1 and 4.2 | third party: a prototype with convolutions and a GRU`).
# Then what ties the lengths here? The weight $\lambda$ is small.
# Look at the end of the encoder: a post-norm transformer ends in a layer norm, and after that every vector has length $\sqrt{\text{width}}$ until training moves its gain.

# %%
stretched = losses.info_nce(7 * three, texts)
assert torch.isclose(stretched, losses.info_nce(three, texts))
fresh = syntalker.AlignedSpace(263, 64, size, generator=draw).eval()
lengths = {
    "before training": fresh.embed_motion(motion).norm(dim=1).mean(),
    "motion": space.embed_motion(motion).norm(dim=1).mean(),
    "text": space.embed_text(words, spoken).norm(dim=1).mean(),
}
for name, length in lengths.items():
    print(f"{name:15s} {float(length) / 32**0.5:.1f} × root of the width")
assert abs(lengths["before training"] - 32**0.5) < 1e-3
assert abs(lengths["motion"] / lengths["text"] - 1) < 0.25

# %% [markdown]
# The control: with the contrast *alone*, no decoder and no KL, motions are {result}`syntalker/world-space-contrast-only/small/*:norm_motion | mean` long and sentences {result}`syntalker/world-space-contrast-only/small/*:norm_text | mean`; with all losses {result}`syntalker/world-space-corrected/small/*:norm_motion | mean` and {result}`syntalker/world-space-corrected/small/*:norm_text | mean`; the root of the width is eight.
# If your encoder does not end in a norm, `SpaceConfig(unit=True)` puts the length there.

# %%
unit = space.embed_text(words, spoken, unit=True).norm(dim=1)
assert torch.allclose(unit, torch.tensor(32**0.5).expand_as(unit))

# %% [markdown]
# ### Ask a language model
#
# Words come in as vectors of a frozen language model, DistilBERT as released; captions are compared by a MiniLM.
# Here any model of sentence-transformers does both. What runs without a download is an encoder of hashes: a word is the mean of random vectors of its letter groups.
#
# ```{literalinclude} ../src/lithe/syntalker/text.py
# :pyobject: _word
# ```
#
# It knows that *walks* and *walking* are kin, and it has never heard of strolling.

# %%
hashing = syntalker.HashingEncoder()
told = hashing(["walks", "is walking", "strolls", "sits"])
kin = losses.cosine(told.sentences, told.sentences)[0]
for name, value in zip(("walking", "strolls", "sits"), kin[1:]):
    print(f"walks and {name}: {value:.2f}")
assert kin[1] > 0.25 > kin[2:].max()

# %% [markdown]
# `SentenceEncoder` takes a folder, an installed package, or a model of the hub; weights are safetensors only and are checked, and a folder that brings its own code is refused.

# %%
from lithe.syntalker.minilm import TextModelError

try:
    syntalker.SentenceEncoder("hub:owner/name")
except TextModelError as error:
    print(str(error).split(",")[0])
else:
    raise AssertionError("fetched a model without knowing which")

# %% [markdown]
# ### Search both ways
#
# A prompt's *rank* is the place of its best right answer. Clips that show what the prompt says are right as well, and a tie counts against the prompt: a space in which all is equal finds nothing.
#
# ```{literalinclude} ../src/lithe/syntalker/retrieval.py
# :pyobject: ranks
# :lines: 1,26-27
# ```

# %%
from lithe.syntalker.retrieval import ranks, recall

similar = torch.tensor([[0.9, 0.8, 0.1], [0.8, 0.7, 0.2], [0.5, 0.5, 0.5]])
print("ranks:", ranks(similar).tolist())
assert ranks(similar).tolist() == [1, 2, 3]
right = torch.eye(3, dtype=torch.bool)
right[1, 0] = True  # the first clip shows it too
assert ranks(similar, right).tolist() == [1, 1, 3]
found = recall(torch.eye(3), torch.eye(3).roll(1, 0), k=(1, 3))
assert found["text_to_motion_r1"] == 0 and found["text_to_motion_r3"] == 1

# %% [markdown]
# ## The whole method on a small problem
#
# The space is for clips without a caption.
# A talker of the generated world has a sound and no sentence; the mean of its own motion becomes its *pseudo-prompt*, a vector where prompts live, and so for every clip of either corpus.
# In the next stage that is all the denoiser ever sees in training; sentences come in only when it is used.

# %%
drawn = torch.Generator().manual_seed(3)
spoke = talkers(8, drawn, skeleton=syntalker.BODY)
assert all(clip.captions == () and clip.speech for clip in spoke)
speech = [featured(clip.motion.positions).features for clip in spoke]
pseudo = space.embed_motion(torch.stack(speech)[:, :64])
prompts = space.embed_text(words, spoken)
print("pseudo-prompts", tuple(pseudo.shape), "prompts", tuple(prompts.shape))
assert pseudo.shape[1] == prompts.shape[1] and torch.isfinite(pseudo).all()

# %% [markdown]
# And the whole comparison as one call, with whatever corpora, variants and seeds the profile asks for; a record of each run is written, and what is on record is not run again.
# At `smoke` that is two variants for a few epochs, too few to learn anything; `small` is what *Reproduction* reports.

# %%
ids = run.run(config)
assert ids
for name in ids:
    [record] = ledger.find(name)
    weights = int(record.metric("parameters").value)
    print(name.split("/")[1], f"{weights:,} weights")
    assert 0 <= record.metric("text_to_motion_r1").value <= 100

# %% [markdown]
# ## Measure what has no right answer
#
# Whether a prompt found its motion can be counted. Whether made motion is *good* cannot, and the usual measures each look at one side of it.
#
# ### How far apart are two clouds?
#
# Fréchet distance takes each cloud of features for a Gaussian:
#
# $$d^2 = \|m_a - m_b\|^2 + \mathrm{tr}\bigl(S_a + S_b - 2 (S_a S_b)^{1/2}\bigr)$$ (eq-space-frechet)
#
# ```{literalinclude} ../src/lithe/syntalker/metrics/frechet.py
# :pyobject: frechet_distance
# :lines: 1,21-29
# ```
#
# On Gaussians it can be checked. On samples it has a floor, which depends on their number: two samples of *one* Gaussian are never at zero.

# %%
near = metrics.Gaussian(np.zeros(4), np.eye(4))
far = metrics.Gaussian(np.full(4, 3.0), 4 * np.eye(4))
assert np.isclose(metrics.frechet_distance(near, far), 4 * 3**2 + 4 * 1)
rng = np.random.default_rng(0)
for n in (64, 512, 4096):
    one, other = rng.normal(size=(2, n, 32))
    print(f"{n:5d} clips: {metrics.frechet_distance(one, other):6.2f}")
assert metrics.frechet_distance(one, other) < 0.5
assert metrics.frechet_distance(one[:64], other[:64]) > 5

# %% [markdown]
# It also depends on the network that makes the features. Published values used one whose weights are not in the released repository, and no number here should be laid beside them.
#
# ### Do gestures meet the voice?
#
# Beat consistency goes from each onset of the sound to the nearest stop of a joint, $\delta$ seconds away, and takes the mean of
#
# $$\exp\bigl(-\delta^2 / 2\sigma^2\bigr), \qquad \sigma = 0.3 \text{ s}$$ (eq-space-beats)
#
# ```{literalinclude} ../src/lithe/syntalker/metrics/beats.py
# :pyobject: _closeness
# ```
#
# A body that stops all the time is always near an onset. So every score needs its control, the same motion with the sound of *another* clip:
#
# ```{literalinclude} ../src/lithe/syntalker/metrics/beats.py
# :pyobject: mismatched
# :lines: 1-6,27-30
# ```
#
# In the generated world the true beats are known. Let those who gesture to them meet others' beats; then let all of them tremble.

# %%
poses = [clip.motion.positions - clip.motion.root[:, None] for clip in spoke]
beats = [np.array(clip.truth.beats) for clip in spoke]
noise = np.random.default_rng(0)
trembling = [pose + noise.normal(0, 0.02, pose.shape) for pose in poses]
scores = {}
for name, bodies in {"as they are": poses, "trembling": trembling}.items():
    own, other = metrics.mismatched(metrics.beat_consistency, bodies, beats)
    scores[name] = own, own - other
    print(f"{name:12s} own {own:.2f}, another's {other:.2f}")
assert scores["trembling"][0] > scores["as they are"][0]
assert scores["as they are"][1] > 0.05 > abs(scores["trembling"][1])

# %% [markdown]
# The score goes *up* when everyone shakes, and only the control tells.
# Now with real speech: six pieces of ten seconds of the one recording of BEAT2 {cite:p}`liu2024emage` that comes with sound.

# %% mystnb={"image": {"alt": "Dot plot of beat consistency, one row per kind of motion and measure, a dot for a clip's own sound and a cross for the sound of another clip. For the generated talkers with known accents the dot lies well right of the cross; for the recording the two lie nearly on top of each other in every row."}, "figure": {"caption": "Beat consistency with a clip's own sound (dots) and with another's (crosses). The distance between the two is what the gestures owe to the voice.", "name": "fig-space-beats"}}
space_charts.beats()
plt.show()

# %% [markdown]
# | beat consistency | own sound | another's |
# |---|---|---|
# | talkers of the world, true accents | {result}`syntalker/metrics/small/0:world_accents ; .3f` | {result}`syntalker/metrics/small/0:world_accents_other ; .3f` |
# | the same, a third of $\sigma$ | {result}`syntalker/metrics/small/0:world_accents_narrow ; .3f` | {result}`syntalker/metrics/small/0:world_accents_narrow_other ; .3f` |
# | the same talkers, detected onsets | {result}`syntalker/metrics/small/0:world_onsets ; .3f` | {result}`syntalker/metrics/small/0:world_onsets_other ; .3f` |
# | recording, clean | {result}`syntalker/metrics/small/0:beat2_clean ; .3f` | {result}`syntalker/metrics/small/0:beat2_clean_other ; .3f` |
# | recording, as released | {result}`syntalker/metrics/small/0:beat2_released ; .3f` | {result}`syntalker/metrics/small/0:beat2_released_other ; .3f` |
# | as released, on folded positions | {result}`syntalker/metrics/small/0:beat2_folded ; .3f` | {result}`syntalker/metrics/small/0:beat2_folded_other ; .3f` |
# | recording and a tremor of two centimetres | {result}`syntalker/metrics/small/0:beat2_tremor ; .3f` | {result}`syntalker/metrics/small/0:beat2_tremor_other ; .3f` |
#
# *Folded* is what the released script measures: the function before it has overwritten the positions by their distance from the mean, so that a joint seems to stop wherever it passes its middle.
# Six pieces of one speaker settle nothing about people; they do show how little room the measure leaves between a voice and any other voice, and published methods lie within a few hundredths of each other.
#
# ### What a body cannot hide
#
# Feet that slide, joints that tremble, and how much is going on at all. None of these knows what was asked for; together they catch what a distance of clouds forgives.

# %%
stand = next(clip for clip in movers(12, drawn, actions=("stand",)))
still = stand.motion.positions
glide = still + np.arange(len(still))[:, None, None] * np.array([0.01, 0, 0])
for name, body in {"standing": still, "gliding": glide}.items():
    print(f"{name}: skate {metrics.foot_skate(body):.2f} m/s")
assert abs(metrics.foot_skate(glide) - metrics.foot_skate(still) - 0.3) < 0.02
assert abs(metrics.jitter(glide) - metrics.jitter(still)) < 1e-3

# %% [markdown]
# | mean over clips | talkers | movers | BEAT2 | motion capture |
# |---|---|---|---|---|
# | foot skate | {result}`syntalker/metrics/small/0:skate_talkers ; .3f` | {result}`syntalker/metrics/small/0:skate_movers ; .3f` | {result}`syntalker/metrics/small/0:skate_beat2 ; .3f` | {result}`syntalker/metrics/small/0:skate_cmu ; .3f` |
# | jitter | {result}`syntalker/metrics/small/0:jitter_talkers ; .0f` | {result}`syntalker/metrics/small/0:jitter_movers ; .0f` | {result}`syntalker/metrics/small/0:jitter_beat2 ; .0f` | {result}`syntalker/metrics/small/0:jitter_cmu ; .0f` |
# | spread about the mean pose | {result}`syntalker/metrics/small/0:spread_talkers ; .1f` | {result}`syntalker/metrics/small/0:spread_movers ; .1f` | {result}`syntalker/metrics/small/0:spread_beat2 ; .1f` | {result}`syntalker/metrics/small/0:spread_cmu ; .1f` |
#
# Real bodies are the yardstick: feet of motion capture do slide a little once they are put on another skeleton, and spread, which papers call diversity, counts more joints where there are hands.

# %% [markdown]
# ## Use it on your own motion
#
# A folder of BVH files, a sentence, and what fits best. The folder is made here, of people that the space has not met.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

folder = TemporaryDirectory()
drawn = torch.Generator().manual_seed(8)
for clip in movers(6, drawn, 3.0, syntalker.BODY, ACTIONS):
    name = clip.truth.action
    clip.motion.save(Path(folder.name) / f"{name}.bvh")
files = sorted(Path(folder.name).glob("*.bvh"))

# %%
moves = [syntalker.Motion.load(f).resampled(30) for f in files]
moves = [syntalker.retarget(move, syntalker.BODY) for move in moves]
coded = [featured(move.positions).features[None, :64] for move in moves]
places = [space.embed_motion(features) for features in coded]
asked = space.embed_text(*text(["someone takes a seat on a chair"])[:2])
best = losses.cosine(asked, torch.cat(places))[0].argmax()

# %%
print(files[best].name, "of", len(files))
assert files[best].stem == "sit"
folder.cleanup()

# %% [markdown]
# `files[best]` is a path; `moves[best].show()` plays it on the page.
# With a sentence model in a folder of yours, `syntalker.SentenceEncoder(folder)` takes the place of the hashes, and synonyms work; the space must be trained with the model it is used with.

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract and the overview figure, not the body of the paper; what follows is the released *code's*.
# The full register is on the [page of deviations](../book/deviations.md).
#
# 1. **Speech is not in the space.** The abstract speaks of a space of motion, speech and prompts. In the code it holds motion and prompts; speech is a second condition beside it.
# 2. **No sentence is ever seen by the denoiser in training.** The sampling of text in place of motion is set to never. All control by text comes through the alignment, which makes it the first thing to take away ({claim}`syntalker.small.aligned`).
# 3. **The speech corpus never enters the space.** It is trained on HumanML3D {cite:p}`guo2022humanml3d`; the pseudo-prompts of talkers come from an encoder that has never met one.
# 4. **And it meets them at another scale.** Speech clips are normalised twice on their way to the motion encoder, others once. Ours normalises inside, once, whatever comes.
# 5. **Equal captions stay negatives**, as far as rounding lets them ([D82](../book/deviations.md), {claim}`syntalker.small.duplicates`).
# 6. **What ties lengths is the last layer norm.** No loss in the list is needed for it; the section on Gaussians has the control.
# 7. **A KL to the standard normal** is in the code and switched off. Means and variances are tied to each other and to nothing else.
# 8. **Metrics change what they measure.** Diversity overwrites the positions that beat consistency reads next; a mask is made on the whole clip and read on a part ([D89](../book/deviations.md)). Average over beats of the sound, as in the code, or of the gesture, as in the formula: two different numbers.
# 9. **The language model** here is a hash of words unless you bring one ([D91](../book/deviations.md)).

# %%
from lithe.syntalker.normaliser import Normaliser

scaler = Normaliser.fit([clip.features for clip in corpus.train])
once = scaler(motion)
twice = scaler(once)
size_of = [float(x.square().mean().sqrt()) for x in (once, twice)]
print(f"root mean square once {size_of[0]:.1f}, twice {size_of[1]:.0f}")
assert size_of[1] > 5 * size_of[0]

# %% [markdown]
# ## Reproduction
#
# The table is computed: each row holds a claim, its test, and what the records say.
# Its tests were fixed before the first of these runs.
#
# ```{claims-table}
# :paper: syntalker
# :only: syntalker.small.aligned syntalker.small.learned syntalker.small.negatives syntalker.small.duplicates syntalker.small.other-losses
# ```
#
# ````{dropdown} Sizes of the released networks
# ```{claims-table}
# :paper: syntalker
# :only: syntalker.exact.space
# ```
# ````
#
# The generated world has {result}`syntalker/world-space-corrected/small/0:params.clips` movers to learn from, and is asked with sentences of a template that nobody learned from, about people nobody has seen.
# The motion capture is {result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r1|n` held-out pieces of recordings whose other pieces were learned from; {result}`syntalker/world-space-corrected/small/*:text_to_motion_r1|seeds` seeds each.

# %% mystnb={"image": {"alt": "Two panels, generated world and motion capture. One row for each of six ways to train the space, with points and 95 percent intervals for R at 1 from text to motion and from motion to text, and a dashed line for chance."}, "figure": {"caption": "Held-out retrieval of every variant, mean over seeds with 95 % intervals; dashed: guessing. Only *shuffled* should lie on it.", "name": "fig-space-retrieval"}}
space_charts.retrieval()
plt.show()

# %% [markdown]
# | R@1 (R@3), text to motion | generated world | motion capture |
# |---|---|---|
# | all losses, corrected filter | {result}`syntalker/world-space-corrected/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-corrected/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r3 ; mean`) |
# | filter as released | {result}`syntalker/world-space-released/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-released/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-released/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-released/small/*:text_to_motion_r3 ; mean`) |
# | no filter | {result}`syntalker/world-space-unfiltered/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-unfiltered/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-unfiltered/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-unfiltered/small/*:text_to_motion_r3 ; mean`) |
# | contrast alone | {result}`syntalker/world-space-contrast-only/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-contrast-only/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-contrast-only/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-contrast-only/small/*:text_to_motion_r3 ; mean`) |
# | no contrast | {result}`syntalker/world-space-unaligned/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-unaligned/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-unaligned/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-unaligned/small/*:text_to_motion_r3 ; mean`) |
# | captions exchanged | {result}`syntalker/world-space-shuffled/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/world-space-shuffled/small/*:text_to_motion_r3 ; mean`) | {result}`syntalker/cmu-space-shuffled/small/*:text_to_motion_r1 ; mean` ({result}`syntalker/cmu-space-shuffled/small/*:text_to_motion_r3 ; mean`) |
# | guessing | {result}`syntalker/world-space-corrected/small/0:chance_r1 ; .1f` | {result}`syntalker/cmu-space-corrected/small/0:chance_r1 ; .1f` |
#
# The seeds share corpora and first weights with their controls, so differences are taken seed by seed.

# %% mystnb={"image": {"alt": "Dot plot of paired differences in R at 1 from text to motion, one row for each comparison and corpus, with 95 percent intervals."}, "figure": {"caption": "What each part of the training is worth: paired differences with 95 % intervals over seeds; a diamond marks an interval that excludes zero.", "name": "fig-space-differences"}}
space_charts.differences()
plt.show()

# %% [markdown]
# To run it again: `python -m lithe.run 06_syntalker_space --profile small`.
# The space at its released size, on HumanML3D features of your own: `python -m lithe.syntalker.run --key tmr --data-folder FEATURES --text hub:OWNER/NAME --text-sha256 SUM`.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** Taking the contrast away changes R@1 by {result}`syntalker/world-space-unaligned/small/*:text_to_motion_r1 - syntalker/world-space-corrected/small/*:text_to_motion_r1|diff` in the world and {result}`syntalker/cmu-space-unaligned/small/*:text_to_motion_r1 - syntalker/cmu-space-corrected/small/*:text_to_motion_r1|diff` on motion capture.
# The filter of negatives comes out at {result}`syntalker/world-space-corrected/small/*:text_to_motion_r1 - syntalker/world-space-unfiltered/small/*:text_to_motion_r1|diff` and {result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r1 - syntalker/cmu-space-unfiltered/small/*:text_to_motion_r1|diff`, its correction at {result}`syntalker/world-space-corrected/small/*:text_to_motion_r1 - syntalker/world-space-released/small/*:text_to_motion_r1|diff` and {result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r1 - syntalker/cmu-space-released/small/*:text_to_motion_r1|diff`.
# The filter compares *hashes of words* here: to them, captions that say the same in other words are not alike, and of all pairs in a batch only {result}`syntalker/negatives/small/0:alike_world|.2f` (world) and {result}`syntalker/negatives/small/0:alike_cmu|.1f` (motion capture) are left out. A sentence model would leave out more.
# The decoder and its companions are worth {result}`syntalker/world-space-corrected/small/*:text_to_motion_r1 - syntalker/world-space-contrast-only/small/*:text_to_motion_r1|diff` and {result}`syntalker/cmu-space-corrected/small/*:text_to_motion_r1 - syntalker/cmu-space-contrast-only/small/*:text_to_motion_r1|diff` for retrieval; what they are worth to a denoiser, retrieval cannot say.
#
# **What was easy.** Losses, filter, encoders and measures agree with the released numbers to rounding; the networks have the released number of weights.
#
# **What was hard.** Telling a measure that moves from one that means something. A beat score rises with noise; a Fréchet distance has a floor set by the number of clips; recall counts two people who walk as each other's mistake unless one says otherwise.
#
# ### Break it on purpose
#
# Take the negatives filter away, and let two captions say the same: the first two of four.
# Captions and motions are free vectors here, so that nothing but the contrast moves them.


# %%
def settle(ignored, equal=False):
    start = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    start[1] = start[0] + 0.3 * start[1]
    said, moved = (start.clone().requires_grad_() for _ in range(2))
    adam = torch.optim.Adam([said, moved], lr=0.05)
    for _ in range(200):
        captions = said[[0, 0, 2, 3]] if equal else said
        adam.zero_grad()
        losses.info_nce(moved, captions, 0.1, ignored).backward()
        adam.step()
    return losses.cosine(moved, moved).detach()[0, 1]


# %%
pairs = torch.zeros(4, 4, dtype=torch.bool)
pairs[0, 1] = pairs[1, 0] = True
ended = {
    "in other words, left out": settle(pairs),
    "in other words, as negatives": settle(None),
    "in the same words, as negatives": settle(None, equal=True),
}
for name, angle in ended.items():
    print(f"{name:32s} cosine {angle:5.2f}")

# %% [markdown]
# No error is raised, and the loss falls in all three.
# Two motions that mean the same are driven apart when their captions differ in *wording*. When the captions are the very same words, they have one vector; then no motion can be nearer to its own than to the other's, and the two are not driven apart: the loss only keeps a floor that nothing can lower.
# So the bug of the released filter, which lets the second kind through, is the milder one.
# The check that catches it compares what means the same:

# %%
left_out, negatives, equal = (float(angle) for angle in ended.values())
assert left_out > 0.7 > 0.3 > negatives
assert equal > 0.7
identical = losses.info_nce(torch.eye(4)[[0, 0]], torch.eye(4)[[0, 0]])
assert torch.isclose(identical, torch.tensor(2.0).log())

# %% [markdown]
# ## Exercises
#
# **1.** What is the loss {eq}`eq-space-infonce` of a batch of two whose motions and captions match exactly and are orthogonal, at temperature $\tau$?
#
# ```{admonition} Solution
# :class: dropdown
# $\log(1 + e^{-1/\tau})$ both ways: at $\tau = 0.1$ less than $10^{-4}$, at $\tau = 1$ still a third. A low temperature says that a cosine of one against zero is certainty.
# ```
#
# **2.** Why is the KL taken both ways, and what would one way alone allow?
#
# ```{admonition} Solution
# :class: dropdown
# $\mathrm{KL}(q_t \| q_m)$ punishes text that goes where motion has no mass, and lets it settle in a corner of it; the other way punishes text that leaves out what motion covers. Together they ask for the same place *and* the same width. Try `losses.gaussian_kl` with one wide and one narrow Gaussian.
# ```
#
# **3.** A generator stops every joint for one frame in ten. What does beat consistency say, toward the sound and toward the gesture? What does the control say?
#
# ```{admonition} Solution
# :class: dropdown
# Toward the sound nearly one: an onset is never far from a stop. Toward the gesture, `toward="gesture"`, it falls to what random instants would get. The control, `metrics.mismatched`, is as high as the score.
# ```
#
# **4.** Train the toy with `size.model_copy(update={"unit": True})`. Does retrieval change, and could it?
#
# ```{admonition} Solution
# :class: dropdown
# Not at all: `unit` acts where embeddings are handed out, and recall compares directions. It matters to whoever uses lengths, such as the next stage.
# ```
#
# **5.** Give the search a sentence about something that no clip shows. How would you notice?
#
# ```{admonition} Solution
# :class: dropdown
# The nearest is always somewhere, so look at the similarity itself: compare it with those of sentences and clips that belong together, `losses.cosine(prompts, places)` on the held-out pairs, and refuse below, say, their fifth percentile.
# ```
#
# ## Further reading
#
# The space itself, and what filtering negatives gave at full scale: {cite:t}`petrovich2023tmr`.
# The captions and the features: {cite:t}`guo2022humanml3d`.
# Beat consistency, diversity and the corpus of speech: {cite:t}`liu2024emage`.
