// The viewer of pools: which subnets a recorded training kept for a budget, visit by visit.
// Without a server and without a kernel; the visits are in pssnet-pools-data.js. The rules are
// those of lithe.pssnet.Pool and lithe.pssnet.priority.
"use strict";

(() => {
  const END = 0.01; // where share and temperature would arrive after the last epoch

  const anneal = (epoch, epochs) => END ** (epoch / epochs);

  // The pool after its first `until` visits, and every stay of a subnet in it.
  function replay(recording, place, until) {
    const pool = new Map();
    const lives = [];
    const evicted = [];
    recording.visits[place].slice(0, until).forEach(([, , subnet, metric], visit) => {
      const known = pool.get(subnet);
      if (known) {
        known.value = recording.smoothing * known.value + (1 - recording.smoothing) * metric;
        known.visits.push(visit);
      } else {
        const life = { subnet, value: metric, born: visit, gone: null, visits: [visit] };
        pool.set(subnet, life);
        lives.push(life);
      }
      if (pool.size <= recording.capacity) return;
      let worst = null;
      pool.forEach((life) => { if (worst === null || life.value < worst.value) worst = life; });
      worst.gone = visit;
      pool.delete(worst.subnet);
      evicted.push({ visit, subnet: worst.subnet });
    });
    return { pool: [...pool.values()], lives, evicted };
  }

  // The soft-max of spec 3.4, in the order of the values.
  function priority(values, temperature) {
    const top = Math.max(...values);
    const weights = values.map((value) => Math.exp((value - top) / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  }

  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  const CONTROLS = `
    <div class="pp-controls">
      <label>Budget <select data-pp="place"></select></label>
      <label>Visit of this pool: <span class="pp-value" data-pp="visit-value"></span>
        <input type="range" data-pp="visit" min="0" step="1"></label>
      <div class="pp-buttons">
        <button type="button" data-pp="back">Back one visit</button>
        <button type="button" data-pp="on">On one visit</button>
      </div>
    </div>
    <figure class="pp-figure">
      <canvas data-pp="canvas" role="img"></canvas>
      <figcaption>A line is a stay in the pool, subnets downwards by order of entry; a dot is a
        visit: <span class="pp-swatch pp-swatch-space"></span> drawn from the space,
        <span class="pp-swatch pp-swatch-pool"></span> drawn from the pool. The upright line is
        the visit above.</figcaption>
    </figure>
    <p class="pp-status" data-pp="status" role="status"></p>
    <div class="pp-scroll" tabindex="0" role="region" aria-label="The pool at this visit">
      <table class="pp-entries">
        <caption>The pool at this visit, the best first</caption>
        <thead><tr><th scope="col">resolution, widths</th><th scope="col">metric</th>
          <th scope="col">visits</th><th scope="col">last</th>
          <th scope="col" colspan="2">chance to be drawn</th></tr></thead>
        <tbody data-pp="entries"></tbody>
      </table>
    </div>`;

  class Viewer {
    constructor(root, recording) {
      this.recording = recording;
      root.innerHTML = CONTROLS;
      this.root = root;
      this.parts = {};
      root.querySelectorAll("[data-pp]").forEach((part) => { this.parts[part.dataset.pp] = part; });
      const { place, back, on } = this.parts;
      recording.targets.forEach((target, k) =>
        place.add(new Option(`${target.toFixed(2)} million MACs`, String(k))));
      place.value = String(Math.floor(recording.targets.length / 2));
      place.addEventListener("change", () => this.turn());
      this.parts.visit.addEventListener("input", () => this.update());
      back.addEventListener("click", () => this.step(-1));
      on.addEventListener("click", () => this.step(1));
      this.watch();
      this.turn();
    }

    // Draw anew when the page turns, or goes dark.
    watch() {
      new ResizeObserver(() => this.draw()).observe(this.root);
      new MutationObserver(() => this.draw()).observe(document.documentElement, {
        attributes: true, attributeFilter: ["data-theme"],
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    // Another pool: its slider ends elsewhere.
    turn() {
      this.place = Number(this.parts.place.value);
      this.visits = this.recording.visits[this.place];
      this.whole = replay(this.recording, this.place, this.visits.length);
      this.parts.visit.max = String(this.visits.length);
      this.parts.visit.value = String(this.visits.length);
      this.update();
    }

    step(by) {
      this.parts.visit.value = String(Number(this.parts.visit.value) + by);
      this.update();
    }

    update() {
      const { visit } = this.parts;
      this.at = Number(visit.value);
      this.now = replay(this.recording, this.place, this.at);
      this.epoch = this.at ? this.visits[this.at - 1][0] : 0;
      this.parts["visit-value"].textContent = `${this.at} of ${this.visits.length}`;
      visit.setAttribute("aria-valuetext", `visit ${this.at} of ${this.visits.length}`);
      this.describe();
      this.list();
      this.draw();
    }

    describe() {
      const { at, now, recording } = this;
      const share = anneal(this.epoch, recording.epochs);
      let last = "The pool is empty.";
      if (at) {
        const [, drawn, subnet] = this.visits[at - 1];
        last = `The last visit trained ${recording.subnets[subnet]}, drawn from the `
          + `${drawn ? "pool" : "space"}.`;
        const gone = now.evicted.at(-1);
        if (gone && gone.visit === at - 1) last += ` ${recording.subnets[gone.subnet]} had to leave.`;
      }
      this.parts.status.textContent =
        `Epoch ${this.epoch + 1} of ${recording.epochs}: chance of a new subnet ${percent(share)}, `
        + `temperature ${share.toFixed(3)}. ${now.pool.length} of ${recording.capacity} places `
        + `taken, ${now.evicted.length} evicted so far. ${last}`;
      this.parts.canvas.setAttribute("aria-label",
        `Stays of subnets in the pool at ${recording.targets[this.place].toFixed(2)} million MACs: `
        + `${this.whole.lives.length} stays in ${this.visits.length} visits`);
    }

    list() {
      const rows = [...this.now.pool].sort((a, b) => b.value - a.value || a.born - b.born);
      const full = rows.length === this.recording.capacity;
      const temperature = anneal(this.epoch, this.recording.epochs);
      const chances = priority(rows.map((life) => life.value), temperature);
      this.parts.entries.replaceChildren(...rows.map((life, k) => {
        const row = document.createElement("tr");
        row.innerHTML = '<th scope="row"></th><td></td><td></td><td></td>'
          + '<td class="pp-number"></td><td aria-hidden="true"><span class="pp-bar"></span></td>';
        const cells = [
          this.recording.subnets[life.subnet], life.value.toFixed(3), String(life.visits.length),
          String(life.visits.at(-1) + 1), full ? percent(chances[k]) : "not full",
        ];
        cells.forEach((text, j) => { row.children[j].textContent = text; });
        row.querySelector(".pp-bar").style.width = full ? `${100 * chances[k]}%` : "0";
        return row;
      }));
    }

    draw() {
      const { canvas } = this.parts;
      const wide = Math.max(1, Math.floor(canvas.parentElement.clientWidth) - 2);
      const high = Math.min(Math.max(4 * this.whole.lives.length, 120), 300);
      const scale = window.devicePixelRatio || 1;
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(high * scale);
      canvas.style.height = `${high}px`;
      this.paint(canvas, scale);
    }

    paint(canvas, scale) {
      const style = getComputedStyle(this.root);
      const ink = (name) => style.getPropertyValue(name).trim();
      const pen = canvas.getContext("2d");
      const { lives } = this.whole;
      const x = (visit) => ((visit + 0.5) * canvas.width) / (this.visits.length + 1);
      const y = (row) => ((row + 0.5) * canvas.height) / lives.length;
      pen.fillStyle = style.backgroundColor;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      const thick = Math.max(1, scale);
      lives.forEach((life, row) => {
        pen.fillStyle = ink("--pp-line");
        const end = life.gone === null ? this.visits.length : life.gone;
        pen.fillRect(x(life.born), y(row) - thick / 2, x(end) - x(life.born), thick);
        life.visits.forEach((visit) => {
          pen.fillStyle = ink(this.visits[visit][1] ? "--pp-pool" : "--pp-space");
          pen.fillRect(x(visit) - 1.5 * scale, y(row) - 1.5 * scale, 3 * scale, 3 * scale);
        });
      });
      pen.fillStyle = style.color;
      pen.fillRect(Math.round(x(this.at - 0.5)), 0, thick, canvas.height);
    }
  }

  function begin() {
    const recording = globalThis.pssnetPools;
    globalThis.pssnetViewer = { replay, priority, anneal };
    if (!recording) return;
    const places = document.querySelectorAll("[data-pssnet-pools]");
    places.forEach((root) => new Viewer(root, recording));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
