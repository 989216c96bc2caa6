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
# (ch-syntalker-speech)=
# # Let the body talk along
#
# Hands beat where a voice does, and show what a word means. No rule says how; what there is are recordings of people who talk.
# SynTalker {cite:p}`chen2024syntalker` learns it by diffusion: a network is taught to see motion in noise, and then motion is drawn out of nothing but noise, step by step, while someone speaks.
# This chapter builds that: the noise, the network, its training on two corpora that share no condition, walks of a few steps, and speech of any length.
# What motion is as numbers was the subject of {ref}`ch-syntalker-motion`, where prompts live that of {ref}`ch-syntalker-space`; how prompts take hold of a body that talks is left to the chapter after this one.
#
# ```{verdict-box}
# :paper: syntalker
# ```

# %% [markdown]
# ## What you will do
#
# - **Do**: put noise on motion and take it off by hand, look into the denoiser, count what it is told in training, walk in few steps, and make motion for a voice file of your own, at once or as a stream.
# - **Be able to explain**: how guesses of a mean lead from noise to data, what silence means to it, where few steps go wrong, and why a long motion is made in windows and decoded in one piece.
# - **Need**: Gaussians, attention, and the two chapters before; no GPU.
# - **Time**: forty minutes to read, about a minute to run.

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
from lithe.syntalker import generation_run, sound, speech_charts
from lithe.syntalker.generation_settings import GenerationConfig
from lithe.syntalker.material import featured

torch.set_num_threads(1)
name = "07_syntalker_speech"
config = profiles.load(name, profile, GenerationConfig, **overrides)
bundle = syntalker.pretrained()

# %% [markdown]
# `pretrained` reads the small weights that come with the package: codec, space, ears and denoiser, trained on a generated world on two cores.
#
# ## The claim in one picture
#
# The generated talkers end each stroke of a hand on a stressed vowel. Whoever listens should do so too.
# The *beat score* goes from each beat of a voice to the nearest end of a stroke, and is one where they meet.
# A body that fidgets meets every beat, so the score stands beside its control: the same motion, scored with the voices of others.

# %% mystnb={"image": {"alt": "Dot plot with four rows: unseen talkers, the same through the codec, motion made after training on both corpora, and motion made after training on talkers alone. Each row has a dot for the clip's own voice and a cross for the voices of others, with 95 percent intervals."}, "figure": {"caption": "Beat score with a clip's own voice (dots) and with the voices of others (crosses), 95 % intervals over seeds. What hands owe to the voice is the distance between the two.", "name": "fig-speech-beats"}}
speech_charts.beats()
plt.show()

# %% [markdown]
# The second row says how much of a beat the codec lets through; nothing that is made in its latents can hope for more than that.
# The last two rows ask what a second, silent corpus costs those who only want to talk: the abstract's promise is control *and* speech, and the price is part of the claim ({claim}`syntalker.small.price`).

# %% [markdown]
# ## Notation
#
# | paper | code | shape | meaning |
# |---|---|---|---|
# | $x_0$ | `latents` | `(n, f, d)` | clean latents of upper body, hands and lower body side by side; one $f$ is four frames |
# | $t$, $T$ | `t`, `steps` | `(n,)`, scalar | step of the training chain, and how many there are |
# | $\beta_t$, $\bar\alpha_t$ | `betas`, `alphas_cumprod` | `(T,)` | variance that a step adds; share of the signal's variance that is left after it |
# | $x_t$, $\epsilon$ | `x_t`, `noise` | `(n, f, d)` | noisy latents, and the noise in them |
# | $\hat x_0$ | `x0` | `(n, f, d)` | what the network takes the clean latents for |
# | $a$ | `speech`, `heard` | `(n, f, …)` | encoded speech: sound and words |
# | $p$ | `prompt` | `(n, …)` | a place in the aligned space |
# | $s$ | `seed` | `(n, 4, d)` | the latents that the motion continues |
#
# The letters are those of the literature on diffusion; we could not read the body of the paper.

# %% [markdown]
# ## Build it up
#
# ### Put noise on motion
#
# The chain runs in the latents of the codec, before they are quantised, divided by a constant that says how loud they are against the noise ({ref}`D96 <D96>`).
# Each of its {given}`1000 | released: settings` steps lets a little of the signal go and puts noise in its place; what is left after $t$ steps falls like a squared cosine {cite:p}`nichol2021improved`.
#
# $$\bar\alpha_t = \prod_{s \le t} (1 - \beta_s), \qquad \beta_t = \min\Bigl(1 - \frac{a(\frac{t+1}{T})}{a(\frac{t}{T})},\; 0.999\Bigr), \qquad a(u) = \cos^2\Bigl(\frac{u + 0.008}{1.008} \cdot \frac{\pi}{2}\Bigr)$$ (eq-speech-schedule)
#
# ```{literalinclude} ../src/lithe/syntalker/schedule.py
# :pyobject: cosine_schedule
# ```
#
# No step has to be taken to know where it leads: a sum of Gaussians is one.
#
# $$x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon, \qquad \epsilon \sim \mathcal{N}(0, I)$$ (eq-speech-noising)
#
# The product telescopes, so a schedule can be checked on a slip of paper.

