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
# (ch-syntalker-motion)=
# # Hold motion in a program
#
# Someone talks, and the body talks with them; on request it walks or sits down meanwhile.
# SynTalker {cite:p}`chen2024syntalker` generates such motion from speech and from prompts, though no recording that it learns from has both.
# Before anything is generated, motion has to become numbers that a network can learn and give back.
# This chapter builds that: skeletons and files, features, what is heard of speech, and the codec that turns every body part into a short row of codes.
# The next chapter, on the [space that motion and text share](ch-syntalker-space), and the one after it build on all of this.
#
# ```{verdict-box}
# :paper: syntalker
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: pose a skeleton, read and write motion files, encode motion into features and recover it, find onsets in speech, quantise residuals by hand, and train a codec on a motion of your own.
# - **Be able to explain**: why two corpora that never meet are a problem, what a second codebook adds to the first, and why a long motion is decoded in one piece.
# - **Need**: convolutions, rotation matrices, and stochastic gradient descent; no GPU, no licensed body model.
# - **Time**: forty minutes to read, under a minute to run.

# %% tags=["parameters"]
profile = "smoke"
overrides = {}

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from lithe import ledger, profiles, syntalker
from lithe.syntalker import charts, h3d, run
from lithe.syntalker.world import movers, talkers

torch.set_num_threads(1)
config = profiles.load("05_syntalker_motion", profile, run.Config, **overrides)
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)

# %% [markdown]
# ## The claim in one picture
#
# A corpus of speech shows people who stand and talk. Nobody has written down what they do.
# A corpus of captioned motion shows people who walk, sit, jump and wave. They are silent.
# The two come from different bodies of data, here from a generated world with the same gap, and no clip of either has speech *and* a caption.

# %% mystnb={"image": {"alt": "Two panels. Left: paths of the body seen from above; those of the movers reach metres in several directions, those of the talkers are one dot at the origin. Right: bars of the share of clips with speech, with captions and with both; all talkers have speech, all movers have captions, none has both."}, "figure": {"caption": "Talkers stand (left, the dot in the middle), movers walk; speech comes with the ones, captions with the others, and nothing with both (right).", "name": "fig-syntalker-corpora"}}
generator = torch.Generator().manual_seed(0)
standing, moving = talkers(6, generator), movers(32, generator)
charts.corpora(standing, moving)
plt.show()


# %%
def reach(clip):
    """How far the root gets from where it began, metres."""
    away = (clip.motion.root - clip.motion.root[0])[:, [0, 2]]
    return float(np.linalg.norm(away, axis=1).max())


farthest = max(map(reach, standing)), max(map(reach, moving))
print("a talker gets {:.2f} m away, a mover {:.1f} m".format(*farthest))
assert farthest[0] < 0.2 < 2 < farthest[1]
assert all(clip.speech and not clip.captions for clip in standing)
assert all(clip.captions and not clip.speech for clip in moving)

# %% [markdown]
# Real speech corpora stand as well: in the minute that comes with the released code, the speaker's pelvis stays within {result}`syntalker/speech/small/0:root_range_short|.1f` by {result}`syntalker/speech/small/0:root_range_long|.1f`.

# %% [markdown]
# ## Notation
#
# | symbol | code | shape | meaning |
# |---|---|---|---|
# | $p$ | `positions` | `(t, j, 3)` | where the joints are, in metres, $y$ up |
# | $o_j$ | `skeleton.offsets` | `(j, 3)` | rest position of a joint relative to its parent $\pi(j)$ |
# | $L_j$, $R_j$ | `rotations`, `world_rotations` | `(t, j, 3, 3)` | local rotation of a joint, and its rotation in the world |
# | $x$ | `features` | `(t, d)` | the numbers of a frame; 623 for 52 joints, 263 for 22 |
# | $w$ | `wave` | `(samples,)` | sound |
# | $z$ | `latents` | `(t / 4, …)` | what the encoders make of $x$, four frames to one |
# | $r_k$, $q_k$ | `residual`, `code` | `(d,)` | what is left for codebook $k$, and the code it takes |
# | $\mu$ | `decay` | scalar | share of the past in a codebook's moving averages |
# | $\tau$ | `temperature` | scalar | how freely codes are drawn in training |
#
# The letters are ours: we could read the abstract and the overview figure of the paper, and its released code.

# %% [markdown]
# ## Build it up
#
# ### Pose a skeleton
#
# A body is a tree of joints: 22 from the pelvis to the wrists, or 52 with all fingers.
# Each joint has a place relative to its parent, and turns with everything above it:
#
# $$p_j = p_{\pi(j)} + R_{\pi(j)}\, o_j, \qquad R_j = R_{\pi(j)}\, L_j$$ (eq-syntalker-fk)
#
# ```{literalinclude} ../src/lithe/syntalker/kinematics.py
# :pyobject: fk
# ```
#
# The released method takes its joints from a body model under a licence of its own.
# Ours are round numbers of an adult, so nothing has to be asked for.
# Stand with the arms out, and bend one elbow by a right angle.

