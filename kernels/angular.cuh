// Angular functions of a direction. The twin of src/nep/angular.rs.

#define NLM (LMAX * (LMAX + 2))

// The functions S_lm of the unit vector (x, y, z): index l^2 - 1 for m = 0, then real and imaginary
// part of m = 1, 2, ...
template <class N> NEPAL_FN void functions(N x, N y, N z, N *s) {
    const N z2 = z * z;
    if (LMAX >= 1) s[0] = z;
    if (LMAX >= 2) s[3] = real_fma(R(3.0), z2, R(-1.0));
    if (LMAX >= 3) s[8] = real_fma(R(5.0), z2, R(-3.0)) * z;
    if (LMAX >= 4) s[15] = real_fma(real_fma(R(35.0), z2, R(-30.0)), z2, R(3.0));
    if (LMAX >= 5) s[24] = real_fma(real_fma(R(63.0), z2, R(-70.0)), z2, R(15.0)) * z;
    if (LMAX >= 6) s[35] = real_fma(real_fma(real_fma(R(231.0), z2, R(-315.0)), z2, R(105.0)), z2, R(-5.0));
    if (LMAX >= 7) s[48] = real_fma(real_fma(real_fma(R(429.0), z2, R(-693.0)), z2, R(315.0)), z2, R(-35.0)) * z;
    if (LMAX >= 8) s[63] = real_fma(real_fma(real_fma(real_fma(R(6435.0), z2, R(-12012.0)), z2, R(6930.0)), z2, R(-1260.0)), z2, R(35.0));
    N a = x, b = y;
    if (LMAX >= 1) {
        s[1] = a, s[2] = b;
        if (LMAX >= 2) { const N p = z; s[4] = p * a, s[5] = p * b; }
        if (LMAX >= 3) { const N p = real_fma(R(5.0), z2, R(-1.0)); s[9] = p * a, s[10] = p * b; }
        if (LMAX >= 4) { const N p = real_fma(R(7.0), z2, R(-3.0)) * z; s[16] = p * a, s[17] = p * b; }
        if (LMAX >= 5) { const N p = real_fma(real_fma(R(21.0), z2, R(-14.0)), z2, R(1.0)); s[25] = p * a, s[26] = p * b; }
        if (LMAX >= 6) { const N p = real_fma(real_fma(R(33.0), z2, R(-30.0)), z2, R(5.0)) * z; s[36] = p * a, s[37] = p * b; }
        if (LMAX >= 7) { const N p = real_fma(real_fma(real_fma(R(429.0), z2, R(-495.0)), z2, R(135.0)), z2, R(-5.0)); s[49] = p * a, s[50] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(real_fma(real_fma(R(715.0), z2, R(-1001.0)), z2, R(385.0)), z2, R(-35.0)) * z; s[64] = p * a, s[65] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 2) {
        s[6] = a, s[7] = b;
        if (LMAX >= 3) { const N p = z; s[11] = p * a, s[12] = p * b; }
        if (LMAX >= 4) { const N p = real_fma(R(7.0), z2, R(-1.0)); s[18] = p * a, s[19] = p * b; }
        if (LMAX >= 5) { const N p = real_fma(R(3.0), z2, R(-1.0)) * z; s[27] = p * a, s[28] = p * b; }
        if (LMAX >= 6) { const N p = real_fma(real_fma(R(33.0), z2, R(-18.0)), z2, R(1.0)); s[38] = p * a, s[39] = p * b; }
        if (LMAX >= 7) { const N p = real_fma(real_fma(R(143.0), z2, R(-110.0)), z2, R(15.0)) * z; s[51] = p * a, s[52] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(real_fma(real_fma(R(143.0), z2, R(-143.0)), z2, R(33.0)), z2, R(-1.0)); s[66] = p * a, s[67] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 3) {
        s[13] = a, s[14] = b;
        if (LMAX >= 4) { const N p = z; s[20] = p * a, s[21] = p * b; }
        if (LMAX >= 5) { const N p = real_fma(R(9.0), z2, R(-1.0)); s[29] = p * a, s[30] = p * b; }
        if (LMAX >= 6) { const N p = real_fma(R(11.0), z2, R(-3.0)) * z; s[40] = p * a, s[41] = p * b; }
        if (LMAX >= 7) { const N p = real_fma(real_fma(R(143.0), z2, R(-66.0)), z2, R(3.0)); s[53] = p * a, s[54] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(real_fma(R(39.0), z2, R(-26.0)), z2, R(3.0)) * z; s[68] = p * a, s[69] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 4) {
        s[22] = a, s[23] = b;
        if (LMAX >= 5) { const N p = z; s[31] = p * a, s[32] = p * b; }
        if (LMAX >= 6) { const N p = real_fma(R(11.0), z2, R(-1.0)); s[42] = p * a, s[43] = p * b; }
        if (LMAX >= 7) { const N p = real_fma(R(13.0), z2, R(-3.0)) * z; s[55] = p * a, s[56] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(real_fma(R(65.0), z2, R(-26.0)), z2, R(1.0)); s[70] = p * a, s[71] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 5) {
        s[33] = a, s[34] = b;
        if (LMAX >= 6) { const N p = z; s[44] = p * a, s[45] = p * b; }
        if (LMAX >= 7) { const N p = real_fma(R(13.0), z2, R(-1.0)); s[57] = p * a, s[58] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(R(5.0), z2, R(-1.0)) * z; s[72] = p * a, s[73] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 6) {
        s[46] = a, s[47] = b;
        if (LMAX >= 7) { const N p = z; s[59] = p * a, s[60] = p * b; }
        if (LMAX >= 8) { const N p = real_fma(R(15.0), z2, R(-1.0)); s[74] = p * a, s[75] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 7) {
        s[61] = a, s[62] = b;
        if (LMAX >= 8) { const N p = z; s[76] = p * a, s[77] = p * b; }
        const N t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 8) {
        s[78] = a, s[79] = b;
    }
}

// Sum of v times the functions, and of u times their gradients (as polynomials, not projected on
// the sphere).
template <class N> NEPAL_FN N contract(real x, real y, real z, const N *u, const N *v, N *g) {
    const real z2 = z * z;
    N sum = 0, gx = 0, gy = 0, gz = 0;
    if (LMAX >= 1) sum += v[0] * (z), gz += u[0] * (R(1.0));
    if (LMAX >= 2) sum += v[3] * (real_fma(R(3.0), z2, R(-1.0))), gz += u[3] * (R(6.0) * z);
    if (LMAX >= 3) sum += v[8] * (real_fma(R(5.0), z2, R(-3.0)) * z), gz += u[8] * (real_fma(R(15.0), z2, R(-3.0)));
    if (LMAX >= 4) sum += v[15] * (real_fma(real_fma(R(35.0), z2, R(-30.0)), z2, R(3.0))), gz += u[15] * (real_fma(R(140.0), z2, R(-60.0)) * z);
    if (LMAX >= 5) sum += v[24] * (real_fma(real_fma(R(63.0), z2, R(-70.0)), z2, R(15.0)) * z), gz += u[24] * (real_fma(real_fma(R(315.0), z2, R(-210.0)), z2, R(15.0)));
    if (LMAX >= 6) sum += v[35] * (real_fma(real_fma(real_fma(R(231.0), z2, R(-315.0)), z2, R(105.0)), z2, R(-5.0))), gz += u[35] * (real_fma(real_fma(R(1386.0), z2, R(-1260.0)), z2, R(210.0)) * z);
    if (LMAX >= 7) sum += v[48] * (real_fma(real_fma(real_fma(R(429.0), z2, R(-693.0)), z2, R(315.0)), z2, R(-35.0)) * z), gz += u[48] * (real_fma(real_fma(real_fma(R(3003.0), z2, R(-3465.0)), z2, R(945.0)), z2, R(-35.0)));
    if (LMAX >= 8) sum += v[63] * (real_fma(real_fma(real_fma(real_fma(R(6435.0), z2, R(-12012.0)), z2, R(6930.0)), z2, R(-1260.0)), z2, R(35.0))), gz += u[63] * (real_fma(real_fma(real_fma(R(51480.0), z2, R(-72072.0)), z2, R(27720.0)), z2, R(-2520.0)) * z);
    // (x + iy)^m, and m times the power before it.
    real a = x, b = y, c = 1, d = 0;
    if (LMAX >= 1) {
        {
            const N ur = u[1], ui = u[2];
            sum += v[1] * a + v[2] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 2) {
            const real p = z, q = R(1.0);
            const N ur = u[4], ui = u[5];
            sum += p * (v[4] * a + v[5] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 3) {
            const real p = real_fma(R(5.0), z2, R(-1.0)), q = R(10.0) * z;
            const N ur = u[9], ui = u[10];
            sum += p * (v[9] * a + v[10] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 4) {
            const real p = real_fma(R(7.0), z2, R(-3.0)) * z, q = real_fma(R(21.0), z2, R(-3.0));
            const N ur = u[16], ui = u[17];
            sum += p * (v[16] * a + v[17] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 5) {
            const real p = real_fma(real_fma(R(21.0), z2, R(-14.0)), z2, R(1.0)), q = real_fma(R(84.0), z2, R(-28.0)) * z;
            const N ur = u[25], ui = u[26];
            sum += p * (v[25] * a + v[26] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 6) {
            const real p = real_fma(real_fma(R(33.0), z2, R(-30.0)), z2, R(5.0)) * z, q = real_fma(real_fma(R(165.0), z2, R(-90.0)), z2, R(5.0));
            const N ur = u[36], ui = u[37];
            sum += p * (v[36] * a + v[37] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 7) {
            const real p = real_fma(real_fma(real_fma(R(429.0), z2, R(-495.0)), z2, R(135.0)), z2, R(-5.0)), q = real_fma(real_fma(R(2574.0), z2, R(-1980.0)), z2, R(270.0)) * z;
            const N ur = u[49], ui = u[50];
            sum += p * (v[49] * a + v[50] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(real_fma(real_fma(R(715.0), z2, R(-1001.0)), z2, R(385.0)), z2, R(-35.0)) * z, q = real_fma(real_fma(real_fma(R(5005.0), z2, R(-5005.0)), z2, R(1155.0)), z2, R(-35.0));
            const N ur = u[64], ui = u[65];
            sum += p * (v[64] * a + v[65] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(2.0) * a, d = R(2.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 2) {
        {
            const N ur = u[6], ui = u[7];
            sum += v[6] * a + v[7] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 3) {
            const real p = z, q = R(1.0);
            const N ur = u[11], ui = u[12];
            sum += p * (v[11] * a + v[12] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 4) {
            const real p = real_fma(R(7.0), z2, R(-1.0)), q = R(14.0) * z;
            const N ur = u[18], ui = u[19];
            sum += p * (v[18] * a + v[19] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 5) {
            const real p = real_fma(R(3.0), z2, R(-1.0)) * z, q = real_fma(R(9.0), z2, R(-1.0));
            const N ur = u[27], ui = u[28];
            sum += p * (v[27] * a + v[28] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 6) {
            const real p = real_fma(real_fma(R(33.0), z2, R(-18.0)), z2, R(1.0)), q = real_fma(R(132.0), z2, R(-36.0)) * z;
            const N ur = u[38], ui = u[39];
            sum += p * (v[38] * a + v[39] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 7) {
            const real p = real_fma(real_fma(R(143.0), z2, R(-110.0)), z2, R(15.0)) * z, q = real_fma(real_fma(R(715.0), z2, R(-330.0)), z2, R(15.0));
            const N ur = u[51], ui = u[52];
            sum += p * (v[51] * a + v[52] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(real_fma(real_fma(R(143.0), z2, R(-143.0)), z2, R(33.0)), z2, R(-1.0)), q = real_fma(real_fma(R(858.0), z2, R(-572.0)), z2, R(66.0)) * z;
            const N ur = u[66], ui = u[67];
            sum += p * (v[66] * a + v[67] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(3.0) * a, d = R(3.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 3) {
        {
            const N ur = u[13], ui = u[14];
            sum += v[13] * a + v[14] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 4) {
            const real p = z, q = R(1.0);
            const N ur = u[20], ui = u[21];
            sum += p * (v[20] * a + v[21] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 5) {
            const real p = real_fma(R(9.0), z2, R(-1.0)), q = R(18.0) * z;
            const N ur = u[29], ui = u[30];
            sum += p * (v[29] * a + v[30] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 6) {
            const real p = real_fma(R(11.0), z2, R(-3.0)) * z, q = real_fma(R(33.0), z2, R(-3.0));
            const N ur = u[40], ui = u[41];
            sum += p * (v[40] * a + v[41] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 7) {
            const real p = real_fma(real_fma(R(143.0), z2, R(-66.0)), z2, R(3.0)), q = real_fma(R(572.0), z2, R(-132.0)) * z;
            const N ur = u[53], ui = u[54];
            sum += p * (v[53] * a + v[54] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(real_fma(R(39.0), z2, R(-26.0)), z2, R(3.0)) * z, q = real_fma(real_fma(R(195.0), z2, R(-78.0)), z2, R(3.0));
            const N ur = u[68], ui = u[69];
            sum += p * (v[68] * a + v[69] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(4.0) * a, d = R(4.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 4) {
        {
            const N ur = u[22], ui = u[23];
            sum += v[22] * a + v[23] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 5) {
            const real p = z, q = R(1.0);
            const N ur = u[31], ui = u[32];
            sum += p * (v[31] * a + v[32] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 6) {
            const real p = real_fma(R(11.0), z2, R(-1.0)), q = R(22.0) * z;
            const N ur = u[42], ui = u[43];
            sum += p * (v[42] * a + v[43] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 7) {
            const real p = real_fma(R(13.0), z2, R(-3.0)) * z, q = real_fma(R(39.0), z2, R(-3.0));
            const N ur = u[55], ui = u[56];
            sum += p * (v[55] * a + v[56] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(real_fma(R(65.0), z2, R(-26.0)), z2, R(1.0)), q = real_fma(R(260.0), z2, R(-52.0)) * z;
            const N ur = u[70], ui = u[71];
            sum += p * (v[70] * a + v[71] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(5.0) * a, d = R(5.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 5) {
        {
            const N ur = u[33], ui = u[34];
            sum += v[33] * a + v[34] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 6) {
            const real p = z, q = R(1.0);
            const N ur = u[44], ui = u[45];
            sum += p * (v[44] * a + v[45] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 7) {
            const real p = real_fma(R(13.0), z2, R(-1.0)), q = R(26.0) * z;
            const N ur = u[57], ui = u[58];
            sum += p * (v[57] * a + v[58] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(R(5.0), z2, R(-1.0)) * z, q = real_fma(R(15.0), z2, R(-1.0));
            const N ur = u[72], ui = u[73];
            sum += p * (v[72] * a + v[73] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(6.0) * a, d = R(6.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 6) {
        {
            const N ur = u[46], ui = u[47];
            sum += v[46] * a + v[47] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 7) {
            const real p = z, q = R(1.0);
            const N ur = u[59], ui = u[60];
            sum += p * (v[59] * a + v[60] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        if (LMAX >= 8) {
            const real p = real_fma(R(15.0), z2, R(-1.0)), q = R(30.0) * z;
            const N ur = u[74], ui = u[75];
            sum += p * (v[74] * a + v[75] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(7.0) * a, d = R(7.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 7) {
        {
            const N ur = u[61], ui = u[62];
            sum += v[61] * a + v[62] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
        if (LMAX >= 8) {
            const real p = z, q = R(1.0);
            const N ur = u[76], ui = u[77];
            sum += p * (v[76] * a + v[77] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);
        }
        c = R(8.0) * a, d = R(8.0) * b;
        const real t = a * x - b * y;
        b = a * y + b * x, a = t;
    }
    if (LMAX >= 8) {
        {
            const N ur = u[78], ui = u[79];
            sum += v[78] * a + v[79] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;
        }
    }
    g[0] = gx, g[1] = gy, g[2] = gz;
    return sum;
}