# %%
schedule = syntalker.cosine_schedule()
kept = schedule.alphas_cumprod


def cosine(u):
    return np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2


for t in (0, 250, 500, 750, 980):
    print(f"after step {t:3d} {kept[t]:.4f} of the variance is signal")
    assert np.isclose(kept[t], cosine((t + 1) / 1000) / cosine(0))

# %% [markdown]
# Two seconds of a generated talker, as latents of all parts, and on their way into noise:

# %%
talker = syntalker.talker(3, 3.0)
features = featured(talker.motion.positions).features[None, :64]
latents = bundle.codec.encode(features)
parts = {
    part: own.stop - own.start for part, own in bundle.codec.channels.items()
}
print(tuple(features.shape), "->", tuple(latents.shape), parts)
assert latents.shape[1] * 4 == features.shape[1]

# %% mystnb={"image": {"alt": "Four panels of coloured cells, channels down and latent frames across: the clean latents, then the same at steps 100, 400 and 980 of the chain. Their pattern fades, and the last panel looks like noise alone."}, "figure": {"caption": "Latents of the upper body, clean and at three places of the chain. At the last one the released sampler takes pure noise for it.", "name": "fig-speech-noise"}}
speech_charts.noising(latents[0, :, :32], schedule, (100, 400, 980))
plt.show()

# %% [markdown]
# ### Guess what was there, and go back a step
#
# The network sees $x_t$ and $t$ and says what $x_0$ was. The loss is Smooth L1, averaged over everything.
# Knowing $x_0$ means knowing the noise; with less of the same noise one is a step further back.
# That step has no chance in it, and needs no neighbour: it can go from any $t$ to any earlier $t'$ {cite:p}`song2021ddim`.
#
# $$\hat\epsilon = \frac{x_t / \sqrt{\bar\alpha_t} - \hat x_0}{\sqrt{1 / \bar\alpha_t - 1}}, \qquad x_{t'} = \sqrt{\bar\alpha_{t'}}\, \hat x_0 + \sqrt{1 - \bar\alpha_{t'}}\, \hat\epsilon$$ (eq-speech-ddim)
#
# ```{literalinclude} ../src/lithe/syntalker/diffusion.py
# :pyobject: ddim_step
# ```
#
# A single number, by hand:

# %%
x_t, guess = torch.tensor([0.9]), torch.tensor([0.5])
now, earlier = kept[500], kept[480]
noise_in_it = (x_t / now.sqrt() - guess) / (1 / now - 1).sqrt()
by_hand = earlier.sqrt() * guess + (1 - earlier).sqrt() * noise_in_it
stepped = syntalker.ddim_step(x_t, guess, 500, 480, schedule)
print(f"from {x_t.item():.3f} to {stepped.item():.3f}")
assert torch.allclose(stepped, by_hand)

# %% [markdown]
# If the guess is right, the step lands where {eq}`eq-speech-noising` would have put it; at the end, $t' = -1$, the guess itself comes out.

# %%
draw = torch.Generator().manual_seed(0)
noise = torch.randn(latents.shape, generator=draw)
there = syntalker.q_sample(latents, 500, noise, schedule)
stepped = syntalker.ddim_step(there, latents, 500, 480, schedule)
straight = syntalker.q_sample(latents, 480, noise, schedule)
assert torch.allclose(stepped, straight, atol=1e-5)
last = syntalker.ddim_step(there, latents, 500, -1, schedule)
assert torch.allclose(last, latents, atol=1e-5)

# %% [markdown]
# A network does not know $x_0$. The best it can do under a squared loss is the *mean* of all that $x_t$ may have come from.
# For data that are Gaussian with mean $m$ and deviation $s$ this mean has a formula, so here is a perfect network, without any training:
#
# $$\mathbb{E}[x_0 \mid x_t] = m + \frac{\sqrt{\bar\alpha_t}\, s^2}{\bar\alpha_t s^2 + 1 - \bar\alpha_t} \bigl(x_t - \sqrt{\bar\alpha_t}\, m\bigr)$$ (eq-speech-ideal)
#
# It never says where it will end, and early on it says nearly the same for all. Walked back from noise, it ends close to the data's mean and deviation all the same; what is missing, the section on few steps explains.

