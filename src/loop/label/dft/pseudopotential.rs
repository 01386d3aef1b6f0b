//! Which element a pseudopotential is for, as its file says it.

use super::dialect::finite;
use nepal::element::Element;

/// The elements that a file says it is for: none where its format is not known, several in a joined POTCAR.
///
/// Knows POTCAR (`VRHFIN`, else `TITEL`), UPF of both versions, and what ABINIT reads: files whose second line begins
/// with `znucl zion pspdat`, such as psp8 and GTH, and the XML formats.
pub(super) fn elements(text: &str) -> Vec<Element> {
    let after = |marker: &'static str| {
        text.lines()
            .filter_map(move |l| l.split_once(marker)?.1.split_once('='))
    };
    let of = |names: &mut dyn Iterator<Item = &str>| -> Vec<Element> {
        let parts = names.map(|name| name.trim().split([':', '_', '.', ' ']).next());
        parts.filter_map(|name| symbol(name?)).collect()
    };
    let found = of(&mut after("VRHFIN").map(|(_, name)| name));
    if !found.is_empty() {
        return found;
    }
    let titles = after("TITEL").filter_map(|(_, title)| title.split_whitespace().nth(1));
    let found = of(&mut titles.into_iter());
    if !found.is_empty() {
        return found;
    }
    if let Some((_, header)) = text.split_once("<PP_HEADER") {
        // Version 1 has a line `Si  Element`.
        let old = header.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            words.next()?.starts_with("Element").then_some(name)
        });
        let name = attribute(header, "element").or(old);
        return of(&mut name.into_iter());
    }
    for (tag, key) in [("<atom ", "symbol"), ("<pseudo-atom-spec", "atomic-label")] {
        if let Some((_, header)) = text.split_once(tag) {
            return of(&mut attribute(header, key).into_iter());
        }
    }
    let second: Vec<&str> = text
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .take(3)
        .collect();
    let numbers: Vec<f64> = second.iter().filter_map(|w| finite(w)).collect();
    match numbers[..] {
        [z, charge, date] if z.fract() == 0.0 && z >= charge && date.fract() == 0.0 => {
            Element::from_number(z as usize).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The value of `key="value"` in the first tag of a text.
fn attribute<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let tag = text.split_once('>')?.0;
    tag.match_indices(key).find_map(|(at, _)| {
        let before = tag[..at].chars().next_back();
        let value = tag[at + key.len()..].trim_start().strip_prefix('=')?;
        let value = value.trim_start().strip_prefix(['"', '\''])?;
        let end = value.find(['"', '\''])?;
        before
            .is_none_or(char::is_whitespace)
            .then(|| value[..end].trim())
    })
}

/// An element in whatever case it is written.
pub(super) fn symbol(name: &str) -> Option<Element> {
    let mut letters = name.trim().chars();
    let first = letters.next()?.to_ascii_uppercase();
    let rest = letters.as_str().to_ascii_lowercase();
    Element::from_symbol(&format!("{first}{rest}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_says_its_element() {
        let found = |text: &str| {
            let all: Vec<&str> = elements(text).iter().map(|e| e.symbol()).collect();
            all.join(" ")
        };
        assert_eq!(found(" PAW_PBE Mg 13Apr2007\n   VRHFIN =Mg: 3s3p\n"), "Mg");
        assert_eq!(found("   VRHFIN =W : 6s5d\n"), "W");
        assert_eq!(found("   TITEL  = PAW_PBE Fe_pv 02Aug2007\n"), "Fe");
        assert_eq!(found("VRHFIN =O: s2p4\n...\nVRHFIN =H: 1s\n"), "O H");
        let header =
            "<UPF version=\"2.0.1\">\n<PP_HEADER\n  pseudo_element=\"C\"\n  element = \"Na\"\n/>";
        assert_eq!(found(header), "Na");
        let old = "<PP_HEADER>\n   0   Version Number\n  SI                   Element\n   NC\n";
        assert_eq!(found(old), "Si");
        assert_eq!(found("title\n14.0 4.0 10101 znucl, zion\n"), "Si");
        assert_eq!(found("Cl  ONCVPSP\n   17.0000  7.0000  170105\n"), "Cl");
        assert_eq!(found("<paw_dataset>\n<atom symbol=\"Ti\" Z=\"22\"/>"), "Ti");
        assert_eq!(found("<pseudo-atom-spec atomic-label=\"Ga\" x='1'>"), "Ga");
        assert_eq!(found("x"), "");
        assert_eq!(found("a title\n1 2 3\n"), "");
        assert_eq!(found("a title\n1 of 3\n"), "");
    }
}
