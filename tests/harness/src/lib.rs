//! `#[test]` for test programs with `harness = false`: it hands the function, and what `#[needs(...)]`
//! and `#[ignore]` below it say, to `tests/support/harness.rs`.
//!
//! A test program takes it for all its files by `#[macro_use] extern crate nepal_harness;`. Without
//! that line the standard `#[test]` would drop the functions: the harness refuses to run no tests.

use proc_macro::{TokenStream, TokenTree};

/// A test: `#[test]`, then if need be `#[needs(Lammps, Nvcc)]` (of `support::needs::Need`; instead of
/// what the whole program needs) and `#[ignore = "reason"]`.
#[proc_macro_attribute]
pub fn test(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut needs = "None".to_owned();
    let mut ignored = "None".to_owned();
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let function = tokens.iter().position(|token| token.to_string() == "fn");
    let (before, function) = tokens.split_at(function.expect("#[test] stands before a function"));
    let name = &function[1];
    let mut kept = Vec::new();
    for token in before.iter().cloned() {
        if let TokenTree::Group(attribute) = &token {
            let inside: Vec<TokenTree> = attribute.stream().into_iter().collect();
            let word = inside.first().map(TokenTree::to_string).unwrap_or_default();
            match (word.as_str(), inside.last()) {
                ("needs", Some(TokenTree::Group(list))) => {
                    needs = format!("Some(&[{}])", list.stream());
                    kept.pop(); // the `#`
                    continue;
                }
                ("ignore", Some(TokenTree::Literal(reason))) => {
                    ignored = format!("Some({reason})");
                    kept.pop();
                    continue;
                }
                _ => {}
            }
        }
        kept.push(token);
    }
    let registration = format!(
        "const _: () = {{
            use crate::support::harness::{{Test, inventory}};
            #[allow(unused_imports)]
            use crate::support::needs::Need::*;
            inventory::submit! {{ Test {{
                module: module_path!(),
                name: \"{name}\",
                needs: {needs},
                ignored: {ignored},
                body: {name},
            }} }}
        }};"
    );
    let registration: TokenStream = registration.parse().expect("the text above is Rust");
    kept.extend_from_slice(function);
    kept.into_iter().chain(registration).collect()
}