# %%
body = syntalker.BODY
elbow, wrist = body.index("left_elbow"), body.index("left_wrist")
turns = np.tile(np.eye(3), (2, len(body), 1, 1))
turns[1, elbow] = syntalker.from_axis_angle(np.array([0.0, 0.0, np.pi / 2]))
places = syntalker.fk(turns, np.zeros((2, 3)), body)
forearm = places[:, wrist] - places[:, elbow]
print("the forearm before and after:", forearm.round(2).tolist())
assert np.allclose(forearm[1], (0, 0.25, 0), atol=1e-6)

# %% [markdown]
# A `Motion` is positions, and where they are known rotations, at a frame rate, with its sound.
# It shows itself: drag to look from elsewhere, move along the bar, press the space bar.
# To the left a talker, whose hands come to rest where the voice is stressed; to the right a mover.

# %% tags=["nbval-ignore-output"]
talker = syntalker.talker(3, 3.0)
mover = syntalker.mover(11, "walk in a curve", 3.0, body)
labels = ("a talker", mover.captions[0])
assert talker.speech.seconds == talker.motion.seconds == 3.0
talker.motion.show(mover.motion, labels=labels)

# %% [markdown]
# Motion goes out as BVH, which animation programs read, as GLB, which browsers and telephones open, as npz, or as a film with sound; BVH and npz come in again.

# %%
for ending in ("bvh", "npz", "glb"):
    talker.motion.save(folder / f"talker.{ending}")
again = syntalker.Motion.load(folder / "talker.bvh")
print(again)
assert np.abs(again.positions - talker.motion.positions).max() < 1e-4
same = syntalker.Motion.load(folder / "talker.npz")
assert np.array_equal(same.positions, talker.motion.positions)

# %% [markdown]
# ### Describe a frame by 623 numbers
#
# Positions in the world are a poor thing to learn: the same step looks different in every direction and at every place.
# The layout of HumanML3D {cite:p}`guo2022humanml3d` tells every frame relative to the body.
#
# | channels | content |
# |---|---|
# | 0 | turn of the heading since the frame before, as half an angle |
# | 1, 2 | velocity of the root, sideways and forward |
# | 3 | height of the root |
# | 4 to 156 | positions of joints 1 to 51, heading removed |
# | 157 to 462 | their rotations, six numbers each |
# | 463 to 618 | velocities of all 52 joints |
# | 619 to 622 | whether ankles and feet stand still |
#
# The heading looks along the floor, at right angles to hips and shoulders:
#
# $$a = (p_\text{right hip} - p_\text{left hip}) + (p_\text{right shoulder} - p_\text{left shoulder}), \qquad f = \hat y \times a$$ (eq-syntalker-heading)
#
# The way back sums up what was differenced. It looks at the first 157 channels alone; the others are there to be learned.
#
# ```{literalinclude} ../src/lithe/syntalker/h3d.py
# :pyobject: recover
# ```
#
# Before it is encoded, a motion is brought to one skeleton, onto the floor, to the origin, and to face ahead; up to that, nothing is lost.
# And every channel belongs to one of three body parts.

# %%
positions = talker.motion.positions
features = h3d.encode(positions)
back = h3d.recover(features)
print(features.shape, {part: len(own) for part, own in h3d.PARTS.items()})
assert np.abs(back - h3d.canonical(positions)[:-1]).max() < 1e-5
shared_out = np.concatenate(list(h3d.PARTS.values()))
assert np.array_equal(np.sort(shared_out), np.arange(623))

# %% [markdown]
# Three quirks are in the released features, and models trained on such features have seen them, so `released=True` is the default of `encode`.
# The heading is taken from the *difference* of hips and shoulders in {eq}`eq-syntalker-heading`, because two lists are in another order; smoothing over time hides most of it.
# A foot counts as standing below a speed that was tuned at another frame rate.
# And the six numbers are the first two *columns* of a rotation here, while the variant of the method without prompts writes its two *rows*.

# %%
walk = syntalker.mover(1, "walk", 6.0, in_progress=0).motion.positions
at = h3d.channels()
shares = []
for released in (True, False):
    x = h3d.encode(walk, released=released)
    turned = np.degrees(2 * x[:, at["yaw"]].sum())
    shares.append(x[:, at["contact"]].mean())
    print(f"{released=!s:5}: turns {turned:.1f} deg, contact {shares[-1]:.2f}")
