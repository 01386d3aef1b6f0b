// Balls that turn: drag or arrow keys turn, + and - (or Ctrl and the wheel) zoom.
(() => {
  const list = document.getElementById("structures");
  if (!list) return;
  const all = JSON.parse(list.textContent);
  const box = document.getElementById("viewer");
  const [canvas, choice, words] = ["canvas", "select", "p"].map(name => box.querySelector(name));
  const pen = canvas.getContext("2d");
  // Rows: right, up, towards the reader.
  let turn = [[0.94, -0.342, 0], [0.089, 0.243, 0.966], [-0.33, -0.908, 0.259]];
  let zoom = 1, shown = all[0];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const color = name => getComputedStyle(box).getPropertyValue(name).trim();
  const corner = (v, i) => [0, 1, 2].map(c => [0, 1, 2].reduce((sum, k) => sum + (i >> k & 1) * v[k][c], 0));
  function rotate(right, up) {
    const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
    const by = [[c, 0, s], [t * s, d, -t * c], [-d * s, t, d * c]];
    turn = by.map(row => [0, 1, 2].map(j => row[0] * turn[0][j] + row[1] * turn[1][j] + row[2] * turn[2][j]));
    // Rounding must not bend the rows.
    const unit = v => { const n = Math.hypot(...v); return v.map(x => x / n); };
    turn[0] = unit(turn[0]);
    turn[1] = unit(turn[1].map((x, j) => x - dot(turn[0], turn[1]) * turn[0][j]));
    const [a, b] = turn;
    turn[2] = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    draw();
  }
  function draw() {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    pen.scale(ratio, ratio);
    const corners = shown.cell ? [...Array(8).keys()].map(i => corner(shown.cell, i)) : [];
    const places = shown.r.concat(corners);
    const middle = [0, 1, 2].map(c => places.reduce((sum, p) => sum + p[c], 0) / places.length);
    const from = p => p.map((x, c) => x - middle[c]);
    const reach = Math.max(...places.map(p => Math.hypot(...from(p)))) + 1.5;
    const scale = zoom * Math.min(width, height) / (2 * reach);
    const seen = p => { const d = from(p); return turn.map(row => dot(row, d)); };
    const at = q => [width / 2 + scale * q[0], height / 2 - scale * q[1]];
    pen.strokeStyle = color("--soft");
    pen.lineWidth = 1;
    for (let i = 0; i < corners.length; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) {
      pen.beginPath();
      pen.moveTo(...at(seen(corners[i])));
      pen.lineTo(...at(seen(corners[i | bit])));
      pen.stroke();
    }
    const atoms = shown.r.map((p, i) => [seen(p), i]).sort((a, b) => a[0][2] - b[0][2]);
    const rim = new Set(shown.rim), ink = color("--ink");
    for (const [q, i] of atoms) {
      const [x, y] = at(q), radius = scale * 0.62 * shown.radii[shown.kind[i]];
      pen.globalAlpha = rim.has(i) ? 0.3 : 1;
      const light = pen.createRadialGradient(x - 0.35 * radius, y - 0.35 * radius, 0, x, y, radius);
      light.addColorStop(0, "#ffffff");
      light.addColorStop(0.5, color("--c" + shown.kind[i] % 6));
      pen.fillStyle = light;
      pen.strokeStyle = ink;
      pen.lineWidth = i === shown.target ? 3 : 0.8;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
      if (!rim.has(i)) pen.stroke();
    }
    pen.globalAlpha = 1;
  }
  function show(number) {
    shown = all[number];
    words.replaceChildren();
    shown.elements.forEach((name, k) => {
      const mark = words.appendChild(document.createElement("b"));
      mark.style.color = `var(--c${k % 6})`;
      mark.textContent = "● ";
      words.append(name + "  ");
    });
    const link = words.appendChild(document.createElement("a"));
    link.href = shown.file;
    link.textContent = `${shown.file}, frame ${shown.frame}`;
    draw();
  }
  all.forEach((one, k) => choice.add(new Option(one.caption, k)));
  choice.addEventListener("change", () => show(choice.value));
  canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", event => {
    if (event.buttons) rotate(event.movementX / 120, event.movementY / 120);
  });
  const bigger = factor => { zoom = Math.min(8, Math.max(0.5, zoom * factor)); draw(); };
  canvas.addEventListener("wheel", event => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    bigger(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const keys = {
      ArrowLeft: () => rotate(-0.15, 0), ArrowRight: () => rotate(0.15, 0), ArrowUp: () => rotate(0, -0.15),
      ArrowDown: () => rotate(0, 0.15), "+": () => bigger(1.1), "-": () => bigger(1 / 1.1),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  box.hidden = false;
  show(0);
})();