# %%
m, s = 1.0, 2.0


def ideal(x_t, t):
    a = kept[t]
    pull = a.sqrt() * s**2 / (a * s**2 + 1 - a)
    return m + pull * (x_t - a.sqrt() * m)


places = torch.linspace(0.001, 0.999, 500)
normal = torch.distributions.Normal(0.0, 1.0).icdf(places)[:, None, None]
first = ideal(normal, 980)
ended = syntalker.sample(ideal, normal, schedule)
for when, x in {"first guess": first, "after 50 steps": ended}.items():
    print(f"{when}: mean {x.mean():.2f}, deviation {x.std():.2f}")
assert abs(ended.mean() - m) < 0.1 > abs(ended.std() - s)
assert first.std() < 0.5

# %% [markdown]
# ### Build the network that guesses
#
# The denoiser reads noisy latents, one token for every latent frame. Speech, prompt, seed and timestep are *concatenated* to the tokens and joined by two linear layers; nothing attends to a condition.
# After that come pre-norm transformer blocks over the frames of the window, with positions turned into the tokens once, in front.
#
# ```{literalinclude} ../src/lithe/syntalker/transformer.py
# :pyobject: Attention.forward
# ```
#
# Ears come with it: six residual blocks of convolutions over two channels of sound, word vectors, both fused and averaged to one vector a latent frame.
# Counted without allocating them, the networks with and without prompts have the released sizes.

# %%
from lithe.syntalker.denoiser import DENOISER_CO_SPEECH, DENOISER_FULL

counts = []
with torch.device("meta"):
    for size in (DENOISER_FULL, DENOISER_CO_SPEECH):
        network = syntalker.SpeechDenoiser(size)
        counts.append(sum(p.numel() for p in network.parameters()) / 1e6)
print("with prompts {:.1f} M, without {:.1f} M".format(*counts))
assert [round(count, 1) for count in counts] == [30.0, 29.6]

# %% [markdown]
# Since conditions are joined by linear layers, their share can be computed once and added at every step:
#
# ```{literalinclude} ../src/lithe/syntalker/denoiser.py
# :pyobject: Denoiser.remember
# ```

# %%
heard, words = syntalker.speech_features(talker.speech, bundle.vocabulary, 64)
speech = bundle.network.listen(
    torch.from_numpy(heard)[None], torch.from_numpy(words)[None]
)
denoiser, seed = bundle.network.denoiser, latents[:, :4]
told = denoiser.remember(speech, seed)
print(tuple(heard.shape), "->", tuple(speech.shape), "->", tuple(told.shape))
for t in (980, 20):
    step = denoiser.step(there, t, told[:, None])[:, 0]
    whole = denoiser(there, torch.tensor([t]), speech, seed)
    assert torch.allclose(step, whole, atol=1e-4)

# %% [markdown]
# *No speech* is no vector of its own: zeros for sound and the padding word go through the same ears.
# `step` takes several conditions at once, in one pass; with prompts that is what makes a walk cheap.

# %%
silence = bundle.network.silence(16)
hushed = denoiser.remember(silence, seed)
both = denoiser.step(there, 500, torch.stack([told, hushed], 1))
print(tuple(both.shape))
alone = denoiser.step(there, 500, hushed[:, None])
assert torch.allclose(both[:, 1:], alone, atol=1e-4)

# %% [markdown]
# ### Learn from two halves
#
# Codec and space are frozen; denoiser and ears train together, on windows of both corpora.
# Speech comes with talkers alone. A prompt comes with nobody: its place is taken by the embedding of the window's *own motion*, the pseudo-prompt, left out by a chance of {given}`0.3 | released: settings`.
#
# With speech $a$, pseudo-prompt $p$ and seed $s$, at a step drawn anew for every window,
#
# $$\mathcal{L} = \mathbb{E}_{t,\, \epsilon}\; \mathrm{SmoothL1}\bigl(f(x_t, t;\, a, p, s),\; x_0\bigr)$$ (eq-speech-loss)
#
# ```{literalinclude} ../src/lithe/syntalker/stage3.py
# :pyobject: DiffusionStep.__call__
# :lines: 1,11-
# ```
#
# A third of the draws are movers, so there are four cases; the sampler will ask for three of them.

# %%
from lithe.syntalker.conditions import Dropping, dropped, mixture_weights

