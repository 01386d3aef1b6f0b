//! Reading `nep.txt`, with errors that name the line.
//!
//! Reads word by word with bounded lines and grows only as numbers arrive, so that a wrong or
//! hostile file costs neither time nor memory.

use super::header::{Cutoff, Header, ManyBody, Version, Zbl};
use super::kind::Kind;
use super::layout::Layout;
use super::{Model, check_header};
use crate::element::Element;
use crate::error::{Error, Result, shorten};
use std::io::{BufRead, Read};

/// Longest line that is read; real headers stay below 1 kB.
const MAX_LINE: u64 = 65_536;
/// Neighbour counts written for the oldest files, which have none.
const UNKNOWN_NEIGHBORS: [usize; 2] = [100, 50];

/// Parses the text of a model file.
pub(super) fn parse(reader: impl BufRead, name: &str) -> Result<Model> {
    let mut lines = Lines {
        reader,
        name,
        number: 0,
    };
    let mut header = read_first(&mut lines)?;
    if header.zbl.is_some() {
        header.zbl = Some(read_zbl(&mut lines)?);
    }
    (header.cutoff, header.max_neighbors, header.zbl) = read_cutoff(&mut lines, &header)?;
    header.n_max = lines.pair("n_max", "n_max_radial n_max_angular")?;
    header.basis_size = lines.pair("basis_size", "basis_size_radial basis_size_angular")?;
    (header.l_max, header.many_body) = read_l_max(&mut lines)?;
    header.neurons = lines.pair("ANN", "neurons 0")?;
    // Flexible ZBL rows come last in the file; stand-ins keep the check below honest about the rest.
    let flexible = matches!(&header.zbl, Some(Zbl::Flexible(_)));
    let pairs = header.n_types() * (header.n_types() + 1) / 2;
    if flexible {
        header.zbl = Some(Zbl::Flexible(vec![[0.0; 10]; pairs]));
    }
    check_header(&header).map_err(|e| lines.error(e.to_string()))?;

    let layout = Layout::new(&header);
    let wanted = layout.len() + layout.dim + if flexible { 10 * pairs } else { 0 };
    let mut values = read_values(&mut lines, wanted)?;
    if flexible {
        let rows = values.split_off(layout.len() + layout.dim);
        let rows = rows
            .chunks_exact(10)
            .map(|row| std::array::from_fn(|i| row[i]))
            .collect();
        header.zbl = Some(Zbl::Flexible(rows));
    }
    let q_scaler = values.split_off(layout.len());
    Model::new(header, values, q_scaler).map_err(|e| lines.error(e.to_string()))
}

/// Lines of bounded length, counted.
struct Lines<'a, R> {
    reader: R,
    name: &'a str,
    number: usize,
}

impl<R: BufRead> Lines<'_, R> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::parse(self.name, self.number.max(1), message)
    }

    /// The next line, or none at the end of the file.
    fn next(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::io("read", self.name, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read as u64 == MAX_LINE {
            return Err(self.error(format!(
                "the line is longer than {MAX_LINE} bytes; is this a nep.txt?"
            )));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| self.error("the line is not text; is this a nep.txt?"))
    }

    /// The words of the next header line, which must begin with `keyword`.
    fn header(&mut self, keyword: &str, form: &str) -> Result<Vec<String>> {
        let Some(line) = self.next()? else {
            self.number += 1;
            return Err(self.error(format!(
                "expected the line \"{keyword} {form}\", found the end of the file"
            )));
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.first().map(String::as_str) == Some(keyword) {
            Ok(words)
        } else {
            Err(self.error(format!(
                "expected the line \"{keyword} {form}\", found {:?}",
                shorten(line.trim())
            )))
        }
    }

    /// A header line with exactly two whole numbers.
    fn pair(&mut self, keyword: &str, form: &str) -> Result<[usize; 2]> {
        let words = self.header(keyword, form)?;
        if words.len() != 3 {
            return Err(self.error(format!(
                "{keyword} takes 2 numbers ({form}), found {}",
                words.len() - 1
            )));
        }
        Ok([self.whole(&words[1])?, self.whole(&words[2])?])
    }

    fn whole(&self, word: &str) -> Result<usize> {
        word.parse().map_err(|_| {
            self.error(format!(
                "expected a whole number, found {:?}",
                shorten(word)
            ))
        })
    }

    fn real(&self, word: &str) -> Result<f64> {
        match word.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => Err(self.error(format!(
                "expected a finite number, found {:?}",
                shorten(word)
            ))),
        }
    }
}

