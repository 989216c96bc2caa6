// Prompts and voices, played: every motion was made beforehand (lithe.syntalker.grid) and lies in
// syntalker-grid-data.js; motion-viewer.js plays it. Without a server and without a kernel.
"use strict";

(() => {
  const HERE = document.currentScript.src;
  let grids = 0; // names of radio groups are shared by the whole page

  const CONTROLS = `
    <div class="sg-choices">
      <fieldset data-sg="voices"><legend>Voice</legend></fieldset>
      <fieldset data-sg="asks"><legend>Prompt</legend></fieldset>
    </div>
    <label class="sg-beside"><input type="checkbox" data-sg="beside">
      Beside it the same voice without a prompt</label>
    <p class="sg-status" data-sg="status" role="status"></p>
    <div data-sg="stage"></div>`;

  // The player's own words for a motion: what all have in common, and what this one has.
  function clipOf(data, ask, voice) {
    return { ...data.body, ...data.cells[ask][voice] };
  }

  function rootOf(data, ask, voice, beside) {
    const { label, sound } = data.voices[voice];
    const clips = (beside ? [0, ask] : [ask]).map((k) => clipOf(data, k, voice));
    const root = document.createElement("div");
    root.className = "lithe-motion";
    const poster = document.createElement("figure");
    poster.className = "lm-poster";
    const audio = document.createElement("audio");
    audio.preload = "auto";
    audio.dataset.label = label;
    audio.src = sound;
    const text = document.createElement("script");
    text.type = "application/json";
    text.dataset.lm = "data";
    text.textContent = JSON.stringify({ clips });
    root.append(poster, audio, text);
    return root;
  }

  // The player mounts whatever it finds in the page when it is loaded, so it is loaded again.
  function mount(done) {
    const script = document.createElement("script");
    script.src = new URL("motion-viewer.js", HERE).href;
    script.addEventListener("load", () => { script.remove(); done(); });
    document.head.append(script);
  }

  // Look from the same place, in the same way.
  function carry(from, to) {
    to.camera = { ...from.camera };
    to.follow = from.follow;
    to.parts.follow.checked = from.follow;
    to.parts.loop.checked = from.parts.loop.checked;
    to.parts.speed.value = from.parts.speed.value;
    to.parts.sound.value = from.parts.sound.value;
    to.listen(to.parts.sound.value);
    to.pace();
  }

  class Grid {
    constructor(place, data) {
      this.data = data;
      this.roots = new Map();
      this.chosen = { voice: 0, ask: 1 };
      place.innerHTML = CONTROLS;
      this.parts = {};
      place.querySelectorAll("[data-sg]").forEach((part) => { this.parts[part.dataset.sg] = part; });
      grids += 1;
      this.radios("voices", "voice", data.voices.map(({ label, words }) => `${label}: “${words}”`));
      this.radios("asks", "ask", data.asks.map(({ label }) => label));
      this.parts.beside.addEventListener("change", () => this.turn());
      this.turn();
    }

    radios(group, key, labels) {
      labels.forEach((text, k) => {
        const label = document.createElement("label");
        const radio = document.createElement("input");
        radio.type = "radio";
        radio.name = `sg-${grids}-${key}`;
        radio.value = String(k);
        radio.checked = this.chosen[key] === k;
        radio.addEventListener("change", () => { this.chosen[key] = k; this.turn(); });
        label.append(radio, ` ${text}`);
        this.parts[group].append(label);
      });
    }

    turn() {
      const { voice, ask } = this.chosen;
      this.parts.beside.disabled = ask === 0;
      const beside = ask > 0 && this.parts.beside.checked;
      const key = [voice, ask, beside].join();
      if (!this.roots.has(key)) {
        const root = rootOf(this.data, ask, voice, beside);
        this.roots.set(key, root);
        this.parts.stage.append(root);
        mount(() => { if (this.now === root) this.play(root, voice); });
      }
      this.leave();
      this.now = this.roots.get(key);
      this.roots.forEach((root) => { root.hidden = root !== this.now; });
      this.describe(voice, ask);
      if (this.now.player) this.play(this.now, voice);
    }

    leave() {
      const player = this.now && this.now.player;
      if (!player) return;
      this.last = { player, playing: player.playing, voice: this.voice };
      player.pause();
    }

    // Go on where the last one was; another voice begins anew.
    play(root, voice) {
      const { player } = root;
      this.voice = voice;
      if (!this.last) return;
      carry(this.last.player, player);
      player.seek(this.last.voice === voice ? this.last.player.time : 0);
      if (this.last.playing) player.play();
      this.last = null;
    }

    describe(voice, ask) {
      const { legs, arms, own, others } = this.data.cells[ask][voice];
      this.parts.status.textContent = `What the rules see: legs ${legs}, arms ${arms}. Strokes end `
        + `near the beats of this voice by ${own.toFixed(2)}, of the other voices by `
        + `${others.toFixed(2)}; 1 is on every beat.`;
    }
  }

  function begin() {
    document.querySelectorAll("[data-syntalker-grid]:not([data-mounted])").forEach((place) => {
      place.dataset.mounted = "";
      place.grid = new Grid(place, globalThis.syntalkerGrid);
    });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
