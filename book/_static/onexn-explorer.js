// The explorer of 1xN masks: which blocks of a trained layer stay, for any N and rate.
// Without a server and without a kernel; the layers are in onexn-explorer-data.js. The arithmetic
// is that of lithe.onexn.block_mask, on whole numbers, so that both choose the same blocks.
"use strict";

(() => {
  const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  // Indices by rising value; equal values keep their order, as in a stable argsort.
  const rising = (values) =>
    Array.from(values, (_, k) => k).sort((a, b) => values[a] - values[b] || a - b);

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function filterNorms({ filters, inputs, norms }) {
    return Array.from({ length: filters }, (_, o) =>
      sum(norms.subarray(o * inputs, (o + 1) * inputs)));
  }

  // Lithe's block_mask: the int(rate * blocks) blocks of least L1 norm go; the narrow last row of
  // blocks is scaled up to N filters.
  function mask(layer, n, rate, rearrange) {
    const { filters, inputs, norms } = layer;
    const order = rearrange
      ? rising(filterNorms(layer))
      : Array.from({ length: filters }, (_, o) => o);
    const rows = Math.ceil(filters / n);
    const row = new Int32Array(filters);
    const sizes = new Int32Array(rows);
    order.forEach((filter, place) => {
      row[filter] = Math.floor(place / n);
      sizes[row[filter]] += 1;
    });
    const scores = new Float64Array(rows * inputs);
    for (let o = 0; o < filters; o += 1) {
      for (let i = 0; i < inputs; i += 1) scores[row[o] * inputs + i] += norms[o * inputs + i];
    }
    for (let k = 0; k < scores.length; k += 1) scores[k] *= n / sizes[Math.floor(k / inputs)];
    const blocks = new Uint8Array(scores.length).fill(1);
    const dropped = Math.trunc(rate * scores.length);
    rising(scores).slice(0, dropped).forEach((k) => { blocks[k] = 0; });
    const kept = new Uint8Array(filters * inputs);
    for (let o = 0; o < filters; o += 1) {
      for (let i = 0; i < inputs; i += 1) kept[o * inputs + i] = blocks[row[o] * inputs + i];
    }
    return { kept, order, row, blocks: blocks.length, keptBlocks: blocks.length - dropped };
  }

  function massOf(layer, kept) {
    let mass = 0;
    layer.norms.forEach((norm, k) => { if (kept[k]) mass += norm; });
    return mass / sum(layer.norms);
  }

  // Whole filters: the int(rate * filters) weakest go.
  function filterMass(layer, rate) {
    const norms = filterNorms(layer);
    const gone = rising(norms).slice(0, Math.trunc(rate * norms.length));
    return 1 - sum(gone.map((o) => norms[o])) / sum(norms);
  }

  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const count = (number) => number.toLocaleString("en");

  const CONTROLS = `
    <div class="ox-controls">
      <label class="ox-wide">Layer <select data-ox="layer"></select></label>
      <label>Filters per block, N = <span class="ox-value" data-ox="n-value"></span>
        <input type="range" data-ox="n" min="1" max="32" step="1" value="4"></label>
      <label>Blocks dropped: <span class="ox-value" data-ox="rate-value"></span>
        <input type="range" data-ox="rate" min="0" max="95" step="1" value="50"></label>
      <label class="ox-check"><input type="checkbox" data-ox="rearrange">
        Put filters of similar norm into a block</label>
      <label class="ox-check"><input type="checkbox" data-ox="sorted" checked>
        Draw the filters in the order of the blocks</label>
    </div>
    <figure class="ox-figure">
      <canvas data-ox="canvas" role="img"></canvas>
      <figcaption>Each cell is a kernel, filters downwards, input channels to the right; the
        stronger the colour, the larger its norm.
        <span class="ox-swatch ox-swatch-kept"></span> stays
        <span class="ox-swatch ox-swatch-dropped"></span> dropped.</figcaption>
    </figure>
    <p class="ox-status" data-ox="status" role="status"></p>
    <table class="ox-bars">
      <caption>Share of the layer’s L1 norm that stays at this rate</caption>
      <tbody data-ox="bars"></tbody>
    </table>`;

  class Explorer {
    constructor(root, layers) {
      this.layers = layers;
      root.innerHTML = CONTROLS;
      this.root = root;
      this.parts = {};
      root.querySelectorAll("[data-ox]").forEach((part) => { this.parts[part.dataset.ox] = part; });
      layers.forEach((layer, k) => this.parts.layer.add(new Option(layer.title, String(k))));
      root.addEventListener("input", () => this.update());
      this.watch();
      this.update();
    }

    // Draw anew when the page turns, or goes dark.
    watch() {
      new ResizeObserver(() => this.draw()).observe(this.root);
      new MutationObserver(() => this.draw()).observe(document.documentElement, {
        attributes: true, attributeFilter: ["data-theme"],
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    update() {
      const { layer, n, rate, rearrange, sorted } = this.parts;
      this.layer = this.layers[Number(layer.value)];
      this.n = Number(n.value);
      this.rate = Number(rate.value) / 100;
      this.mask = mask(this.layer, this.n, this.rate, rearrange.checked);
      sorted.disabled = !rearrange.checked;
      this.parts["n-value"].textContent = String(this.n);
      this.parts["rate-value"].textContent = `${rate.value} %`;
      n.setAttribute("aria-valuetext", `${this.n} filters per block`);
      rate.setAttribute("aria-valuetext", `${rate.value} percent dropped`);
      this.describe();
      this.draw();
    }

    describe() {
      const { layer, mask: found, n, rate } = this;
      const kept = sum(found.kept);
      const weights = n * layer.kernel;
      const bytes = (found.keptBlocks * (weights + 1)) / (layer.norms.length * layer.kernel);
      const single = found.kept.length * layer.kernel;
      const rows = (kept * layer.kernel * 2) / single;
      this.parts.status.textContent =
        `${count(found.keptBlocks)} of ${count(found.blocks)} blocks stay, `
        + `${percent(kept / layer.norms.length)} of the weights. With one index a block they take `
        + `${percent(bytes)} of the dense layer’s bytes; with one index a weight, `
        + `${percent(rows)}.`;
      this.parts.canvas.setAttribute("aria-label",
        `Mask of ${layer.title} with N = ${n}: ${percent(1 - kept / layer.norms.length)} dropped`);
      const rearranged = this.parts.rearrange.checked;
      this.bars([
        ["single kernels, N = 1", massOf(layer, mask(layer, 1, rate, false).kept), false],
        [`blocks, N = ${n}`, massOf(layer, mask(layer, n, rate, false).kept), !rearranged],
        [`blocks of similar filters, N = ${n}`, massOf(layer, mask(layer, n, rate, true).kept),
          rearranged],
        ["whole filters", filterMass(layer, rate), false],
      ]);
    }

    bars(rows) {
      this.parts.bars.replaceChildren(...rows.map(([name, share, own]) => {
        const row = document.createElement("tr");
        if (own) row.className = "ox-own";
        row.innerHTML = '<th scope="row"></th><td class="ox-number"></td>'
          + '<td aria-hidden="true"><span class="ox-bar"></span></td>';
        row.children[0].textContent = name;
        row.children[1].textContent = percent(share);
        row.querySelector(".ox-bar").style.width = `${100 * share}%`;
        return row;
      }));
    }

    draw() {
      const { canvas, rearrange, sorted } = this.parts;
      const { filters, inputs } = this.layer;
      const wide = Math.max(1, Math.floor(canvas.parentElement.clientWidth) - 2);
      const cell = Math.min(wide / inputs, 12);
      const high = Math.round(Math.min(Math.max(cell * filters, 170), 430));
      const scale = window.devicePixelRatio || 1;
      canvas.width = Math.round(wide * scale);
      canvas.height = Math.round(high * scale);
      canvas.style.height = `${high}px`;
      const inBlocks = rearrange.checked && sorted.checked;
      this.paint(canvas, inBlocks ? this.mask.order : null);
    }

    paint(canvas, order) {
      const { filters, inputs, norms } = this.layer;
      const style = getComputedStyle(this.root);
      const ink = (name) => style.getPropertyValue(name).trim();
      const pen = canvas.getContext("2d");
      const [kept, dropped] = [ink("--ox-kept"), ink("--ox-dropped")];
      const x = (i) => Math.round((i * canvas.width) / inputs);
      const y = (o) => Math.round((o * canvas.height) / filters);
      pen.fillStyle = style.backgroundColor;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      for (let place = 0; place < filters; place += 1) {
        const o = order ? order[place] : place;
        for (let i = 0; i < inputs; i += 1) {
          const at = o * inputs + i;
          const strength = norms[at] / 255;
          const stays = this.mask.kept[at];
          pen.fillStyle = stays ? kept : dropped;
          pen.globalAlpha = stays ? 0.3 + 0.7 * strength : 0.08 + 0.5 * strength;
          pen.fillRect(x(i), y(place), x(i + 1) - x(i), y(place + 1) - y(place));
        }
      }
      pen.globalAlpha = 1;
      this.rules(pen, canvas, order, y);
    }

    // Lines between rows of blocks, where filters of a block lie together and there is room.
    rules(pen, canvas, order, y) {
      const { filters } = this.layer;
      if ((this.parts.rearrange.checked && !order) || this.n < 2) return;
      if ((canvas.height / filters) * this.n < 8) return;
      pen.fillStyle = getComputedStyle(this.root).backgroundColor;
      const thick = Math.max(1, Math.round(window.devicePixelRatio || 1));
      for (let place = this.n; place < filters; place += this.n) {
        pen.fillRect(0, y(place), canvas.width, thick);
      }
    }
  }

  function begin() {
    const layers = (globalThis.onexnLayers || []).map((layer) =>
      ({ ...layer, norms: decode(layer.norms) }));
    globalThis.onexnExplorer = { layers, mask, massOf, filterMass };
    if (!layers.length) return;
    const places = document.querySelectorAll("[data-onexn-explorer]");
    places.forEach((root) => new Explorer(root, layers));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
