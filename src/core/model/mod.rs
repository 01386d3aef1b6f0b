//! Models: `nep.txt` in and out, and the layout of the parameters.
//!
//! A [`Model`] is validated, immutable, and shared freely between threads. This module knows the
//! file format; it evaluates nothing.

mod header;
mod kind;
mod layout;
mod parse;
mod restrict;
mod write;

pub use header::{Cutoff, Header, ManyBody, Version, Zbl};
pub use kind::{Electrostatics, Kind};
pub use layout::Layout;

use crate::element::Element;
use crate::error::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A neuroevolution potential.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    header: Header,
    layout: Layout,
    parameters: Vec<f64>,
    q_scaler: Vec<f64>,
    /// c_nk by centre type, neighbour type, n, k, for the radial and the angular part.
    coefficients: [Vec<f64>; 2],
    cutoff: f64,
    identity: Identity,
}

/// Tells apart the models of a process: a number given when a model is made and kept by its
/// clones, which cannot change either. No part of a model's value: any two compare equal there.
#[derive(Clone, Copy, Debug)]
pub struct Identity(u64);

impl Identity {
    fn next() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        Self(COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    /// True for a model and its clones.
    pub fn same(self, other: Self) -> bool {
        self.0 == other.0
    }
}

impl PartialEq for Identity {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The network that serves one type. All biases are subtracted.
///
/// Source: Fan et al., Phys. Rev. B 104, 104309 (2021), Eq. 8.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    /// Weights of the first layer. Shape `[n1][dim]`.
    pub w0: &'a [f64],
    /// Biases of the first layer. Shape `[n1]`.
    pub b0: &'a [f64],
    /// Output weights `[n1]`, or with two hidden layers the second layer's weights `[n2][n1]`.
    pub w1: &'a [f64],
    /// Biases of the second layer, empty with one.
    pub b1: &'a [f64],
    /// Output weights of the second layer, empty with one.
    pub w2: &'a [f64],
    /// Output weights of the charge (e), empty without. Shape `[n1]`.
    pub charge: &'a [f64],
    /// Output weights of the logarithm of C6, empty without. Shape `[n1]`.
    pub dispersion: &'a [f64],
    /// Sum of the output biases, eV.
    pub bias: f64,
}

impl Model {
    /// A model from its parts, checked.
    ///
    /// **Shapes**: `parameters` `[Layout::len]` in file order, `q_scaler` `[dim]`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if a length is wrong, a number is not finite, or the
    /// header is inconsistent.
    pub fn new(header: Header, parameters: Vec<f64>, q_scaler: Vec<f64>) -> Result<Self> {
        check_header(&header)?;
        let layout = Layout::new(&header);
        if parameters.len() != layout.len() || q_scaler.len() != layout.dim {
            return Err(Error::invalid(format!(
                "the header calls for {} parameters and {} descriptor scales; found {} and {}",
                layout.len(),
                layout.dim,
                parameters.len(),
                q_scaler.len()
            )));
        }
        if parameters.iter().chain(&q_scaler).any(|x| !x.is_finite()) {
            return Err(Error::invalid("a model parameter is not finite"));
        }
        let coefficients = [0, 1].map(|part| pair_coefficients(&layout, &parameters, part));
        let mut cutoff = 0.0f64;
        for a in 0..header.n_types() {
            for b in 0..header.n_types() {
                let [radial, angular] = header.pair_cutoff(a, b);
                cutoff = cutoff.max(radial).max(angular);
            }
        }
        Ok(Self {
            header,
            layout,
            parameters,
            q_scaler,
            coefficients,
            cutoff,
            identity: Identity::next(),
        })
    }

    /// What tells this model apart from others in the process.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads a `nep.txt`.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Parse`] with the line, what was expected and what was
    /// found; [`Error::Unsupported`] for third-party extensions of the family.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
        parse::parse(std::io::BufReader::new(file), &path.display().to_string())
    }

    /// Parses the text of a `nep.txt`; `name` stands for the file in error messages.
    ///
    /// **Errors**: as [`Model::load`].
    pub fn parse(text: impl std::io::BufRead, name: &str) -> Result<Self> {
        parse::parse(text, name)
    }