assert shares[0] > shares[1]
turn = syntalker.from_axis_angle(np.array([0.3, -0.2, 1.0]))
columns = syntalker.rotation_6d(turn, "columns")
assert np.allclose(syntalker.from_rotation_6d(columns, "columns"), turn)
assert np.allclose(syntalker.from_rotation_6d(columns, "rows"), turn.T)

# %% [markdown]
# The last line is why this goes unnoticed: read in the wrong convention, a rotation is a rotation still, the inverse one.
#
# ### Hear speech
#
# Of the sound the network gets two numbers a sample: how loud it is about to be, and whether something sets in.
#
# $$A_n = \max_{0 \le m < 1024} |w_{n+m}|$$ (eq-syntalker-amplitude)
#
# ```{literalinclude} ../src/lithe/syntalker/amplitude.py
# :pyobject: amplitude_onset
# ```
#
# Onsets are found in frames of 512 samples.
# The released code takes the number of the frame for the number of the sample: all flags of a recording lie in its beginning, and the channel is all but empty.

# %% mystnb={"image": {"alt": "Left: amplitude of some seconds of speech; ticks for corrected onset flags lie where the amplitude rises, those of the released code in one bundle at the very start. Right: number of flags in each training clip of a recorded minute, released and corrected; released it is zero in all but the first."}, "figure": {"caption": "Flags as released crowd at the start of a recording (left), so hardly a training clip of the demo recording holds any (right).", "name": "fig-syntalker-onsets"}}
charts.onsets(talker.speech)
plt.show()

# %%
wave = talker.speech.wave
corrected = np.flatnonzero(syntalker.amplitude_onset(wave)[:, 1])
released = np.flatnonzero(syntalker.amplitude_onset(wave, released=True)[:, 1])
print(
    len(corrected), "onsets; the last at samples", corrected[-1], released[-1]
)
assert np.array_equal(corrected, released * 512)
assert released[-1] < 0.1 * 16_000 < corrected[-1]

# %% [markdown]
# Words come with times from an aligner's file (TextGrid, CTM, JSON, tables), or as plain text, which is then spread over what sounds.
# Each frame of motion gets the number of the word that is being said.

# %%
from lithe.syntalker.vocabulary import Vocabulary
from lithe.syntalker.words import spread

told = talker.speech.words
text = " ".join(word.text for word in told)
guessed = spread(text, wave)
late = [
    abs(a.start + a.end - b.start - b.end) / 2 for a, b in zip(told, guessed)
]
vocabulary = Vocabulary.build([text])
heard, words = syntalker.speech_features(talker.speech, vocabulary, frames=90)
print(text, "|", heard.shape, words.shape, f"off by {max(late):.2f} s at most")
assert max(late) < 0.2 and set(words) > {vocabulary["garden"]}

# %% [markdown]
# ### Quantise what is left over
#
# A codebook replaces a vector by the nearest of its codes. What remains goes to the next codebook, and so on:
#
# $$r_0 = z, \qquad q_k = \arg\min_{c \,\in\, C_k} |r_k - c|, \qquad r_{k+1} = r_k - q_k, \qquad \hat z = \sum_k q_k$$ (eq-syntalker-rvq)
#
# With three codebooks of two codes each, by hand:

# %%
books = torch.tensor([[-2.0, 2.0], [-0.5, 0.5], [-0.2, 0.2]])
left, taken = 1.35, []
for book in books:
    taken.append(float(book[(left - book).abs().argmin()]))
    left -= taken[-1]
    print(f"take {taken[-1]:4.1f}, leave {left:5.2f}")
assert abs(sum(taken) - 1.3) < 1e-6

# %% [markdown]
# Six stored numbers make eight sums.
# At the released size it is six codebooks of 512 codes: their storage grows with the sum of the codebooks, the sums with the product.
#
# ```{literalinclude} ../src/lithe/syntalker/quantizer.py
# :pyobject: ResidualQuantizer.project
# ```

# %%
rvq = syntalker.ResidualQuantizer(layers=3, codes=2, dim=1)
rvq.set_codebooks(books[..., None]).eval()
z = torch.full((1, 1, 1), 1.35)
total, codes = rvq.project(z)
print(f"{total.item():.1f} from the codes {codes.flatten().tolist()}")
assert torch.equal(rvq.decode(codes), total)
assert abs(total.item() - sum(taken)) < 1e-6

