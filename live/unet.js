// A bias-free UNet, its Jacobian J at the image denoised last, and the transpose of that.

const CONVOLVE = 0, MEAN = 1, SPREAD = 2; // kinds of layers of net.c
const KEEP_ALL = 0, RECTIFY = 1, LIKE_GATE = 2; // and which of their results are kept
const RESERVED = 4096; // floats at the start of the memory, which the compiler uses
const octets = (channels) => 8 * Math.ceil(channels / 8);
const corners = [[0, 0], [0, 1], [1, 0], [1, 1]]; // of the 2 x 2 pixels that share a coarse one

class UNet {
  // `weights` are those of all layers in the order in which a pass meets them, without a gap.
  constructor(module, { side, widths, weights }) {
    this.side = side;
    this.weights = weights;
    this.packed = [];
    this.top = RESERVED;
    const steps = this.describe(widths);
    if (this.weights.length) throw Error(`${this.weights.length} weights are left over`);
    const floats = this.images; // of all images of one pass: this.denoised and this.tangent
    this.denoised = this.take(floats);
    this.tangent = this.take(floats);
    const layers = {
      denoise: steps.flatMap((step) => this.forward(step, this.denoised, RECTIFY)),
      times: steps.flatMap((step) => this.forward(step, this.tangent, LIKE_GATE)),
      transposed: [...steps].reverse().flatMap((step) => this.backward(step)),
    };
    const starts = Object.values(layers).map((list) => this.take(list.flat().length));
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(this.top / 16384) });
    this.values = new Float32Array(this.memory.buffer);
    const integers = new Int32Array(this.memory.buffer);
    for (const [at, values] of this.packed) this.values.set(values, at);
    Object.values(layers).forEach((list, i) => integers.set(list.flat(), starts[i]));
    const { pass } = new WebAssembly.Instance(module, { env: { memory: this.memory } }).exports;
    this.pass = {};
    Object.entries(layers).forEach(([name, list], i) => {
      this.pass[name] = () => pass(4 * starts[i], list.length);
    });
    delete this.packed;
  }

  take(floats) {
    const at = this.top;
    this.top += 4 * Math.ceil(floats / 4);
    return at;
  }

  // The steps of a pass, each from an image x to an image y, and room for the images.
  describe(widths) {
    const depth = widths.length - 1, steps = [], joined = [];
    this.images = 0;
    const image = (level, channels, rectified) => {
      const side = this.side >> level, stride = octets(channels), row = (side + 2) * stride;
      const at = this.images + row + stride; // the first pixel inside the border
      this.images += (side + 2) * row;
      return { at, side, stride, row, channels, rectified };
    };
    const convolution = (x, y) => {
      steps.push({ kind: "convolution", x, y, ...this.packTaps(x.channels, y.channels) });
      return y;
    };
    let x = this.input = image(0, 1, false);
    for (let b = 0; b < depth; b++) {
      const w = widths[b], both = image(b, 2 * w, false);
      const skipped = { ...both, at: both.at + w, channels: w, rectified: true };
      convolution(convolution(x, image(b, w, true)), skipped);
      x = image(b + 1, w, false);
      steps.push({ kind: "mean", x: skipped, y: x });
      joined.push(both);
    }
    x = convolution(x, image(depth, widths[depth], true));
    x = convolution(x, image(depth, widths[depth], true));
    for (let b = depth - 1; b >= 0; b--) {
      const w = widths[b], both = joined[b], y = { ...both, channels: w };
      steps.push({ kind: "upsampling", x, y, ...this.packCorners(x.channels, w) });
      x = convolution(both, image(b, w, true));
      x = convolution(x, b ? image(b, w, true) : image(0, 1, false));
    }
    this.output = x;
    return steps;
  }

  // Weights of a 3 x 3 convolution, stored [outputs][inputs][3][3], and of its transpose.
  packTaps(inputs, outputs) {
    const w = this.next(9 * inputs * outputs);
    return {
      w: this.pack(outputs, 9, inputs, (o, e, i) => w[(o * inputs + i) * 9 + e]),
      transposed: this.pack(inputs, 9, outputs, (i, e, o) => w[(o * inputs + i) * 9 + 8 - e]),
    };
  }

  // Weights of a 2 x 2 transposed convolution of stride 2, stored [inputs][outputs][2][2].
  packCorners(inputs, outputs) {
    const w = this.next(4 * inputs * outputs);
    const get = (i, o, e) => w[(i * outputs + o) * 4 + e];
    return {
      w: corners.map((_, e) => this.pack(outputs, 1, inputs, (o, _, i) => get(i, o, e))),
      transposed: this.pack(inputs, 4, outputs, (i, e, o) => get(i, o, e)),
    };
  }

  next(count) {
    if (count > this.weights.length) throw Error("weights are missing");
    const next = this.weights.subarray(0, count);
    this.weights = this.weights.subarray(count);
    return next;
  }

  // [outputs / 8][taps][inputs][8], filled up with zeros where outputs are no multiple of 8.
  pack(outputs, taps, inputs, get) {
    const values = new Float32Array(octets(outputs) * taps * inputs);
    for (let o = 0; o < outputs; o++)
      for (let e = 0; e < taps; e++)
        for (let i = 0; i < inputs; i++)
          values[(((o >> 3) * taps + e) * inputs + i) * 8 + (o & 7)] = get(o, e, i);
    const at = this.take(values.length);
    this.packed.push([at, values]);
    return at;
  }

  // Layers that take a step in the images from `base`.
  forward({ kind, x, y, w }, base, gating) {
    const layer = (...given) => this.layer(base, y.rectified ? gating : KEEP_ALL, ...given);
    if (kind === "convolution") return [layer(CONVOLVE, 3, x.side, around(x), near(y), w, x, y)];
    if (kind === "mean") return [layer(MEAN, 2, y.side, coarse(x), near(y), 0, x, y)];
    const part = ([i, j], e) => layer(CONVOLVE, 1, x.side, near(x), coarse(y, i, j), w[e], x, y);
    return corners.map(part);
  }

  // Layers that take the gradient at y of a step back to x.
  backward({ kind, x, y, transposed: w }) {
    const gating = x.rectified ? LIKE_GATE : KEEP_ALL;
    const layer = (...given) => this.layer(this.tangent, gating, ...given);
    if (kind === "convolution") return [layer(CONVOLVE, 3, y.side, around(y), near(x), w, y, x)];
    if (kind === "upsampling") return [layer(CONVOLVE, 2, x.side, coarse(y), near(x), w, y, x)];
    return corners.map(([i, j]) => layer(SPREAD, 1, y.side, near(y), coarse(x, i, j), 0, y, x));
  }

  // The numbers of a layer of net.c: addresses in bytes, strides in floats.
  layer(base, gating, kind, taps, side, from, to, w, x, y) {
    return [
      kind, side, side, x.channels, octets(y.channels), taps,
      4 * (base + from.at), from.row, from.stride, x.row, x.stride,
      4 * (base + to.at), to.row, to.stride,
      4 * w, gating, 4 * (this.denoised + to.at),
    ];
  }

  // v minus what a pass from one image to another makes of v: the network gives the residual.
  rest(v, base, from, pass, to) {
    const { side, values } = this, rest = new Float32Array(side * side);
    const place = (image, r, c) => base + image.at + r * image.row + c * image.stride;
    for (let r = 0; r < side; r++)
      for (let c = 0; c < side; c++) values[place(from, r, c)] = v[r * side + c];
    pass();
    for (let r = 0; r < side; r++)
      for (let c = 0; c < side; c++) rest[r * side + c] = v[r * side + c] - values[place(to, r, c)];
    return rest;
  }

  // f(y), and the products J v and J^T v at the y denoised last.
  denoise(y) {
    return this.rest(y, this.denoised, this.input, this.pass.denoise, this.output);
  }

  times(v) {
    return this.rest(v, this.tangent, this.input, this.pass.times, this.output);
  }

  transposed(v) {
    return this.rest(v, this.tangent, this.output, this.pass.transposed, this.input);
  }
}

// Where the pixels of an image are: all, with those around each, or each other one.
const near = ({ at, row, stride }) => ({ at, row, stride });
const around = ({ at, row, stride }) => ({ at: at - row - stride, row, stride });
const coarse = ({ at, row, stride }, i = 0, j = 0) =>
  ({ at: at + i * row + j * stride, row: 2 * row, stride: 2 * stride });
