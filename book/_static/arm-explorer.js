// One photograph, a budget to drag, and what each router makes of it. No server, no kernel.
// The numbers are in arm-explorer-data.js: the squared error of every branch on every cell, and
// the steps that lithe.arm.anytime.ladder bought, in order. A budget pays for so many steps.
"use strict";

(() => {
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const full = (photo) => photo.costs[photo.costs.length - 1] * sum(photo.area);
  const decibel = (photo, squared) => 10 * Math.log10((255 * 255 * photo.pixels) / squared);

  // The routing that a share of the full cost pays for; lithe's Ladder.
  function route(photo, router, share) {
    const budget = share * full(photo) * (1 + 1e-9);
    const branches = router.start.slice();
    let spent = sum(branches.map((j, n) => photo.costs[j] * photo.area[n]));
    for (let s = 0; s < router.cell.length; s += 1) {
      const cell = router.cell[s];
      const extra = (photo.costs[router.branch[s]] - photo.costs[branches[cell]]) * photo.area[cell];
      if (spent + extra > budget) break;
      spent += extra;
      branches[cell] = router.branch[s];
    }
    const squared = sum(branches.map((j, n) => photo.squared[j][n]));
    return { branches, spent, psnr: decibel(photo, squared) };
  }

  function curve(photo, router, points = 50) {
    return Array.from({ length: points + 1 }, (_, k) => route(photo, router, k / points).psnr);
  }

  const CONTROLS = `
    <div class="ae-controls">
      <label>Routed by <select data-ae="router"></select></label>
      <label>Budget: <span class="ae-value" data-ae="budget-value"></span> of the full cost
        <input type="range" data-ae="budget" min="0" max="100" step="1" value="50"></label>
      <label>Divider: <span class="ae-value" data-ae="divider-value"></span> interpolated
        <input type="range" data-ae="divider" min="0" max="100" step="1" value="30"></label>
      <label class="ae-check"><input type="checkbox" data-ae="map" checked>
        Show the branch of each cell</label>
    </div>
    <figure class="ae-figure">
      <canvas class="ae-photo" data-ae="photo" role="img"></canvas>
      <figcaption>Left of the divider the interpolated photograph, right of it the routed one; drag
        it in the picture, too.</figcaption>
    </figure>
    <p class="ae-status" data-ae="status" role="status"></p>
    <table class="ae-counts">
      <caption>Cells by branch</caption><tbody data-ae="counts"></tbody>
    </table>
    <figure class="ae-figure">
      <canvas data-ae="curve" role="img"></canvas>
      <figcaption>PSNR of the whole photograph at every budget: the chosen router in colour, the
        others in gray, your budget as a dot.</figcaption>
    </figure>`;

  class Explorer {
    constructor(root, photo, images) {
      this.root = root;
      this.photo = photo;
      this.images = images;
      root.innerHTML = CONTROLS;
      this.parts = {};
      root.querySelectorAll("[data-ae]").forEach((part) => { this.parts[part.dataset.ae] = part; });
      photo.routers.forEach((router) => this.parts.router.add(new Option(router.title, router.id)));
      this.curves = photo.routers.map((router) => curve(photo, router));
      root.addEventListener("input", () => this.update());
      images.forEach((image) => image.addEventListener("load", () => this.draw()));
      this.watch();
      this.update();
    }

    // Draw anew when the page turns or goes dark; a pointer in the picture moves the divider.
    watch() {
      new ResizeObserver(() => this.draw()).observe(this.root);
      new MutationObserver(() => this.draw()).observe(document.documentElement, {
        attributes: true, attributeFilter: ["data-theme"],
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      const move = (event) => {
        if (event.buttons === 0) return;
        const box = this.parts.photo.getBoundingClientRect();
        const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
        this.parts.divider.value = String(Math.round(100 * share));
        this.update();
      };
      this.parts.photo.addEventListener("pointerdown", move);
      this.parts.photo.addEventListener("pointermove", move);
    }

    update() {
      const { router, budget, divider } = this.parts;
      this.router = this.photo.routers.find(({ id }) => id === router.value);
      this.share = Number(budget.value) / 100;
      this.found = route(this.photo, this.router, this.share);
      this.parts["budget-value"].textContent = `${budget.value} %`;
      this.parts["divider-value"].textContent = `${divider.value} %`;
      budget.setAttribute("aria-valuetext", `${budget.value} percent of the full cost`);
      divider.setAttribute("aria-valuetext", `${divider.value} percent interpolated`);
      this.describe();
      this.draw();
    }

    describe() {
      const { photo, found } = this;
      const last = photo.names.length - 1;
      const whole = decibel(photo, sum(photo.squared[last]));
      const plain = decibel(photo, sum(photo.squared[0]));
      this.parts.status.textContent =
        `${found.psnr.toFixed(2)} dB for ${((100 * found.spent) / full(photo)).toFixed(1)} % of the cost; `
        + `interpolation has ${plain.toFixed(2)} dB, the largest network everywhere ${whole.toFixed(2)} dB. `
        + `Over all budgets this router gains ${this.area(plain).toFixed(2)} dB on interpolation: the area under its curve.`;
      this.parts.photo.setAttribute("aria-label",
        `A rocket on its launch pad, enlarged four times: ${found.psnr.toFixed(2)} dB`);
      this.parts.curve.setAttribute("aria-label",
        `PSNR against budget for ${photo.routers.length} routers; ${this.router.title} is chosen`);
      this.parts.counts.replaceChildren(...photo.names.map((name, j) => {
        const row = document.createElement("tr");
        row.innerHTML = `<th scope="row"><span class="ae-key ae-key-${j}">${j}</span> <span></span></th><td></td>`;
        row.querySelector("th span:last-child").textContent = name;
        row.children[1].textContent = String(found.branches.filter((b) => b === j).length);
        return row;
      }));
    }

    // Mean gain over all budgets above none.
    area(plain) {
      const [, ...values] = this.curves[this.photo.routers.indexOf(this.router)];
      return sum(values) / values.length - plain;
    }

    draw() {
      if (!this.found) return;
      this.drawPhoto();
      this.drawCurve();
    }

    colour(name) {
      return getComputedStyle(this.root).getPropertyValue(name).trim();
    }

    drawPhoto() {
      const { photo, found, images } = this;
      const { photo: canvas, map, divider } = this.parts;
      const scale = images[0].naturalWidth / photo.width || 4;
      canvas.width = photo.width * scale;
      canvas.height = photo.height * scale;
      const pen = canvas.getContext("2d");
      const columns = Math.ceil(photo.width / photo.cell);
      const side = photo.cell * scale;
      const ready = (image) => image.complete && image.naturalWidth > 0;
      found.branches.forEach((branch, n) => {
        const [x, y] = [(n % columns) * side, Math.floor(n / columns) * side];
        const wide = Math.min(side, canvas.width - x);
        const high = Math.min(side, canvas.height - y);
        if (ready(images[branch])) pen.drawImage(images[branch], x, y, wide, high, x, y, wide, high);
        if (map.checked) this.mark(pen, branch, x, y, wide, high);
      });
      const cut = Math.round((canvas.width * Number(divider.value)) / 100);
      if (cut > 0 && ready(images[0])) {
        pen.drawImage(images[0], 0, 0, cut, canvas.height, 0, 0, cut, canvas.height);
      }
      pen.fillStyle = "#ffffff";
      pen.fillRect(cut - 2, 0, 4, canvas.height);
      pen.fillStyle = "#000000";
      pen.fillRect(cut - 1, 0, 2, canvas.height);
    }

    mark(pen, branch, x, y, wide, high) {
      pen.strokeStyle = this.colour(`--ae-${branch}`);
      pen.lineWidth = 4;
      pen.strokeRect(x + 3, y + 3, wide - 6, high - 6);
      const size = Math.min(24, high - 8, wide - 8);
      if (size < 10) return;
      pen.fillStyle = this.colour(`--ae-${branch}`);
      pen.fillRect(x + 3, y + 3, size + 6, size + 4);
      pen.fillStyle = "#ffffff";
      pen.font = `600 ${size}px sans-serif`;
      pen.textBaseline = "top";
      pen.fillText(String(branch), x + 3 + size / 3, y + 5);
    }

    drawCurve() {
      const canvas = this.parts.curve;
      const ratio = window.devicePixelRatio || 1;
      const wide = Math.max(200, Math.floor(canvas.parentElement.clientWidth));
      const high = 200;
      [canvas.width, canvas.height] = [wide * ratio, high * ratio];
      canvas.style.height = `${high}px`;
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const values = this.curves.flat();
      const [low, top] = [Math.min(...values), Math.max(...values)];
      const x = (share) => 48 + share * (wide - 60);
      const y = (psnr) => 170 - ((psnr - low) / (top - low || 1)) * 155;
      this.axes(pen, x, y, low, top);
      const own = this.photo.routers.indexOf(this.router);
      const order = [...this.curves.keys()].sort((a, b) => Number(a === own) - Number(b === own));
      order.forEach((k) => this.line(pen, this.curves[k], x, y, k === own));
      pen.fillStyle = this.colour("--ae-own");
      pen.beginPath();
      pen.arc(x(this.share), y(this.found.psnr), 5, 0, 2 * Math.PI);
      pen.fill();
    }

    axes(pen, x, y, low, top) {
      pen.fillStyle = getComputedStyle(this.root).color;
      pen.strokeStyle = this.colour("--ae-rest");
      pen.font = "12px sans-serif";
      pen.textBaseline = "middle";
      [low, (low + top) / 2, top].forEach((value) => pen.fillText(value.toFixed(1), 6, y(value)));
      [0, 0.5, 1].forEach((share) => pen.fillText(`${100 * share} %`, x(share) - 10 - 20 * share, 190));
      pen.strokeRect(x(0), y(top), x(1) - x(0), y(low) - y(top));
    }

    line(pen, values, x, y, own) {
      pen.strokeStyle = this.colour(own ? "--ae-own" : "--ae-rest");
      pen.lineWidth = own ? 2.5 : 1;
      pen.beginPath();
      values.forEach((value, k) => pen.lineTo(x(k / (values.length - 1)), y(value)));
      pen.stroke();
    }
  }

  function begin() {
    const photo = globalThis.armPhotograph;
    globalThis.armExplorer = { photo, route, curve };
    if (!photo) return;
    const images = photo.names.map((_, j) => document.querySelector(`[data-arm-branch="${j}"]`));
    document.querySelectorAll("[data-arm-explorer]").forEach((root) =>
      new Explorer(root, photo, images));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
