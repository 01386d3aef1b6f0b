//! The angular functions of a direction, and the gradient of a sum of them.
//!
//! The same functions as [`crate::nep::angular`]. Nearly all models have l_max = 4: for them the
//! polynomials are written out.

use super::vector::Vector;
use crate::nep::angular::Z;

/// Writes S_lm of the unit vector `u`.
#[inline(always)]
pub(super) fn functions<V: Vector>(simd: V::Simd, l_max: usize, u: [V; 3], s: &mut [V::Raw]) {
    match l_max {
        4 => functions_to_4(simd, u, s),
        _ => functions_to_any(simd, l_max, u, s),
    }
}

/// The gradient of Σ_lm h_lm S_lm with respect to x, y, z as free variables.
#[inline(always)]
pub(super) fn gradient<V: Vector>(simd: V::Simd, l_max: usize, u: [V; 3], h: &[V::Raw]) -> [V; 3] {
    match l_max {
        4 => gradient_to_4(simd, u, h),
        _ => gradient_to_any(simd, l_max, u, h),
    }
}

#[inline(always)]
fn functions_to_4<V: Vector>(simd: V::Simd, [x, y, z]: [V; 3], s: &mut [V::Raw]) {
    let s = &mut s[..24];
    let c = |x: f64| V::constant(simd, x);
    let one = c(1.0);
    let zz = z * z;
    z.put(&mut s[0]);
    zz.fms(c(3.0), one).put(&mut s[3]);
    (zz.fms(c(5.0), c(3.0)) * z).put(&mut s[8]);
    zz.fms(c(35.0), c(30.0)).fma(zz, c(3.0)).put(&mut s[15]);
    let z31 = zz.fms(c(5.0), one);
    let z41 = zz.fms(c(7.0), c(3.0)) * z;
    let z42 = zz.fms(c(7.0), one);
    let (x2, y2) = ((x * x).sub_product(y, y), (x + x) * y);
    let (x3, y3) = ((x2 * x).sub_product(y2, y), x2.fma(y, y2 * x));
    let (x4, y4) = ((x3 * x).sub_product(y3, y), x3.fma(y, y3 * x));
    x.put(&mut s[1]);
    y.put(&mut s[2]);
    (z * x).put(&mut s[4]);
    (z * y).put(&mut s[5]);
    x2.put(&mut s[6]);
    y2.put(&mut s[7]);
    (z31 * x).put(&mut s[9]);
    (z31 * y).put(&mut s[10]);
    (z * x2).put(&mut s[11]);
    (z * y2).put(&mut s[12]);
    x3.put(&mut s[13]);
    y3.put(&mut s[14]);
    (z41 * x).put(&mut s[16]);
    (z41 * y).put(&mut s[17]);
    (z42 * x2).put(&mut s[18]);
    (z42 * y2).put(&mut s[19]);
    (z * x3).put(&mut s[20]);
    (z * y3).put(&mut s[21]);
    x4.put(&mut s[22]);
    y4.put(&mut s[23]);
}

#[inline(always)]
fn gradient_to_4<V: Vector>(simd: V::Simd, [x, y, z]: [V; 3], h: &[V::Raw]) -> [V; 3] {
    let raw = &h[..24];
    let c = |x: f64| V::constant(simd, x);
    let h = |index: usize| V::get(simd, &raw[index]);
    let one = c(1.0);
    let zz = z * z;
    let (x2, y2) = ((x * x).sub_product(y, y), (x + x) * y);
    let (x3, y3) = ((x2 * x).sub_product(y2, y), x2.fma(y, y2 * x));
    // m = 0: only z varies.
    let dz30 = zz.fms(c(15.0), c(3.0));
    let dz40 = zz.fms(c(140.0), c(60.0)) * z;
    let mut v2 = (z * c(6.0)).fma(h(3), dz30.fma(h(8), dz40.fma(h(15), h(0))));
    // m = 1.
    let z31 = zz.fms(c(5.0), one);
    let z41 = zz.fms(c(7.0), c(3.0)) * z;
    let mut v0 = z.fma(h(4), z31.fma(h(9), z41.fma(h(16), h(1))));
    let mut v1 = z.fma(h(5), z31.fma(h(10), z41.fma(h(17), h(2))));
    let dz31 = z * c(10.0);
    let dz41 = zz.fms(c(21.0), c(3.0));
    let b_re = dz31.fma(h(9), dz41.fma(h(16), h(4)));
    let b_im = dz31.fma(h(10), dz41.fma(h(17), h(5)));
    v2 = b_re.fma(x, b_im.fma(y, v2));
    // m = 2.
    let z42 = zz.fms(c(7.0), one);
    let (tx, ty) = (x + x, y + y);
    let a_re = z.fma(h(11), z42.fma(h(18), h(6)));
    let a_im = z.fma(h(12), z42.fma(h(19), h(7)));
    v0 = a_re.fma(tx, a_im.fma(ty, v0));
    v1 = a_im.fma(tx, v1).sub_product(a_re, ty);
    let dz42 = z * c(14.0);
    let b_re = dz42.fma(h(18), h(11));
    let b_im = dz42.fma(h(19), h(12));
    v2 = b_re.fma(x2, b_im.fma(y2, v2));
    // m = 3.
    let three = c(3.0);
    let a_re = z.fma(h(20), h(13)) * three;
    let a_im = z.fma(h(21), h(14)) * three;
    v0 = a_re.fma(x2, a_im.fma(y2, v0));
    v1 = a_im.fma(x2, v1).sub_product(a_re, y2);
    v2 = h(20).fma(x3, h(21).fma(y3, v2));
    // m = 4.
    let four = c(4.0);
    let (a_re, a_im) = (h(22) * four, h(23) * four);
    v0 = a_re.fma(x3, a_im.fma(y3, v0));
    v1 = a_im.fma(x3, v1).sub_product(a_re, y3);
    [v0, v1, v2]
}

