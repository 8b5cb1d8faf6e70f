const facts = JSON.parse(document.getElementById("facts").textContent);
const commas = (value) => value.toLocaleString("en-US");
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const best = facts.latency_cycles;
const dark = matchMedia("(prefers-color-scheme: dark)");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/* ---- what a layer says when it is pointed at ---- */

const card = document.getElementById("card");

function describe(index) {
  const node = facts.nodes[index];
  card.replaceChildren();
  if (node.stage === null) {
    card.append(element("h3", node.name), element("p", node.kind === "input" ? "input of the network" : "concatenation: by address, costs nothing"));
    return;
  }
  const row = facts.layers[node.stage];
  card.append(element("h3", `${row.n}. ${row.name}`));
  const list = element("dl");
  const say = (what, which) => list.append(element("dt", what), element("dd", which));
  say("shape", `${row.in} → ${row.out}`);
  say("operation", row.operation);
  say("computed by", `${row.algorithm}${row.flow ? `, dataflow ${row.flow}` : ""}`);
  say("layouts", `reads ${row.reads}, stores ${row.stores}`);
  say("cycles", `${commas(row.cycles)} (${percent(row.share)} of all)`);
  say("parts", `load ${commas(row.load)}, compute ${commas(row.compute)}, store ${commas(row.store)}`);
  if (row.bound) say("bound by", row.bound);
  if (row.flow) say("array in use", percent(row.use));
  card.append(list);
  const change = (facts.changes || []).find((changed) => changed.n === row.n);
  if (change) say("other plan", `${change.before}: ${commas(change.cycles_before)} cycles`);
  const choices = facts.alternatives[node.stage] || [];
  if (choices.length > 1) {
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const [title, kind] of [["alternatives", ""], ["stored", ""], ["whole network", "number"]]) head.append(element("th", title, kind));
    const body = table.createTBody();
    for (const [algorithm, flow, layout, total, chosen] of choices) {
      const line = body.insertRow();
      if (chosen) line.className = "chosen";
      line.append(
        element("td", `${chosen ? "✓ " : ""}${algorithm} ${flow}`),
        element("td", layout),
        element("td", total === null ? "impossible" : chosen ? commas(total) : total === best ? "the same" : `+${commas(total - best)} (+${percent(total / best - 1)})`, "number"),
      );
    }
    card.append(table);
  } else if (choices.length === 1) {
    card.append(element("p", "no other choice"));
  }
}

function show(index, box) {
  describe(index);
  card.hidden = false;
  const size = card.getBoundingClientRect();
  const right = box.right + 12 + size.width < innerWidth;
  const x = right ? box.right + 12 : box.left - 12 - size.width > 0 ? box.left - 12 - size.width : Math.max(10, (innerWidth - size.width) / 2);
  const beside = right || box.left - 12 - size.width > 0;
  let y = beside ? box.top : box.bottom + 10;
  if (y + size.height > innerHeight - 8) y = beside ? innerHeight - 8 - size.height : box.top - 10 - size.height;
  card.style.left = `${x}px`;
  card.style.top = `${Math.max(8, y)}px`;
}

function hide() { card.hidden = true; }

/* ---- the graph: pan, zoom, focus ---- */

const view = document.getElementById("view");
const svg = document.getElementById("network");
const scene = document.getElementById("scene");
const whole = { width: Number(svg.dataset.width), height: Number(svg.dataset.height) };
const [wide, high] = svg.dataset.node.split(" ").map(Number);
const nodes = facts.nodes.map((node, index) => ({ ...node, group: document.getElementById(`n${index}`), down: [], up: [] }));
const paths = [...svg.querySelectorAll(".edges path")];
facts.edges.forEach(([source, target], index) => {
  nodes[source].down.push({ node: target, path: paths[index] });
  nodes[target].up.push({ node: source, path: paths[index] });
});
svg.removeAttribute("viewBox");
const place = { x: 0, y: 0, k: 1 };
let frame = 0;

