"use strict";
// The explorable page (docs/explorable/index.md): exact laws of draft-guided sampling among at most six outcomes, and
// plots of them. M-numbers are those of gsi_theory/theory; tests/docs/test_explorable.py holds the numbers to gsi_theory's.
const gsiLaws = (() => {
  const EPS = Number.EPSILON, NONE = -Infinity;
  const total = (values) => values.reduce((sum, value) => sum + value, 0);
  const logSum = (terms) => {
    const top = Math.max(...terms);
    return top === NONE ? NONE : top + Math.log(total(terms.map((term) => Math.exp(term - top))));
  };
  const log1mexp = (x) => (x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x)));
  // log(1 + e^x)
  const softplus = (x) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));
  // e^t - 1 - t without cancellation
  const excess = (t) => {
    if (Math.abs(t) >= 0.05) return Math.abs(t) === Infinity ? Infinity : Math.expm1(t) - t;
    let series = 1;
    for (let k = 10; k > 2; k--) series = 1 + (t / k) * series;
    return series * 0.5 * t * t;
  };
  const times = (count, log) => (count === 0 ? 0 : count * log);

  // Rules. mass[i] at log-weight weight[i], descending; `zero` is the mass of weight zero. Each gives, for every n of
  // ns, log P/μ of each candidate, and of weight zero.

  // (M3): the trapezoid sum in log-time. Step and right end as in gsi_theory/arrays/quadrature.py; left of the first
  // node the integrand is n e^u to a relative 2 e^-LEFT, and what is left out is e^-LEFT of the whole.
  const STEP = 7 / 32, LEFT = 20, RIGHT = 4;
  const softmax = ({ mass, weight, zero, ns }) => {
    const top = weight[0], spread = top - weight[weight.length - 1];
    const ahead = Math.ceil((Math.log(Math.max(...ns)) + LEFT) / STEP) + 1;
    const nodes = ahead + Math.ceil((spread + RIGHT) / STEP) + 2;
    const start = STEP * (-Math.floor(top / STEP) - 1 - ahead);
    const flows = mass.map(() => new Float64Array(nodes)), logPhi = new Float64Array(nodes);
    for (let j = 0; j < nodes; j++) {
      let kept = zero, deficit = 0;
      mass.forEach((mu, i) => {
        const rate = Math.exp(start + STEP * j + weight[i]), silent = Math.exp(-rate);
        flows[i][j] = rate * silent;
        kept += mu * silent;
        deficit -= mu * Math.expm1(-rate);
      });
      logPhi[j] = deficit < 0.5 ? Math.log1p(-deficit) : Math.log(kept);
    }
    return ns.map((n) => {
      const slopes = logPhi.map((phi) => Math.exp(times(n - 1, phi)));
      return flows.map((flow, i) => {
        let inside = 0;
        for (let j = 0; j < nodes; j++) inside += slopes[j] * flow[j];
        return Math.log(n * STEP * (inside + Math.exp(start + weight[i]) / Math.expm1(STEP)));
      });
    });
  };

  // (M4): {ratio: log P/μ, logA: log A at 1/w} of each candidate.
  const raceFall = (mass, weight, zero, n) => {
    const ratio = [], logA = [], terms = [];
    let heavier = 0, before = { a: 1, log: 0 };
    mass.forEach((mu, k) => {
      let lighter = 0, a = zero;
      for (let j = k + 1; j < mass.length; j++) {
        lighter += mass[j] * Math.exp(weight[j] - weight[k]);
        a -= mass[j] * Math.expm1(weight[j] - weight[k]);
      }
      heavier += mu;
      const slope = mu + lighter, deficit = Math.min(heavier + lighter, 1);
      const log = deficit < 0.5 ? Math.log1p(-deficit) : Math.log(a);
      const drop = k ? -slope * Math.expm1(weight[k] - weight[k - 1]) : deficit;
      const share = before.a > 0 ? Math.min(drop / before.a, 1) : 0;
      const step = share < 0.5 ? Math.log1p(-share) : Math.min(log - before.log, 0);
      terms.push(slope > 0 && before.a > 0 ? (Math.exp(n * before.log) * -Math.expm1(n * step)) / slope : 0);
      ratio.push(Math.log(total(terms.map((term, i) => term * Math.exp(weight[k] - weight[i])))));
      logA.push(log);
      before = { a, log };
    });
    return { ratio, logA };
  };
  const race = ({ mass, weight, zero, ns }) => ns.map((n) => raceFall(mass, weight, zero, n).ratio);

  // (M5)
  const max = ({ levels, zero, ns }) => ns.map((n) => {
    const out = [];
    let above = 0;
    levels.forEach(({ size, count }, at) => {
      const below = zero + total(levels.slice(at + 1).map((level) => level.size)), upto = below + size;
      const logF = above < 0.5 ? Math.log1p(-above) : Math.log(upto), share = size / upto;
      const step = share < 0.5 ? Math.log1p(-share) : Math.log(below / upto);
      out.push(...Array(count).fill(n * logF + log1mexp(n * step) - Math.log(size)));
      above += size;
    });
    return out;
  });

  // (M40): the k-th best of the other n - 1 stands at V ~ Beta(k, n - k); gsi_theory/rules/regularized.py.
  const FALL = 8, BELOW = 8, GOALS = [
    ...[8, 7, 6, 5, 4, 3, 2, 1].map((i) => [-1, FALL * i]),
    ...[...Array(94).keys()].map((i) => [1, FALL * (i + 1)]),
    ...[...Array(50).keys()].map((i) => [1, FALL * 95 * 2 ** i]),
  ];
  const SETTLED = 60; // nats below the largest at which what is left of a falling density counts for nothing
  const GAUSS = (() => {
    const order = 20, rule = [];
    for (let i = 0; i < order; i++) {
      let x = -Math.cos((Math.PI * (i + 0.75)) / (order + 0.5)), slope = 1;
      for (let round = 0; round < 8; round++) {
        let [p, q] = [1, 0];
        for (let k = 1; k <= order; k++) [p, q] = [((2 * k - 1) * x * p - (k - 1) * q) / k, p];
        slope = (order * (x * p - q)) / (x * x - 1);
        x -= p / slope;
      }
      rule.push([0.5 * (1 + x), 1 / ((1 - x * x) * slope * slope)]);
    }
    return rule;
  })();
  const logQuotient = (x, y) => (Math.abs(x - y) < 0.5 * y ? Math.log1p((x - y) / y) : Math.log(x) - Math.log(y));
  const depth = (t, s, n, k) => k * excess(logQuotient(t, k / n)) + (n - k) * excess(logQuotient(s, (n - k) / n));
  const edgesOf = new Map();
  const panels = (n, k) => {
    const key = `${n}/${k}`;
    if (!edgesOf.has(key)) {
      if (edgesOf.size > 4096) edgesOf.clear();
      const mode = Math.log(k) - Math.log(n - k), at = (x) => [1 / (1 + Math.exp(-x)), 1 / (1 + Math.exp(x))];
      const within = (x) => Math.min(Math.max(x, -700), 700);
      const edges = GOALS.map(([side, goal]) => {
        let near = 0, far = 800;
        for (let round = 0; round < 60; round++) {
          const middle = 0.5 * (near + far);
          if (depth(...at(within(mode + side * middle)), n, k) > goal) far = middle; else near = middle;
        }
        return at(within(mode + side * far));
      });
      edgesOf.set(key, [...edges.slice(0, BELOW), at(mode), ...edges.slice(BELOW)]);
    }
    return edgesOf.get(key);
  };
  const levelRatios = (sizes, n, k) => {
    if (k >= n) return sizes.map(() => 0);
    const edges = panels(n, k), place = ([t, s]) => Math.log(t) - Math.log(s), places = edges.map(place);
    const ends = sizes.map((_, i) => [total(sizes.slice(0, i)), total(sizes.slice(i))]).concat([[1, 0]]);
    ends[0] = [0, 1];
    const levels = sizes.map((size, i) => {
      const low = place(ends[i]), high = place(ends[i + 1]), pieces = [], insides = [];
      const cuts = [ends[i], ...edges.filter((_, at) => places[at] > low && places[at] < high), ends[i + 1]];
      let most = NONE, mostInside = NONE;
      for (let j = 0; j + 1 < cuts.length; j++) {
        const [[t, s], [tNext, sNext]] = [cuts[j], cuts[j + 1]], small = t < 0.5;
        const width = Math.max(small ? tNext - t : s - sNext, 0), offset = small ? t - ends[i][0] : ends[i][1] - s;
        for (const [node, share] of GAUSS) {
          const x = t + node * width, y = sNext + (1 - node) * width;
          const log = Math.log(share * width) - depth(x, y, n, k) - Math.log(x) - Math.log(y);
          pieces.push(log);
          insides.push(log + Math.log(offset + node * width));
        }
        const [largest, largestInside] = [pieces, insides].map((logs) => Math.max(...logs.slice(-GAUSS.length)));
        if (t * n > k && largest < most - SETTLED && largestInside < mostInside - SETTLED) break;
        [most, mostInside] = [Math.max(most, largest), Math.max(mostInside, largestInside)];
      }
      return { piece: logSum(pieces), share: logSum(insides) - Math.log(size) };
    });
    const beyond = (i) => logSum([NONE, ...levels.slice(i).map((level) => level.piece)]);
    return levels.map((level, i) => logSum([level.share, beyond(i + 1)]) - beyond(0) + Math.log(n / k));
  };
  const regularized = ({ levels, zero, ns, m }) => ns.map((n) => {
    const sizes = levels.map((level) => level.size).concat(zero > 0 ? [zero] : []);
    const ratios = levelRatios(sizes, n, Math.ceil(n / m));
    const live = levels.flatMap(({ count }, i) => Array(count).fill(ratios[i]));
    return zero > 0 ? [...live, ratios[ratios.length - 1]] : live;
  });

  const RULES = { softmax, race, max, regularized };

  // (M2): log-probabilities of the winner for each n of ns. size: what the rounding of a log-weight is in proportion
  // to; rules by order take weights that rounding parts for equal, as gsi_theory/laws/weights.py does.
  const sorted = (logMass, logWeight, size) => {
    const drawn = logMass.map((log, i) => i).filter((i) => logMass[i] > NONE);
    const order = drawn.filter((i) => logWeight[i] > NONE).sort((i, j) => logWeight[j] - logWeight[i]);
    const silent = drawn.filter((i) => logWeight[i] === NONE), levels = [];
    order.forEach((i, at) => {
      const j = order[at - 1], mass = Math.exp(logMass[i]);
      if (at && logWeight[j] - logWeight[i] <= EPS * (size[i] + size[j])) {
        levels[levels.length - 1].size += mass;
        levels[levels.length - 1].count += 1;
      } else levels.push({ size: mass, count: 1 });
    });
    const mass = order.map((i) => Math.exp(logMass[i])), zero = total(silent.map((i) => Math.exp(logMass[i])));
    const live = total(mass);
    return { order, silent, mass, weight: order.map((i) => logWeight[i]), levels, zero,
      logZero: live < 0.5 ? Math.log1p(-live) : Math.log(zero) };
  };
  const winner = (rule, m, logMass, logWeight, size, ns) => {
    const made = sorted(logMass, logWeight, size);
    if (!made.order.length) return ns.map(() => [...logMass]);
    const ratios = RULES[rule]({ ...made, ns, m });
    return ns.map((n, at) => {
      const out = logMass.map(() => NONE), ratio = ratios[at];
      made.order.forEach((i, k) => { out[i] = logMass[i] + (n === 1 ? 0 : ratio[k]); });
      // all drawn have weight zero, and the winner is any of them; `regularized` may keep some beside others
      const silent = ratio.length > made.order.length ? ratio[made.order.length] : (n - 1) * made.logZero;
      made.silent.forEach((i) => { out[i] = logMass[i] + (n === 1 ? 0 : silent); });
      return out.map((log) => Math.min(log, 0));
    });
  };
  // (M9): log of the accepted mass of each outcome and of P(reject), where the score must be at least e^cut
  const scored = (logMass, logWeight, size, cut, n) => {
    const { order, mass, weight, zero } = sorted(logMass, logWeight, size);
    const accepted = logMass.map(() => NONE);
    if (!order.length) return { accepted, reject: 0 };
    const at = weight.filter((w) => w > cut).length;
    const put = (list, value) => [...list.slice(0, at), value, ...list.slice(at)];
    const { ratio, logA } = raceFall(put(mass, 0), put(weight, cut), zero, n);
    order.forEach((i, k) => {
      accepted[i] = logMass[i] + (weight[k] > cut ? ratio[k] : ratio[at] + (weight[k] - cut));
    });
    return { accepted, reject: n * logA[at] };
  };

  const tv = (p, q) => Math.min(0.5 * total(p.map((log, i) => {
    const larger = Math.exp(Math.max(log, q[i]));
    return log === NONE || q[i] === NONE ? larger : larger * -Math.expm1(-Math.abs(log - q[i]));
  })), 1);
  const kl = (p, q) => total(p.map((log, i) => {
    if (log === NONE) return Math.exp(q[i]);
    const t = q[i] - log;
    return t === NONE ? Infinity : t > 30 ? Math.exp(q[i]) - Math.exp(log) * (1 + t) : Math.exp(log) * excess(t);
  }));
  const chi2 = (p, q) => total(p.map((log, i) => {
    if (log === NONE) return Math.exp(q[i]);
    if (q[i] === NONE) return Infinity;
    return log - q[i] > 300 ? Math.exp(2 * log - q[i]) : Math.exp(q[i]) * Math.expm1(log - q[i]) ** 2;
  }));
  // (M19)
  const leastTv = (pi, draft, n) => {
    const reached = pi.map((log, i) => (log === NONE ? NONE : draft[i] === NONE ? Infinity : log - draft[i]));
    let target = 0, proposal = 0, least = 0;
    for (const i of pi.map((_, at) => at).sort((i, j) => (reached[i] === reached[j] ? 0 : reached[j] - reached[i]))) {
      target += Math.exp(pi[i]);
      proposal = Math.min(proposal + Math.exp(draft[i]), 1);
      least = Math.max(least, target - (proposal < 1 ? -Math.expm1(n * Math.log1p(-proposal)) : 1));
    }
    return Math.min(least, 1);
  };
  const mean = (law, reward) => total(law.map((log, i) => Math.exp(log) * reward[i]));

  // setting: {draft, base (probabilities), reward (0 to 1), beta, rule, m, gate ("none", "tilted_reward", "score"), u}.
  // The numbers at every n of ns; laws are log-probabilities. What does not apply is null.
  const evaluate = ({ draft, base, reward, beta, rule, m, gate, u }, ns) => {
    const logDraft = draft.map(Math.log), logBase = base.map(Math.log);
    const byOrder = rule === "max" || rule === "regularized";
    const ratio = draft.map((p, i) => (p === 0 && base[i] === 0 ? 0 : logBase[i] - logDraft[i]));
    const raised = reward.map((r) => beta * r), weight = raised.map((x, i) => x + ratio[i]);
    const size = raised.map((x, i) => (Number.isFinite(ratio[i]) && draft[i] > 0
      ? x + Math.abs(ratio[i]) + Math.abs(logDraft[i]) + Math.abs(logDraft[i] + ratio[i]) : 0));
    const raw = logBase.map((log, i) => log + raised[i]), whole = logSum(raw), pi = raw.map((log) => log - whole);
    // (M1), and its limit at β = 0
    const limit = (r, l) => (l === 0 ? r : Math.sign(l) * Infinity);
    const tilted = reward.map((r, i) => (beta > 0 ? r + ratio[i] / beta : limit(r, ratio[i])));
    const kept = tilted.map((r) => gate !== "tilted_reward" || r >= u);

    const ungated = winner(rule, m, logDraft, weight, size, ns);
    const baseWeight = byOrder ? reward.map((r) => (beta > 0 ? r : 0)) : raised;
    const fallback = gate === "none" ? null : winner(rule, m, logBase, baseWeight, reward.map(() => 0), ns);

    const covered = base.every((p, i) => p === 0 || draft[i] > 0);
    const logW = pi.map((log, i) => log - logDraft[i]), held = pi.map((log, i) => i).filter((i) => pi[i] > NONE);
    const pair = chi2(logBase, logDraft), spread = chi2(pi, logDraft);
    // (M12), reading (b): (χ²(π_B‖π_S) + 1) e^{2β max|r|} - 1
    const exponent = Math.log1p(pair) + 2 * beta * Math.max(...reward);
    const asked = exponent > 0 ? exponent + Math.log(-Math.expm1(-exponent)) : NONE;
    const bounded = covered && !byOrder; // M17: the race is at least as near as softmax, of which the bounds speak
    const accepted = total(held.filter((i) => kept[i]).map((i) => Math.exp(pi[i])));
    const rejected = total(held.filter((i) => !kept[i]).map((i) => Math.exp(pi[i])));

    const laws = ns.map((n, at) => {
      const q = ungated[at];
      let g = q, pAccept = 1;
      if (gate !== "none") {
        const parts = gate === "score" ? scored(logDraft, weight, size, beta * u, n) : {
          accepted: q.map((log, i) => (kept[i] ? log : NONE)),
          reject: logSum([NONE, ...q.filter((_, i) => !kept[i])]),
        };
        const reject = Math.min(parts.reject, 0);
        g = parts.accepted.map((log, i) => logSum([log, reject + fallback[at][i]]));
        pAccept = reject > -Math.LN2 ? Math.min(total(parts.accepted.map(Math.exp)), 1) : -Math.expm1(reject);
      }
      const over = (i) => Math.max(Math.expm1(logW[i]), 0);
      const grown = (i) => (n === 1 ? logW[i] : Math.log1p(Math.expm1(logW[i]) / n));
      const sum = (of) => (bounded ? total(held.map((i) => Math.exp(pi[i]) * of(i))) : null);
      return {
        n, q, g, pAccept,
        tvQ: tv(q, pi), tvG: tv(g, pi), klQ: kl(pi, q), klG: kl(pi, g),
        rewardQ: mean(q, reward), rewardG: mean(g, reward),
        leastTv: leastTv(pi, logDraft, n), // M19
        tvBound: sum((i) => over(i) / (n + over(i))), // M10-tv, where w ≥ 1: n - 1 + w = n + (w - 1)
        klMean: sum(grown), // M11-mean
        klChi2: bounded ? Math.log1p(spread / n) : null, // M11-chi2
        klTheorem: bounded ? softplus(asked - Math.log(n)) : null, // M12b
      };
    });
    return {
      pi, logDraft, logBase, tilted, laws, chi2: spread, klDraft: kl(pi, logDraft),
      rewards: [logDraft, logBase, pi].map((law) => mean(law, reward)),
      share: gate === "tilted_reward" && covered && !byOrder ? accepted : null, // a of M7
      bias: gate === "tilted_reward" && covered && !byOrder ? accepted * rejected : null, // a(1 - a), M7
    };
  };
  return { evaluate };
})();