    /// The text of `nep.txt`, as GPUMD writes it. Numbers that seven decimals do not carry exactly
    /// are written with all their digits, so that reading gives the same model.
    pub fn to_text(&self) -> String {
        write::text(self)
    }

    /// Writes `nep.txt` in one step: an existing file is replaced only by a complete one.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::files::write_atomically(path.as_ref(), self.to_text().as_bytes())
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Elements in the order of the types.
    pub fn elements(&self) -> &[Element] {
        &self.header.elements
    }

    /// Length of the descriptor.
    pub fn dim(&self) -> usize {
        self.layout.dim
    }

    /// All trainable parameters in file order.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// Factors that bring the descriptors to the network's scale. Shape `[dim]`.
    pub fn q_scaler(&self) -> &[f64] {
        &self.q_scaler
    }

    /// Largest interaction range of any pair, Å: the cutoff for neighbour lists and ghosts.
    pub fn cutoff(&self) -> f64 {
        self.cutoff
    }

    /// Coefficients of the radial (0) or angular (1) part for a pair of types. Shape
    /// `[n_max + 1][basis_size + 1]`.
    pub fn coefficients(&self, part: usize, center: usize, other: usize) -> &[f64] {
        let len = self.layout.n_radial[part] * self.layout.n_basis[part];
        let start = (center * self.layout.n_types + other) * len;
        &self.coefficients[part][start..start + len]
    }

    /// What the model predicts.
    pub fn kind(&self) -> Kind {
        self.header.kind
    }

    /// √ε∞, which scales Born charges, of a model with charges.
    pub fn dielectric(&self) -> Option<f64> {
        self.layout.dielectric().map(|index| self.parameters[index])
    }

    /// The network that serves a type; of a model of polarizabilities that of the tensor part.
    pub fn network(&self, t: usize) -> Network<'_> {
        self.network_at(0, t)
    }

    /// The network of the scalar part that serves a type, of a model of polarizabilities.
    pub fn scalar_network(&self, t: usize) -> Option<Network<'_>> {
        (self.layout.scalar()).map(|offset| self.network_at(offset, t))
    }

    fn network_at(&self, offset: usize, t: usize) -> Network<'_> {
        let l = &self.layout;
        let [n1, n2] = l.neurons;
        let p = &self.parameters[offset..];
        let bias = p[l.common_bias()] + l.type_bias(t).map_or(0.0, |index| p[index]);
        let part =
            |there: bool, start: usize, len: usize| if there { &p[start..][..len] } else { &[] };
        let charged = l.dielectric().is_some();
        let dispersive = l.n_outputs > 1 + usize::from(charged);
        Network {
            w0: &p[l.w0(t, 0)..][..n1 * l.dim],
            b0: &p[l.b0(t)..][..n1],
            w1: &p[l.w1(t)..][..n1 * n2.max(1)],
            b1: part(n2 > 0, l.b1(t), n2),
            w2: part(n2 > 0, l.w2(t), n2),
            charge: part(charged, l.output(t, 1), n1),
            dispersion: part(dispersive, l.output(t, l.n_outputs - 1), n1),
            bias,
        }
    }

    /// The type of an element.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the elements that the model knows.
    pub fn type_of(&self, element: Element) -> Result<u32> {
        self.elements()
            .iter()
            .position(|&e| e == element)
            .map(|t| t as u32)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the model does not know {element}; it was trained for {}",
                    self.elements()
                        .iter()
                        .map(|e| e.symbol())
                        .collect::<Vec<_>>()
                        .join(" ")
                ))
            })
    }

    /// The types of many elements.
    ///
    /// **Errors**: as [`Model::type_of`].
    pub fn types_of(&self, elements: &[Element]) -> Result<Vec<u32>> {
        elements.iter().map(|&e| self.type_of(e)).collect()
    }

    /// A number that tells models apart: FNV-1a over the text of `nep.txt`.
    pub fn fingerprint(&self) -> u64 {
        crate::files::fnv1a(self.to_text().as_bytes())
    }
}

