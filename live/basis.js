// Leading eigenpairs of (J + J^T) / 2, the adaptive basis, by a block Krylov method.

const BLOCK = 4; // random vectors to start from: no eigenvalue is missed that is not fivefold
const BETWEEN = 32; // products of one look at the eigenpairs and the next
const TOLERANCE = 0.01, MOST_PRODUCTS = 320;

const inner = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

// All that is found is kept, and each new vector is made orthogonal to it. Between looks it yields
// nothing, so that whoever asked can do something else or leave.
function* leadingPairs(net, k, draw) {
  const d = net.side ** 2, basis = [], products = [], within = [];
  const take = (v) => {
    for (let twice = 0; twice < 2; twice++) { // what rounding left goes at the second time
      for (const u of basis) {
        const c = inner(v, u);
        for (let i = 0; i < d; i++) v[i] -= c * u[i];
      }
      const length = Math.sqrt(inner(v, v));
      for (let i = 0; i < d; i++) v[i] /= length;
    }
    const forward = net.times(v), backward = net.transposed(v);
    const product = forward.map((x, i) => (x + backward[i]) / 2);
    basis.push(v);
    products.push(product);
    within.push(basis.map((u) => inner(u, product)));
  };
  for (let b = 0; b < BLOCK; b++) take(Float32Array.from({ length: d }, draw));
  for (const most = Math.min(MOST_PRODUCTS, d - BLOCK); ; ) {
    for (const product of products.slice(-BLOCK)) take(product.slice());
    const last = basis.length >= most;
    if (!last && (basis.length < 2 * k || basis.length % BETWEEN)) {
      yield null;
      continue;
    }
    const pairs = ritzPairs(basis, products, within, k);
    yield pairs;
    if (last || Math.max(...pairs.residuals) <= TOLERANCE) return;
  }
}

// The k leading eigenpairs within the space of a basis, and how far from eigenpairs they are.
function ritzPairs(basis, products, within, k) {
  const m = basis.length, d = basis[0].length;
  const symmetric = within.map((_, i) =>
    Float64Array.from({ length: m }, (_, j) => within[Math.max(i, j)][Math.min(i, j)]));
  const { values, coordinates } = eigenpairs(symmetric);
  const combine = (of, vectors) => {
    const sum = new Float32Array(d);
    vectors.forEach((v, i) => { for (let p = 0; p < d; p++) sum[p] += of[i] * v[p]; });
    return sum;
  };
  const vectors = coordinates.slice(0, k).map((of) => combine(of, basis));
  const residuals = vectors.map((v, j) => {
    const rest = combine(coordinates[j], products).map((x, p) => x - values[j] * v[p]);
    return Math.sqrt(inner(rest, rest));
  });
  return { values: values.slice(0, k), vectors, residuals, products: m };
}

// Jacobi's method: eigenvalues, largest first, and eigenvectors of a symmetric matrix A of rows.
function eigenpairs(A) {
  const m = A.length;
  const V = A.map((_, i) => Float64Array.from({ length: m }, (_, j) => Number(i === j)));
  const turn = (P, Q, c, s) => {
    for (let i = 0; i < m; i++) {
      const p = P[i], q = Q[i];
      P[i] = c * p - s * q;
      Q[i] = s * p + c * q;
    }
  };
  for (let sweep = 0, off = 1; sweep < 30 && off > 1e-12; sweep++) {
    off = 0;
    for (let p = 0; p < m; p++)
      for (let q = p + 1; q < m; q++) {
        const a = A[p][q];
        off += a * a;
        if (a * a < 1e-16) continue;
        const h = (A[q][q] - A[p][p]) / (2 * a);
        const t = Math.sign(h || 1) / (Math.abs(h) + Math.hypot(h, 1));
        const c = 1 / Math.hypot(t, 1), s = t * c;
        turn(A[p], A[q], c, s);
        for (const row of A) {
          const u = row[p], w = row[q];
          row[p] = c * u - s * w;
          row[q] = s * u + c * w;
        }
        turn(V[p], V[q], c, s);
      }
  }
  const order = [...A.keys()].sort((i, j) => A[j][j] - A[i][i]);
  return { values: order.map((i) => A[i][i]), coordinates: order.map((i) => V[i]) };
}
