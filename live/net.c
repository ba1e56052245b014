// The layers of a bias-free UNet, of its Jacobian and of the transpose of that.
//
// An image is rows of pixels inside a border of zeros; a pixel is its channels, a multiple of 8.
// A layer is one sum at each pixel, whose result is kept where its gate is positive:
//
//     y[r, c] = sum over taps (i, j) of x[r, c; i, j] w[i, j]
//
// with 3 x 3 taps for a convolution, 1 for a part of a transposed convolution, 2 x 2 for the
// transpose of that. Weights are in blocks of 8 outputs: [outputs / 8][i][j][inputs][8].
// MEAN averages 2 x 2 taps; SPREAD, the transpose of it, adds x / 4 to what y holds.

enum { CONVOLVE, MEAN, SPREAD };
enum { KEEP_ALL, RECTIFY, LIKE_GATE };

typedef float four __attribute__((vector_size(16)));
typedef int mask __attribute__((vector_size(16)));
typedef struct {
  int kind, rows, cols, inputs, outputs, taps;
  const float *x; int x_row, x_col, tap_row, tap_col;  // in floats, as all strides
  float *y; int y_row, y_col;
  const float *w;
  int gating; const float *gate;  // laid out as y is
} layer;

#define INLINE static inline __attribute__((always_inline))
#define AT(p) (*(four *)(p))

INLINE void put(const layer *l, int at, four a) {
  four sign = l->gating == LIKE_GATE ? AT(l->gate + at) : a;
  AT(l->y + at) = l->gating == KEEP_ALL ? a : (four)((mask)a & (sign > 0));
}

// Eight outputs at n pixels in a row.
INLINE void convolve(const layer *l, const int n, const float *x, const float *w, int at) {
  four a[4][2] = {0};
  for (int i = 0; i < l->taps; i++)
    for (int j = 0; j < l->taps; j++) {
      const float *p = x + i * l->tap_row + j * l->tap_col;
      for (int c = 0; c < l->inputs; c++, w += 8)
#pragma clang loop unroll(full)
        for (int k = 0; k < n; k++) {
          float u = p[k * l->x_col + c];
          a[k][0] += u * AT(w);
          a[k][1] += u * AT(w + 4);
        }
    }
#pragma clang loop unroll(full)
  for (int k = 0; k < n; k++) {
    put(l, at + k * l->y_col, a[k][0]);
    put(l, at + k * l->y_col + 4, a[k][1]);
  }
}

INLINE void average(const layer *l, const float *x, int at) {
  for (int o = 0; o < l->outputs; o += 4) {
    const float *p = x + o, *q = p + l->tap_row;
    four sum = AT(p);
    if (l->kind == MEAN) sum = (sum + AT(p + l->tap_col)) + (AT(q) + AT(q + l->tap_col));
    put(l, at + o, l->kind == MEAN ? .25f * sum : AT(l->y + at + o) + .25f * sum);
  }
}

INLINE void run(const layer *l) {
  int size = l->taps * l->taps * l->inputs;
  for (int o = 0; o < (l->kind == CONVOLVE ? l->outputs : 1); o += 8)
    for (int r = 0; r < l->rows; r++)
      for (int c = 0; c < l->cols;) {
        const float *x = l->x + r * l->x_row + c * l->x_col, *w = l->w + o * size;
        int at = r * l->y_row + c * l->y_col + o;
        if (l->kind != CONVOLVE) average(l, x, at), c++;
        else if (c + 4 <= l->cols) convolve(l, 4, x, w, at), c += 4;
        else convolve(l, 1, x, w, at), c++;
      }
}

__attribute__((export_name("pass"))) void pass(const layer *layers, int count) {
  for (int i = 0; i < count; i++) run(layers + i);
}
