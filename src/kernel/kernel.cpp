// The compiled part of emoscope's features: optional, plain functions for ctypes.
//
// Matrices are dense, frames along the first axis. Built with
// by GCC 12 or Clang 15 and later, when one is there: hatch_build.py. Nothing of the C++ library is used.

#include <math.h>
#include <stdlib.h>
#include <string.h>

namespace {

template <class T> struct Room {  // aligned memory, freed at the end of its block
    T *at;
    explicit Room(size_t n) : at((T *)aligned_alloc(64, (n * sizeof(T) + 127) / 64 * 64)) {
        if (!at) abort();
    }
    ~Room() { free(at); }
};

struct Sound {
    const float *samples;
    long n_samples, hop;
    const double *window;  // or none
};

// `length` samples from `begin` on, zeros where there are none.
void cut(const Sound &sound, long begin, long length, float *piece) {
    const long before = begin < 0 ? (begin < -length ? length : -begin) : 0;
    const long left = sound.n_samples - (begin + before);
    const long inside = left < 0 ? 0 : (left < length - before ? left : length - before);
    memset(piece, 0, before * sizeof(float));
    memcpy(piece + before, sound.samples + begin + before, inside * sizeof(float));
    memset(piece + before + inside, 0, (length - before - inside) * sizeof(float));
}

// The row that stands in for row i of n: both ends are mirrored, the outermost row twice.
inline long mirror(long i, long n) {
    if (i >= 0 && i < n) return i;
    i = ((i % (2 * n)) + 2 * n) % (2 * n);
    return i < n ? i : 2 * n - 1 - i;
}

// cos and sin of 2 pi x / n, reduced to an eighth of a turn.
void eighths(size_t x, size_t n, double &re, double &im) {
    const double angle = 0.25L * 3.141592653589793238462643383279502884197L / n;
    const size_t eight = 8 * x, turn = eight < 4 * n ? eight : 8 * n - eight;
    const size_t within = turn < 2 * n ? turn : turn - 2 * n;
    const double c = within < n ? cos(within * angle) : sin((2 * n - within) * angle);
    const double s = within < n ? sin(within * angle) : cos((2 * n - within) * angle);
    re = turn < 2 * n ? c : -s;
    im = turn < 2 * n ? s : c;
    if (eight >= 4 * n) im = -im;
}

// Passes and twiddle factors of a transform of 2**k samples, to the bit those of NumPy and SciPy: a
// factor is the product of two that are tabulated.
template <class T> struct Plan {
    size_t n;
    int n_passes;
    size_t radix[32];
    T *twiddles[32];
    T *factors;
    void make(size_t length) {
        n = length, n_passes = 0;
        factors = (T *)malloc(2 * n * sizeof(T));
        size_t rest = n;
        while (rest % 4 == 0) radix[n_passes++] = 4, rest /= 4;
        if (rest == 2) radix[n_passes++] = radix[0], radix[0] = 2;
        size_t bits = 1;
        while ((1ul << bits << bits) < (n + 2) / 2) bits++;
        T *next = factors;
        size_t l1 = 1;
        for (int pass = 0; pass < n_passes; pass++) {
            const size_t ido = n / (l1 * radix[pass]);
            twiddles[pass] = next;
            for (size_t j = 1; j < radix[pass]; j++, next += ido - 1)
                for (size_t i = 1; i <= (ido - 1) / 2; i++)
                    factor(j * l1 * i, bits, next[2 * i - 2], next[2 * i - 1]);
            l1 *= radix[pass];
        }
    }
    void factor(size_t index, size_t bits, T &re, T &im) const {
        const bool mirrored = 2 * index > n;
        if (mirrored) index = n - index;
        const size_t low = index & ((1ul << bits) - 1), high = index >> bits << bits;
        double a, b, c, d;
        eighths(low, n, a, b);
        eighths(high, n, c, d);
        re = T(a * c - b * d);
        im = T(a * d + b * c);
        if (mirrored) im = -im;
    }
};

// The plan for a length, made once and kept; of two threads that make one, the later's is dropped.
template <class T> const Plan<T> &planned(size_t n) {
    static Plan<T> *known[64];
    Plan<T> *&place = known[__builtin_ctzl(n)];
    Plan<T> *plan = __atomic_load_n(&place, __ATOMIC_ACQUIRE), *none = nullptr;
    if (plan) return *plan;
    plan = (Plan<T> *)malloc(sizeof(Plan<T>));
    plan->make(n);
    if (__atomic_compare_exchange_n(&place, &none, plan, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return *plan;
    free(plan->factors);
    free(plan);
    return *none;
}

struct Kernel {
    long lanes;
    void (*spectra)(const Sound &, long, long, long, float *, float *);
    void (*responses)(const Sound &, long, long, long, const int *, const int *, const float *,
                      const float *, float *);
    void (*bands)(const float *, long, long, long, const int *, const int *, const float *, float *);
    void (*extremes)(const float *, long, long, long, const int *, const int *, const int *, float *,
                     float *);
    void (*medians)(const float *, long, long, float *);
    void (*harmonic)(const float *, const float *, long, long, long, long, long, const double *, float *);
    void (*chroma)(const float *, long, long, const double *, float *);
    long (*peaks)(const float *, long, long, long, long, double, double, float *, float *);
};

#ifdef __aarch64__
#define FUSED
#endif
namespace narrow {  // SSE2, NEON: two doubles
#define LANES 2
#include "lanes.h"
#undef LANES
}

#ifdef __x86_64__
#define FUSED
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define LANES 4
#include "lanes.h"
#undef LANES
}
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
namespace avx512 {
#define LANES 8
#include "lanes.h"
#undef LANES
}
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

const Kernel &choose() {
#ifdef __x86_64__
    const char *limit = getenv("EMOSCOPE_KERNEL");
    const int most = limit ? atoi(limit) : 8;
    __builtin_cpu_init();
    if (most >= 8 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return avx512::table;
    if (most >= 4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return avx2::table;
#endif
    return narrow::table;
}

const Kernel &kernel = choose();

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

long lanes() { return kernel.lanes; }

void spectra(const float *samples, long n_samples, long hop, const double *window, long n_fft,
             long first, long n_frames, float *complex, float *magnitude) {
    kernel.spectra({samples, n_samples, hop, window}, n_fft, first, n_frames, complex, magnitude);
}

void responses(const float *samples, long n_samples, long hop, long n_fft, long n_frames,
               long n_filters, const int *first, const int *bins, const float *weights,
               const float *scale, float *total) {
    kernel.responses({samples, n_samples, hop, nullptr}, n_fft, n_frames, n_filters, first, bins,
                     weights, scale, total);
}

void bands(const float *magnitude, long n_frames, long n_bins, long n_bands, const int *first,
           const int *last, const float *weights, float *out) {
    kernel.bands(magnitude, n_frames, n_bins, n_bands, first, last, weights, out);
}

void extremes(const float *magnitude, long n_frames, long n_bins, long n_bands, const int *first,
              const int *last, const int *count, float *least, float *largest) {
    kernel.extremes(magnitude, n_frames, n_bins, n_bands, first, last, count, least, largest);
}

void medians(const float *matrix, long n_rows, long n_columns, float *out) {
    kernel.medians(matrix, n_rows, n_columns, out);
}

void harmonic(const float *complex, const float *magnitude, long n_frames, long from, long to,
              long n_fft, long hop, const double *window, float *summed) {
    kernel.harmonic(complex, magnitude, n_frames, from, to, n_fft, hop, window, summed);
}

void chroma(const float *magnitude, long n_frames, long n_bins, const double *weights, float *out) {
    kernel.chroma(magnitude, n_frames, n_bins, weights, out);
}

long peaks(const float *magnitude, long n_frames, long n_bins, long first, long last, double threshold,
           double rate, float *frequencies, float *heights) {
    return kernel.peaks(magnitude, n_frames, n_bins, first, last, threshold, rate, frequencies, heights);
}
}
