// Makes a figure of every <div class="gahb-live"> of a page; what stands in it is the fallback.
(() => {
  "use strict";
  const { live } = globalThis.gahbData;
  const { side, networks } = live, d = side * side;
  const folder = new URL(".", document.currentScript.src);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const sizes = [...new Set(networks.map(({ n }) => n))].sort((a, b) => a - b);
  const find = (n, subset) => networks.find((net) => net.n === n && net.subset === subset);
  const having = (...subsets) => sizes.filter((n) => subsets.every((subset) => find(n, subset)));
  const count = (n) => n.toLocaleString("en-US");
  const faces = (n) => (n === 1 ? "1 face" : `${count(n)} faces`);
  const megabytes = (list) => (list.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1);

  // What is fetched, once and when it is asked for: scripts, which also work from a disk.

  const once = (make) => {
    const made = new Map();
    return (key) => {
      if (!made.has(key)) made.set(key, make(key).catch((e) => { made.delete(key); throw e; }));
      return made.get(key);
    };
  };
  const data = (name, file) => new Promise((done, fail) => {
    const tag = document.createElement("script");
    tag.src = new URL(file, folder);
    tag.onload = () => { done(globalThis.gahbData[name]); delete globalThis.gahbData[name]; };
    tag.onerror = () => fail(Error(`${file} cannot be loaded`));
    document.head.append(tag);
    tag.remove();
  });
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const images = (text) => {
    const levels = Float32Array.from(bytes(text), (byte) => byte / 255);
    return Array.from({ length: levels.length / d }, (_, i) => levels.slice(i * d, (i + 1) * d));
  };

  let worker, asked = 0;
  const waiting = new Map();
  const ask = (task, question = {}, watch = () => {}) => new Promise((done, fail) => {
    waiting.set(++asked, { done, fail, watch });
    worker.postMessage({ id: asked, task, ...question });
  });
  const started = once(async () => {
    const source = await data("worker", live.worker);
    worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    worker.onmessage = ({ data: { id, value, done, error, superseded } }) => {
      const { watch, ...end } = waiting.get(id);
      if (!done && !error && !superseded) return watch(value);
      waiting.delete(id);
      if (error) end.fail(Error(error));
      else end.done(superseded ? null : value);
    };
    await ask("start", { code: live.kernel });
  });
  const loaded = once(async (name) => {
    const { file } = networks.find((net) => net.name === name);
    const [network] = await Promise.all([data(name, file), started()]);
    await ask("load", { name, network });
  });
  const trained = once(async (subset) =>
    images(await data(`trained-${subset}`, live.trained[subset])));
  const noise = once(async (seed) => { await started(); return ask("noise", { seed, d }); });

  // What figures are made of.

  const element = (tag, properties = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties))
      if (name.includes("-") || name === "role") made.setAttribute(name, value);
      else made[name] = value;
    made.append(...children);
    return made;
  };
  const button = (text, onclick) =>
    element("button", { type: "button", textContent: text, onclick });
  const row = (...children) => element("div", { className: "gahb-controls" }, ...children);

  // A slider over a list of values, which are shown and spoken as text.
  function slider(label, values, chosen, text, changed) {
    const output = element("output");
    const input = element("input", { type: "range", min: 0, max: values.length - 1, step: 1 });
    const show = (i) => {
      input.value = i;
      output.textContent = text(values[i]);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    const name = element("span", { textContent: label });
    const made = {
      box: element("label", { className: "gahb-slider" }, name, input, output),
      input, show,
      get value() { return values[input.value]; },
    };
    input.oninput = () => { show(Number(input.value)); changed(made.value); };
    show(values.indexOf(chosen));
    return made;
  }

  // An image with a caption.
  function view(title, className = "") {
    const canvas = element("canvas", { width: side, height: side, role: "img" });
    canvas.setAttribute("aria-label", title);
    const caption = element("figcaption", { textContent: title });
    const box = element("figure", { className: `gahb-view ${className}` }, canvas, caption);
    return {
      box, canvas,
      say(text, spoken = text) {
        caption.textContent = text;
        canvas.setAttribute("aria-label", spoken);
      },
      show(x, low = 0, high = 1) {
        box.classList.remove("gahb-waiting");
        const image = new ImageData(side, side);
        x.forEach((v, i) => image.data.set(Array(3).fill((255 * (v - low)) / (high - low)), 4 * i));
        for (let i = 3; i < 4 * d; i += 4) image.data[i] = 255;
        canvas.getContext("2d").putImageData(image, 0, 0);
      },
      wait() { box.classList.add("gahb-waiting"); },
    };
  }

  // The figure of a place: what a reader does makes it compute, and errors are said.
  function figure(place, ...parts) {
    const status = element("p", { className: "gahb-status", role: "status" });
    place.append(element("div", { className: "gahb-figure" }, ...parts, status));
    const say = (text) => { status.textContent = text; };
    const guarded = (action) => async (...given) => {
      try { await action(...given); } catch (error) { say(`This did not work: ${error.message}.`); }
    };
    return { say, guarded };
  }

  // Runs an action again while something has changed since it began, never twice at a time.
  function latest(action) {
    let running = null, stale = false;
    return () => {
      stale = true;
      return running ??= (async () => {
        try { while (stale) { stale = false; await action(); } } finally { running = null; }
      })();
    };
  }

  const similarity = (a, b) => { // cosine of the angle between two images, their means removed
    const centered = (x) => {
      const mean = x.reduce((s, v) => s + v) / d;
      return x.map((v) => v - mean);
    };
    const inner = (u, v) => u.reduce((s, value, i) => s + value * v[i], 0);
    const u = centered(a), v = centered(b);
    return inner(u, v) / Math.sqrt(inner(u, u) * inner(v, v));
  };

  // A picture of one's own: painted by finger, mouse or keys, dropped, or a face.
  function pad(changed) {
    const given = images(live.faces);
    const x = given[0].slice(), { box, canvas, show, say } = view("your picture", "gahb-pad");
    let tone = 1, next = 1, at = [side / 2, side / 2], last = null;
    const cursor = element("span", { className: "gahb-cursor" });
    box.prepend(element("div", { className: "gahb-paper" }, canvas, cursor));
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    const redraw = () => { show(x); changed(); };
    const dot = (cx, cy) => {
      for (let i = 0; i < d; i++) {
        const far = Math.hypot((i % side) + 0.5 - cx, Math.floor(i / side) + 0.5 - cy);
        x[i] += Math.min(1, Math.max(0, side / 16 - far)) * (tone - x[i]);
      }
    };
    const stroke = (to) => {
      const from = last ?? to, length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      const steps = Math.ceil(2 * length) || 1;
      for (let i = 1; i <= steps; i++) dot(...from.map((a, j) => a + ((to[j] - a) * i) / steps));
      last = to;
      redraw();
    };
    canvas.onpointerdown = canvas.onpointermove = (event) => {
      if (event.type === "pointerdown") canvas.setPointerCapture(event.pointerId);
      if (!event.buttons) { last = null; return; }
      const { left, top, width, height } = canvas.getBoundingClientRect();
      stroke([((event.clientX - left) / width) * side, ((event.clientY - top) / height) * side]);
    };
    canvas.onpointerup = canvas.onpointercancel = () => { last = null; };
    const place = () => {
      cursor.style.left = `${(100 * at[0]) / side}%`;
      cursor.style.top = `${(100 * at[1]) / side}%`;
    };
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.onkeydown = (event) => {
      if (event.key === " ") { last = null; stroke(at); }
      else if (moves[event.key])
        at = at.map((a, j) => Math.min(side - 0.5, Math.max(0.5, a + moves[event.key][j])));
      else return;
      event.preventDefault();
      place();
    };
    place();
    const read = async (file) => {
      if (!file?.type.startsWith("image/")) return;
      const picture = await createImageBitmap(file), { width, height } = picture;
      const most = Math.min(width, height), corner = [(width - most) / 2, (height - most) / 2];
      const small = element("canvas", { width: side, height: side }).getContext("2d");
      small.imageSmoothingQuality = "high";
      small.drawImage(picture, ...corner, most, most, 0, 0, side, side);
      const { data: p } = small.getImageData(0, 0, side, side);
      for (let i = 0; i < d; i++) {
        const [red, green, blue] = p.subarray(4 * i);
        x[i] = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
      }
      redraw();
    };
    box.ondragover = (event) => event.preventDefault();
    box.ondrop = (event) => { event.preventDefault(); read(event.dataTransfer.files[0]); };
    const file = element("input", { type: "file", accept: "image/*", hidden: true });
    file.onchange = () => read(file.files[0]);
    const brush = button("Dark brush", () => {
      tone = 1 - tone;
      brush.textContent = tone ? "Dark brush" : "Light brush";
    });
    const controls = row(
      brush,
      button("Clear", () => { x.fill(0.5); redraw(); }),
      button("Another face", () => { x.set(given[next++ % given.length]); redraw(); }),
      button("Open a picture", () => file.click()),
      file
    );
    show(x);
    say("draw here", "Your picture: arrow keys move the brush, space paints");
    return { x, box, controls };
  }

  // The figures.

  function sampling(place) {
    const subsets = ["S1", "S2"], names = ["Network A", "Network B"];
    const drawn = names.map((name) => view(name, "gahb-drawn"));
    const seen = (name) => `closest face that ${name} has seen`;
    const closest = names.map((name) => view(seen(name), "gahb-closest"));
    const alike = element("p", { className: "gahb-alike" });
    let seed = 0, states = [];
    const both = having(...subsets);
    const n = slider("trained on", both, both.at(-1), faces, () => guarded(change)());
    const percent = [...Array(101).keys()];
    const scrubbed = () => guarded(scrub)();
    const steps = slider("from noise to face", percent, 100, (i) => `${i}%`, scrubbed);
    const again = button("New noise", () => { seed++; guarded(run)(); });
    const pair = [closest[0], drawn[0], drawn[1], closest[1]].map(({ box }) => box);
    const { say, guarded } = figure(
      place,
      row(n.box, again),
      element("div", { className: "gahb-pair" }, ...pair),
      row(steps.box, alike)
    );
    const chosen = () => subsets.map((subset) => find(n.value, subset));
    const showClosest = (estimates) => estimates.forEach(async (estimate, i) => {
      const size = n.value, away = size > live.most; // too many to be in the page
      closest[i].box.classList.toggle("gahb-away", away);
      if (away) return;
      const known = (await trained(subsets[i])).slice(0, size);
      if (size !== n.value) return;
      const near = known.map((x) => similarity(x, estimate));
      const best = near.indexOf(Math.max(...near));
      closest[i].show(known[best]);
      closest[i].say(`${seen(names[i])}: similarity ${near[best].toFixed(2)}`);
    });
    const beside = () => n.value > live.most
      ? ` With ${faces(live.most)} or fewer, the closest that each has seen stands beside it.` : "";
    const show = (shown, estimates) => {
      shown.forEach((x, i) => drawn[i].show(x));
      const other = n.value === 1 ? "another face" : `${count(n.value)} other faces`;
      drawn.forEach((v, i) => v.say(`${names[i]}: has seen ${i ? other : faces(n.value)}`));
      alike.textContent = `similarity of the two: ${similarity(...estimates).toFixed(2)}`;
      showClosest(estimates);
    };
    const showState = (t) => {
      const now = states[t], estimates = now.map((s) => s.estimate);
      show(now.map((s) => (s.finished ? s.estimate : s.x)), estimates);
    };
    const run = async () => {
      const nets = chosen();
      say(`Loading the two networks (${megabytes(nets)} MB) …`);
      await Promise.all(nets.map(({ name }) => loaded(name)));
      states = [];
      say("Both networks take the noise out, a little at a time …");
      const pace = calm.matches ? 0 : live.pace;
      const question = { names: nets.map(({ name }) => name), seed, figure: place.id, pace };
      const end = await ask("sample", question, (now) => {
        states.push(now);
        if (calm.matches) return;
        steps.show(Math.min(99, states.length)); // at the end it is known how many there are
        showState(states.length - 1);
      });
      if (!end) return;
      steps.show(100);
      showState(states.length - 1);
      say(`Noise number ${seed}, ${Math.max(...end.map((s) => s.t))} steps.${beside()}`);
      place.dispatchEvent(new CustomEvent("finished", { detail: end }));
    };
    const change = () => {
      if (seed) return run();
      states = [];
      steps.show(100);
      const first = chosen().map((net) => images(net.drawn)[0]);
      show(first, first);
      say(`Noise number 0, the same for all networks.${beside()}`);
    };
    const scrub = async () => {
      const at = Number(steps.input.value);
      if (!states.length) await run();
      steps.show(at);
      showState(Math.round(((states.length - 1) * at) / 100));
    };
    change();
  }

  const QUIET = 300; // ms without a change, after which a basis is looked for
  const levels = [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1];
  const level = (chosen, changed) => slider("noise", levels, chosen, (s) => s.toFixed(2), changed);
  const noisy = async (x, sigma, seed) => {
    const z = await noise(seed);
    return x.map((v, i) => v + sigma * z[i]);
  };
  const psnr = (x, y) => -10 * Math.log10(x.reduce((s, v, i) => s + (v - y[i]) ** 2, 0) / d);

  function denoising(place) {
    const paper = pad(() => guarded(touch)()), dirty = view("with noise");
    const nets = having("S1").map((n) => find(n, "S1")), ready = new Set();
    const views = nets.map(({ n, denoised }) => {
      const made = view(`seen ${faces(n)}`);
      made.show(images(denoised)[0]);
      return made;
    });
    const sigma = level(live.sigmas.denoise, () => guarded(touch)());
    let seed = 0;
    const again = button("New noise", () => { seed++; guarded(touch)(); });
    const { say, guarded } = figure(
      place,
      row(sigma.box, again),
      element("div", { className: "gahb-own" }, paper.box, dirty.box, paper.controls),
      element("div", { className: "gahb-row" }, ...views.map(({ box }) => box))
    );
    const refresh = latest(async () => {
      const y = await noisy(paper.x, sigma.value, seed);
      dirty.show(y);
      await Promise.all(nets.map(async ({ name, n }, i) => {
        if (!ready.has(name)) return views[i].wait();
        const estimate = await ask("denoise", { name, y });
        views[i].show(estimate);
        const decibels = `\n${psnr(paper.x, estimate).toFixed(1)} dB`;
        views[i].say(`seen ${faces(n)}${"numbers" in place.dataset ? decibels : ""}`);
      }));
      place.dispatchEvent(new CustomEvent("finished", { detail: y }));
    });
    const load = once(async () => {
      for (const [i, { name }] of nets.entries()) {
        say(`Loading network ${i + 1} of ${nets.length} (${megabytes(nets)} MB in all) …`);
        await loaded(name);
        ready.add(name);
        refresh();
      }
      say("The networks answer while you draw.");
    });
    const touch = () => Promise.all([refresh(), load()]);
    const begin = async () => dirty.show(await noisy(paper.x, sigma.value, 0));
    guarded(begin)();
  }

  function basis(place) {
    const paper = pad(() => guarded(touch)()), dirty = view("with noise"), clean = view("denoised");
    const parts = live.basis.values.map(() => view(""));
    const sayFactor = (part, k, value) =>
      part.say(value.toFixed(2), `basis vector ${k + 1}, factor ${value.toFixed(2)}`);
    images(live.basis.vectors).forEach((v, k) => {
      parts[k].show(v);
      sayFactor(parts[k], k, live.basis.values[k]);
    });
    const known = having("S1");
    clean.show(images(find(known.at(-1), "S1").cleaned)[0]);
    const n = slider("trained on", known, known.at(-1), faces, () => guarded(touch)());
    const sigma = level(live.sigmas.basis, () => guarded(touch)());
    const { say, guarded } = figure(
      place,
      row(n.box, sigma.box),
      element("div", { className: "gahb-own" }, paper.box, dirty.box, clean.box, paper.controls),
      element("div", { className: "gahb-basis" }, ...parts.map(({ box }) => box))
    );
    const showPairs = ({ values, vectors }) => values.forEach((value, k) => {
      const sizes = vectors[k].map(Math.abs).sort((a, b) => a - b);
      const largest = sizes.at(-1), sign = vectors[k].includes(largest) ? 1 : -1;
      // As figures.as_gray: 0 is gray, and one pixel in 200 black or white; vectors have length 1.
      const strong = Math.max(sizes[Math.ceil(0.995 * sizes.length) - 1], largest / 4);
      const most = largest ** 2 > 0.5 ? largest : strong;
      parts[k].show(vectors[k].map((v) => sign * v), -most, most);
      sayFactor(parts[k], k, value);
    });
    const refresh = latest(async () => {
      const y = await noisy(paper.x, sigma.value, 0);
      dirty.show(y);
      clean.show(await ask("denoise", { name: find(n.value, "S1").name, y }));
      parts.forEach((part) => part.wait());
    });
    const compute = async () => {
      const y = await noisy(paper.x, sigma.value, 0), { name } = find(n.value, "S1");
      const began = performance.now();
      say("Looking for the basis of your picture …");
      const end = await ask("basis", { name, y, k: parts.length, figure: place.id }, showPairs);
      if (!end) return;
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      say(`The ${parts.length} leading basis vectors, found in ${seconds} s.`);
      place.dispatchEvent(new CustomEvent("finished", { detail: { y, ...end } }));
    };
    let timer;
    const touch = async () => {
      const net = find(n.value, "S1");
      clearTimeout(timer);
      say(`Loading the network (${megabytes([net])} MB) …`);
      await loaded(net.name);
      await refresh();
      clearTimeout(timer);
      timer = setTimeout(guarded(compute), QUIET);
    };
    const begin = async () => dirty.show(await noisy(paper.x, sigma.value, 0));
    guarded(begin)();
  }

  // A figure takes the place of its fallback when it comes into view, where the browser can.

  const kinds = { sample: sampling, denoise: denoising, basis };
  const able = () => typeof WebAssembly === "object" && WebAssembly.validate(bytes(live.kernel));
  const begin = ({ isIntersecting, target }) => {
    if (!isIntersecting) return;
    seen.unobserve(target);
    const fallback = [...target.childNodes];
    target.replaceChildren();
    try { kinds[target.dataset.live](target); }
    catch (error) { target.replaceChildren(...fallback); throw error; }
  };
  const seen = new IntersectionObserver((all) => all.forEach(begin), { rootMargin: "300px" });
  if (able())
    document.querySelectorAll("div.gahb-live").forEach((place, i) => {
      place.id ||= `gahb-live-${i + 1}`;
      seen.observe(place);
    });
})();