/// Value of Z_lm and its derivative.
#[inline(always)]
fn z_function<V: Vector>(simd: V::Simd, (l, m): (usize, usize), z: V, z2: V) -> (V, V) {
    // Every second coefficient is zero: a polynomial in z², times z if odd.
    let c = Z[l - 1][m];
    let degree = l - m;
    let mut value = V::constant(simd, c[degree]);
    let mut slope = V::constant(simd, c[degree] * degree as f64);
    let mut power = degree;
    while power >= 2 {
        power -= 2;
        value = value.fma(z2, V::constant(simd, c[power]));
        if power >= 1 {
            slope = slope.fma(z2, V::constant(simd, c[power] * power as f64));
        }
    }
    if degree % 2 == 1 {
        (value * z, slope)
    } else {
        (value, slope * z)
    }
}

#[inline(always)]
fn functions_to_any<V: Vector>(simd: V::Simd, l_max: usize, [x, y, z]: [V; 3], s: &mut [V::Raw]) {
    let z2 = z * z;
    let (mut re, mut im) = (V::constant(simd, 1.0), V::constant(simd, 0.0));
    for m in 0..=l_max {
        for l in m.max(1)..=l_max {
            let (value, _) = z_function(simd, (l, m), z, z2);
            if m == 0 {
                value.put(&mut s[l * l - 1]);
            } else {
                let row = l * l + 2 * m - 2;
                (value * re).put(&mut s[row]);
                (value * im).put(&mut s[row + 1]);
            }
        }
        (re, im) = ((re * x).sub_product(im, y), re.fma(y, im * x));
    }
}

#[inline(always)]
fn gradient_to_any<V: Vector>(
    simd: V::Simd,
    l_max: usize,
    [x, y, z]: [V; 3],
    h: &[V::Raw],
) -> [V; 3] {
    let z2 = z * z;
    let zero = V::constant(simd, 0.0);
    let (mut re, mut im) = (V::constant(simd, 1.0), zero);
    let (mut re_before, mut im_before) = (zero, zero);
    let mut v = [zero; 3];
    for m in 0..=l_max {
        let (mut a_re, mut a_im, mut b_re, mut b_im) = (zero, zero, zero, zero);
        for l in m.max(1)..=l_max {
            let (value, dz) = z_function(simd, (l, m), z, z2);
            if m == 0 {
                b_re = dz.fma(V::get(simd, &h[l * l - 1]), b_re);
            } else {
                let row = l * l + 2 * m - 2;
                let (h_re, h_im) = (V::get(simd, &h[row]), V::get(simd, &h[row + 1]));
                a_re = value.fma(h_re, a_re);
                a_im = value.fma(h_im, a_im);
                b_re = dz.fma(h_re, b_re);
                b_im = dz.fma(h_im, b_im);
            }
        }
        // d/dx (x + iy)^m = m (x + iy)^(m-1), d/dy = i d/dx.
        let factor = V::constant(simd, m as f64);
        let (a_re, a_im) = (a_re * factor, a_im * factor);
        v[0] = a_re.fma(re_before, a_im.fma(im_before, v[0]));
        v[1] = a_im.fma(re_before, v[1]).sub_product(a_re, im_before);
        v[2] = b_re.fma(re, b_im.fma(im, v[2]));
        (re_before, im_before) = (re, im);
        (re, im) = ((re * x).sub_product(im, y), re.fma(y, im * x));
    }
    v
}
