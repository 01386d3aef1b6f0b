//! The text of the angular functions, written from the tables of `nepal_core::nep::angular` for one
//! largest angular momentum: unrolled, so that every index and coefficient is a constant.

use nepal_core::nep::angular::Z;
use std::fmt::Write;

/// Number of angular functions, the functions S_lm of a unit vector, and `contract`.
pub(super) fn text(l_max: usize) -> String {
    let mut functions = String::new();
    let mut contract = String::new();
    for m in 0..=l_max {
        if m > 0 {
            contract += "    {\n";
        }
        for l in m.max(1)..=l_max {
            // Writing to a string cannot fail.
            let _ = term(&mut functions, &mut contract, l, m);
        }
        if m > 0 && m < l_max {
            // The next power of x + iy, in numbers of this type.
            let next = |number: &str| {
                format!("const {number} t = a * x - b * y;\n        b = a * y + b * x, a = t;\n")
            };
            functions += &format!("    {{\n        {}    }}\n", next("N"));
            let factor = m + 1;
            contract += &format!(
                "        c = R({factor}.0) * a, d = R({factor}.0) * b;\n        {}",
                next("real")
            );
        }
        if m > 0 {
            contract += "    }\n";
        }
    }
    format!(
        "// Angular functions of a direction. The twin of src/core/nep/angular.rs.

#define NLM (LMAX * (LMAX + 2))

// The functions S_lm of the unit vector (x, y, z): index l^2 - 1 for m = 0, then real and imaginary
// part of m = 1, 2, ...
template <class N> NEPAL_FN void functions(N x, N y, N z, N *s) {{
    const N z2 = z * z;
    N a = x, b = y;
{functions}}}

// Sum of v times the functions, and of u times their gradients (as polynomials, not projected on
// the sphere).
template <class N> NEPAL_FN N contract(real x, real y, real z, const N *u, const N *v, N *g) {{
    const real z2 = z * z;
    N sum = 0, gx = 0, gy = 0, gz = 0;
    // (x + iy)^m, and m times the power before it.
    real a = x, b = y, c = 1, d = 0;
{contract}    g[0] = gx, g[1] = gy, g[2] = gz;
    return sum;
}}
"
    )
}

/// The statements for one l and m. The polynomials of m = l are 1, with slopes of 0: nothing is
/// multiplied by them, because no compiler may leave that out.
fn term(functions: &mut String, contract: &mut String, l: usize, m: usize) -> std::fmt::Result {
    let table = Z[l - 1][m];
    let slopes: Vec<f64> = (1..table.len()).map(|k| k as f64 * table[k]).collect();
    let (p, q) = (polynomial(table), polynomial(&slopes));
    if m == 0 {
        let k = l * l - 1;
        writeln!(functions, "    s[{k}] = {p};")?;
        return writeln!(contract, "    sum += v[{k}] * ({p}), gz += u[{k}] * ({q});");
    }
    let (k, i) = (l * l + 2 * m - 2, l * l + 2 * m - 1);
    writeln!(
        contract,
        "        {{\n            const N ur = u[{k}], ui = u[{i}];"
    )?;
    if l == m {
        writeln!(functions, "    s[{k}] = a, s[{i}] = b;")?;
        writeln!(
            contract,
            "            sum += v[{k}] * a + v[{i}] * b;
            gx += ur * c + ui * d, gy += ui * c - ur * d;"
        )?;
    } else {
        writeln!(
            functions,
            "    {{ const N p = {p}; s[{k}] = p * a, s[{i}] = p * b; }}"
        )?;
        writeln!(
            contract,
            "            const real p = {p}, q = {q};
            sum += p * (v[{k}] * a + v[{i}] * b);
            gx += p * (ur * c + ui * d), gy += p * (ui * c - ur * d), gz += q * (ur * a + ui * b);"
        )?;
    }
    writeln!(contract, "        }}")
}

/// A polynomial in z with ascending coefficients, every other of which is 0, by Horner's rule in z2.
fn polynomial(coefficients: &[f64]) -> String {
    let odd = coefficients.len().is_multiple_of(2);
    let mut powers = coefficients.iter().rev().step_by(2);
    let top = powers.next().copied().unwrap_or(0.0);
    let even = powers.fold(format!("R({top:.1})"), |text, c| {
        format!("real_fma({text}, z2, R({c:.1}))")
    });
    match odd {
        true if coefficients == [0.0, 1.0] => "z".into(),
        true => format!("{even} * z"),
        false => even,
    }
}