// The page: sliders to a setting, the setting to numbers and plots. The state is in the address after "#", so that a
// setting can be shared: #draft=60,30,10&base=10,30,60&reward=0,50,100&beta=5&n=4&rule=softmax&m=4&gate=none&u=0.6
(() => {
  const root = document.getElementById("explorable");
  if (!root) return;
  const element = (id) => document.getElementById(id);
  const NAMES = ["A", "B", "C", "D", "E", "F"], PARTS = ["draft", "base", "reward"];
  const NS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  for (let tens = 1; tens < 1e5; tens *= 10) NS.push(...[12, 15, 20, 25, 30, 40, 50, 60, 80, 100].map((x) => x * tens));
  const BETAS = [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20,
    25, 30, 35, 40, 45, 50];
  const MS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
  const LISTS = { beta: BETAS, n: NS, m: MS }, RULES = ["softmax", "race", "max", "regularized"];
  const GATES = { none: "none", tilted_reward: "tilted reward ≥ u", score: "score ≥ u" };
  const gatesOf = (rule) => Object.keys(GATES).filter((gate) => gate !== "score" || rule === "race");
  const [LEAST_U, MOST_U] = [-1, 3];
  const START = {
    draft: [60, 30, 10], base: [20, 30, 50], reward: [10, 60, 90], beta: 5, n: 4, rule: "softmax", m: 4,
    gate: "tilted_reward", u: 0.7, lesson: 0,
  };
  const NEW = { draft: 10, base: 10, reward: 50 }; // of an outcome more

  const nearest = (list, x) => list.reduce((best, v) => (Math.abs(v - x) < Math.abs(best - x) ? v : best));
  const whole = (text, least, most) => Math.min(Math.max(Math.round(Number(text)) || 0, least), most);
  const shares = (weights) => {
    const sum = weights.reduce((a, b) => a + b, 0);
    return sum > 0 ? weights.map((x) => x / sum) : weights.map(() => 1 / weights.length);
  };
  const format = (x, digits = 3) => {
    if (x === null) return "–";
    if (x === Infinity) return "∞";
    if (x === 0) return "0";
    const size = Math.abs(x), far = size >= 1e5 || size < 1e-3;
    return (far ? x.toExponential(1).replace("e+", "e") : String(Number(x.toPrecision(digits)))).replaceAll("-", "−");
  };
  const chance = (x) => (x > 0 && x < 0.0005 ? "<.001" : x.toFixed(3));

  let state = { ...START };
  const fromHash = (hash) => {
    const asked = new URLSearchParams(hash.replace(/^#/, "")), made = { ...START };
    const size = Math.min(Math.max((asked.get("draft") ?? "").split(",").length, 3), NAMES.length);
    if (!asked.has("draft")) return made;
    for (const part of PARTS) {
      const given = (asked.get(part) ?? "").split(",");
      made[part] = NAMES.slice(0, size).map((_, i) => whole(given[i], 0, 100));
    }
    const number = (key) => (Number.isFinite(Number(asked.get(key) || NaN)) ? Number(asked.get(key)) : START[key]);
    for (const [key, list] of Object.entries(LISTS)) made[key] = nearest(list, number(key));
    made.u = Math.min(Math.max(Math.round(number("u") * 20) / 20, LEAST_U), MOST_U);
    if (RULES.includes(asked.get("rule"))) made.rule = asked.get("rule");
    if (asked.has("gate")) made.gate = gatesOf(made.rule).includes(asked.get("gate")) ? asked.get("gate") : "none";
    made.lesson = whole(asked.get("lesson"), 0, lessons.length);
    return made;
  };
  const toHash = () => "#" + Object.entries(state).map(([key, value]) => `${key}=${value}`).join("&");

  // Controls
  const rows = NAMES.map((name, i) => {
    const row = document.createElement("tr");
    const cell = (part) => {
      const words = `${part === "reward" ? "reward" : `weight under the ${part}`} of outcome ${name}`, id = `e-${part}-${i}`;
      const input = `<input type="range" min="0" max="100" step="1" id="${id}" aria-label="${words}">`;
      return `<td>${input}<output for="${id}"></output></td>`;
    };
    row.innerHTML = `<th scope="row">${name}</th>${PARTS.map(cell).join("")}`;
    row.querySelectorAll("input").forEach((input, p) => input.addEventListener("input", () => {
      state[PARTS[p]] = state[PARTS[p]].map((x, at) => (at === i ? Number(input.value) : x));
      render();
    }));
    element("e-outcomes").append(row);
    return row;
  });
  element("e-size").addEventListener("input", (event) => {
    const kept = NAMES.slice(0, Number(event.target.value));
    for (const part of PARTS) state[part] = kept.map((_, i) => state[part][i] ?? NEW[part]);
    render();
  });
  for (const [key, list] of Object.entries(LISTS)) {
    element(`e-${key}`).max = list.length - 1;
    element(`e-${key}`).addEventListener("input", (event) => {
      state[key] = list[Number(event.target.value)];
      render();
    });
  }
  element("e-u").addEventListener("input", (event) => { state.u = Number(event.target.value) / 20; render(); });
  element("e-rule").addEventListener("input", (event) => {
    state.rule = event.target.value;
    if (!gatesOf(state.rule).includes(state.gate)) state.gate = "none";
    render();
  });
  element("e-gate").addEventListener("input", (event) => { state.gate = event.target.value; render(); });

  const lessons = [...root.querySelectorAll("button[data-state]")];
  lessons.forEach((button, i) => button.addEventListener("click", () => {
    go(fromHash(`${button.dataset.state}&lesson=${i + 1}`));
  }));

  const show = (id, text) => { element(id).textContent = text; };
  const sync = (setting) => {
    element("e-size").value = state.draft.length;
    rows.forEach((row, i) => {
      row.hidden = i >= state.draft.length;
      if (row.hidden) return;
      row.querySelectorAll("input").forEach((input, p) => {
        const text = setting[PARTS[p]][i].toFixed(2);
        input.value = state[PARTS[p]][i];
        input.nextElementSibling.textContent = text;
        input.setAttribute("aria-valuetext", text);
      });
    });
    for (const [key, list] of Object.entries(LISTS)) {
      element(`e-${key}`).value = list.indexOf(state[key]);
      element(`e-${key}`).setAttribute("aria-valuetext", String(state[key]));
      show(`o-${key}`, state[key].toLocaleString("en"));
    }
    element("e-u").value = Math.round(state.u * 20);
    element("e-u").setAttribute("aria-valuetext", state.u.toFixed(2));
    show("o-u", state.u.toFixed(2).replace("-", "−"));
    element("e-u").disabled = state.gate === "none";
    element("e-m").disabled = state.rule !== "regularized";
    element("e-rule").value = state.rule;
    element("e-gate").replaceChildren(...gatesOf(state.rule).map((gate) => new Option(GATES[gate], gate)));
    element("e-gate").value = state.gate;
    lessons.forEach((button, i) => button.setAttribute("aria-pressed", String(state.lesson === i + 1)));
    root.querySelectorAll(".e-lesson").forEach((text, i) => text.classList.toggle("e-now", i === state.lesson));
  };

  // Plots
  const NS_SVG = "http://www.w3.org/2000/svg", HIGH = 250, TOP = 12, LOW = 38, SIDE = 44;
  const node = (name, attributes, text) => {
    const made = document.createElementNS(NS_SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const canvas = (id, high = HIGH) => {
    const svg = element(id), wide = Math.max(svg.clientWidth, 240);
    svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    return { svg, wide };
  };
  const raised = (x) => [...String(x)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit] ?? "⁻").join("");
  const power = (x) => (x === 0 ? "1" : x === 1 ? "10" : `10${raised(x)}`);

  const drawLaw = (made, law) => {
    const { svg, wide } = canvas("e-law", 190), low = 190 - 22, parts = [];
    const y = (p) => TOP + (low - TOP) * (1 - p), group = (wide - SIDE - 8) / made.pi.length;
    for (const p of [0, 0.25, 0.5, 0.75, 1]) {
      parts.push(node("line", { x1: SIDE, x2: wide - 8, y1: y(p), y2: y(p), class: "e-rule" }));
      parts.push(node("text", { x: SIDE - 6, y: y(p) + 4, "text-anchor": "end" }, String(p)));
    }
    const bars = [["draft", made.logDraft], ["base", made.logBase], ["own", law.q]];
    if (state.gate !== "none") bars.push(["gated", law.g]);
    made.pi.forEach((aim, i) => {
      const left = SIDE + group * (i + 0.12), width = (group * 0.76) / bars.length;
      bars.forEach(([name, logs], b) => {
        const p = Math.exp(logs[i]);
        const place = { x: left + b * width, y: y(p), width: width * 0.86, height: Math.max(low - y(p), 0) };
        parts.push(node("rect", { ...place, class: `e-bar e-${name}` }));
      });
      const at = y(Math.exp(aim));
      parts.push(node("line", { x1: left - 3, x2: left + group * 0.76 + 1, y1: at, y2: at, class: "e-aim" }));
      parts.push(node("text", { x: left + group * 0.38, y: low + 16, "text-anchor": "middle" }, NAMES[i]));
    });
    svg.replaceChildren(...parts);
  };

  // curves: {name, words, values (one each n; null: none), faint (values from here up say nothing)}
  const drawCurves = (id, [least, most], curves, dots) => {
    const { svg, wide } = canvas(id), narrow = wide < 460, right = narrow ? 104 : 148, parts = [];
    const edge = wide - right, last = Math.log10(NS[NS.length - 1]);
    const x = (n) => SIDE + ((edge - SIDE) * Math.log10(n)) / last;
    const within = (v) => Math.min(Math.max(Math.log10(v), least), most);
    const y = (v) => TOP + ((HIGH - TOP - LOW) * (most - within(v))) / (most - least);
    for (let k = least; k <= most; k++) {
      parts.push(node("line", { x1: SIDE, x2: edge, y1: y(10 ** k), y2: y(10 ** k), class: "e-rule" }));
      if ((k - most) % 2) continue;
      const beyond = k === least ? "≤" : k === most && most > 0 ? "≥" : ""; // values beyond the axis lie on its ends
      parts.push(node("text", { x: SIDE - 6, y: y(10 ** k) + 4, "text-anchor": "end" }, beyond + power(k)));
    }
    for (let k = 0; k <= last; k++) {
      parts.push(node("text", { x: x(10 ** k), y: HIGH - LOW + 17, "text-anchor": "middle" }, power(k)));
    }
    parts.push(node("text", { x: (SIDE + edge) / 2, y: HIGH - 5, "text-anchor": "middle" }, "number of drafts n"));
    parts.push(node("line", { x1: x(state.n), x2: x(state.n), y1: TOP, y2: HIGH - LOW, class: "e-here" }));
    if (curves.find(({ name }) => name === "own").values.every((v) => v === Infinity)) {
      const words = ["infinite for the sampler: the draft", "misses what the aim wants"];
      words.forEach((line, i) => {
        parts.push(node("text", { x: (SIDE + edge) / 2, y: HIGH / 3 + 16 * i, "text-anchor": "middle" }, line));
      });
    }
    const labels = [];
    for (const { name, words, values, faint } of curves) {
      if (values.every((v) => v === null || v === Infinity)) continue;
      const shown = values.map((v, i) => ({ v, n: NS[i] })).filter(({ v }) => v !== null && v !== Infinity);
      const line = (points, extra) => {
        const d = points.map(({ v, n }, i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(v).toFixed(1)}`).join("");
        parts.push(node("path", { d, class: `e-line e-${name}${extra}` }));
      };
      const cut = faint === undefined ? 0 : shown.findIndex(({ v }) => v < faint);
      if (cut !== 0) line(cut < 0 ? shown : shown.slice(0, cut + 1), " e-faint");
      if (cut >= 0) line(shown.slice(cut), "");
      labels.push({ name, words, at: y(shown[shown.length - 1].v) });
    }
    // labels stand beside the ends of their curves, pushed apart
    labels.sort((a, b) => a.at - b.at);
    labels.forEach((label, i) => { label.y = Math.max(label.at, i ? labels[i - 1].y + 14 : TOP + 4); });
    for (let i = labels.length - 1; i >= 0; i--) {
      labels[i].y = Math.min(labels[i].y, i === labels.length - 1 ? HIGH - LOW : labels[i + 1].y - 14);
    }
    for (const { name, words, y: at } of labels) {
      parts.push(node("text", { x: edge + 6, y: at + 4, class: `e-label e-${name}` }, words));
    }
    for (const [name, v] of dots) {
      if (v !== Infinity) parts.push(node("circle", { cx: x(state.n), cy: y(v), r: 4.5, class: `e-dot e-${name}` }));
    }
    svg.replaceChildren(...parts);
  };

  const cells = (id, values) => {
    element(id).querySelectorAll("td").forEach((cell, i) => { cell.textContent = values[i]; });
  };
  const drawNumbers = (made, law) => {
    const gated = state.gate !== "none";
    const laws = { draft: made.logDraft, base: made.logBase, aim: made.pi, own: law.q, gated: law.g };
    for (const [name, logs] of Object.entries(laws)) {
      const row = element(`e-law-${name}`), some = name !== "gated" || gated;
      row.querySelectorAll("td").forEach((cell, i) => {
        cell.hidden = i >= logs.length;
        cell.textContent = i < logs.length && some ? chance(Math.exp(logs[i])) : "–";
      });
    }
    element("e-law-names").querySelectorAll("th").forEach((cell, i) => { cell.hidden = i > made.pi.length; });
    const second = (x) => (gated ? format(x) : "–");
    cells("e-tv", [format(law.tvQ), second(law.tvG)]);
    cells("e-kl", [format(law.klQ), second(law.klG)]);
    cells("e-earned", [format(law.rewardQ), second(law.rewardG)]);
    cells("e-accept", ["–", second(law.pAccept)]);
    const single = {
      "e-least": law.leastTv, "e-tv-bound": law.tvBound, "e-bias": made.bias, "e-one-draw": made.klDraft,
      "e-kl-mean": law.klMean, "e-kl-chi2": law.klChi2, "e-kl-theorem": law.klTheorem, "e-chi2": made.chi2,
    };
    for (const [id, value] of Object.entries(single)) show(id, format(value));
    show("e-rewards", made.rewards.map((x) => format(x)).join(", "));
    const least = made.klDraft * (1 - 1e-12); // at n = 1 a bound may be equal to it but for rounding
    for (const id of ["e-kl-mean", "e-kl-chi2", "e-kl-theorem"]) {
      const says = single[id] >= least ? "vacuous" : "not vacuous";
      show(`${id}-says`, single[id] === null ? "does not apply" : says);
    }
  };

  const render = () => {
    const setting = {
      draft: shares(state.draft), base: shares(state.base), reward: state.reward.map((x) => x / 100),
      beta: state.beta, rule: state.rule, m: state.m, gate: state.gate, u: state.u,
    };
    sync(setting);
    const made = gsiLaws.evaluate(setting, NS), law = made.laws[NS.indexOf(state.n)], gated = state.gate !== "none";
    const column = (key) => made.laws.map((each) => each[key]), flat = (value) => NS.map(() => value);
    drawLaw(made, law);
    drawCurves("e-tv-plot", [-6, 0], [
      { name: "bound", words: "bound, M10", values: column("tvBound"), faint: 1 },
      { name: "bias", words: "a(1 − a), M7", values: flat(made.bias) },
      { name: "own", words: "sampler", values: column("tvQ") },
      ...(gated ? [{ name: "gated", words: "with the gate", values: column("tvG") }] : []),
      { name: "least", words: "any rule, M19", values: column("leastTv") },
    ], [["own", law.tvQ], ...(gated ? [["gated", law.tvG]] : [])]);
    drawCurves("e-kl-plot", [-6, 2], [
      { name: "bias", words: "one draft", values: flat(made.klDraft) },
      { name: "theorem", words: "Theorem 1, M12", values: column("klTheorem"), faint: made.klDraft },
      { name: "bound", words: "bound, M11", values: column("klMean"), faint: made.klDraft },
      { name: "own", words: "sampler", values: column("klQ") },
      ...(gated ? [{ name: "gated", words: "with the gate", values: column("klG") }] : []),
    ], [["own", law.klQ], ...(gated ? [["gated", law.klG]] : [])]);
    drawNumbers(made, law);
  };
  // once a slider is let go: browsers refuse addresses that change by the hundred
  const remember = () => history.replaceState(null, "", toHash());
  const go = (next) => { state = next; render(); remember(); };

  root.addEventListener("change", remember);
  element("e-reset").addEventListener("click", () => go({ ...START }));
  element("e-copy").addEventListener("click", () => {
    const done = () => { show("e-copy", "copied"); setTimeout(() => show("e-copy", "copy the address"), 1500); };
    navigator.clipboard?.writeText(location.href).then(done, () => {});
  });
  window.addEventListener("hashchange", () => { state = fromHash(location.hash); render(); });
  window.addEventListener("resize", render);
  root.classList.add("e-live");
  state = fromHash(location.hash);
  render();
})();
