// Numbers with their derivative along one direction. The twin of `Dual` in src/core/nep/scalar.rs.

struct alignas(2 * sizeof(real)) Twin {
    real value, slope;
    Twin() = default;
    __device__ Twin(real v) : value(v), slope(0) {}
    __device__ Twin(real v, real s) : value(v), slope(s) {}
};

NEPAL_FN Twin operator+(Twin a, Twin b) { return Twin(a.value + b.value, a.slope + b.slope); }
NEPAL_FN Twin operator-(Twin a, Twin b) { return Twin(a.value - b.value, a.slope - b.slope); }
NEPAL_FN Twin operator*(Twin a, Twin b) {
    return Twin(a.value * b.value, real_fma(a.value, b.slope, a.slope * b.value));
}
NEPAL_FN Twin operator*(real a, Twin b) { return Twin(a * b.value, a * b.slope); }
NEPAL_FN Twin operator*(Twin a, real b) { return b * a; }
NEPAL_FN Twin &operator+=(Twin &a, Twin b) {
    a.value += b.value, a.slope += b.slope;
    return a;
}
NEPAL_FN Twin &operator-=(Twin &a, Twin b) {
    a.value -= b.value, a.slope -= b.slope;
    return a;
}
NEPAL_FN Twin real_fma(real a, Twin b, Twin c) {
    return Twin(real_fma(a, b.value, c.value), real_fma(a, b.slope, c.slope));
}
NEPAL_FN Twin real_fma(Twin a, real b, Twin c) { return real_fma(b, a, c); }
NEPAL_FN Twin real_fma(Twin a, Twin b, Twin c) { return a * b + c; }
NEPAL_FN Twin real_fma(real a, Twin b, real c) { return real_fma(a, b, Twin(c)); }
NEPAL_FN Twin real_fma(Twin a, Twin b, real c) { return a * b + Twin(c); }

NEPAL_FN real tangent(real x) { return real_tanh(x); }
NEPAL_FN Twin tangent(Twin x) {
    const real t = real_tanh(x.value);
    return Twin(t, (1 - t * t) * x.slope);
}

// What is handed out: a number, or its derivative.
NEPAL_FN real told(real x) { return x; }
NEPAL_FN real told(Twin x) { return x.slope; }