# %% [markdown]
# ### Let the codebooks follow their data
#
# No gradient reaches a code. Its codebook keeps a running sum $S_i$ and count $N_i$ of the vectors assigned to code $i$, and the code is their mean:
#
# $$S_i \leftarrow \mu S_i + (1 - \mu) \sum_{n:\, i(n) = i} r_n, \qquad N_i \leftarrow \mu N_i + (1 - \mu)\, \bigl|\{n : i(n) = i\}\bigr|, \qquad c_i = S_i / N_i$$ (eq-syntalker-ema)
#
# A code whose count falls below 1 is *reset*: a vector of the batch takes its place.
#
# ```{literalinclude} ../src/lithe/syntalker/codebook.py
# :pyobject: Codebook.learn
# ```
#
# In training, codes are drawn rather than chosen, the nearer the likelier, by $\arg\max_i\, (-|r - c_i|^2 / \tau + g_i)$ with Gumbel noise $g$; and now and then only the first few codebooks take part, which is called *quantise dropout*.

# %%
draw = torch.Generator().manual_seed(0)
cloud = torch.randn(8, 4, 64, generator=draw)
learner = syntalker.ResidualQuantizer(3, 16, 4, decay=0.9, temperature=0.0)
for _ in range(60):
    learner.train()(cloud, generator=draw)
learner.eval()
rest = [cloud - learner.project(cloud, layers=k)[0] for k in (1, 2, 3)]
shares = [float(r.square().mean() / cloud.square().mean()) for r in rest]
print("variance left by 1, 2, 3 codebooks:", [f"{s:.2f}" for s in shares])
assert shares[0] > 2 * shares[1] > 4 * shares[2]

# %% [markdown]
# The encoder does get a gradient: past the choice of a code it is passed *straight through*, as if nothing had been chosen {cite:p}`vandenoord2017vqvae`.
# The released code does that at every codebook, so the encoder receives its gradient once for each.

# %%
received = {}
for mode in ("released", "once"):
    net = syntalker.ResidualQuantizer(3, 2, 1, straight_through=mode)
    net.set_codebooks(books[..., None]).eval()
    z = torch.full((1, 1, 1), 1.35, requires_grad=True)
    net(z).output.sum().backward()
    received[mode] = z.grad.item()
print("gradient of the sum of the output:", received)
assert received == {"released": 3.0, "once": 1.0}

# %% [markdown]
# ### One codec per part, one pass per motion
#
# Upper body, hands and lower body have a codec each, so that later each can follow a wish of its own.
# An encoder of convolutions makes one latent of four frames, the quantiser puts it on the learned manifold, a decoder makes four frames of it again.
# Per part the loss is
#
# $$\mathcal{L} = \mathrm{SmoothL1}(\hat x, x) + 0.02\, \overline{|r_k - q_k|^2}$$ (eq-syntalker-vq)
#
# ```{literalinclude} ../src/lithe/syntalker/codec.py
# :pyobject: BodyCodec.decode
# ```
#
# Counted without allocating them, the three networks have the published sizes.

# %%
counts = {}
with torch.device("meta"):
    for part, own in h3d.PARTS.items():
        network = syntalker.MotionVQ(len(own))
        counts[part] = sum(p.numel() for p in network.parameters()) / 1e6
print({part: f"{count:.2f} M" for part, count in counts.items()})
assert [round(c, 2) for c in counts.values()] == [19.11, 19.73, 18.96]

# %% [markdown]
# Dilated convolutions see far. Move one latent, and look how many frames change.

# %%
from lithe.syntalker.vqvae import SMALL

network = syntalker.MotionVQ(8, SMALL, draw).eval().double()
latents = torch.randn(1, 96, SMALL.latent, generator=draw, dtype=torch.float64)
moved = latents.clone()
moved[:, 48] += 1
with torch.inference_mode():
    frames = [network.decode(one, quantise=False) for one in (latents, moved)]
changed = (frames[0] - frames[1]).abs().amax(-1).count_nonzero().item()
print("one latent of four frames moves", changed, "frames")
assert changed > 2 * config.window

# %% [markdown]
# A window of training is shorter than that.
# Decoded in windows, every frame near an edge is computed from padding instead of what follows.

# %% [markdown]
# ## The whole method on a small problem
#
# A generated world of both corpora, encoded; three codecs, one a part, trained side by side; and clips of other people, encoded and decoded.
# A call trains whatever the profile asks for, writes a record of each run, and does nothing where the record is there already.
# At `smoke` that is a handful of passes over few clips, too few to learn much: enough to see the machinery turn.

# %%
ids = run.run(config)
place = f"syntalker/world-codec-parts/{config.profile}/0"
[found] = ledger.find(place)
for k in range(1, config.layers + 1):
    print(
        f"codebooks in use {k}: {found.metric(f'error_layers_{k}').value:.0f} mm"
    )
