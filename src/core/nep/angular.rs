//! Angular functions S_lm of a direction and their gradients.

/// Largest angular momentum of the family.
pub const MAX_L: usize = 8;
/// Number of angular functions up to [`MAX_L`].
pub const MAX_LM: usize = MAX_L * (MAX_L + 2);

/// Number of angular functions for l = 1..=l_max: the index of (l, m) is l² - 1 for m = 0, then
/// the real and the imaginary part of m = 1, 2, ...
pub const fn count(l_max: usize) -> usize {
    l_max * (l_max + 2)
}

/// Z_lm(z): ascending powers of the l-th polynomial's m-th derivative, brought to coprime integers.
///
/// **Source**: Fan et al., J. Chem. Phys. 157, 114801 (2022), Table I; higher l by differentiation.
#[rustfmt::skip]
pub const Z: [&[&[f64]]; MAX_L] = [
    &[&[0.0, 1.0], &[1.0]],
    &[&[-1.0, 0.0, 3.0], &[0.0, 1.0], &[1.0]],
    &[&[0.0, -3.0, 0.0, 5.0], &[-1.0, 0.0, 5.0], &[0.0, 1.0], &[1.0]],
    &[&[3.0, 0.0, -30.0, 0.0, 35.0], &[0.0, -3.0, 0.0, 7.0], &[-1.0, 0.0, 7.0], &[0.0, 1.0], &[1.0]],
    &[&[0.0, 15.0, 0.0, -70.0, 0.0, 63.0], &[1.0, 0.0, -14.0, 0.0, 21.0], &[0.0, -1.0, 0.0, 3.0], &[-1.0, 0.0, 9.0], &[0.0, 1.0], &[1.0]],
    &[&[-5.0, 0.0, 105.0, 0.0, -315.0, 0.0, 231.0], &[0.0, 5.0, 0.0, -30.0, 0.0, 33.0], &[1.0, 0.0, -18.0, 0.0, 33.0], &[0.0, -3.0, 0.0, 11.0], &[-1.0, 0.0, 11.0], &[0.0, 1.0], &[1.0]],
    &[&[0.0, -35.0, 0.0, 315.0, 0.0, -693.0, 0.0, 429.0], &[-5.0, 0.0, 135.0, 0.0, -495.0, 0.0, 429.0], &[0.0, 15.0, 0.0, -110.0, 0.0, 143.0], &[3.0, 0.0, -66.0, 0.0, 143.0], &[0.0, -3.0, 0.0, 13.0], &[-1.0, 0.0, 13.0], &[0.0, 1.0], &[1.0]],
    &[&[35.0, 0.0, -1260.0, 0.0, 6930.0, 0.0, -12012.0, 0.0, 6435.0], &[0.0, -35.0, 0.0, 385.0, 0.0, -1001.0, 0.0, 715.0], &[-1.0, 0.0, 33.0, 0.0, -143.0, 0.0, 143.0], &[0.0, 3.0, 0.0, -26.0, 0.0, 39.0], &[1.0, 0.0, -26.0, 0.0, 65.0], &[0.0, -1.0, 0.0, 5.0], &[-1.0, 0.0, 15.0], &[0.0, 1.0], &[1.0]],
];

/// The functions S_lm of a unit vector, l = 1..=l_max.
///
/// S_l0 = Z_l0(z); S_lm = Z_lm(z) (x + iy)^m, real and imaginary part, for m = 1..=l.
///
/// **Shapes**: `s` `[count(l_max)]`.
pub fn functions(u: [f64; 3], l_max: usize, s: &mut [f64]) {
    let [x, y, z] = u;
    for l in 1..=l_max {
        let mut power = (1.0, 0.0);
        for m in 0..=l {
            let zlm = polynomial(Z[l - 1][m], z).0;
            if m == 0 {
                s[l * l - 1] = zlm;
            } else {
                s[l * l + 2 * m - 2] = zlm * power.0;
                s[l * l + 2 * m - 1] = zlm * power.1;
            }
            power = (power.0 * x - power.1 * y, power.0 * y + power.1 * x);
        }
    }
}

/// The functions S_lm and their gradients as polynomials in x, y, z (not projected on the sphere).
///
/// **Shapes**: `s` and `ds` `[count(l_max)]`.
pub fn functions_and_gradients(u: [f64; 3], l_max: usize, s: &mut [f64], ds: &mut [[f64; 3]]) {
    let [x, y, z] = u;
    for l in 1..=l_max {
        let mut power = (1.0, 0.0);
        // m (x + iy)^(m-1), the derivative of (x + iy)^m with respect to x.
        let mut slope = (0.0, 0.0);
        for m in 0..=l {
            let (zlm, dz) = polynomial(Z[l - 1][m], z);
            if m == 0 {
                s[l * l - 1] = zlm;
                ds[l * l - 1] = [0.0, 0.0, dz];
            } else {
                let index = l * l + 2 * m - 2;
                s[index] = zlm * power.0;
                s[index + 1] = zlm * power.1;
                ds[index] = [zlm * slope.0, -zlm * slope.1, dz * power.0];
                ds[index + 1] = [zlm * slope.1, zlm * slope.0, dz * power.1];
            }
            let factor = (m + 1) as f64;
            slope = (factor * power.0, factor * power.1);
            power = (power.0 * x - power.1 * y, power.0 * y + power.1 * x);
        }
    }
}

/// Value and derivative of a polynomial with ascending coefficients.
fn polynomial(coefficients: &[f64], z: f64) -> (f64, f64) {
    coefficients
        .iter()
        .rev()
        .fold((0.0, 0.0), |(value, slope), &c| {
            (value * z + c, slope * z + value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let u = [0.36, -0.48, 0.8];
        let mut s = [0.0; MAX_LM];
        let mut ds = [[0.0; 3]; MAX_LM];
        functions_and_gradients(u, MAX_L, &mut s, &mut ds);
        let mut plain = [0.0; MAX_LM];
        functions(u, MAX_L, &mut plain);
        assert_eq!(s, plain);
        let h = 1e-6;
        for axis in 0..3 {
            let (mut plus, mut minus) = (u, u);
            plus[axis] += h;
            minus[axis] -= h;
            let (mut sp, mut sm) = ([0.0; MAX_LM], [0.0; MAX_LM]);
            functions(plus, MAX_L, &mut sp);
            functions(minus, MAX_L, &mut sm);
            for index in 0..MAX_LM {
                let slope = (sp[index] - sm[index]) / (2.0 * h);
                let scale = ds[index][axis].abs().max(1.0);
                assert!(
                    (slope - ds[index][axis]).abs() < 1e-6 * scale,
                    "{index} {axis}"
                );
            }
        }
    }
}