draws, talking = 100_000, 900
weights = mixture_weights(talking, 300)
mover = torch.multinomial(weights, draws, True, generator=draw) >= talking
bare = dropped(draws, Dropping().prompt, draw)
cases = {
    "voice and own motion": ~mover & ~bare,
    "voice alone": ~mover & bare,
    "own motion alone": mover & ~bare,
    "neither": mover & bare,
}
for case, which in cases.items():
    print(f"{case:21s} {which.float().mean():.2f}")
shares = torch.stack(list(cases.values())).float().mean(1)
expected = torch.tensor([2 / 3 * 0.7, 2 / 3 * 0.3, 0.7 / 3, 0.1])
assert torch.allclose(shares, expected, atol=0.01)

# %% [markdown]
# The first case is the most frequent, and no sampler asks for it: once the network is told what the body does, it need not listen.
# What forces it to hear is the second row alone.
#
# The last two rows are silent, and silence is *only* ever seen there.
# So the difference between *with speech* and *without* is also the difference between talkers and movers. Dropping speech now and then for talkers would take the two apart; the released rate is zero.

# %%
from lithe.syntalker.conditions import mute

print("dropped as released:", Dropping())
which = dropped(4, Dropping(speech=0.5).speech, draw)
voices, said = torch.ones(4, 9, 2), torch.full((4, 3), 7)
hushed, unsaid = mute(voices, said, which)
assert torch.equal(hushed.flatten(1).any(1), ~which)
assert torch.equal((unsaid == 0).all(1), which)
assert not dropped(10_000, Dropping().speech).any()

# %% [markdown]
# ### Walk in few steps
#
# A walk of $k$ steps visits $k$ of the thousand noise levels. The released choice counts in equal strides *from zero*, so that few steps begin far from full noise, and take pure noise for what should hold signal.
# Counting back from the last level instead begins where noise belongs.
# And a step can use the guess before it: extrapolate the two in the logarithm of signal over noise, and the walk is of second order {cite:p}`lu2022dpmsolver`.
#
# ```{literalinclude} ../src/lithe/syntalker/schedule.py
# :pyobject: chosen_steps
# ```
#
# For Gaussian data not only the best guess is known but the whole path: noise $\epsilon$ ends at $m + s\,\epsilon$.

# %%
from lithe.syntalker.schedule import chosen_steps

for spacing in ("leading", "trailing"):
    chosen = chosen_steps(1000, 8, spacing)
    signal = kept[chosen[-1]].sqrt()
    print(f"{spacing:8s} {chosen.tolist()}: starts with {signal:.2f} signal")
assert chosen[-1] == 999


# %%
def walk(sampling, start):
    levels, states = [], []

    def seen(x_t, t):
        levels.append(float((1 - kept[t]).sqrt()))
        states.append(x_t.flatten())
        return ideal(x_t, t)

    end = syntalker.sample(seen, start, schedule, sampling).flatten()
    return [*levels, 0.0], torch.stack([*states, end])


samplings = {
    "8 as released": syntalker.Sampling(steps=8),
    "8 trailing": syntalker.Sampling(steps=8, spacing="trailing"),
    "8, second order": syntalker.FEW_STEPS,
}

# %% mystnb={"image": {"alt": "Three panels of paths from noise on the left to data on the right, five paths each, with a ring where each should end. Eight released steps begin short of full noise and end inside of the outer rings and below the middle ones; trailing steps of first order come nearer; those of second order are off at the outermost paths alone, and by less."}, "figure": {"caption": "Five walks from the same noise with a perfect network; rings mark where exact paths end. With few steps the choice of steps and their order decide.", "name": "fig-speech-paths"}}
few = normal[10::120]
walks = {title: walk(sampling, few) for title, sampling in samplings.items()}
speech_charts.paths(walks, (m + s * few).flatten())
plt.show()

# %%
exact = (m + s * normal).flatten()
off = {}
for title, sampling in {
    **samplings,
    "50 as released": syntalker.Sampling(),
}.items():
    off[title] = (walk(sampling, normal)[1][-1] - exact).abs().mean()
    print(f"{title:16s} ends {off[title]:.2f} off")
assert off["8, second order"] < off["8 trailing"] < off["8 as released"]

# %% [markdown]
# Real motion is no Gaussian, and a trained network is not perfect. Whether eight steps do for gestures is measured below, in *Reproduction*.
#
# ### Speak for as long as you like
#
# A window of the network is a few seconds. The next window begins with the last four latents of the one before, its *seed*: overlapping latents are dropped, not blended.
# Windows are joined as *latents*, and decoded in one pass: {ref}`the codec's chapter <ch-syntalker-motion>` shows what becomes of the seams otherwise.
#
# ```{literalinclude} ../src/lithe/syntalker/longform.py
# :pyobject: Windowing.count
# ```
#
# The released code makes full windows only, and drops what remains of the speech.