used = found.metric("perplexity").value
print(f"of {config.codes} codes {used:.0f} are in use, effectively")
assert place in ids
assert (
    found.metric("error").value
    == found.metric(f"error_layers_{config.layers}").value
)
assert 1 <= used <= config.codes

# %% [markdown]
# The error is the mean distance of a joint to where it was, root and heading aside.
# Perplexity is the exponential of the entropy with which codes are used: 1 for a codebook of which one code does everything, 64 where all 64 share the work.

# %% [markdown]
# ## Use it on your own motion, or voice
#
# Your file is a BVH of any human skeleton with any units and order of channels, or an SMPL-X npz such as BEAT2's.
# Here a mover's file stands in for it.

# %%
from lithe.syntalker.material import featured

yours = syntalker.mover(11, "sit", 6.0, in_progress=0).motion
path = yours.save(folder / "yours.bvh")

motion = syntalker.retarget(syntalker.Motion.load(path), syntalker.BODY)
motion.save(folder / "yours.glb")
clip = featured(motion.positions)
print(motion, "->", tuple(clip.features.shape))
assert np.isfinite(h3d.recover(clip.features.numpy())).all()

# %% [markdown]
# A codec of its own, trained on nothing but that motion:

# %%
from lithe.syntalker.clips import Windows
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.stage1 import codec_recipe, train_codec

codec = syntalker.BodyCodec(
    h3d.parts(22),
    SMALL,
    normaliser=Normaliser.fit([clip.features]),
    generator=torch.Generator().manual_seed(0),
)
recipe = codec_recipe(40, lr=1e-3, batch_size=16, seed=0)
history = train_codec(codec, Windows([clip], 64, 4), recipe, progress=False)
losses = history["train_loss"]
assert losses[-1] < losses[0] / 3

# %% [markdown]
# Now decode the same latents twice: in one pass, and in windows of 16 latents.
# At the two ends of the motion the decoder sees padding either way.

