//! MaxVol over more rows than one wants to hold: batches come and go, the active rows stay.

use super::device;
use super::work::Work;
use super::{Help, Maxvol, MaxvolOptions, identity, singular};
use crate::error::{Error, Result};
use crate::grade::linalg::{largest, map_blocks, max_abs, multiply, rows};
use faer::MatMut;
use faer::prelude::Solve;

/// Amplitude, relative to the largest number of the first batch, of the unit rows that stand in for
/// directions until rows with them come.
const STAND_IN: f64 = 1e-9;

/// Rows of a batch that are worked on together, at most this many times the active ones.
const SHARE: usize = 4;

/// Rows handled together when coefficients are computed.
const BLOCK: usize = 512;

/// An active set that takes in batches of rows.
///
/// Memory: the active rows, their inverse and what of a batch is above the tolerance. Each batch may
/// come as often as one likes; a pass over all rows in which [`Stream::offer`] exchanges nothing
/// proves that no row is above the tolerance.
#[derive(Clone, Debug)]
pub struct Stream {
    n: usize,
    options: MaxvolOptions,
    /// Active rows and whose they are; `None` for stand-ins.
    active: Vec<f64>,
    ids: Vec<Option<usize>>,
    inverse: Vec<f64>,
    ln_det: f64,
    exchanges: usize,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offered {
    /// Exchanges made.
    pub exchanges: usize,
    /// Largest |C| of the batch before any.
    pub max: f64,
}

impl Stream {
    /// An empty set for rows of a length.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a length of 0.
    pub fn new(n: usize, options: &MaxvolOptions) -> Result<Self> {
        if n == 0 {
            return Err(Error::invalid("MaxVol was given rows of length 0"));
        }
        Ok(Self {
            n,
            options: options.clone(),
            active: Vec::new(),
            ids: Vec::new(),
            inverse: Vec::new(),
            ln_det: f64::NEG_INFINITY,
            exchanges: 0,
        })
    }

    /// Rows of the set in the order of the columns of C; `None` where no row had a direction yet.
    pub fn selected(&self) -> &[Option<usize>] {
        &self.ids
    }

    /// Offers a batch. **Shapes**: `batch` `[N][n]`, `ids` `[N]`, any numbers that tell the rows
    /// apart.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for arrays that do not fit or numbers that are not
    /// finite.
    pub fn offer(&mut self, batch: &[f64], ids: &[usize]) -> Result<Offered> {
        self.offer_with(batch, ids, None)
    }

    /// [`Stream::offer`] with a device's help, whose pool has the batch as its rows `ids`, which
    /// follow each other.
    fn offer_with(&mut self, batch: &[f64], ids: &[usize], mut help: Help<'_>) -> Result<Offered> {
        let n = self.n;
        if batch.len() != ids.len() * n {
            return Err(Error::invalid(format!(
                "{} numbers were offered to MaxVol for {} rows of {n}",
                batch.len(),
                ids.len()
            )));
        }
        if let Some(bad) = batch.iter().position(|x| !x.is_finite()) {
            return Err(Error::invalid(format!(
                "row {} offered to MaxVol has a number that is not finite",
                ids[bad / n]
            )));
        }
        if ids.is_empty() {
            return Ok(Offered {
                exchanges: 0,
                max: 0.0,
            });
        }
        if self.ids.is_empty() {
            let amplitude = STAND_IN * max_abs(batch).1.max(f64::MIN_POSITIVE);
            self.active = identity(n).iter().map(|x| amplitude * x).collect();
            self.ids = vec![None; n];
        }
        let before = self.exchanges;
        if self.ids.contains(&None) {
            self.span(batch, ids)?;
        }
        let mut first = None;
        loop {
            let (max, made) = self.exchange(batch, ids, help.as_deref_mut())?;
            let first = *first.get_or_insert(max);
            if made == 0 {
                return Ok(Offered {
                    exchanges: self.exchanges - before,
                    max: first,
                });
            }
        }
    }

    /// Chooses among the active rows and a batch by elimination: real rows take the place of
    /// stand-ins.
    fn span(&mut self, batch: &[f64], ids: &[usize]) -> Result<()> {
        let data = [self.active.as_slice(), batch].concat();
        let work = Work::from_lu(&data, self.n, (0..data.len() / self.n).collect())?;
        let before = self.ids.clone();
        self.take(&work, &data, ids)?;
        self.exchanges += self.ids.iter().filter(|id| !before.contains(id)).count();
        Ok(())
    }

