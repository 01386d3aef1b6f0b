//! The instruction set that vectorised loops run on.

use crate::error::{Error, Result};
use pulp::Arch;
use std::sync::OnceLock;

/// The environment variable that asks for a lower one than the machine's best: a name of [`known`].
pub const VARIABLE: &str = "NEPAL_SIMD";

/// Those that this machine has, the best first.
pub fn known() -> Vec<(&'static str, Arch)> {
    let mut known: Vec<(&'static str, Arch)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        known.extend(pulp::x86::V4::try_new().map(|simd| ("avx512", Arch::V4(simd))));
        known.extend(pulp::x86::V3::try_new().map(|simd| ("avx2", Arch::V3(simd))));
    }
    #[cfg(target_arch = "aarch64")]
    known.extend(pulp::aarch64::Neon::try_new().map(|simd| ("neon", Arch::Neon(simd))));
    known.push(("scalar", Arch::Scalar));
    known
}

fn chosen(word: Option<&str>) -> Result<(&'static str, Arch)> {
    let known = known();
    let Some(word) = word.filter(|w| !w.is_empty()) else {
        return Ok(known[0]);
    };
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    known
        .iter()
        .find(|(name, _)| *name == word)
        .copied()
        .ok_or_else(|| {
            Error::invalid(format!(
                "{VARIABLE} is {word:?}: expected an instruction set of this machine, one of {}; unset it for the best",
                names.join(", ")
            ))
        })
}

/// What loops run on, by name and for `pulp`: the best of the machine, or what `NEPAL_SIMD` named when
/// it was asked first.
///
/// **Errors**: [`Error::InvalidArgument`] for a name that is none of [`known`].
pub fn instructions() -> Result<(&'static str, Arch)> {
    static CHOSEN: OnceLock<std::result::Result<(&'static str, Arch), String>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| chosen(std::env::var(VARIABLE).ok().as_deref()).map_err(|e| e.to_string()))
        .clone()
        .map_err(Error::InvalidArgument)
}

/// The same for loops that cannot fail: the best, where the variable is wrong, which whoever makes a
/// calculator is told.
pub fn arch() -> Arch {
    instructions().map_or_else(|_| known()[0].1, |(_, arch)| arch)
}

/// Runs a block that is compiled for an instruction set. Its closure gives [`Once`] away and so can be called but
/// once, and is inlined; one that could be called again would be a function of its own, compiled for the least
/// machine.
#[cfg(feature = "cpu")]
macro_rules! compiled_for {
    ($arch:expr, $body:block) => {{
        let once = $crate::simd::Once;
        $arch.dispatch(
            #[inline(always)]
            || {
                once.spend();
                $body
            },
        )
    }};
}
#[cfg(feature = "cpu")]
pub(crate) use compiled_for;

/// See [`compiled_for`].
#[cfg(feature = "cpu")]
pub(crate) struct Once;

#[cfg(feature = "cpu")]
impl Once {
    #[inline(always)]
    pub(crate) fn spend(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_what_the_machine_has() {
        let known = known();
        for (name, _) in &known {
            assert_eq!(chosen(Some(name)).unwrap().0, *name);
        }
        assert_eq!(chosen(None).unwrap().0, known[0].0);
        assert_eq!(chosen(Some("")).unwrap().0, known[0].0);
        let message = chosen(Some("sse9")).unwrap_err().to_string();
        assert!(
            message.contains("\"sse9\"") && message.contains("scalar"),
            "{message}"
        );
    }
}