fn read_first<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<Header> {
    const FORM: &str = "expected a first line such as \"nep4 2 Te Pb\"";
    let Some(line) = lines.next()? else {
        lines.number = 1;
        return Err(lines.error(format!("{FORM}, found an empty file")));
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(&token) = words.first() else {
        return Err(lines.error(format!("{FORM}, found an empty line")));
    };
    let (version, zbl, kind) = read_token(lines, token)?;
    let count: usize = match words.get(1) {
        Some(word) => lines.whole(word)?,
        None => return Err(lines.error(format!("{FORM}, found only {token:?}"))),
    };
    if words.len() - 2 != count {
        return Err(lines.error(format!(
            "the line announces {count} elements, found {}",
            words.len() - 2
        )));
    }
    let elements = words[2..]
        .iter()
        .map(|word| Element::from_symbol(word).map_err(|e| lines.error(e.to_string())))
        .collect::<Result<Vec<_>>>()?;
    Ok(Header {
        version,
        kind,
        elements,
        // Replaced by the zbl line, which follows when the token says so.
        zbl: zbl.then_some(Zbl::Flexible(Vec::new())),
        cutoff: Cutoff::Uniform([0.0; 2]),
        max_neighbors: UNKNOWN_NEIGHBORS,
        n_max: [0; 2],
        basis_size: [0; 2],
        l_max: 0,
        many_body: ManyBody::default(),
        neurons: [0; 2],
    })
}

fn read_token<R: BufRead>(lines: &Lines<'_, R>, token: &str) -> Result<(Version, bool, Kind)> {
    for version in [Version::Nep3, Version::Nep4, Version::Nep5] {
        for zbl in [false, true] {
            let start = format!("{}{}", version.token(), if zbl { "_zbl" } else { "" });
            let kind = Kind::ALL.into_iter().find(|kind| {
                token.strip_prefix(&start) == Some(kind.suffix()) && kind.exists(version, zbl)
            });
            if let Some(kind) = kind {
                return Ok((version, zbl, kind));
            }
        }
    }
    let official = "nep3, nep4 and nep5, with or without _zbl; nep3 and nep4 with _dipole or _polarizability; \
                    nep4 with or without _zbl and _charge1, _charge2, _charge3, _vdw, _charge_vdw or _temperature";
    let is_family = |v: &str| token == v || token.starts_with(&format!("{v}_"));
    if !["nep2", "nep3", "nep4", "nep5"].into_iter().any(is_family) {
        return Err(lines.error(format!("expected {official}; found {:?}", shorten(token))));
    }
    let what = if token.contains("spin") {
        "is an extension of a third party whose format is not part of GPUMD; evaluate it with the program that \
         made it, or train a model without spin with GPUMD or nepal-loop"
    } else {
        "is no kind of model that GPUMD trains; train it anew, or evaluate it with the program that made it"
    };
    Err(Error::Unsupported(format!(
        "{}:{}: '{}' {what}; supported are {official}",
        lines.name,
        lines.number,
        shorten(token)
    )))
}

fn read_zbl<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<Zbl> {
    let words = lines.header("zbl", "inner outer [factor]")?;
    if !(3..=4).contains(&words.len()) {
        return Err(lines.error(format!(
            "zbl takes 2 or 3 numbers (inner outer [factor]), found {}",
            words.len() - 1
        )));
    }
    let inner = lines.real(&words[1])?;
    let outer = lines.real(&words[2])?;
    if inner == 0.0 && outer == 0.0 {
        return Ok(Zbl::Flexible(Vec::new()));
    }
    match words.get(3) {
        None => Ok(Zbl::Universal { inner, outer }),
        Some(word) => Ok(Zbl::Typewise {
            inner,
            outer,
            factor: lines.real(word)?,
        }),
    }
}

type CutoffLine = (Cutoff, [usize; 2], Option<Zbl>);

fn read_cutoff<R: BufRead>(lines: &mut Lines<'_, R>, header: &Header) -> Result<CutoffLine> {
    let words = lines.header("cutoff", "radial angular MN_radial MN_angular")?;
    let values = words[1..]
        .iter()
        .map(|word| lines.real(word))
        .collect::<Result<Vec<f64>>>()?;
    let n_types = header.n_types();
    let zbl = header.zbl.clone();
    // calorine writes the counts as floats.
    let count = |x: f64| -> Result<usize> {
        if x >= 0.0 && x.fract() == 0.0 && x < 1e9 {
            Ok(x as usize)
        } else {
            Err(lines.error(format!("expected a number of neighbours, found {x}")))
        }
    };
    match values.len() {
        2 => Ok((
            Cutoff::Uniform([values[0], values[1]]),
            UNKNOWN_NEIGHBORS,
            zbl,
        )),
        4 => Ok((
            Cutoff::Uniform([values[0], values[1]]),
            [count(values[2])?, count(values[3])?],
            zbl,
        )),
        7 => {
            let zbl_factor = values[6];
            // The third factor turned universal ZBL into typewise ZBL in that form of the file.
            let zbl = match zbl {
                Some(Zbl::Universal { inner, outer }) if zbl_factor > 0.0 => Some(Zbl::Typewise {
                    inner,
                    outer,
                    factor: zbl_factor,
                }),
                other => other,
            };
            let cutoff = Cutoff::Typewise {
                global: [values[0], values[1]],
                factor: [values[4], values[5]],
                zbl_factor,
            };
            Ok((cutoff, [count(values[2])?, count(values[3])?], zbl))
        }
        n if n == 2 * n_types + 2 => {
            let per_type = values[..2 * n_types]
                .chunks_exact(2)
                .map(|pair| [pair[0], pair[1]])
                .collect();
            let counts = [count(values[n - 2])?, count(values[n - 1])?];
            Ok((Cutoff::PerType(per_type), counts, zbl))
        }
        n => Err(lines.error(format!(
            "cutoff takes 4 numbers, or 2 per type plus 2 (here {}); found {n}",
            2 * n_types + 2
        ))),
    }
}

fn read_l_max<R: BufRead>(lines: &mut Lines<'_, R>) -> Result<(usize, ManyBody)> {
    let words = lines.header("l_max", "L f222 f1111 [f112 f123 f233 f134]")?;
    if !(2..=8).contains(&words.len()) {
        return Err(lines.error(format!(
            "l_max takes 1 to 7 numbers, found {}",
            words.len() - 1
        )));
    }
    let l_max = lines.whole(&words[1])?;
    let mut flags = [false; 6];
    for (flag, word) in flags.iter_mut().zip(&words[2..]) {
        // GPUMD writes 2 for the first flag, others write 1: any non-zero number is true.
        *flag = lines.whole(word)? != 0;
    }
    Ok((l_max, ManyBody::from_flags(flags)))
}

fn read_values<R: BufRead>(lines: &mut Lines<'_, R>, wanted: usize) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    while let Some(line) = lines.next()? {
        for word in line.split_whitespace() {
            if values.len() == wanted {
                return Err(lines.error(format!(
                    "the header calls for {wanted} numbers, but more follow: {:?}",
                    shorten(word)
                )));
            }
            values.push(lines.real(word)?);
        }
    }
    if values.len() < wanted {
        lines.number += 1;
        return Err(lines.error(format!(
            "the header calls for {wanted} numbers, found the end of the file after {}",
            values.len()
        )));
    }
    Ok(values)
}
