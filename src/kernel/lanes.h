// The kernel for one width of vectors: kernel.cpp includes this once for each.
//
// A vector holds one value of each of several neighbours: as many frames, or bins, are worked on side
// by side as a register has lanes. Every lane does what NumPy does for one frame, in the same order and
// rounded as often, so spectra, medians and the separated signal equal NumPy's to the last bit, on every
// processor. Compiled without contraction: a fused multiply-add rounds once less.

typedef double D __attribute__((vector_size(8 * LANES)));      // one double of LANES frames
typedef float H __attribute__((vector_size(4 * LANES)));       // one float of LANES frames
typedef float F __attribute__((vector_size(8 * LANES)));       // one float of 2 * LANES frames
typedef F Loose __attribute__((aligned(4), may_alias));        // at any address

constexpr size_t WIDE = 2 * LANES;

template <class V> static inline V low(V a, V b);   // alternate values of the first halves
template <class V> static inline V high(V a, V b);  // and of the second
#define INTERLEAVE(V, FIRST, SECOND)                                                             \
    template <> inline V low<V>(V a, V b) { return __builtin_shufflevector(a, b, FIRST); }       \
    template <> inline V high<V>(V a, V b) { return __builtin_shufflevector(a, b, SECOND); }
#define LIST(...) __VA_ARGS__
#if LANES == 8
INTERLEAVE(H, LIST(0, 8, 1, 9, 2, 10, 3, 11), LIST(4, 12, 5, 13, 6, 14, 7, 15))
INTERLEAVE(D, LIST(0, 8, 1, 9, 2, 10, 3, 11), LIST(4, 12, 5, 13, 6, 14, 7, 15))
INTERLEAVE(F, LIST(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
           LIST(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
#elif LANES == 4
INTERLEAVE(H, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
INTERLEAVE(D, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
INTERLEAVE(F, LIST(0, 8, 1, 9, 2, 10, 3, 11), LIST(4, 12, 5, 13, 6, 14, 7, 15))
#else
INTERLEAVE(H, LIST(0, 2), LIST(1, 3))
INTERLEAVE(D, LIST(0, 2), LIST(1, 3))
INTERLEAVE(F, LIST(0, 4, 1, 5), LIST(2, 6, 3, 7))
#endif
#undef LIST
#undef INTERLEAVE

// Turn N vectors of N values, rows to columns.
template <class V, size_t N> static inline void transpose(V *x) {
#pragma GCC unroll 4
    for (size_t step = 1; step < N; step *= 2) {
        V y[N];
#pragma GCC unroll 8
        for (size_t i = 0; i < N / 2; i++) {
            y[2 * i] = low(x[i], x[i + N / 2]);
            y[2 * i + 1] = high(x[i], x[i + N / 2]);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < N; i++) x[i] = y[i];
    }
}

// ------------------------------------------------------------------------------- Fourier transforms
// Real transforms of a power of two, halfcomplex order, by the passes of radix 4 and 2 of FFTPACK
// (P. N. Swarztrauber, "Vectorizing the FFTs", 1982) in the order that NumPy and SciPy take them.

template <class V> static inline void both(V &sum, V &difference, V a, V b) {
    sum = a + b;
    difference = a - b;
}

template <class V, class T> static inline void turn(V &a, V &b, T c, T d, V e, V f) {
    a = c * e + d * f;
    b = c * f - d * e;
}

template <class V, class T>
static void forward4(size_t ido, size_t l1, const V *in, V *out, const T *w) {
    const T half = T(0.707106781186547524400844362104849);
    for (size_t k = 0; k < l1; k++) {
        const V *c0 = in + ido * k, *c1 = c0 + ido * l1, *c2 = c1 + ido * l1, *c3 = c2 + ido * l1;
        V *o0 = out + 4 * ido * k, *o1 = o0 + ido, *o2 = o1 + ido, *o3 = o2 + ido;
        const size_t end = ido - 1;
        V r1, r2;
        both(r1, o2[0], c3[0], c1[0]);
        both(r2, o1[end], c0[0], c2[0]);
        both(o0[0], o3[end], r2, r1);
        if (ido == 1) continue;
        V i1 = -half * (c1[end] + c3[end]);
        r1 = half * (c1[end] - c3[end]);
        both(o0[end], o2[end], c0[end], r1);
        both(o3[0], o1[0], i1, c2[end]);
        for (size_t i = 2; i < ido; i += 2) {
            const size_t j = ido - i;
            const T *w1 = w + i - 2, *w2 = w1 + end, *w3 = w2 + end;
            V cr2, ci2, cr3, ci3, cr4, ci4, tr1, tr2, tr3, tr4, ti1, ti2, ti3, ti4;
            turn(cr2, ci2, w1[0], w1[1], c1[i - 1], c1[i]);
            turn(cr3, ci3, w2[0], w2[1], c2[i - 1], c2[i]);
            turn(cr4, ci4, w3[0], w3[1], c3[i - 1], c3[i]);
            both(tr1, tr4, cr4, cr2);
            both(ti1, ti4, ci2, ci4);
            both(tr2, tr3, c0[i - 1], cr3);
            both(ti2, ti3, c0[i], ci3);
            both(o0[i - 1], o3[j - 1], tr2, tr1);
            both(o0[i], o3[j], ti1, ti2);
            both(o2[i - 1], o1[j - 1], tr3, ti4);
            both(o2[i], o1[j], tr4, ti3);
        }
    }
}

template <class V, class T>
static void forward2(size_t ido, size_t l1, const V *in, V *out, const T *w) {
    for (size_t k = 0; k < l1; k++) {
        const V *c0 = in + ido * k, *c1 = c0 + ido * l1;
        V *o0 = out + 2 * ido * k, *o1 = o0 + ido;
        const size_t end = ido - 1;
        both(o0[0], o1[end], c0[0], c1[0]);
        if (ido == 1) continue;
        o1[0] = -c1[end];
        o0[end] = c0[end];
        for (size_t i = 2; i < ido; i += 2) {
            const size_t j = ido - i;
            V tr, ti;
            turn(tr, ti, w[i - 2], w[i - 1], c1[i - 1], c1[i]);
            both(o0[i - 1], o1[j - 1], c0[i - 1], tr);
            both(o0[i], o1[j], ti, c0[i]);
        }
    }
}

template <class V, class T>
static void backward4(size_t ido, size_t l1, const V *in, V *out, const T *w) {
    const T root = T(1.414213562373095048801688724209698), two = T(2);
    for (size_t k = 0; k < l1; k++) {
        const V *c0 = in + 4 * ido * k, *c1 = c0 + ido, *c2 = c1 + ido, *c3 = c2 + ido;
        V *o0 = out + ido * k, *o1 = o0 + ido * l1, *o2 = o1 + ido * l1, *o3 = o2 + ido * l1;
        const size_t end = ido - 1;
        V tr1, tr2, ti1, ti2;
        both(tr2, tr1, c0[0], c3[end]);
        both(o0[0], o2[0], tr2, two * c1[end]);
        both(o3[0], o1[0], tr1, two * c2[0]);
        if (ido == 1) continue;
        both(ti1, ti2, c3[0], c1[0]);
        both(tr2, tr1, c0[end], c2[end]);
        o0[end] = tr2 + tr2;
        o1[end] = root * (tr1 - ti1);
        o2[end] = ti2 + ti2;
        o3[end] = -root * (tr1 + ti1);
        for (size_t i = 2; i < ido; i += 2) {
            const size_t j = ido - i;
            const T *w1 = w + i - 2, *w2 = w1 + end, *w3 = w2 + end;
            V cr2, ci2, cr3, ci3, cr4, ci4, tr3, tr4, ti3, ti4;
            both(tr2, tr1, c0[i - 1], c3[j - 1]);
            both(ti1, ti2, c0[i], c3[j]);
            both(tr4, ti3, c2[i], c1[j]);
            both(tr3, ti4, c2[i - 1], c1[j - 1]);
            both(o0[i - 1], cr3, tr2, tr3);
            both(o0[i], ci3, ti2, ti3);
            both(cr4, cr2, tr1, tr4);
            both(ci2, ci4, ti1, ti4);
            turn(o1[i], o1[i - 1], w1[0], w1[1], ci2, cr2);
            turn(o2[i], o2[i - 1], w2[0], w2[1], ci3, cr3);
            turn(o3[i], o3[i - 1], w3[0], w3[1], ci4, cr4);
        }
    }
}

template <class V, class T>
static void backward2(size_t ido, size_t l1, const V *in, V *out, const T *w) {
    const T two = T(2);
    for (size_t k = 0; k < l1; k++) {
        const V *c0 = in + 2 * ido * k, *c1 = c0 + ido;
        V *o0 = out + ido * k, *o1 = o0 + ido * l1;
        const size_t end = ido - 1;
        both(o0[0], o1[0], c0[0], c1[end]);
        if (ido == 1) continue;
        o0[end] = two * c0[end];
        o1[end] = -two * c1[0];
        for (size_t i = 2; i < ido; i += 2) {
            const size_t j = ido - i;
            V tr, ti;
            both(o0[i - 1], tr, c0[i - 1], c1[j - 1]);
            both(ti, o0[i], c0[i], c1[j]);
            turn(o1[i], o1[i - 1], w[i - 2], w[i - 1], ti, tr);
        }
    }
}

// Transform `from`, using `other`; the one of the two that holds the result. The first three passes,
// of 64 values that stand n / 64 apart, are done together in the nearest cache.
template <class V, class T> static V *forward(const Plan<T> &plan, V *from, V *other) {
    const int outer = plan.n_passes - 3;
    const size_t step = plan.n / 64;
    for (size_t k = 0; k < step; k++) {
        V x[64], y[64];
        for (size_t i = 0; i < 64; i++) x[i] = from[k + i * step];
        forward4<V, T>(1, 16, x, y, plan.twiddles[outer + 2]);
        forward4<V, T>(4, 4, y, x, plan.twiddles[outer + 1]);
        forward4<V, T>(16, 1, x, other + 64 * k, plan.twiddles[outer]);
    }
    size_t l1 = step;
    for (int pass = outer; pass--;) {
        V *swap = from;
        from = other, other = swap;
        const size_t radix = plan.radix[pass], ido = plan.n / l1;
        l1 /= radix;
        (radix == 4 ? forward4<V, T> : forward2<V, T>)(ido, l1, from, other, plan.twiddles[pass]);
    }
    return other;
}

template <class V, class T> static V *backward(const Plan<T> &plan, V *from, V *other) {
    size_t l1 = 1;
    for (int pass = 0; pass < plan.n_passes; pass++) {
        const size_t radix = plan.radix[pass], ido = plan.n / (radix * l1);
        (radix == 4 ? backward4<V, T> : backward2<V, T>)(ido, l1, from, other, plan.twiddles[pass]);
        l1 *= radix;
        V *swap = from;
        from = other, other = swap;
    }
    return from;
}

// Spectra of LANES frames from `first` on, as rows r0, 0, r1, i1 … r_last, 0 of the real and imaginary
// parts of each bin; `a` and `b` have room for n_fft + 2 + LANES rows.
static D *transform(const Plan<double> &plan, const Sound &sound, long first, float *piece, D *a, D *b) {
    const long n = plan.n, hop = sound.hop, length = (LANES - 1) * hop + n;
    cut(sound, first * hop - n / 2, length, piece);
    const double *window = sound.window;
    for (long i = 0; i < n; i += LANES) {
        D tile[LANES], weight = {};
        for (long j = 0; j < LANES; j++) weight[j] = window ? window[i + j] : 1.0;
#pragma GCC unroll 8
        for (long j = 0; j < LANES; j++) {
            H row;
            memcpy(&row, piece + j * hop + i, sizeof row);
            tile[j] = __builtin_convertvector(row, D) * weight;
        }
        transpose<D, LANES>(tile);
#pragma GCC unroll 8
        for (long j = 0; j < LANES; j++) a[1 + i + j] = tile[j];
    }
    D *done = forward<D, double>(plan, a + 1, b + 1) - 1;
    done[0] = done[1];
    done[1] = done[n + 1] = D{};
    return done;
}

// |re + i im| by NumPy's formula.
static inline float absolute(float re, float im) {
    re = __builtin_fabsf(re), im = __builtin_fabsf(im);
    const float larger = re > im ? re : im, smaller = re > im ? im : re;
    const float ratio = smaller / (larger > 0 ? larger : 1.0f);
#ifdef FUSED
    const float square = __builtin_fmaf(ratio, ratio, 1.0f);
#else
    const float square = ratio * ratio + 1.0f;
#endif
    return larger * __builtin_sqrtf(square);
}

// Complex spectra (or none) and magnitudes of some frames, [shape=(n_frames, 1 + n_fft / 2)].
static void spectra(const Sound &sound, long n_fft, long first, long n_frames, float *complex,
                    float *magnitude) {
    const Plan<double> &plan = planned<double>(n_fft);
    const long n_bins = 1 + n_fft / 2, rows = n_fft + 2, room = rows + LANES;
    Room<D> a(room), b(room);
    Room<float> piece(LANES * sound.hop + n_fft), row(LANES * room);
    for (long start = 0; start < n_frames; start += LANES) {
        const D *done = transform(plan, sound, first + start, piece.at, a.at, b.at);
        for (long i = 0; i < rows; i += LANES) {
            H tile[LANES];
#pragma GCC unroll 8
            for (long j = 0; j < LANES; j++) tile[j] = __builtin_convertvector(done[i + j], H);
            transpose<H, LANES>(tile);
#pragma GCC unroll 8
            for (long j = 0; j < LANES; j++) memcpy(row.at + j * room + i, &tile[j], sizeof(H));
        }
        for (long j = 0; j < LANES && start + j < n_frames; j++) {
            const float *parts = row.at + j * room;
            float *sizes = magnitude + (start + j) * n_bins;
            for (long bin = 0; bin < n_bins; bin++)
                sizes[bin] = absolute(parts[2 * bin], parts[2 * bin + 1]);
            if (complex) memcpy(complex + (start + j) * rows, parts, rows * sizeof(float));
        }
    }
}

// Add to `total` [shape=(n_filters, n_frames)] the magnitude of every filter's response, times its
// scale; a filter is the weights first[f] … first[f + 1] - 1 of the bins named beside them.
static void responses(const Sound &sound, long n_fft, long n_frames, long n_filters, const int *first,
                      const int *bins, const float *weights, const float *scale, float *total) {
    const Plan<double> &plan = planned<double>(n_fft);
    Room<D> a(n_fft + 2 + LANES), b(n_fft + 2 + LANES);
    Room<float> piece(LANES * sound.hop + n_fft);
    for (long start = 0; start < n_frames; start += LANES) {
        const D *done = transform(plan, sound, start, piece.at, a.at, b.at);
        for (long f = 0; f < n_filters; f++) {
            H re = {}, im = {};
            for (int at = first[f]; at < first[f + 1]; at++) {
                const H x = __builtin_convertvector(done[2 * bins[at]], H);
                const H y = __builtin_convertvector(done[2 * bins[at] + 1], H);
                re += weights[2 * at] * x - weights[2 * at + 1] * y;
                im += weights[2 * at] * y + weights[2 * at + 1] * x;
            }
            for (long j = 0; j < LANES && start + j < n_frames; j++)
                total[f * n_frames + start + j] += absolute(re[j], im[j]) * scale[f];
        }
    }
}

// --------------------------------------------------------------------------- blocks of WIDE frames

// Columns `first` … `first + n - 1` of up to WIDE rows as vectors over the rows; absent rows repeat the last.
static void gather(const float *matrix, long n_rows, long stride, long n, F *out) {
    for (long column = 0; column < n; column += WIDE) {
        const long at = column + (long)WIDE <= n ? column : n - (long)WIDE;  // the last overlaps
        F tile[WIDE];
        for (long j = 0; j < (long)WIDE; j++)
            tile[j] = *(const Loose *)(matrix + (j < n_rows ? j : n_rows - 1) * stride + at);
        transpose<F, WIDE>(tile);
        for (long j = 0; j < (long)WIDE; j++) out[at + j] = tile[j];
    }
}

static inline F lesser(F a, F b) { return a < b ? a : b; }
static inline F greater(F a, F b) { return a > b ? a : b; }
typedef int Mask __attribute__((vector_size(8 * LANES)));
static inline bool any(Mask is) {  // is one of the conditions true?
    long parts[LANES], found = 0;
    memcpy(parts, &is, sizeof parts);
    for (long j = 0; j < LANES; j++) found |= parts[j];
    return found;
}

// Power in bands: the weights of band m begin at weights[m * n_bins + first[m]].
static void bands(const float *magnitude, long n_frames, long n_bins, long n_bands, const int *first,
                  const int *last, const float *weights, float *out) {
    Room<F> power(n_bins);
    for (long start = 0; start < n_frames; start += WIDE) {
        const long n = n_frames - start < (long)WIDE ? n_frames - start : (long)WIDE;
        gather(magnitude + start * n_bins, n, n_bins, n_bins, power.at);
        for (long bin = 0; bin < n_bins; bin++) power.at[bin] *= power.at[bin];
        for (long band = 0; band < n_bands; band++) {
            F sum = {};
            for (long bin = first[band]; bin < last[band]; bin++)
                sum += weights[band * n_bins + bin] * power.at[bin];
            for (long j = 0; j < n; j++) out[(start + j) * n_bands + band] = sum[j];
        }
    }
}

// Means of the `count` least and the `count` largest values of each band of bins.
static void extremes(const float *magnitude, long n_frames, long n_bins, long n_bands, const int *first,
                     const int *last, const int *count, float *least, float *largest) {
    Room<F> column(n_bins), low(n_bins), high(n_bins);
    const F far = F{} + __builtin_inff();
    for (long start = 0; start < n_frames; start += WIDE) {
        const long n = n_frames - start < (long)WIDE ? n_frames - start : (long)WIDE;
        gather(magnitude + start * n_bins, n, n_bins, n_bins, column.at);
        for (long band = 0; band < n_bands; band++) {
            const long k = count[band];
            for (long i = 0; i < k; i++) low.at[i] = far, high.at[i] = -far;
            for (long bin = first[band]; bin < last[band]; bin++) {
                F x = column.at[bin], y = x;
                if (any(x < low.at[k - 1]))  // both lists are sorted, the furthest first
                    for (long i = 0; i < k; i++) {
                        const F kept = lesser(x, low.at[i]);
                        x = greater(x, low.at[i]), low.at[i] = kept;
                    }
                if (any(high.at[k - 1] < y))
                    for (long i = 0; i < k; i++) {
                        const F kept = greater(y, high.at[i]);
                        y = lesser(y, high.at[i]), high.at[i] = kept;
                    }
            }
            F bottom = {}, top = {};
            for (long i = 0; i < k; i++) bottom += low.at[i], top += high.at[k - 1 - i];
            for (long j = 0; j < n; j++) {
                least[(start + j) * n_bands + band] = bottom[j] / k;
                largest[(start + j) * n_bands + band] = top[j] / k;
            }
        }
    }
}

// ------------------------------------------------------------------------------- running medians
// As harmonic.py explains: of each 16 neighbours, runs of 1, 2, 4, 8 and 16 are sorted once.

constexpr long GROUP = 16;

static inline __attribute__((always_inline)) void exchange(F &a, F &b) {
    const F lower = lesser(a, b);
    b = greater(a, b), a = lower;
}

template <int N> static inline void sort_bitonic(F *x) {
#pragma GCC unroll 4
    for (int half = N / 2; half; half /= 2)
#pragma GCC unroll 16
        for (int i = 0; i < N; i++)
            if (!(i & half)) exchange(x[i], x[i + half]);
}

template <int N> static void merge_runs(const F *from, F *to) {  // runs of N / 2 become runs of N
    for (int at = 0; at < GROUP; at += N) {
        F x[N];
#pragma GCC unroll 8
        for (int i = 0; i < N / 2; i++) x[i] = from[at + i], x[N - 1 - i] = from[at + N / 2 + i];
        sort_bitonic<N>(x);
#pragma GCC unroll 16
        for (int i = 0; i < N; i++) to[at + i] = x[i];
    }
}

struct Runs {
    F of[5][GROUP];  // sorted runs of 1, 2, 4, 8 and 16 neighbours
    void sort() {
        merge_runs<2>(of[0], of[1]);
        merge_runs<4>(of[1], of[2]);
        merge_runs<8>(of[2], of[3]);
        merge_runs<16>(of[3], of[4]);
    }
};

// Ranks n + 1 … 2n of 2n sorted candidates and a sorted run of n.
template <int N> static inline void upper(const F *candidates, const F *run, F *out) {
#pragma GCC unroll 8
    for (int i = 0; i < N; i++)
        out[i] = greater(candidates[i], lesser(candidates[N + i], run[N - 1 - i]));
    sort_bitonic<N>(out);
}

// Medians of 2N neighbours from row `at` of their group on, given what all of their windows share.
template <int N>
static void descend(const F *candidates, const Runs &before, const Runs &after, int level, int at, F *out) {
    F first[N], second[N];
    upper<N>(candidates, before.of[level] + at + N, first);
    upper<N>(candidates, after.of[level] + at, second);
    if constexpr (N > 1) {
        descend<N / 2>(first, before, after, level - 1, at, out);
        descend<N / 2>(second, before, after, level - 1, at + N, out);
    } else
        out[at] = first[0], out[at + 1] = second[0];
}

// Medians of 31 rows, `stride` floats apart, mirrored at both ends.
static void median31(const float *rows, long n_rows, long stride, float *out) {
    Runs space[3];
    for (long group = -1; (group - 1) * GROUP < n_rows; group++) {
        Runs &runs = space[(group + 3) % 3];
        // One row more in front than a window reaches, as every run starts at a multiple of its length.
        for (long i = 0; i < GROUP; i++)
            runs.of[0][i] = *(const Loose *)(rows + mirror(group * GROUP + i, n_rows) * stride);
        runs.sort();
        if (group < 1) continue;
        const long done = group - 1;
        F medians[GROUP];
        descend<8>(space[(done + 3) % 3].of[4], space[(done + 2) % 3], runs, 3, 0, medians);
        for (long i = 0; i < GROUP && done * GROUP + i < n_rows; i++)
            *(Loose *)(out + (done * GROUP + i) * stride) = medians[i];
    }
}

// ---------------------------------------------------------------------------- harmonic separation

// Add the harmonic part of frames `from` … `to` - 1 to rows of `hop` samples, one row apart.
static void harmonic(const float *complex, const float *magnitude, long n_frames, long from, long to,
                     long n_fft, long hop, const double *window, float *summed) {
    const Plan<float> &plan = planned<float>(n_fft);
    const long n_bins = 1 + n_fft / 2;
    const float tiny = 1.17549435e-38f, scale = 1.0f / n_fft;
    Room<float> over_time(n_frames * n_bins), frames(WIDE * n_fft);
    for (long column = 0; column < n_bins; column += WIDE) {
        const long at = column + (long)WIDE <= n_bins ? column : n_bins - (long)WIDE;
        median31(magnitude + at, n_frames, n_bins, over_time.at + at);
    }
    Room<F> whole(n_bins), frequency(n_bins), time(n_bins), parts(2 * n_bins), a(n_fft + 2), b(n_fft + 2);
    for (long start = from; start < to; start += WIDE) {
        const long n = to - start < (long)WIDE ? to - start : (long)WIDE;
        gather(magnitude + start * n_bins, n, n_bins, n_bins, whole.at);
        gather(over_time.at + start * n_bins, n, n_bins, n_bins, time.at);
        gather(complex + start * 2 * n_bins, n, 2 * n_bins, 2 * n_bins, parts.at);
        median31((const float *)whole.at, n_bins, WIDE, (float *)frequency.at);
        const F zero = {}, one = zero + 1.0f, half = zero + 0.5f;
        for (long bin = 0; bin < n_bins; bin++) {
            const F larger = greater(time.at[bin], frequency.at[bin]);
            const auto silent = larger < tiny;
            const F by = silent ? one : larger;
            const F t = time.at[bin] / by, f = frequency.at[bin] / by;
            const F mask = silent ? half : t * t / (t * t + f * f);
            const F size = whole.at[bin], kept = mask * size, nonzero = size == zero ? one : size;
            a.at[2 * bin] = parts.at[2 * bin] / nonzero * kept;
            a.at[2 * bin + 1] = parts.at[2 * bin + 1] / nonzero * kept;
        }
        a.at[1] = a.at[0];  // halfcomplex order: r0, r1, i1 …, r_last
        const F *done = backward<F, float>(plan, a.at + 1, b.at + 1);
        for (long i = 0; i < n_fft; i += WIDE) {
            F tile[WIDE];
            for (long j = 0; j < (long)WIDE; j++) tile[j] = done[i + j] * scale;
            transpose<F, WIDE>(tile);
            for (long j = 0; j < (long)WIDE; j++) *(Loose *)(frames.at + j * n_fft + i) = tile[j];
        }
        for (long j = 0; j < n; j++) {
            float *sums = summed + (start - from + j) * hop;
            const float *frame = frames.at + j * n_fft;
            for (long i = 0; i < n_fft; i++) sums[i] = (float)(sums[i] + frame[i] * window[i]);
        }
    }
}


// Medians over 31 rows of a matrix of at least WIDE columns.
static void medians(const float *matrix, long n_rows, long n_columns, float *out) {
    for (long column = 0; column < n_columns; column += WIDE) {
        const long at = column + (long)WIDE <= n_columns ? column : n_columns - (long)WIDE;
        median31(matrix + at, n_rows, n_columns, out + at);
    }
}

// Twelve sums per frame, in double precision; weights has 16 columns, the last four zero.
static void chroma(const float *magnitude, long n_frames, long n_bins, const double *weights, float *out) {
    constexpr long AT_ONCE = LANES / 2, VECTORS = 16 / LANES;
    for (long start = 0; start < n_frames; start += AT_ONCE) {
        D sums[AT_ONCE][VECTORS] = {};
        const float *rows[AT_ONCE];
        for (long j = 0; j < AT_ONCE; j++)
            rows[j] = magnitude + (start + j < n_frames ? start + j : n_frames - 1) * n_bins;
        for (long bin = 0; bin < n_bins; bin++)
#pragma GCC unroll 4
            for (long v = 0; v < VECTORS; v++) {
                D weight;
                memcpy(&weight, weights + 16 * bin + LANES * v, sizeof weight);
#pragma GCC unroll 4
                for (long j = 0; j < AT_ONCE; j++) sums[j][v] += (double)rows[j][bin] * weight;
            }
        for (long j = 0; j < AT_ONCE && start + j < n_frames; j++)
            for (long c = 0; c < 12; c++)
                out[12 * (start + j) + c] = (float)sums[j][c / LANES][c % LANES];
    }
}

// Frequencies and heights of the spectral peaks among bins first … last - 1; their number.
static long peaks(const float *magnitude, long n_frames, long n_bins, long first, long last, double threshold,
           double rate, float *frequencies, float *heights) {
    long n = 0;
    for (long frame = 0; frame < n_frames; frame++, magnitude += n_bins) {
        F most = {};
        for (long bin = 0; bin < n_bins; bin += WIDE) {
            const long at = bin + (long)WIDE <= n_bins ? bin : n_bins - (long)WIDE;
            most = greater(most, *(const Loose *)(magnitude + at));
        }
        float largest = 0;
        for (long j = 0; j < (long)WIDE; j++) largest = most[j] > largest ? most[j] : largest;
        const float floor = (float)threshold * largest;
        for (long bin = first; bin < last; bin++) {
            if ((bin - first) % WIDE == 0) {  // most neighbours hold no peak: look at many at once
                while (bin + (long)WIDE <= last && bin + (long)WIDE < n_bins) {
                    const F at = *(const Loose *)(magnitude + bin);
                    const F behind = *(const Loose *)(magnitude + bin - 1);
                    const F ahead = *(const Loose *)(magnitude + bin + 1);
                    const auto is = (at > floor) & (at > behind) & (at >= ahead);
                    if (any(is)) break;
                    bin += WIDE;
                }
                if (bin >= last) break;
            }
            const float here = magnitude[bin], before = magnitude[bin - 1], after = magnitude[bin + 1];
            if (!(here > floor && here > before && here >= after)) continue;
            const float curvature = after + before - 2 * here, slope = (after - before) / 2;
            const float shift = fabsf(slope) >= fabsf(curvature) ? 0.0f : -slope / curvature;
            frequencies[n] = (float)((bin + (double)shift) * rate / (2 * (n_bins - 1)));
            heights[n++] = here + 0.5f * slope * shift;
        }
    }
    return n;
}

static const Kernel table = {LANES,    spectra, responses, bands, extremes,
                             medians, harmonic, chroma,    peaks};
