// The player of motions: sticks in 3-D, in time with the sound. It is put into the page whole, with
// the motion beside it as JSON, and needs no server and no kernel. The camera is that of
// lithe.syntalker.drawing.Camera.
"use strict";

(() => {
  const FLOOR = 3; // metres of floor shown to each side
  const START = { yaw: 0.5, pitch: 0.2, distance: 4 };
  const HEAD = 0.09; // radius, metres
  const ZOOM = 1.6; // focal length in heights of the picture
  const SPEEDS = [0.25, 0.5, 1, 1.5, 2];
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  // Positions of all frames in metres, from 16-bit whole numbers.
  function unpack(clip) {
    const bytes = Uint8Array.from(atob(clip.positions), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const positions = new Float32Array(bytes.length / 2);
    for (let k = 0; k < positions.length; k += 1) {
      positions[k] = view.getInt16(2 * k, true) * clip.scale + clip.origin[k % 3];
    }
    return positions;
  }

  // The root's path, averaged over a second, at half the height of the highest joint.
  function pathOf(clip, positions) {
    const joints = clip.parents.length;
    const half = Math.max(1, Math.round(clip.fps / 2));
    let top = 0;
    for (let k = 1; k < positions.length; k += 3) top = Math.max(top, positions[k]);
    return Array.from({ length: clip.frames }, (_, frame) => {
      const first = Math.max(0, frame - half);
      const last = Math.min(clip.frames - 1, frame + half);
      let [x, z] = [0, 0];
      for (let k = first; k <= last; k += 1) {
        x += positions[3 * joints * k];
        z += positions[3 * joints * k + 2];
      }
      return [x / (last - first + 1), top / 2, z / (last - first + 1)];
    });
  }

  // One picture: a canvas, its clip, and the camera it shares with the others.
  class Picture {
    constructor(canvas, clip, player) {
      this.canvas = canvas;
      this.clip = clip;
      this.player = player;
      this.positions = unpack(clip);
      this.path = pathOf(clip, this.positions);
      this.middle = [0, 1, 2].map((axis) => {
        const values = this.path.map((point) => point[axis]);
        return (values.reduce((a, b) => Math.min(a, b)) + values.reduce((a, b) => Math.max(a, b))) / 2;
      });
    }

    frameAt(time) {
      return clamp(Math.floor(time * this.clip.fps + 1e-4), 0, this.clip.frames - 1);
    }

    // Right and down of the middle in pixels, and depth in metres.
    project(x, y, z) {
      const { yaw, pitch, distance } = this.player.camera;
      const [dx, dy, dz] = [x - this.centre[0], y - this.centre[1], z - this.centre[2]];
      const side = Math.cos(yaw) * dx - Math.sin(yaw) * dz;
      const near = Math.sin(yaw) * dx + Math.cos(yaw) * dz;
      const up = Math.cos(pitch) * dy - Math.sin(pitch) * near;
      const depth = Math.max(distance - Math.sin(pitch) * dy - Math.cos(pitch) * near, 0.1);
      const focus = (ZOOM * this.height) / depth;
      return [this.width / 2 + focus * side, this.height / 2 - focus * up, depth];
    }

    line(a, b, colour, thickness) {
      const pen = this.pen;
      pen.strokeStyle = colour;
      pen.lineWidth = Math.max(1, (thickness * ZOOM * this.height * 2) / (a[2] + b[2]));
      pen.beginPath();
      pen.moveTo(a[0], a[1]);
      pen.lineTo(b[0], b[1]);
      pen.stroke();
    }

    // The head: a disc of 18 cm on the last joint of the neck.
    ball(at, colour) {
      this.pen.fillStyle = colour;
      this.pen.beginPath();
      this.pen.arc(at[0], at[1], (HEAD * ZOOM * this.height) / at[2], 0, 2 * Math.PI);
      this.pen.fill();
    }

    draw(time, colours) {
      const ratio = window.devicePixelRatio || 1;
      this.width = Math.round(this.canvas.clientWidth * ratio);
      this.height = Math.round(this.canvas.clientHeight * ratio);
      if (!this.width || !this.height) return;
      if (this.canvas.width !== this.width || this.canvas.height !== this.height) {
        this.canvas.width = this.width;
        this.canvas.height = this.height;
      }
      this.frame = this.frameAt(time);
      this.centre = this.player.follow ? this.path[this.frame] : this.middle;
      this.pen = this.canvas.getContext("2d");
      this.pen.lineCap = "round";
      this.pen.fillStyle = colours.surface;
      this.pen.fillRect(0, 0, this.width, this.height);
      this.floor(colours);
      this.trail(colours);
      this.bones(colours, true);
      this.bones(colours, false);
    }

    floor(colours) {
      const [x, z] = [Math.round(this.centre[0]), Math.round(this.centre[2])];
      for (let k = -FLOOR; k <= FLOOR; k += 1) {
        this.line(this.project(x + k, 0, z - FLOOR), this.project(x + k, 0, z + FLOOR), colours.floor, 0.006);
        this.line(this.project(x - FLOOR, 0, z + k), this.project(x + FLOOR, 0, z + k), colours.floor, 0.006);
      }
    }

    // Where the root has come from in the last four seconds.
    trail(colours) {
      const step = Math.max(1, Math.round(this.clip.fps / 10));
      const first = Math.max(0, this.frame - 4 * Math.round(this.clip.fps));
      for (let k = first; k + step <= this.frame; k += step) {
        const [a, b] = [this.path[k], this.path[k + step]];
        this.line(this.project(a[0], 0, a[2]), this.project(b[0], 0, b[2]), colours.shadow, 0.01);
      }
    }

    bones(colours, shadow) {
      const { parents, sides, thin } = this.clip;
      const at = 3 * parents.length * this.frame;
      const seen = parents.map((_, joint) => {
        const [x, y, z] = this.positions.subarray(at + 3 * joint, at + 3 * joint + 3);
        return this.project(x, shadow ? 0 : y, z);
      });
      const order = parents.map((_, joint) => joint).slice(1);
      order.sort((a, b) => seen[b][2] - seen[a][2]);
      order.forEach((joint) => {
        const colour = shadow ? colours.shadow : colours[sides[joint]];
        this.line(seen[parents[joint]], seen[joint], colour, thin[joint] ? 0.012 : 0.035);
        if (joint === this.clip.head) this.ball(seen[joint], colour);
      });
    }
  }

  const CONTROLS = `
    <div class="lm-clips" data-lm="clips"></div>
    <div class="lm-track" data-lm="track" hidden></div>
    <div class="lm-controls">
      <button type="button" data-lm="play" aria-pressed="false">Play</button>
      <label class="lm-scrub">Frame
        <input type="range" data-lm="scrub" min="0" step="1" value="0"></label>
      <span class="lm-time" data-lm="time"></span>
      <label>Speed <select data-lm="speed"></select></label>
      <label data-lm="sounds" hidden>Sound <select data-lm="sound"></select></label>
      <label><input type="checkbox" data-lm="loop"> Repeat</label>
      <label><input type="checkbox" data-lm="follow" checked> Follow</label>
      <button type="button" data-lm="reset">Reset view</button>
    </div>
    <p class="lm-hint">Drag, or arrow keys on the picture, to turn; pinch, or + and −, to come
      nearer; space plays, comma and full stop step one frame. Left is blue, right is orange.</p>`;

  class Player {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector("script[data-lm='data']").textContent);
      this.camera = { ...START };
      this.follow = true;
      this.playing = false;
      this.time = 0;
      this.build();
      this.length = Math.max(...this.pictures.map(({ clip }) => clip.frames / clip.fps));
      this.fps = this.pictures[0].clip.fps;
      this.parts.scrub.max = String(Math.ceil(this.length * this.fps - 1e-4) - 1);
      this.sound = this.sounds[0] || null;
      this.connect();
      this.track();
      this.colour();
      this.show();
    }

    build() {
      const { root } = this;
      root.querySelector(".lm-poster").hidden = true;
      this.sounds = [...root.querySelectorAll("audio")];
      this.sounds.forEach((sound) => { sound.controls = false; sound.hidden = true; });
      const panel = document.createElement("div");
      panel.innerHTML = CONTROLS;
      root.append(panel);
      this.parts = {};
      panel.querySelectorAll("[data-lm]").forEach((part) => { this.parts[part.dataset.lm] = part; });
      this.pictures = this.data.clips.map((clip) => {
        const figure = document.createElement("figure");
        figure.className = "lm-clip";
        const canvas = document.createElement("canvas");
        canvas.tabIndex = 0;
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${clip.label}: a figure of sticks, moving`);
        const caption = document.createElement("figcaption");
        caption.textContent = clip.label;
        figure.append(canvas, caption);
        this.parts.clips.append(figure);
        return new Picture(canvas, clip, this);
      });
    }

    connect() {
      const { play, scrub, speed, sounds, sound, loop, follow, reset } = this.parts;
      play.addEventListener("click", () => this.toggle());
      scrub.addEventListener("input", () => this.seek((Number(scrub.value) + 0.5) / this.fps));
      SPEEDS.forEach((value) => speed.add(new Option(`${value}×`, String(value))));
      speed.value = "1";
      speed.addEventListener("change", () => this.pace());
      this.sounds.forEach((element, k) => sound.add(new Option(element.dataset.label, String(k))));
      sound.add(new Option("none", ""));
      sounds.hidden = !this.sounds.length;
      sound.addEventListener("change", () => this.listen(sound.value));
      this.sounds.forEach((element) => element.addEventListener("ended", () => {
        if (element === this.sound && this.playing) this.end();
      }));
      loop.addEventListener("change", () => this.show());
      follow.addEventListener("change", () => { this.follow = follow.checked; this.show(); });
      reset.addEventListener("click", () => { this.camera = { ...START }; this.show(); });
      this.root.addEventListener("keydown", (event) => this.key(event));
      this.pictures.forEach(({ canvas }) => this.orbit(canvas));
      new ResizeObserver(() => this.show()).observe(this.root);
      const turned = () => { this.colour(); this.show(); };
      const watcher = new MutationObserver(turned);
      [document.documentElement, document.body].forEach((element) => watcher.observe(element, {
        attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "class"],
      }));
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", turned);
    }

    // Pointers are mouse, pen and fingers: one turns, two pinch.
    orbit(canvas) {
      const down = new Map();
      const gap = () => {
        const [a, b] = [...down.values()];
        return Math.hypot(a.x - b.x, a.y - b.y);
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      });
      canvas.addEventListener("pointermove", (event) => {
        const before = down.get(event.pointerId);
        if (!before) return;
        const wide = down.size === 2 ? gap() : 0;
        down.set(event.pointerId, { x: event.clientX, y: event.clientY });
        if (wide) this.zoom(wide / Math.max(gap(), 1));
        else this.turn((event.clientX - before.x) * -0.01, (event.clientY - before.y) * 0.01);
      });
      ["pointerup", "pointercancel"].forEach((name) =>
        canvas.addEventListener(name, (event) => down.delete(event.pointerId)));
      canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== canvas) return; // else the page could not be scrolled
        event.preventDefault();
        this.zoom(Math.exp(event.deltaY * 0.001));
      }, { passive: false });
    }

    turn(yaw, pitch) {
      this.camera.yaw += yaw;
      this.camera.pitch = clamp(this.camera.pitch + pitch, -0.1, 1.5);
      this.show();
    }

    zoom(factor) {
      this.camera.distance = clamp(this.camera.distance * factor, 1.2, 15);
      this.show();
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { target, key } = event;
      const turns = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      const anywhere = {
        ",": () => this.step(-1), ".": () => this.step(1),
        "+": () => this.zoom(0.9), "=": () => this.zoom(0.9), "-": () => this.zoom(1 / 0.9),
      };
      const act = target.tagName === "CANVAS" && turns[key] ? () => this.turn(...turns[key]) : anywhere[key];
      const space = key === " " && !["BUTTON", "SELECT"].includes(target.tagName) && target.type !== "checkbox";
      if (!act && !space) return;
      event.preventDefault();
      event.stopPropagation(); // notebooks have shortcuts of their own
      if (space) this.toggle();
      else act();
    }

    toggle() { if (this.playing) this.pause(); else this.play(); }

    play() {
      if (this.time >= this.length - 0.5 / this.fps) this.seek(0);
      this.playing = true;
      this.before = performance.now();
      this.start();
      this.state();
      requestAnimationFrame(() => this.tick());
    }

    // The sound leads; where it may not play, the wall clock does.
    start() {
      if (!this.sound) return;
      this.sound.currentTime = this.time;
      this.sound.playbackRate = Number(this.parts.speed.value);
      this.sound.play().catch(() => {});
    }

    pause() {
      this.playing = false;
      if (this.sound) {
        if (!this.sound.paused) this.time = this.sound.currentTime;
        this.sound.pause();
      }
      this.state();
      this.show();
    }

    end() {
      if (this.parts.loop.checked) {
        this.seek(0);
        if (this.sound && this.sound.paused) this.start();
      } else {
        this.time = this.length;
        this.pause();
      }
    }

    tick() {
      if (!this.playing) return;
      if (!this.root.isConnected) { this.pause(); return; }
      const now = performance.now();
      const led = this.sound && !this.sound.paused && !this.sound.ended;
      if (led) this.time = this.sound.currentTime;
      else this.time += ((now - this.before) / 1000) * Number(this.parts.speed.value);
      this.before = now;
      if (this.time >= this.length) this.end();
      this.show();
      requestAnimationFrame(() => this.tick());
    }

    seek(time) {
      this.time = clamp(time, 0, this.length);
      if (this.sound) this.sound.currentTime = this.time;
      this.show();
    }

    step(by) {
      if (this.playing) this.pause();
      this.seek((this.frame() + by + 0.5) / this.fps);
    }

    frame() { return clamp(Math.floor(this.time * this.fps + 1e-4), 0, Number(this.parts.scrub.max)); }

    pace() { if (this.sound) this.sound.playbackRate = Number(this.parts.speed.value); }

    listen(which) {
      if (this.sound) this.sound.pause();
      this.sound = which === "" ? null : this.sounds[Number(which)];
      if (this.playing) this.start();
      else if (this.sound) this.sound.currentTime = this.time;
    }

    state() {
      this.parts.play.textContent = this.playing ? "Pause" : "Play";
      this.parts.play.setAttribute("aria-pressed", String(this.playing));
    }

    // What was asked for, and when: a row for each clip and part of the body.
    track() {
      const { track } = this.parts;
      this.prompts = [];
      this.data.clips.forEach((clip) => {
        [...new Set(clip.prompts.map((prompt) => prompt.part))].forEach((part) => {
          const row = document.createElement("div");
          row.className = "lm-row";
          row.setAttribute("role", "group");
          row.setAttribute("aria-label", `Prompts of ${clip.label}, ${part}`);
          clip.prompts.filter((prompt) => prompt.part === part).forEach((prompt) => {
            const button = document.createElement("button");
            button.type = "button";
            button.textContent = `${part}: ${prompt.text}`;
            button.title = `${button.textContent} (${prompt.start.toFixed(1)} to ${prompt.end.toFixed(1)} s)`;
            button.style.left = `${(100 * prompt.start) / this.length}%`;
            button.style.width = `${(100 * (prompt.end - prompt.start)) / this.length}%`;
            button.addEventListener("click", () => this.seek(prompt.start + 0.5 / this.fps));
            row.append(button);
            this.prompts.push({ ...prompt, button });
          });
          track.append(row);
        });
      });
      if (!this.prompts.length) return;
      track.hidden = false;
      this.now = document.createElement("div");
      this.now.className = "lm-now";
      track.append(this.now);
    }

    colour() {
      const style = getComputedStyle(this.root);
      this.colours = {};
      ["floor", "shadow", "middle", "left", "right"].forEach((name) => {
        this.colours[name] = style.getPropertyValue(`--lm-${name}`).trim();
      });
      this.colours.surface = style.backgroundColor;
    }

    show() {
      const { scrub, time } = this.parts;
      const frame = this.frame();
      scrub.value = String(frame);
      const words = `${this.time.toFixed(2)} of ${this.length.toFixed(2)} s`;
      scrub.setAttribute("aria-valuetext", `frame ${frame}, ${words}`);
      time.textContent = words;
      this.pictures.forEach((picture) => picture.draw(this.time, this.colours));
      this.prompts.forEach(({ start, end, button }) =>
        button.setAttribute("aria-current", String(start <= this.time && this.time < end)));
      if (this.now) this.now.style.left = `${(100 * this.time) / this.length}%`;
      this.root.dataset.frame = String(this.pictures[0].frame);
    }
  }

  function mountAll() {
    document.querySelectorAll(".lithe-motion:not([data-mounted])").forEach((root) => {
      root.dataset.mounted = "";
      root.player = new Player(root);
    });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
  mountAll();
})();
