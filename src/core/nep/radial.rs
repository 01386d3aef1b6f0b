//! Radial functions: cutoff and Chebyshev basis.

use std::f64::consts::PI;

/// The basis f_k of one distance and its derivative, k = 0..f.len().
///
/// f_k(r) = (T_k(x) + 1) f_c(r) / 2 with x = 2 (r/r_c - 1)² - 1 and f_c = (1 + cos(π r/r_c)) / 2;
/// the first function is f_c itself. All are zero from `cutoff` on.
///
/// **Shapes**: `f`, `df` `[basis_size + 1]`. **Units**: `r`, `cutoff` in Å, `df` in 1/Å.
/// **Source**: Fan et al., Phys. Rev. B 104, 104309 (2021), Eqs. 3 to 5.
pub fn basis(r: f64, cutoff: f64, f: &mut [f64], df: &mut [f64]) {
    debug_assert_eq!(f.len(), df.len());
    if r >= cutoff {
        f.fill(0.0);
        df.fill(0.0);
        return;
    }
    let (sin, cos) = (PI * r / cutoff).sin_cos();
    let fc = 0.5 * (1.0 + cos);
    let dfc = -0.5 * PI / cutoff * sin;
    let u = r / cutoff - 1.0;
    let x = 2.0 * u * u - 1.0;
    let dx = 4.0 * u / cutoff;
    f[0] = fc;
    df[0] = dfc;
    if f.len() == 1 {
        return;
    }
    f[1] = 0.5 * (x + 1.0) * fc;
    df[1] = 0.5 * (dx * fc + (x + 1.0) * dfc);
    // T_k and U_k of the two previous orders.
    let (mut t0, mut t1) = (1.0, x);
    let (mut u0, mut u1) = (1.0, 2.0 * x);
    for k in 2..f.len() {
        let t2 = 2.0 * x * t1 - t0;
        (t0, t1) = (t1, t2);
        let slope = k as f64 * u1;
        let u2 = 2.0 * x * u1 - u0;
        (u0, u1) = (u1, u2);
        f[k] = 0.5 * (t2 + 1.0) * fc;
        df[k] = 0.5 * (slope * dx * fc + (t2 + 1.0) * dfc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_match_finite_differences() {
        let mut f = [[0.0; 13]; 3];
        let mut df = [0.0; 13];
        let mut unused = [0.0; 13];
        for r in [0.3, 1.7, 3.2, 4.9] {
            let h = 1e-5;
            basis(r - h, 5.0, &mut f[0], &mut unused);
            basis(r + h, 5.0, &mut f[2], &mut unused);
            basis(r, 5.0, &mut f[1], &mut df);
            for k in 0..13 {
                let slope = (f[2][k] - f[0][k]) / (2.0 * h);
                assert!((slope - df[k]).abs() < 1e-7, "k {k} r {r}");
            }
        }
    }

    #[test]
    fn the_basis_ends_smoothly() {
        let mut f = [0.0; 5];
        let mut df = [0.0; 5];
        basis(5.0 - 1e-9, 5.0, &mut f, &mut df);
        assert!(f.iter().chain(&df).all(|x| x.abs() < 1e-8));
    }
}