# %%
windows = syntalker.Windowing(latents=32, overlap=4)
for frames in (128, 240, 1906):
    released = windows.released_count(frames)
    left = frames - 4 * windows.covered(released)
    needed = windows.count(frames)
    print(
        f"{frames:4d} frames: {needed:2d} windows; released {released}, ",
        end="",
    )
    print(f"without the last {left}")
assert (released, left) == (16, 98)

# %% [markdown]
# Twelve seconds with the small weights, whose windows are shorter. Without prompts a step costs one evaluation of the network:

# %%
voice = syntalker.talker(5, 12.0).speech
made = syntalker.take(voice, seed=1, bundle=bundle)
own = syntalker.Windowing(bundle.latents, overlap=4)
count, steps = own.count(len(made.motion)), syntalker.FEW_STEPS.steps
print(made.motion, "from", count, "windows of", steps, "steps")
assert made.calls == count * steps
seams = syntalker.joins(
    torch.from_numpy(made.motion.positions), own.edges(len(made.motion))
)
assert np.isfinite([seams.at, seams.elsewhere]).all()

# %% [markdown]
# Nothing above needs the end of the speech, so motion can leave while speech still arrives.
# A `Stream` makes a window as soon as its sound is there, decodes what both sides have settled, and forgets what is past: it holds the same for a minute and for an hour.

# %%
live, pieces, held = syntalker.stream(seed=1, bundle=bundle), [], []
for start in range(0, len(voice.wave), 8000):  # half a second of sound
    pieces += list(live.push(voice.wave[start : start + 8000]))
    held.append((live.held, live.heard.remembered))
pieces += list(live.close())
most = np.max(held, axis=0).tolist()
print(
    len(pieces), "pieces; held at most", most[0], "latents,", most[1], "samples"
)
assert sum(map(len, pieces)) == len(made.motion)
at_once = syntalker.stream(seed=1, bundle=bundle)
whole = torch.cat(list(at_once.run([voice.wave])))
assert torch.allclose(torch.cat(pieces), whole, atol=1e-3)

# %% [markdown]
# In pieces or at once, the motion is the same.

# %% [markdown]
# ## The whole method on a small problem
#
# All three stages from first weights: a world of talkers and movers, a codec for each part, the aligned space, and the denoiser with its ears; then unseen voices are given to it, and what it makes is judged.
# A call trains whatever the profile asks for and writes a record of each run; what is on record is not run again.
# At `smoke` that is one pass over a few people, much too little to learn to gesture.

# %%
ids = generation_run.run(config)
[found] = ledger.find(f"syntalker/generation-full/{config.profile}/0")
print(*ids, sep="\n")
weights = int(found.metric("parameters").value)
print(f"{weights:,} weights of stage 3, {len(found.metrics)} numbers on record")
assert found.id in ids
for score in ("audio_only_beat", "audio_only_mismatched", "real_beat"):
    assert 0 <= found.metric(score).value <= 1
assert found.metric("audio_only_frechet").value > 0

# %% [markdown]
# ## Use it on your own voice
#
# A file of any rate, with what it says or without. Here a generated voice stands in for yours.

# %%
scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
said = " ".join(word.text for word in talker.speech.words)
path = sound.save(folder / "voice.wav", talker.speech.wave)

# %% tags=["nbval-ignore-output"]
from lithe import syntalker

motion = syntalker.generate(folder / "voice.wav", said, seed=1)
motion.save(folder / "talk.bvh")
motion.show()

# %% [markdown]
# Drag to look from elsewhere, press the space bar to play it with its sound. GLB, npz and film work like BVH.
# The same seed makes the same motion; another one another.

# %%
again, other = (
    syntalker.generate(folder / "voice.wav", said, seed=k) for k in (1, 2)
)
print(motion)
assert np.array_equal(again.positions, motion.positions)
assert not np.array_equal(other.positions, motion.positions)
read = syntalker.Motion.load(folder / "talk.bvh")
assert len(read) == len(motion)
try:
    syntalker.generate(np.zeros(1000, np.float32))
except ValueError as error:
    print(error)
scratch.cleanup()

# %% [markdown]
# On the command line: `python -m lithe.syntalker say voice.wav --out talk.bvh`. With a microphone in place of a file, push its samples into `syntalker.stream()`.

