// Runs in a worker, after the other files: answers the page's questions one at a time.

const networks = new Map(), newest = new Map();
let kernel;

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// Numbers of half precision: their bits, shifted, are a single 2^112 times smaller.
function singles({ buffer }) {
  const halves = new Uint16Array(buffer), bits = new Uint32Array(halves.length);
  const numbers = new Float32Array(bits.buffer);
  halves.forEach((half, i) => {
    bits[i] = (half & 0x7fff) << 13;
    numbers[i] *= half & 0x8000 ? -(2 ** 112) : 2 ** 112;
  });
  return numbers;
}

// A generator gives states, or null, as it goes, and is left when its figure has asked again.
const tasks = {
  start: ({ code }) => { kernel = new WebAssembly.Module(bytes(code)); },
  load({ name, network }) {
    const data = bytes(network.weights);
    const weights = network.precision === "half" ? singles(data) : new Float32Array(data.buffer);
    networks.set(name, new UNet(kernel, { ...network, weights }));
  },
  noise: ({ seed, d }) => noiseImages(seed, d)(0),
  denoise: ({ name, y }) => networks.get(name).denoise(y),
  times: ({ name, v }) => networks.get(name).times(v),
  transposed: ({ name, v }) => networks.get(name).transposed(v),
  *sample({ names, seed }) {
    const nets = names.map((name) => networks.get(name));
    const noise = noiseImages(seed, nets[0].side ** 2);
    const runs = nets.map((net) => ascent((y) => net.denoise(y), noise));
    for (let states = []; !(states.length && states.every((s) => s.finished)); ) {
      states = runs.map((run, i) => (states[i]?.finished ? states[i] : run.next().value));
      yield states;
    }
  },
  *basis({ name, y, k }) {
    const net = networks.get(name);
    net.denoise(y);
    for (const pairs of leadingPairs(net, k, normalNumbers(0))) {
      yield pairs;
      net.denoise(y); // J is that of the image denoised last, and others may have asked meanwhile
    }
  },
};

// Messages that have come meanwhile are read first; setTimeout alone would wait 4 ms at least.
const pause = (ms) => new Promise((done) => {
  if (ms) return setTimeout(done, ms);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); done(); };
  port2.postMessage(0);
});

self.onmessage = async ({ data: { id, task, figure, pace = 0, ...question } }) => {
  if (figure) newest.set(figure, id);
  try {
    let value = tasks[task](question);
    if (value?.next)
      for (const states = value; ; ) {
        const state = states.next();
        if (state.done) break;
        if (state.value) self.postMessage({ id, value: (value = state.value) });
        await pause(pace);
        if (newest.get(figure) !== id) return self.postMessage({ id, superseded: true });
      }
    self.postMessage({ id, value, done: true });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
