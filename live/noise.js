// The noise of gahb.sample, number for number:
// numpy's RandomState(Philox(SeedSequence([seed, 0]))).

// SeedSequence(entropy).generate_state(2, uint64), for at most four numbers below 2^32.
function seedKey(...entropy) {
  const mul = Math.imul;
  let c = 0x43b0d7e5;
  const hash = (v) => {
    v ^= c;
    c = mul(c, 0x931e8875);
    v = mul(v, c);
    return v ^ (v >>> 16);
  };
  const mix = (x, y) => {
    const r = (mul(0xca01f9dd, x) - mul(0x4973f715, y)) | 0;
    return r ^ (r >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let s = 0; s < 4; s++)
    for (let d = 0; d < 4; d++) if (s !== d) pool[d] = mix(pool[d], hash(pool[s]));
  c = 0x8b51f9dd;
  const words = pool.map((v) => {
    v ^= c;
    c = mul(c, 0x58f38ded);
    v = mul(v, c);
    return BigInt((v ^ (v >>> 16)) >>> 0);
  });
  return [words[0] | (words[1] << 32n), words[2] | (words[3] << 32n)];
}

// Philox4x64-10: uniform numbers in [0, 1).
function uniformNumbers(seed, image) {
  const M = 0xffffffffffffffffn, key = seedKey(seed, image);
  let counter = 0n, buffer = [];
  const block = () => {
    let a = ++counter, b = 0n, c = 0n, d = 0n, [k, l] = key;
    for (let round = 0; round < 10; round++) {
      const x = 0xd2e7470ee14c6c93n * a, y = 0xca5a826395121157n * c;
      a = (y >> 64n) ^ b ^ k;
      b = y & M;
      c = (x >> 64n) ^ d ^ l;
      d = x & M;
      k = (k + 0x9e3779b97f4a7c15n) & M;
      l = (l + 0xbb67ae8584caa73bn) & M;
    }
    return [d, c, b, a]; // taken from the end
  };
  return () => {
    if (!buffer.length) buffer = block();
    return Number(buffer.pop() >> 11n) / 2 ** 53;
  };
}

// Normal numbers by Marsaglia's polar method.
function normalNumbers(seed, image = 0) {
  const uniform = uniformNumbers(seed, image);
  let spare = null;
  return () => {
    if (spare !== null) {
      const number = spare;
      spare = null;
      return number;
    }
    let x, y, square;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    spare = factor * x;
    return factor * y;
  };
}

// The images of noise z_0, z_1, ... of a seed, each made once for all who ask.
function noiseImages(seed, d) {
  const draw = normalNumbers(seed), made = [];
  return (t) => {
    while (made.length <= t) made.push(Float32Array.from({ length: d }, draw));
    return made[t];
  };
}
