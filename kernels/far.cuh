// Charges and C6 of atoms: screened pairs in real space, and what forces.cu adds of what comes from far away.
// For models with heads beside the energy (HEADS), CHARGES as `charge1` to `charge3`.

// Numbers of an atom: forces, and virials xx yy zz xy xz yz.
#define FAR 9

// Whether pairs of charges interact in real space.
#define SCREENED (CHARGES == 1 || CHARGES == 3)

// The interaction of two unit charges below the cutoff, and its derivative: erfc(alpha r) / r, less a line.
// screen: alpha, 2 alpha / sqrt(pi), K; value and slope of the line at the cutoff, and the cutoff.
NEPAL_FN void screened(const Args &a, real r, real &phi, real &slope) {
    const real alpha = (real)a.screen[0], x = alpha * r;
    phi = (real)a.screen[2] * real_erfc(x) / r;
    slope = -(phi + (real)(a.screen[1] * a.screen[2]) * real_exp(-x * x)) / r - (real)a.screen[4];
    phi -= (real)a.screen[3] + (real)a.screen[4] * (r - (real)a.screen[5]);
}

// Half of the derivative of the energy of two places by their distance.
NEPAL_FN real screened_slope(const Args &a, u64 i, u64 j, real r) {
    real phi, slope;
    screened(a, r, phi, slope);
    return R(0.5) * (real)(a.strengths[a.atom[i]] * a.strengths[a.atom[j]]) * slope;
}
