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
  // every cell of the grid: where it lies, to find what has more value at no more cost
  const schemes = [];
  for (const [key, group] of Object.entries(data.groups)) {
    const [rule, gate, beta] = key.split("|");
    group.cells.forEach((line, u) => line.forEach((cell, n) => {
      schemes[cell] = { rule, gate, beta, n: group.n[n], u: group.u[u] };
    }));
  }
  const least = (value, cell) => Math.abs(data[value][cell]) * 1e-9;
  const better = (value, cell) => {
    let best = -1;
    for (let i = 0; i < data.cost.length; i++) {
      const more = data[value][i] > data[value][cell] + least(value, cell) && data.cost[i] <= data.cost[cell];
      if (more && (best < 0 || data[value][i] > data[value][best])) best = i;
    }
    return best;
  };
  const inWords = (s) => `${data.ruleNames[s.rule]}, n = ${s.n}, β = ${format(Number(s.beta))}, ` +
    (s.u === null ? "no gate" : `${gateNames[s.gate].replace("u", "")}${format(s.u)}`);
  const toHash = (s, value) => {
    const state = { rule: s.rule, gate: s.gate, beta: s.beta, n: s.n, value };
    if (s.u !== null) state.u = s.u;
    return "#" + new URLSearchParams(state);
  };
  const toCommand = (s) => {
    const rule = s.rule.replace("base ", "");
    const words = ["gsi plan", data.pool, "--rule", rule, "--beta", s.beta, "--n", s.n];
    return words.concat(s.u === null ? [] : ["--threshold", s.u]);
  };

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
    const over = better(s.value, s.cell);
    show("o-front", over < 0 ? "on it" : `below it: ${inWords(schemes[over])} has ${format(data[s.value][over])} for ` +
      `${format(data.cost[over], 3)}`);
    element("x-better").hidden = over < 0;
    element("x-better").onclick = () => go(toHash(schemes[over], s.value));
    element("o-command").replaceChildren(...toCommand(schemes[s.cell]).flatMap((word, i) => {
      const span = Object.assign(document.createElement("span"), { className: "together", textContent: String(word) });
      return i ? [" ", span] : [span];
    }));
    show("x-copy", "copy as command");
    draw(s);
    history.replaceState(null, "", toHash(schemes[s.cell], s.value));
  };

  const NS = "http://www.w3.org/2000/svg", WIDE = 640, HIGH = 260, LEFT = 72, RIGHT = 14, TOP = 14, LOW = 46;
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
    for (const [i, p] of own.entries()) {
      if (better(s.value, s.now.cells[s.u][i]) >= 0) continue;
      const [a, b] = [x(p.n), y(p.mean)];
      parts.push(node("path", { d: `M${a} ${b - 9}L${a + 9} ${b}L${a} ${b + 9}L${a - 9} ${b}Z`, class: "front" }));
    }
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

  const go = (hash) => { location.hash = hash; restore(); };

  fill(controls.value, data.values);
  fill(controls.rule, Object.keys(data.gates), data.ruleNames);
  sliders.beta.max = data.betas.length - 1;
  controls.rule.addEventListener("input", () => { syncGates(); syncSliders(); render(); });
  controls.gate.addEventListener("input", () => { syncSliders(); render(); });
  sliders.beta.addEventListener("input", () => { syncSliders(); render(); });
  for (const control of [controls.value, sliders.n, sliders.u]) control.addEventListener("input", render);
  window.addEventListener("hashchange", restore);
  element("x-back").addEventListener("click", () => go(toHash(data.start, data.start.value)));
  element("x-copy").addEventListener("click", () => {
    getSelection().selectAllChildren(element("o-command"));
    // pages opened from a file have no clipboard of their own; there the selection is copied
    const copied = navigator.clipboard?.writeText(element("o-command").textContent) ?? Promise.reject();
    copied.catch(() => document.execCommand("copy")).then(() => show("x-copy", "copied"));
  });
  restore();
})();