    /// Exchanges among the active rows and those of a batch that are above the tolerance, the worst
    /// first; gives the largest |C| before and the number of
    /// exchanges.
    fn exchange(
        &mut self,
        batch: &[f64],
        ids: &[usize],
        mut help: Help<'_>,
    ) -> Result<(f64, usize)> {
        let n = self.n;
        let sizes = self.sizes_with(batch, ids, help.as_deref_mut())?;
        let max = sizes.iter().copied().fold(0.0, f64::max);
        let left = self.options.max_iterations.saturating_sub(self.exchanges);
        if max <= self.options.tolerance || left == 0 {
            return Ok((max, 0));
        }
        let mut above: Vec<usize> = (0..ids.len())
            .filter(|&k| sizes[k] > self.options.tolerance && !self.ids.contains(&Some(ids[k])))
            .collect();
        above.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]));
        above.truncate(SHARE * n);
        let mut data = self.active.clone();
        for &k in &above {
            data.extend_from_slice(&batch[k * n..][..n]);
        }
        let names: Vec<usize> = above.iter().map(|&k| ids[k]).collect();
        let mut work = Work::from_first(&data, n, (0..data.len() / n).collect())?;
        let made = work.run(&self.options, left, help)?;
        self.exchanges += made;
        self.take(&work, &data, &names)?;
        Ok((max, made))
    }

    /// Largest |C| of each row.
    fn sizes(&self, batch: &[f64]) -> Vec<f64> {
        let n = self.n;
        let all: Vec<usize> = (0..batch.len() / n).collect();
        let inverse = rows(&self.inverse, n, n);
        let parts = map_blocks(&all, BLOCK, |block| -> Vec<f64> {
            let x = &batch[block[0] * n..][..block.len() * n];
            let c = multiply(rows(x, block.len(), n), inverse);
            c.chunks_exact(n).map(largest).collect()
        });
        parts.concat()
    }

    /// [`Stream::sizes`] with help: right where it matters whether a row is above the tolerance, and
    /// in the order of those that are worked on.
    fn sizes_with(&self, batch: &[f64], ids: &[usize], help: Help<'_>) -> Result<Vec<f64>> {
        let (Some(device), Some(&first)) = (help, ids.first()) else {
            return Ok(self.sizes(batch));
        };
        let n = self.n;
        let mut sizes = device.sizes(first..first + ids.len(), &self.inverse)?;
        let bounds = device::bounds(batch, &self.inverse, n);
        let tolerance = self.options.tolerance;
        device::settle(&mut sizes, &bounds, tolerance, SHARE * n, BLOCK, |rows| {
            self.sizes(&batch[rows.start * n..rows.end * n])
        });
        Ok(sizes)
    }

    /// Makes the rows that the work has chosen the active ones: the first n of `data` are those
    /// active before, the others have names.
    fn take(&mut self, work: &Work<'_>, data: &[f64], names: &[usize]) -> Result<()> {
        let n = self.n;
        let chosen = work.selection();
        self.ids = chosen
            .iter()
            .map(|&k| {
                if k < n {
                    self.ids[k]
                } else {
                    Some(names[k - n])
                }
            })
            .collect();
        self.active = crate::grade::gather(data, n, &chosen);
        self.ln_det = work.ln_det;
        self.inverse = identity(n);
        rows(&self.active, n, n)
            .partial_piv_lu()
            .solve_in_place(MatMut::from_row_major_slice_mut(&mut self.inverse, n, n));
        if self.inverse.iter().any(|x| !x.is_finite()) {
            return Err(singular(n));
        }
        Ok(())
    }
}

/// [`maxvol`](super::maxvol) that scales: a stream over the batches, from given rows on, until a
/// pass over all rows exchanges nothing.
///
/// **Shapes**: `data` `[N][n]`; `start`, such as the rows of a set that was made before, may be
/// empty, and longer or shorter than `n`.
/// **Errors**: as [`maxvol`](super::maxvol); for a start that is not among the rows.
pub fn maxvol_streaming(
    data: &[f64],
    n: usize,
    start: &[usize],
    options: &MaxvolOptions,
) -> Result<Maxvol> {
    maxvol_streaming_with(data, n, start, options, None)
}

/// [`maxvol_streaming`] with a device's help: the same rows. `max` may differ by rounding.
pub fn maxvol_streaming_with(
    data: &[f64],
    n: usize,
    start: &[usize],
    options: &MaxvolOptions,
    mut help: Help<'_>,
) -> Result<Maxvol> {
    let mut stream = Stream::new(n, options)?;
    let count = data.len() / n;
    if let Some(bad) = start.iter().find(|&&k| k >= count) {
        return Err(Error::invalid(format!(
            "MaxVol shall start from row {bad} but only {count} rows were given"
        )));
    }
    if count < n {
        return Err(Error::invalid(format!(
            "MaxVol chooses {n} rows but only {count} were given; offer more environments"
        )));
    }
    if let Some(device) = &mut help {
        device.pool(data, n)?;
    }
    let mut iterations = Vec::new();
    if !start.is_empty() {
        let rows = crate::grade::gather(data, n, start);
        iterations.push(stream.offer(&rows, start)?.exchanges);
    }
    let all: Vec<usize> = (0..count).collect();
    let batch = options.batch.max(n);
    let mut max;
    loop {
        let mut exchanges = 0;
        max = all.chunks(batch).try_fold(0.0f64, |max, ids| {
            let rows = &data[ids[0] * n..][..ids.len() * n];
            let offered = stream.offer_with(rows, ids, help.as_deref_mut())?;
            exchanges += offered.exchanges;
            Ok::<_, Error>(max.max(offered.max))
        })?;
        iterations.push(exchanges);
        if exchanges == 0 || stream.exchanges >= options.max_iterations {
            break;
        }
    }
    if stream.exchanges >= options.max_iterations {
        max = stream.sizes(data).into_iter().fold(0.0, f64::max);
    }
    let selected: Option<Vec<usize>> = stream.ids.iter().copied().collect();
    Ok(Maxvol {
        selected: selected.ok_or_else(|| singular(n))?,
        iterations,
        ln_det: stream.ln_det,
        max,
    })
}