function draw() {
  frame = 0;
  scene.style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.k})`;
  const level = place.k < 0.3 ? "far" : place.k < 0.58 || zooming ? "mid" : "near";
  if (!svg.classList.contains(level)) {
    svg.classList.remove("far", "mid", "near");
    svg.classList.add(level);
  }
  drawMinimap();
}

function moved() {
  const { width, height } = view.getBoundingClientRect();
  // Some of the graph stays in sight.
  place.x = Math.min(width - 60, Math.max(60 - whole.width * place.k, place.x));
  place.y = Math.min(height - 60, Math.max(60 - whole.height * place.k, place.y));
  if (!frame) frame = requestAnimationFrame(draw);
}

// While a large graph is zoomed its small print is hidden: drawing text at ever new sizes is what takes long.
let zooming = 0;
function rest() {
  zooming = 0;
  moved();
}

function zoom(factor, x, y) {
  if (nodes.length > 300) {
    clearTimeout(zooming);
    zooming = setTimeout(rest, 200);
  }
  const box = view.getBoundingClientRect();
  const [cx, cy] = x === undefined ? [box.width / 2, box.height / 2] : [x - box.left, y - box.top];
  const k = Math.min(4, Math.max(smallest(), place.k * factor));
  place.x = cx - ((cx - place.x) * k) / place.k;
  place.y = cy - ((cy - place.y) * k) / place.k;
  place.k = k;
  moved();
}

function smallest() {
  const { width, height } = view.getBoundingClientRect();
  return Math.min(1, width / whole.width, height / whole.height) * 0.9;
}

function fit() {
  const { width, height } = view.getBoundingClientRect();
  place.k = Math.min(1, width / whole.width, height / whole.height);
  place.x = (width - whole.width * place.k) / 2;
  place.y = (height - whole.height * place.k) / 2;
  moved();
}

function start() {
  const { width } = view.getBoundingClientRect();
  const top = nodes.reduce((least, node) => (node.y < least.y ? node : least));
  place.k = width < 600 ? 0.85 : Math.min(0.9, Math.max(0.62, (width - 100) / whole.width));
  place.x = width / 2 - top.x * place.k;
  if (whole.width * place.k < width) place.x = (width - whole.width * place.k) / 2;
  place.y = 8 - (top.y - 40) * place.k;
  moved();
}

function reveal(node) {
  const { width, height } = view.getBoundingClientRect();
  const x = node.x * place.k + place.x;
  const y = node.y * place.k + place.y;
  if (place.k < 0.5) {
    place.k = 0.8;
  } else if (x > 90 && x < width - 90 && y > 50 && y < height - 50) {
    return;
  }
  place.x = width / 2 - node.x * place.k;
  place.y = height / 2 - node.y * place.k;
  moved();
  if (frame) { cancelAnimationFrame(frame); draw(); }
}

let current = nodes[0];
let lit = [];

function light(node) {
  for (const path of lit) path.classList.remove("lit");
  lit = node ? [...node.up, ...node.down].map((edge) => edge.path) : [];
  for (const path of lit) path.classList.add("lit");
}

function choose(node) {
  current.group.setAttribute("tabindex", "-1");
  current = node;
  node.group.setAttribute("tabindex", "0");
}

function focus(node) {
  choose(node);
  reveal(node);
  node.group.focus({ preventScroll: true });
}

for (const node of nodes) node.group.setAttribute("tabindex", node === current ? "0" : "-1");

const nodeOf = (target) => {
  const group = target instanceof Element ? target.closest("g.node") : null;
  return group ? nodes[Number(group.dataset.n)] : null;
};

svg.addEventListener("pointerover", (event) => {
  const node = nodeOf(event.target);
  if (!node || dragging) return;
  light(node);
  show(nodes.indexOf(node), node.group.getBoundingClientRect());
});
svg.addEventListener("pointerout", (event) => {
  if (event.pointerType !== "touch" && nodeOf(event.target) && nodeOf(event.target) !== nodeOf(event.relatedTarget)) { hide(); light(null); }
});
view.addEventListener("focusin", (event) => {
  const node = nodeOf(event.target);
  if (!node) return;
  choose(node);
  reveal(node);
  light(node);
  show(nodes.indexOf(node), node.group.getBoundingClientRect());
});
view.addEventListener("focusout", () => { hide(); light(null); });
addEventListener("scroll", hide, { passive: true });

let dragging = null;
const pointers = new Map();
svg.addEventListener("pointerdown", (event) => {
  view.classList.add("engaged");
  pointers.set(event.pointerId, event);
  dragging = { x: event.clientX, y: event.clientY, far: false };
});
addEventListener("pointermove", (event) => {
  if (!dragging || !pointers.has(event.pointerId)) return;
  const before = [...pointers.values()];
  const last = pointers.get(event.pointerId);
  pointers.set(event.pointerId, event);
  if (pointers.size === 2) {
    const now = [...pointers.values()];
    const distance = ([a, b]) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    zoom(distance(now) / Math.max(1, distance(before)), (now[0].clientX + now[1].clientX) / 2, (now[0].clientY + now[1].clientY) / 2);
    return;
  }
  if (!dragging.far && Math.hypot(event.clientX - dragging.x, event.clientY - dragging.y) < 4) return;
  if (!dragging.far) { dragging.far = true; svg.classList.add("dragged"); hide(); }
  place.x += event.clientX - last.clientX;
  place.y += event.clientY - last.clientY;
  moved();
});
function released(event) {
  if (!pointers.delete(event.pointerId)) return;
  svg.classList.remove("dragged");
  const far = dragging && dragging.far;
  if (!pointers.size) dragging = null;
  const node = nodeOf(event.target);
  if (!far && node && event.type === "pointerup") focus(node);
}
addEventListener("pointerup", released);
addEventListener("pointercancel", released);
addEventListener("pointerdown", (event) => { if (!view.contains(event.target)) view.classList.remove("engaged"); });

const hint = document.getElementById("hint");
let hintTimer = 0;
view.addEventListener("wheel", (event) => {
  const engaged = view.classList.contains("engaged") || view.contains(document.activeElement);
  if (!engaged && !event.ctrlKey && !event.metaKey) {
    hint.classList.add("shown");
    clearTimeout(hintTimer);
    hintTimer = setTimeout(() => hint.classList.remove("shown"), 1500);
    return;
  }
  event.preventDefault();
  hide();
  const lines = event.deltaMode === 1 ? 16 : 1;
  zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.008 : 0.0016)), event.clientX, event.clientY);
}, { passive: false });

function nearest(from, side) {
  const row = nodes.filter((node) => Math.abs(node.y - from.y) < 2 && Math.sign(node.x - from.x) === side);
  return row.sort((a, b) => Math.abs(a.x - from.x) - Math.abs(b.x - from.x))[0];
}
view.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const steps = {
    ArrowDown: () => current.down[0] && nodes[current.down[0].node],
    ArrowUp: () => current.up[0] && nodes[current.up[0].node],
    ArrowLeft: () => nearest(current, -1),
    ArrowRight: () => nearest(current, 1),
    Home: () => nodes[0],
    End: () => nodes[facts.layers.length - 1],
  };
  if (event.key in steps) {
    event.preventDefault();
    const next = steps[event.key]();
    if (next) focus(next);
  } else if (event.key === "+" || event.key === "=") {
    event.preventDefault();
    zoom(1.25);
  } else if (event.key === "-") {
    event.preventDefault();
    zoom(0.8);
  } else if (event.key === "0") {
    event.preventDefault();
    fit();
  } else if (event.key === "Escape") {
    hide();
    view.classList.remove("engaged");
  }
});

for (const [name, act] of [["in", () => zoom(1.4)], ["out", () => zoom(1 / 1.4)], ["fit", fit], ["start", start]]) {
  document.getElementById(`zoom-${name}`).addEventListener("click", act);
}
const find = document.getElementById("find");
find.addEventListener("change", () => {
  const wanted = find.value.trim().toLowerCase();
  if (!wanted) return;
  const node = nodes.find((n) => n.name.toLowerCase() === wanted) || nodes.find((n) => n.name.toLowerCase().includes(wanted));
  find.setCustomValidity(node ? "" : "no such layer");
  find.reportValidity();
  if (node) focus(node);
});
find.addEventListener("input", () => find.setCustomValidity(""));
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-node]") : null;
  if (!link) return;
  event.preventDefault();
  view.scrollIntoView({ block: "center" });
  focus(nodes[Number(link.dataset.node)]);
});

/* ---- the overview beside the graph ---- */

const minimap = document.getElementById("minimap");
let backdrop = null;

function miniScale() {
  return Math.min((minimap.clientWidth - 8) / whole.width, (minimap.clientHeight - 8) / whole.height);
}
function miniOrigin(scale) {
  return [(minimap.clientWidth - whole.width * scale) / 2, (minimap.clientHeight - whole.height * scale) / 2];
}
function drawMinimap() {
  if (!minimap.clientWidth) return;
  const ratio = devicePixelRatio || 1;
  const scale = miniScale();
  const [left, top] = miniOrigin(scale);
  if (!backdrop) {
    backdrop = document.createElement("canvas");
    backdrop.width = minimap.width = minimap.clientWidth * ratio;
    backdrop.height = minimap.height = minimap.clientHeight * ratio;
    const pen = backdrop.getContext("2d");
    pen.scale(ratio, ratio);
    for (const node of nodes) {
      pen.fillStyle = node.stage === null ? "#888888" : facts.colours[facts.layers[node.stage].family];
      pen.fillRect(left + (node.x - wide / 2) * scale, top + (node.y - high / 2) * scale, Math.max(2, wide * scale), Math.max(1.2, high * scale));
    }
  }
  const pen = minimap.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, minimap.width, minimap.height);
  pen.drawImage(backdrop, 0, 0);
  pen.scale(ratio, ratio);
  pen.strokeStyle = getComputedStyle(view).getPropertyValue("--accent");
  pen.lineWidth = 2;
  const box = view.getBoundingClientRect();
  const clamp = (value, most) => Math.min(most - 1, Math.max(1, value));
  const x0 = clamp(left - (place.x / place.k) * scale, minimap.clientWidth);
  const y0 = clamp(top - (place.y / place.k) * scale, minimap.clientHeight);
  const x1 = clamp(left + ((box.width - place.x) / place.k) * scale, minimap.clientWidth);
  const y1 = clamp(top + ((box.height - place.y) / place.k) * scale, minimap.clientHeight);
  pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
}
function jump(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const box = minimap.getBoundingClientRect();
  const scale = miniScale();
  const [left, top] = miniOrigin(scale);
  const size = view.getBoundingClientRect();
  place.x = size.width / 2 - ((event.clientX - box.left - left) / scale) * place.k;
  place.y = size.height / 2 - ((event.clientY - box.top - top) / scale) * place.k;
  moved();
}
minimap.addEventListener("pointerdown", jump);
minimap.addEventListener("pointermove", jump);
new ResizeObserver(() => { backdrop = null; moved(); }).observe(view);
start();

/* ---- charts ---- */

const times = (cycles, exact = true) => `${exact ? "" : "at least "}${(cycles / best).toPrecision(4)} ×`;
const data = { layers: facts.layers, changes: facts.changes || [], sweep: (facts.sweep || []).map((row) => ({ ...row, ms: (row.cycles / facts.clock_hz) * 1e3 })) };
const shape = (p1, p2, cycles, exact) => ({
  p1, p2, cycles, exact,
  array: `${p1}×${p2}`,
  dsp: Math.ceil((p1 * p2) / facts.macs_per_dsp),
  ms: (cycles / facts.clock_hz) * 1e3,
  said: `${exact ? "" : "at least "}${commas(cycles)}`,
  times: times(cycles, exact),
});
data.marked = [
  ...(facts.shapes ? facts.shapes.next : []).map((row) => ({ ...shape(...row, true), what: "next best" })),
  { ...shape(facts.array[0], facts.array[1], best, true), what: "chosen" }, // above the others
];
data.front = ((facts.shapes && facts.shapes.front) || []).map((row) => shape(...row, true));

function shapes() {
  if (!data.shapes) {
    const { p1, p2, cycles, exact } = facts.shapes;
    const known = exact && new Set(exact);
    data.shapes = p1.map((row, index) => {
      const sure = !known || known.has(index);
      return {
        array: `${row}×${p2[index]}`, y: row - 0.5, y2: 1.01 * row + 0.5, x: p2[index] - 0.5, x2: 1.01 * p2[index] + 0.5, // a little over the next, so that no seam shows
        ratio: cycles[index] / best, said: `${sure ? "" : "at least "}${commas(cycles[index])}`, times: times(cycles[index], sure),
      };
    });
  }
  return data.shapes;
}

function config() {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim();
  const font = 'system-ui, "Open Sans", "DejaVu Sans", sans-serif';
  const narrow = innerWidth < 700;
  return {
    background: null,
    font,
    axis: { labelColor: ink, titleColor: ink, domainColor: ink, tickColor: line, gridColor: line, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400 },
    legend: { labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400, orient: "top", direction: "horizontal", columns: narrow ? 3 : 6, labelLimit: 110 },
    text: { color: ink, fontSize: 12 },
    view: { stroke: null },
  };
}

async function plot(target) {
  const name = target.dataset.chart;
  const spec = structuredClone(facts.charts[name]);
  if (name === "map") shapes();
  const text = JSON.stringify(spec);
  spec.datasets = Object.fromEntries(Object.entries(data).filter(([set]) => text.includes(`"data":{"name":"${set}"}`)));
  for (const parameter of spec.params || []) {
    if (parameter.name === "ink") parameter.value = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  }
  target.replaceChildren();
  const made = await vegaEmbed(target, spec, { actions: false, renderer: name === "map" ? "canvas" : "svg", config: config(), tooltip: { theme: dark.matches ? "dark" : "light" } });
  target.dataset.ready = "yes";
  return made;
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    plot(entry.target);
  }
}, { rootMargin: "600px" });
for (const target of document.querySelectorAll(".chart")) seen.observe(target);
dark.addEventListener("change", () => {
  backdrop = null;
  moved();
  for (const target of document.querySelectorAll(".chart[data-ready]")) plot(target);
});