# %% [markdown]
# ## What the paper leaves unsaid
#
# We could read the abstract, the overview figure and the released code; what follows is the *code's*.
# The full register is on the [page of deviations](../book/deviations.md).
#
# 1. **Speech is never dropped.** The probability is {given}`0 | released: settings`, and a learned vector for *no speech* exists and is not used. Silence means *of the other corpus*. Dropping it now and then is our option `speech_drop`: {claim}`syntalker.small.speech-drop`. (Its training draws one noise level a window; the others draw several, which share their ears.)
# 2. **Pseudo-prompts of talkers are normalised twice** ({ref}`D93 <D93>`), far outside of what their encoder has met. Ours once: {claim}`syntalker.small.twice`.
# 3. **The pseudo-prompt is the answer.** It embeds the very window that is to be found, so in the most frequent case of training the network may read the gesture there instead of hearing it.
# 4. **The loss is called a mean squared error.** The square is commented out; it is Smooth L1.
# 5. **Nothing holds a window to its seed.** The loss counts the seed's latents, and sampling leaves them free. The option `clamp_seed` puts the known latents, noised as the step asks, into the state: movement into the first frame of a window is then {result}`syntalker/generation-sweeps/small/*:clamped_join_at | mean`, as released {result}`syntalker/generation-sweeps/small/*:join_at | mean`.
# 6. **The first seed comes from the recording** in every released evaluation. Who has only a voice has none; ours begin with a person who stands.
# 7. **The remainder is dropped**, and a clip shorter than one window makes nothing. Ours makes it, with silence past the end.
# 8. **Sound slips.** A frame is cut as 533 samples, a third of one too few, and the ears stride 540 where a frame is a third more than 533.
# 9. **The last weights are taken as they are**, after {given}`200 epochs | released: checkpoint and schedule` at a hundredth of the rate. Short runs need an average over their end instead: it changes the beat score by {result}`syntalker/generation-full/small/*:separate_beat - syntalker/generation-full/small/*:last_separate_beat|diff|.3f`.
# 10. **The walk stops short of full noise.** Fifty leading steps begin at step {given}`980 of 1000 | released: respaced chain`, which hardly matters there, and more the fewer they are.

# %%
from lithe.syntalker.sound import clip_samples

hop = windows.hop * 4
slip = clip_samples(128, start=hop).start - hop * 533
print(slip, "samples a window")
assert slip == 37

# %% [markdown]
# ## Reproduction
#
# The table is computed: each row holds a claim, its test, and what the records say. Its tests were fixed before the first of these runs.
#
# ```{claims-table}
# :paper: syntalker
# :tier: T1
# :only: syntalker.small.own-voice syntalker.small.price syntalker.small.few-steps syntalker.small.second-order syntalker.small.joins syntalker.small.clamped-seed syntalker.small.averaged syntalker.small.speech-drop syntalker.small.twice syntalker.ours.generation-speed
# ```
#
# ````{dropdown} Size of the released network
# ```{claims-table}
# :paper: syntalker
# :tier: T0
# :only: syntalker.exact.denoiser
# ```
# ````
#
# ````{dropdown} The paper's own runs
# ```{claims-table}
# :paper: syntalker
# :tier: T2
# :only: syntalker.table2.without-both syntalker.table2.full
# ```
# ````
#
# {result}`syntalker/generation-full/small/*:audio_only_beat|seeds` seeds, {result}`syntalker/generation-full/small/*:audio_only_beat|n` unseen talkers each; every variant of a seed shares codec, aligned space, first weights and noise.
#
# ### What the voice moves
#
# | | own voice | voices of others | Fréchet distance |
# |---|---|---|---|
# | unseen talkers | {result}`syntalker/generation-full/small/*:real_beat ; mean ; .2f` | {result}`syntalker/generation-full/small/*:real_mismatched ; mean ; .2f` | {result}`syntalker/generation-full/small/*:real_frechet ; mean ; .2f` |
# | through the codec | {result}`syntalker/generation-full/small/*:codec_beat ; mean ; .2f` | {result}`syntalker/generation-full/small/*:codec_mismatched ; mean ; .2f` | {result}`syntalker/generation-full/small/*:codec_frechet ; mean ; .2f` |
# | made, both corpora | {result}`syntalker/generation-full/small/*:audio_only_beat ; mean ; .2f` | {result}`syntalker/generation-full/small/*:audio_only_mismatched ; mean ; .2f` | {result}`syntalker/generation-full/small/*:audio_only_frechet ; mean ; .2f` |
# | made, talkers alone | {result}`syntalker/generation-talkers-only/small/*:audio_only_beat ; mean ; .2f` | {result}`syntalker/generation-talkers-only/small/*:audio_only_mismatched ; mean ; .2f` | {result}`syntalker/generation-talkers-only/small/*:audio_only_frechet ; mean ; .2f` |
#
# Distances are taken between random projections of the features, to unseen talkers for what is made, and to other talkers for the first two rows. They compare with each other and with nothing published.
# *Talkers alone* leaves the movers out of stage 3 only, and trains for as many epochs, which are fewer steps with more speech in them.
#
# ### What it costs to add a silent corpus, and what else changes a training
#
# Published, the second corpus takes FGD from {given}`0.4687 to 0.6413 | third party: Table 2 as later papers quote it`, while beat consistency and diversity rise.

