"use strict";
// The explorer of a pool's page: controls choose a scheme, `render` reads the controls and shows its cell of the grid.
// The state is in the address after "#", so that a setting can be shared: #rule=race&gate=none&beta=5&n=8&u=2&value=reward
(() => {
  const data = JSON.parse(document.getElementById("grid").textContent);
  const element = (id) => document.getElementById(id);
  const controls = { value: element("x-value"), rule: element("x-rule"), gate: element("x-gate") };
  const sliders = { beta: element("x-beta"), n: element("x-n"), u: element("x-u") };
  const gateNames = { none: "none", tilted_reward: "tilted reward ≥ u", score: "score ≥ u" };
  const dash = "–";

  const format = (x, digits = 4) => {
    if (x === null || x === undefined) return dash;
    if (x === "inf") return "∞";
    if (x === 0) return "0";
    const size = Math.abs(x);
    return size >= 1e5 || size < 1e-3 ? x.toExponential(2).replace("e+", "e") : String(Number(x.toPrecision(digits)));
  };
  const fill = (select, names, labels) => {
    const kept = select.value;
    select.replaceChildren(...names.map((name) => new Option(labels ? labels[name] : name.replaceAll("_", " "), name)));
    if (names.includes(kept)) select.value = kept;
  };
  const nearest = (list, x) => list.reduce((best, v, i) => (Math.abs(v - x) < Math.abs(list[best] - x) ? i : best), 0);

  // {rule, gate, beta} -> {u: thresholds or [null], n: counts, cells[u][n] = index of the columns}
  const table = (rule, gate, beta) => data.groups[[rule, gate, beta].join("|")];
  const betaNow = () => data.betas[Number(sliders.beta.value)];
  const tableNow = () => table(controls.rule.value, controls.gate.value, betaNow());

  const syncGates = () => fill(controls.gate, data.gates[controls.rule.value], gateNames);
  const syncSliders = () => {
    const now = tableNow();
    sliders.n.max = now.n.length - 1;
    sliders.u.max = now.u.length - 1;
    sliders.u.disabled = now.u[0] === null;
  };

  const read = () => {
    const now = tableNow();
    const u = Math.min(Number(sliders.u.value), now.u.length - 1), n = Math.min(Number(sliders.n.value), now.n.length - 1);
    return { now, u, n, cell: now.cells[u][n], value: controls.value.value, beta: betaNow() };
  };

  const show = (id, text) => { element(id).textContent = text; };
  const pair = (name, cell) => `${format(data[name][cell])} ± ${format(data[name + "_se"][cell], 2)}`;

  const render = () => {
    const s = read(), tail = data.tails[String(s.beta)];
    show("o-beta", format(s.beta)); show("o-n", String(s.now.n[s.n]));
    show("o-u", s.now.u[s.u] === null ? "no gate" : format(s.now.u[s.u]));
    show("o-value-name", s.value.replaceAll("_", " "));
    show("o-value", pair(s.value, s.cell));
    show("o-accept", s.now.u[s.u] === null ? dash : format(data.p_accept[s.cell], 3));
    show("o-cost", `${format(data.cost[s.cell], 3)} ${data.unit}`);
    const base = controls.rule.value.startsWith("base");
    show("o-bound", tail.speaks ? format(data.kl_bound[s.cell], 3) : "cannot tell");
    const notes = [];
    if (!base && !tail.seen) notes.push(`The drafts do not show the tail of their weights at β = ${format(s.beta)} ` +
      `(k̂ = ${format(tail.khat, 2)}): what no draw has shown may move this value.`);
    if (!tail.speaks) notes.push("The base candidates do not show enough of the tilted policy to bound the KL to it.");
    show("o-note", notes.join(" "));
    draw(s);
    const state = { rule: controls.rule.value, gate: controls.gate.value, beta: s.beta, n: s.now.n[s.n], value: s.value };
    if (s.now.u[s.u] !== null) state.u = s.now.u[s.u];
    history.replaceState(null, "", "#" + new URLSearchParams(state));
  };

  const NS = "http://www.w3.org/2000/svg", WIDE = 640, HIGH = 260, LEFT = 58, RIGHT = 14, TOP = 14, LOW = 40;
  const node = (name, attributes, text) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const curve = (now, u, value) => now.n.map((n, i) => ({ n, mean: data[value][now.cells[u][i]], se: data[value + "_se"][now.cells[u][i]] }));

  // value against n for the chosen rule, gate, beta and u, with soft best-of-n on the base for comparison
  const draw = (s) => {
    const plot = element("x-plot"), own = curve(s.now, s.u, s.value);
    const other = table("base softmax", "none", s.beta), base = other ? curve(other, 0, s.value) : [];
    const all = [...own, ...base], counts = own.map((p) => Math.log2(p.n));
    const low = Math.min(...all.map((p) => p.mean - 2 * p.se)), high = Math.max(...all.map((p) => p.mean + 2 * p.se));
    const pad = (high - low || 1) * 0.06, least = Math.min(...counts), most = Math.max(...counts);
    const x = (n) => LEFT + (WIDE - LEFT - RIGHT) * (most > least ? (Math.log2(n) - least) / (most - least) : 0.5);
    const y = (v) => TOP + (HIGH - TOP - LOW) * (1 - (v - low + pad) / (high - low + 2 * pad));
    const path = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
    const parts = [];
    for (let k = 0; k <= 4; k++) {
      const v = low + ((high - low) * k) / 4;
      parts.push(node("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y(v), y2: y(v), class: "rule" }));
      parts.push(node("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, format(v, 3)));
    }
    for (const p of own) parts.push(node("text", { x: x(p.n), y: HIGH - LOW + 18, "text-anchor": "middle" }, String(p.n)));
    parts.push(node("text", { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 4, "text-anchor": "middle" }, "n"));
    const band = (points, name) => {
      const upper = points.map((p) => [x(p.n), y(p.mean + 2 * p.se)]), lower = points.map((p) => [x(p.n), y(p.mean - 2 * p.se)]);
      parts.push(node("path", { d: path([...upper, ...lower.reverse()]) + "Z", class: `band ${name}` }));
      parts.push(node("path", { d: path(points.map((p) => [x(p.n), y(p.mean)])), class: `line ${name}` }));
    };
    if (base.length && !controls.rule.value.startsWith("base")) band(base, "base");
    band(own, "own");
    const at = own[s.n];
    parts.push(node("circle", { cx: x(at.n), cy: y(at.mean), r: 5, class: "dot" }));
    plot.replaceChildren(...parts);
  };

  const restore = () => {
    const asked = new URLSearchParams(location.hash.slice(1)), start = data.start;
    const get = (key) => (asked.has(key) ? asked.get(key) : start[key]);
    if (data.values.includes(get("value"))) controls.value.value = get("value");
    if (get("rule") in data.gates) controls.rule.value = get("rule");
    syncGates();
    if (data.gates[controls.rule.value].includes(get("gate"))) controls.gate.value = get("gate");
    sliders.beta.value = nearest(data.betas, Number(get("beta")));
    syncSliders();
    const now = tableNow();
    sliders.n.value = nearest(now.n.map(Math.log2), Math.log2(Number(get("n"))));
    sliders.u.value = now.u[0] === null || get("u") === null ? 0 : nearest(now.u, Number(get("u")));
    render();
  };

  fill(controls.value, data.values);
  fill(controls.rule, Object.keys(data.gates), data.ruleNames);
  sliders.beta.max = data.betas.length - 1;
  controls.rule.addEventListener("input", () => { syncGates(); syncSliders(); render(); });
  controls.gate.addEventListener("input", () => { syncSliders(); render(); });
  sliders.beta.addEventListener("input", () => { syncSliders(); render(); });
  for (const control of [controls.value, sliders.n, sliders.u]) control.addEventListener("input", render);
  window.addEventListener("hashchange", restore);
  restore();
})();
