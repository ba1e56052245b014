// Algorithm 1, as gahb.sample(f, n=1, size, seed) runs it with its defaults: a state at each step.

const H = 0.01, BETA = 0.1, SIGMA_END = 0.05, SIGMA_MOST = 2, MOST_STEPS = 291;

function* ascent(denoise, noise) {
  let x = noise(0).map((z) => 0.5 + z);
  for (let t = 0; t <= MOST_STEPS; t++) {
    const estimate = denoise(x);
    const sigma = Math.sqrt(x.reduce((s, v, i) => s + (estimate[i] - v) ** 2, 0) / x.length);
    const finished = sigma < SIGMA_END;
    yield { t, x, estimate, sigma, finished };
    if (finished) return;
    if (!(sigma <= SIGMA_MOST)) break;
    const h = (H * (t + 1)) / (1 + H * t);
    const gamma = sigma * Math.sqrt((1 - BETA * h) ** 2 - (1 - h) ** 2), z = noise(t + 1);
    x = x.map((v, i) => v + h * (estimate[i] - v) + gamma * z[i]);
  }
  throw Error("this noise leads to no image");
}