# %% mystnb={"image": {"alt": "Three panels with one row for each of five trainings: both corpora, talkers alone, speech dropped, normalised twice, lengths as released. Panels: Fréchet distance of motion made from speech alone, its beat score with a cross for the voices of others, and the share of legs that do what they are asked. Rows that have not been run say so."}, "figure": {"caption": "What a change in stage 3 does to speech (left, middle) and to prompts (right): means over seeds with 95 % intervals; crosses: voices of others.", "name": "fig-speech-variants"}}
speech_charts.variants()
plt.show()

# %% [markdown]
# ### How few steps

# %% mystnb={"image": {"alt": "Three panels over the number of steps of the sampler, from two to fifty: Fréchet distance, beat score with a thin dotted line for the voices of others, and the share of legs that do what they are asked. One curve for the released walk and one for trailing steps of second order."}, "figure": {"caption": "What motion is worth by number of steps, for the released walk and for second order over trailing steps: means over seeds with 95 % intervals.", "name": "fig-speech-steps"}}
speech_charts.steps()
plt.show()

# %% [markdown]
# Everyone in this figure talks and is asked something of the legs, as in the chapter on control.
#
# ### How windows join
#
# | movement into a frame | first of a window | all others |
# |---|---|---|
# | seed left free, as released | {result}`syntalker/generation-sweeps/small/*:join_at ; mean` | {result}`syntalker/generation-sweeps/small/*:join_elsewhere ; mean` |
# | seed clamped | {result}`syntalker/generation-sweeps/small/*:clamped_join_at ; mean` | {result}`syntalker/generation-sweeps/small/*:clamped_join_elsewhere ; mean` |
#
# ### How fast
#
# Models of the released size, from sound to joints, on two cores:
#
# | | |
# |---|---|
# | motion made per second, 8 steps | {result}`syntalker/generation-bench-full/small/0:real_time_8 ; .1f` real time |
# | 10 steps | {result}`syntalker/generation-bench-full/small/0:real_time_10 ; .1f` |
# | 50 steps, as released | {result}`syntalker/generation-bench-full/small/0:real_time_50 ; .1f` |
# | a stream's first frame after | {result}`syntalker/generation-bench-full/small/0:first_frame_settled_sound ; .1f` of sound and {result}`syntalker/generation-bench-full/small/0:first_frame_settled_compute ; .2f` of computing |
# | without waiting for what settles it | {result}`syntalker/generation-bench-full/small/0:first_frame_at_once_sound ; .1f` and {result}`syntalker/generation-bench-full/small/0:first_frame_at_once_compute ; .2f` |
# | most latents held, for a quarter of a minute, a minute and three minutes of speech | {result}`syntalker/generation-bench-full/small/0:stream_15_latents`, {result}`syntalker/generation-bench-full/small/0:stream_60_latents`, {result}`syntalker/generation-bench-full/small/0:stream_180_latents` |
# | process grown by, the same | {result}`syntalker/generation-bench-full/small/0:stream_15_megabytes ; .0f`, {result}`syntalker/generation-bench-full/small/0:stream_60_megabytes ; .0f`, {result}`syntalker/generation-bench-full/small/0:stream_180_megabytes ; .0f` |
#
# To run it again: `python -m lithe.run 07_syntalker_speech --profile small`; the chapter on control shares these records.
# The variants that small leaves out: `-p 'variants=[full, speech-drop, twice, released-length]'` with the same command.
# Speed: `python -m lithe.syntalker.bench --record`, on an idle machine.
# Stage 3 at its released size, on your own data: `python -m lithe.syntalker.generation_run --key denoiser --speech-folder A --motion-folder B --codec X --space Y`, alone or by torchrun.