# %% mystnb={"image": {"alt": "Mean movement of the joints from frame to frame of someone who sits down, three curves: original, decoded in one pass, decoded in windows. The curve of the windows has a sharp peak at every dotted window edge, even where the body stands still."}, "figure": {"caption": "At the edges of windows the body jumps, also where it should stand; in one pass it does not.", "name": "fig-syntalker-windows"}}
whole = clip.features[: len(clip.features) // 4 * 4][None]
latents = codec.eval().encode(whole)
decoded = {
    "original": whole[0],
    "in one pass": codec.decode(latents)[0],
    "in windows": codec.decode(latents, window=16)[0],
}
charts.windows({name: x.numpy() for name, x in decoded.items()}, 64)
plt.show()

# %%
from lithe.syntalker.seams import seams

jumps = {
    name: seams(torch.from_numpy(h3d.recover(x.numpy())), 64)
    for name, x in decoded.items()
}
for name, jump in jumps.items():
    print(f"{name}: at edges {1000 * jump.at:.0f} mm a frame")
assert jumps["in windows"].at > 2 * jumps["in one pass"].at

# %% [markdown]
# And your voice: a file of any rate, with a transcript or without; a word that no one taught is *unknown*.

# %%
from lithe.syntalker import sound

sound.save(folder / "voice.wav", wave)
speech = syntalker.Speech.load(folder / "voice.wav", "when i open the garden")
heard, words = syntalker.speech_features(speech, vocabulary, speech.frames())
print([word.text for word in speech.words], heard.shape)
assert len(words) == 90 and heard[:, 1].sum() > 5

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the overview figure and the released code, not the body of the paper; where they differ, this is what the *code* does.
# The full register is on the [page of deviations](../book/deviations.md).
#
# 1. **A body model is required, and not included** ({ref}`D80 <D80>`). So are both corpora. The layout of the features and every function on it are the released ones; the bodies and the world are ours.
# 2. **The onset channel is all but empty** ({ref}`D81 <D81>`). {result}`syntalker/speech/small/0:clips_with_onsets_released` of {result}`syntalker/speech/small/0:clips` training clips of the demo recording has a flag; placed right, a clip has {result}`syntalker/speech/small/0:onsets_per_clip_corrected|.1f`.
# 3. **The heading comes from a difference** ({ref}`D86 <D86>`), **and rotations from two conventions** ({ref}`D87 <D87>`). Both are kept, by name.
# 4. **Nearly every frame is a contact** ({ref}`D88 <D88>`). The threshold was tuned at {given}`20 frames a second | released: HumanML3D's scripts` and used at {given}`30 | released: this data`.
# 5. **The chains of arms and fingers begin at the root again.** Their rotations are relative to the pelvis, not to the bone they hang from. Nothing recovers positions from them, so nothing breaks.
# 6. **Codebooks do not survive a stop** ({ref}`D83 <D83>`). The released files hold the codes, not the averages behind them. The cell that breaks the method, below, shows what comes of it.
# 7. **The encoder's gradient is counted once for every codebook** ({ref}`D84 <D84>`), **and a velocity loss is read but not used.** Counted once instead, the joint error changes by {result}`syntalker/world-codec-once/small/*:error - syntalker/world-codec-parts/small/*:error|diff` in the generated world and by {result}`syntalker/cmu-codec-once/small/*:error - syntalker/cmu-codec-parts/small/*:error|diff` on motion capture.
# 8. **Dropping to index 0 keeps one codebook** ({ref}`D85 <D85>`).
# 9. **The temperature belongs to a width.** Squared distances grow with the width of a code, so {given}`0.5 | released: settings` at 512 channels would make the choice among codes of 32 pure chance. Small codecs here scale it with their width.
# 10. **Long clips dominate.** One training window per clip *and offset* means that a clip counts by its length.

# %%
from lithe.syntalker.vqvae import FULL, temperature_of

assert temperature_of(FULL.latent) == FULL.temperature == 0.5
assert SMALL.temperature == FULL.temperature * SMALL.latent / FULL.latent

# %% [markdown]
# ## Reproduction
#
# The tables are computed: each row holds a claim, its test, and what the records say.
# First the claims of direction about the codec, measured at small scale against their controls.
#
# ```{claims-table}
# :paper: syntalker
# :tier: T1
# :only: syntalker.small.depth syntalker.small.dropout syntalker.small.parts syntalker.small.noise syntalker.small.straight-through syntalker.small.seams syntalker.ours.codec-speed syntalker.ours.features-speed
# ```
#
# ````{dropdown} Sizes, onsets, and a speaker who stands
# ```{claims-table}
# :paper: syntalker
# :tier: T0
# :only: syntalker.exact.codecs syntalker.exact.onsets syntalker.exact.standing
# ```
# ````
#
# ````{dropdown} The paper's own codecs, with the command
# ```{claims-table}
# :paper: syntalker
# :tier: T2
# :only: syntalker.codec
# ```
# ````
#
# Two corpora: the generated world, 52 joints, talkers and movers; and recordings of the CMU motion-capture database {cite:p}`cmu-mocap`, 22 joints, whole recordings held out.
# {result}`syntalker/world-codec-parts/small/*:error|seeds` seeds; every variant of a seed starts from the same first weights where its shape allows, and sees the same windows in the same order.
#
# ### What a second codebook adds to the first

# %% mystnb={"image": {"alt": "Joint error in millimetres against the number of codebooks in use, for the generated world and for motion capture: curves with and without quantise dropout, and crosses for codecs that were trained with one or two codebooks."}, "figure": {"caption": "Joint error of held-out motion by codebooks in use: means over seeds with 95 % intervals; crosses are codecs that were trained with one or two.", "name": "fig-syntalker-depth"}}
charts.depth()
plt.show()

# %% [markdown]
# A codec that was trained with all its codebooks can be decoded with fewer; quantise dropout is there to make that useful.
# The crosses ask the other question: whether depth pays, or only length of training in each codebook.
#
# ### Which choices matter

# %% mystnb={"image": {"alt": "Two dot plots of paired differences in joint error, generated world and motion capture, one row per choice of the codec with its 95 percent interval."}, "figure": {"caption": "Paired differences in joint error with 95 % intervals over seeds. To the left of 0 the released choice is the better one.", "name": "fig-syntalker-ladder"}}
charts.ladder()
plt.show()

# %% [markdown]
# The control of the part split has two rows, since a whole body in a codec of one part's size has fewer weights and fewer codes as well.
#
# | codec | joint error, world | perplexity | joint error, motion capture | perplexity |
# |---|---|---|---|---|
# | parts, as released | {result}`syntalker/world-codec-parts/small/*:error ; mean` | {result}`syntalker/world-codec-parts/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:error ; mean` | {result}`syntalker/cmu-codec-parts/small/*:perplexity ; mean ; .1f` |
# | one codebook | {result}`syntalker/world-codec-depth-1/small/*:error ; mean` | {result}`syntalker/world-codec-depth-1/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-depth-1/small/*:error ; mean` | {result}`syntalker/cmu-codec-depth-1/small/*:perplexity ; mean ; .1f` |
# | two codebooks | {result}`syntalker/world-codec-depth-2/small/*:error ; mean` | {result}`syntalker/world-codec-depth-2/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-depth-2/small/*:error ; mean` | {result}`syntalker/cmu-codec-depth-2/small/*:perplexity ; mean ; .1f` |
# | no quantise dropout | {result}`syntalker/world-codec-no-dropout/small/*:error ; mean` | {result}`syntalker/world-codec-no-dropout/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-no-dropout/small/*:error ; mean` | {result}`syntalker/cmu-codec-no-dropout/small/*:perplexity ; mean ; .1f` |
# | nearest code in training | {result}`syntalker/world-codec-nearest/small/*:error ; mean` | {result}`syntalker/world-codec-nearest/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-nearest/small/*:error ; mean` | {result}`syntalker/cmu-codec-nearest/small/*:perplexity ; mean ; .1f` |
# | gradient once | {result}`syntalker/world-codec-once/small/*:error ; mean` | {result}`syntalker/world-codec-once/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-once/small/*:error ; mean` | {result}`syntalker/cmu-codec-once/small/*:perplexity ; mean ; .1f` |
# | whole body, a part's size | {result}`syntalker/world-codec-whole/small/*:error ; mean` | {result}`syntalker/world-codec-whole/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-whole/small/*:error ; mean` | {result}`syntalker/cmu-codec-whole/small/*:perplexity ; mean ; .1f` |
# | whole body, equal size | {result}`syntalker/world-codec-whole-equal/small/*:error ; mean` | {result}`syntalker/world-codec-whole-equal/small/*:perplexity ; mean ; .1f` | {result}`syntalker/cmu-codec-whole-equal/small/*:error ; mean` | {result}`syntalker/cmu-codec-whole-equal/small/*:perplexity ; mean ; .1f` |
#
# By part, the codec as released:
#
# | | world | motion capture |
# |---|---|---|
# | upper body | {result}`syntalker/world-codec-parts/small/*:error_upper ; mean` | {result}`syntalker/cmu-codec-parts/small/*:error_upper ; mean` |
# | hands | {result}`syntalker/world-codec-parts/small/*:error_hands ; mean` | no hands |
# | lower body | {result}`syntalker/world-codec-parts/small/*:error_lower ; mean` | {result}`syntalker/cmu-codec-parts/small/*:error_lower ; mean` |
# | codes never used on held-out clips | {result}`syntalker/world-codec-parts/small/*:dead ; mean` | {result}`syntalker/cmu-codec-parts/small/*:dead ; mean` |
#
# A hand is counted from the pelvis, as everything is, so its error holds that of the whole arm.
#
# ### Windows leave seams
#
# Movement of a joint between two frames, of the longest held-out clip:
#
# | | at window edges, world | elsewhere | at window edges, motion capture | elsewhere |
# |---|---|---|---|---|
# | original | {result}`syntalker/world-codec-parts/small/*:seam_original ; mean ; .1f` | {result}`syntalker/world-codec-parts/small/*:seam_original_elsewhere ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_original ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_original_elsewhere ; mean ; .1f` |
# | decoded in one pass | {result}`syntalker/world-codec-parts/small/*:seam_whole ; mean ; .1f` | {result}`syntalker/world-codec-parts/small/*:seam_whole_elsewhere ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_whole ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_whole_elsewhere ; mean ; .1f` |
# | decoded in windows | {result}`syntalker/world-codec-parts/small/*:seam_windowed ; mean ; .1f` | {result}`syntalker/world-codec-parts/small/*:seam_windowed_elsewhere ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_windowed ; mean ; .1f` | {result}`syntalker/cmu-codec-parts/small/*:seam_windowed_elsewhere ; mean ; .1f` |
#
# ### How fast
#
# At full size all three parts are encoded and decoded {result}`syntalker/speed/small/0:realtime|.0f` as fast as they play; {result}`syntalker/features/small/0:minutes` minutes of motion become features and positions again in {result}`syntalker/features/small/0:features_s|.1f`, with an error of {result}`syntalker/features/small/0:recovery_mm|.4f`.
#
# To run it again: `python -m lithe.run 05_syntalker_motion --profile small`.
# The paper's codecs at full size, on features of your own: `python -m lithe.syntalker.run --key rvq --data-folder FEATURES`.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** Against one codebook, all of them change the joint error by {result}`syntalker/world-codec-parts/small/*:error - syntalker/world-codec-depth-1/small/*:error|diff` in the generated world and by {result}`syntalker/cmu-codec-parts/small/*:error - syntalker/cmu-codec-depth-1/small/*:error|diff` on motion capture.
# Against one body of equal size, the split into parts changes it by {result}`syntalker/world-codec-parts/small/*:error - syntalker/world-codec-whole-equal/small/*:error|diff` and {result}`syntalker/cmu-codec-parts/small/*:error - syntalker/cmu-codec-whole-equal/small/*:error|diff`.
# Drawing codes instead of taking the nearest: {result}`syntalker/world-codec-parts/small/*:error - syntalker/world-codec-nearest/small/*:error|diff` and {result}`syntalker/cmu-codec-parts/small/*:error - syntalker/cmu-codec-nearest/small/*:error|diff`.
# Quantise dropout, with all codebooks in use: {result}`syntalker/world-codec-parts/small/*:error - syntalker/world-codec-no-dropout/small/*:error|diff` and {result}`syntalker/cmu-codec-parts/small/*:error - syntalker/cmu-codec-no-dropout/small/*:error|diff`.
#
# These are short trainings of small networks, on bodies of our own. They say nothing about days on a GPU with sixty hours of recordings; the table says *not run* there, with the command.
#
# **What was easy.** Rotations, features, part lists, quantiser and amplitude agree with the numbers of the released code, and the networks have its sizes.
#
# **What was hard.** Bodies without a body model: feet that stand, strokes that end on stressed vowels, and skeletons of many names brought onto one. And a codec of few channels, whose codes were chosen by chance until the temperature followed its width.
#
# ### Break it on purpose
#
# Save a quantiser as the released code does: its codes, and not the averages behind them. Then go on training.
# Nothing crashes. The codebooks do not know that they have begun, and take their codes from the next batch.

# %%
saved = learner.state_dict()
codes_alone = {name: x for name, x in saved.items() if name.endswith("codes")}
careless, careful = (
    syntalker.ResidualQuantizer(3, 16, 4, decay=0.9, temperature=0.0)
    for _ in range(2)
)
careless.load_state_dict(codes_alone, strict=False)
careful.load_state_dict(saved)
for net in (learner, careful, careless):
    net.train()(cloud, generator=torch.Generator().manual_seed(1))
assert torch.equal(careful.codebooks, learner.codebooks)
lost = (
    careless.codebooks - learner.codebooks
).norm() / learner.codebooks.norm()
print(f"the codes are off by {lost:.1f} of their own size")
assert lost > 0.5

# %% [markdown]
# The check that catches it is at the door: what is missing has a name, and loading refuses.

# %%
try:
    careless.load_state_dict(codes_alone)
except RuntimeError as error:
    refused = str(error)
else:
    refused = ""
print(refused.splitlines()[1].strip()[:61], "...")
assert all(f"books.{k}.counts" in refused for k in range(3))

# %% [markdown]
# ## Exercises
#
# **1.** How many different sums can six codebooks of 512 codes make, how many codes are stored, and how many bits does a latent take?
#
# ```{admonition} Solution
# :class: dropdown
# $512^6 = 2^{54}$ sums from $6 \cdot 512 = 3072$ codes; 54 bits a latent and part. Not all sums are useful: later codebooks were fitted to what earlier ones leave on average, not to what each single code leaves.
# ```
#
# **2.** The heading channel holds half an angle, and `recover` doubles its sum. Why does the released code never double it?
#
# ```{admonition} Solution
# :class: dropdown
# A quaternion about the upright axis by an angle $\theta$ is $(\cos \theta/2, 0, \sin \theta/2, 0)$. The released recovery sums the half angles and writes them into a quaternion as they are; the quaternion does the doubling. `recover` turns by angles, so it doubles them itself.
# ```
#
# **3.** Two motions differ by one metre to the side in every frame. How do their features differ? And if one of them is played at half speed?
#
# ```{admonition} Solution
# :class: dropdown
# Not at all: a motion begins at the origin. Played at half speed, positions and rotations take the same values at other frames, and all velocities are about halved, the turn of the heading included; more frames count as contacts. Try it with `Motion.resampled`.
# ```
#
# **4.** What does a *shared* codebook for all layers do to the toy of three codebooks above?
#
# ```{admonition} Solution
# :class: dropdown
# With `books[:1].expand(3, 2)` the residual is answered by 2 or -2 each time, and the error after three layers can be larger than after one. Residuals shrink from layer to layer, so a shared codebook has to hold codes of all sizes.
# ```
#
# **5.** Decode the motion above in windows of 4, 8 and 32 latents. Does the height of the seams depend on the window?
#
# ```{admonition} Solution
# :class: dropdown
# `codec.decode(latents, window=8)`, and `seams(…, 32)` for its edges. Windows change how *often* the decoder sees padding. How wrong it is there depends on what it learned about padding: training windows of 64 frames have edges too, and taught it to guess.
# ```
#
# ## Further reading
#
# Vectors as codes, and the gradient that passes them by: {cite:t}`vandenoord2017vqvae`. The features: {cite:t}`guo2022humanml3d`.
# Speech corpora with whole bodies, and the conventions that this method inherits: {cite:t}`liu2024emage`.
# Motion and text in one space, the subject of the [next chapter](ch-syntalker-space): {cite:t}`petrovich2023tmr`.