fn pair_coefficients(layout: &Layout, parameters: &[f64], part: usize) -> Vec<f64> {
    let mut values = Vec::with_capacity(layout.coefficient_count(part));
    for center in 0..layout.n_types {
        for other in 0..layout.n_types {
            for n in 0..layout.n_radial[part] {
                for k in 0..layout.n_basis[part] {
                    values.push(parameters[layout.coefficient(part, n, k, center, other)]);
                }
            }
        }
    }
    values
}

/// Bounds on what a header may ask for: above today's programs, below what would exhaust memory.
pub const MAX_N: usize = 32;
/// As [`MAX_N`], for `basis_size`.
pub const MAX_BASIS: usize = 32;
/// As [`MAX_N`], for `l_max`.
pub const MAX_L: usize = 8;
/// As [`MAX_N`], for the neurons of a layer.
pub const MAX_NEURONS: usize = 2000;

/// Refuses headers that cannot be evaluated. Shared by the parser, which adds line numbers.
fn check_header(h: &Header) -> Result<()> {
    let bad = |message: String| Err(Error::invalid(message));
    if h.elements.is_empty() {
        return bad("a model needs at least one element".into());
    }
    for (t, e) in h.elements.iter().enumerate() {
        if h.elements[..t].contains(e) {
            return bad(format!("element {e} appears twice"));
        }
    }
    if h.n_max.iter().any(|&n| n > MAX_N) || h.basis_size.iter().any(|&k| k > MAX_BASIS) {
        return bad(format!(
            "n_max {:?} or basis_size {:?} is above {MAX_N}",
            h.n_max, h.basis_size
        ));
    }
    if !(1..=MAX_L).contains(&h.l_max) {
        return bad(format!("l_max is {}; expected 1 to {MAX_L}", h.l_max));
    }
    if h.many_body.required_l() > h.l_max {
        return bad(format!(
            "the enabled many-body terms need l_max of at least {}; found {}",
            h.many_body.required_l(),
            h.l_max
        ));
    }
    if h.neurons[0] == 0 || h.neurons.iter().any(|&n| n > MAX_NEURONS) {
        return bad(format!(
            "ANN {} {}: expected 1 to {MAX_NEURONS} neurons",
            h.neurons[0], h.neurons[1]
        ));
    }
    if h.neurons[1] > 0 && (h.version != Version::Nep4 || h.kind.is_long_ranged()) {
        return bad("two hidden layers exist for nep4 without charges and dispersion only".into());
    }
    if !h.kind.exists(h.version, h.zbl.is_some()) {
        return bad(format!("no program of the family knows {}", h.token()));
    }
    if h.kind.electrostatics().is_some() && !matches!(h.cutoff, Cutoff::Uniform(_)) {
        return bad(
            "a model with charges has one radial cutoff, which sets the width of its screening; found several".into(),
        );
    }
    for a in 0..h.n_types() {
        let rc = h.pair_cutoff(a, a);
        if !rc.iter().all(|&r| r > 0.0 && r <= 100.0) {
            return bad(format!(
                "the cutoffs of {} are {rc:?} Å; expected numbers between 0 and 100",
                h.elements[a]
            ));
        }
    }
    let zbl_ok = match &h.zbl {
        None => true,
        Some(Zbl::Universal { inner, outer }) => {
            *inner >= 0.0 && outer > inner && outer.is_finite()
        }
        Some(Zbl::Typewise { outer, factor, .. }) => {
            *outer > 0.0 && *factor > 0.0 && outer.is_finite() && factor.is_finite()
        }
        Some(Zbl::Flexible(rows)) => {
            let pairs = h.n_types() * (h.n_types() + 1) / 2;
            rows.len() == pairs
                && rows.iter().flatten().all(|x| x.is_finite())
                && rows.iter().all(|r| r[0] >= 0.0 && r[1] >= r[0])
        }
    };
    if !zbl_ok {
        return bad(format!(
            "the zbl parameters are not usable: {:?} (expected 0 <= inner < outer, one row per pair)",
            h.zbl
        ));
    }
    Ok(())
}