# %% [markdown]
# ## What differed, what was easy, what was hard
#
# **What differed.** With its own voice instead of others', motion made from speech alone scores {result}`syntalker/generation-full/small/*:audio_only_beat - syntalker/generation-full/small/*:audio_only_mismatched|diff|.3f` more; real motion {result}`syntalker/generation-full/small/*:real_beat - syntalker/generation-full/small/*:real_mismatched|diff|.3f`, through the codec {result}`syntalker/generation-full/small/*:codec_beat - syntalker/generation-full/small/*:codec_mismatched|diff|.3f`.
# Adding the silent corpus changes the Fréchet distance by {result}`syntalker/generation-full/small/*:audio_only_frechet - syntalker/generation-talkers-only/small/*:audio_only_frechet|diff|.3f`.
# Eight steps of second order against fifty as released: {result}`syntalker/generation-sweeps/small/*:dpm_8_frechet - syntalker/generation-sweeps/small/*:ddim_50_frechet|diff|.3f` in Fréchet distance and {result}`syntalker/generation-sweeps/small/*:dpm_8_beat - syntalker/generation-sweeps/small/*:ddim_50_beat|diff|.3f` in beat score.
#
# These are minutes of training on a world whose voices are synthetic and whose strokes follow a rule. They say how the parts of the method act on each other; about people they say nothing.
#
# **What was easy.** Schedule, steps, denoiser and loss agree with the numbers of the released code, and the networks have its sizes.
#
# **What was hard.** The codec decides how much of a stroke is left to be found. And judging hands: a stroke has to be found in the positions before it can be late, and a beat without a stroke has none near it, so that even motion that was made to the beats need not score one.
#
# ### Break it on purpose
#
# A shorter chain has its own numbering. Tell the network the step's number *in the short chain* instead of the noise level it was trained on: both are whole numbers in range, and no shape is wrong.


# %%
def misled(x_t, t):
    return ideal(x_t, t // 20)  # the 49th of 50 steps, not the 980th of 1000


ends = {
    "told the level": syntalker.sample(ideal, normal, schedule),
    "told the count": syntalker.sample(misled, normal, schedule),
}
for what, x in ends.items():
    print(f"{what}: mean {x.mean():.1f}, deviation {x.std():.1f}")

# %% [markdown]
# No error is raised, and the spread looks right; but what the network knows about the data's place never came in.
# The check that catches it compares with data whose answer is known, mean *and* deviation, and the chain says which levels it means:

# %%
right, wrong = (float(x.mean()) for x in ends.values())
assert abs(right - m) < 0.1 < 0.5 < abs(wrong - m)
short = schedule.respaced(50)
assert short.timesteps.tolist() == list(range(0, 1000, 20))
assert torch.allclose(short.alphas_cumprod, kept[::20])

# %% [markdown]
# ## Exercises
#
# **1.** At which step is half of the variance noise? Answer from {eq}`eq-speech-schedule`, then look it up.
#
# ```{admonition} Solution
# :class: dropdown
# Near the middle: $\cos^2$ is one half at an eighth of a turn, so $(u + 0.008) / 1.008 = 1/2$ and $u = 0.496$. `(kept < 0.5).nonzero()[0]` agrees.
# ```
#
# **2.** The network guesses $x_0$. Had it guessed $\epsilon$, what would an error of it mean at the first step of a walk?
#
# ```{admonition} Solution
# :class: dropdown
# $\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\, \hat\epsilon) / \sqrt{\bar\alpha_t}$, and at step 980 the divisor is about $0.03$: an error in $\hat\epsilon$ comes out more than thirty times larger. Guesses of $x_0$ can also be mixed part by part, which the next chapter lives on.
# ```
#
# **3.** Prompts are left out with probability $p$. Which share of the training forces the network to listen, and what speaks against $p = 1$?
#
# ```{admonition} Solution
# :class: dropdown
# Two thirds of $p$. At $p = 1$ no pseudo-prompt is ever seen, and a prompt means nothing.
# ```
#
# **4.** How often is the network evaluated for a minute of speech with windows of 32 latents, eight steps and two different prompts?
#
# ```{admonition} Solution
# :class: dropdown
# `windows.count(1800)` is 16; a step needs nothing, speech, and each prompt: four evaluations. $16 \cdot 8 \cdot 4 = 512$, where the released wrapper takes nine a step and, at fifty steps, 6750 for the 15 windows that it fills.
# ```
#
# **5.** A stream's first frame waits for a whole window of sound. Which two numbers could you change to hear back sooner, and what do they cost?
#
# ```{admonition} Solution
# :class: dropdown
# `ahead=0` decodes at once what later latents would still have changed; shorter windows (`Generation.latents`) need a network that was trained on such, and join more often. The sound of the window itself has to be there: it is the condition.
# ```
#
# ## Further reading
#
# Diffusion as it is taught today: {cite:t}`ho2020ddpm`; its cosine: {cite:t}`nichol2021improved`. Walks without chance: {cite:t}`song2021ddim`; of second order: {cite:t}`lu2022dpmsolver`.
# Diffusion in the latents of a codec: {cite:t}`rombach2022latent`. The corpus of speech and the measures: {cite:t}`liu2024emage`.
