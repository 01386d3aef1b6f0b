//! `docs/reference/campaign.md`: every key of a campaign's file, as the sources of the program define and describe them.

use crate::root;
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::path::Path;
use syn::{
    Attribute, Expr, ExprLit, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type,
};

/// What the sources define, by name.
#[derive(Default)]
struct Sources {
    structs: BTreeMap<String, syn::ItemStruct>,
    enums: BTreeMap<String, syn::ItemEnum>,
    /// Where a struct is: the name of its file.
    files: BTreeMap<String, String>,
    /// The last expression of functions without arguments, which defaults are, by the file's name and theirs.
    functions: BTreeMap<(String, String), String>,
    /// Fields of what `impl Default` gives.
    defaults: BTreeMap<String, BTreeMap<String, String>>,
}

fn tokens(code: &impl ToTokens) -> String {
    let text = code.to_token_stream().to_string();
    let text = text
        .replace(". into ()", "")
        .replace(". to_owned ()", "")
        .replace("vec ! ", "");
    text.replace(" . ", ".")
        .replace(" :: ", "::")
        .replace("- ", "-")
        .replace("[ ", "[")
        .replace(" ]", "]")
}

impl Sources {
    fn read(folders: &[&str]) -> Self {
        let mut all = Self::default();
        for folder in folders {
            all.folder(&root().join(folder));
        }
        all
    }

    fn folder(&mut self, folder: &Path) {
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|e| e.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.folder(&path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let file =
                    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let stem = path
                    .file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                file.items
                    .into_iter()
                    .for_each(|item| self.item(&stem, item));
            }
        }
    }

    /// What a default's function, as a struct names it, gives.
    fn value(&self, of: &str, function: &str) -> String {
        let (module, name) = function
            .rsplit_once("::")
            .unwrap_or((&self.files[of], function));
        let same = |key: &(String, String)| key.1 == name;
        let own = self.functions.get(&(module.to_owned(), name.to_owned()));
        let any = || {
            self.functions
                .iter()
                .find(|(key, _)| same(key))
                .map(|(_, value)| value)
        };
        own.or_else(any)
            .cloned()
            .unwrap_or_else(|| function.to_owned())
    }

    fn item(&mut self, file: &str, item: Item) {
        match item {
            Item::Struct(s) if derives(&s.attrs, "Deserialize") => {
                self.files.insert(s.ident.to_string(), file.to_owned());
                self.structs.insert(s.ident.to_string(), s);
            }
            Item::Enum(e) if derives(&e.attrs, "Deserialize") => {
                self.enums.insert(e.ident.to_string(), e);
            }
            Item::Fn(f) if f.sig.inputs.is_empty() => {
                if let [syn::Stmt::Expr(value, None)] = &f.block.stmts[..] {
                    let name = (file.to_owned(), f.sig.ident.to_string());
                    self.functions.insert(name, tokens(value));
                }
            }
            Item::Impl(i) if i.trait_.as_ref().is_some_and(|t| t.1.is_ident("Default")) => {
                let name = tokens(&i.self_ty);
                for part in &i.items {
                    if let syn::ImplItem::Fn(f) = part
                        && let Some(syn::Stmt::Expr(Expr::Struct(made), None)) =
                            f.block.stmts.last()
                    {
                        let fields = made
                            .fields
                            .iter()
                            .map(|f| (tokens(&f.member), tokens(&f.expr)));
                        self.defaults.insert(name.clone(), fields.collect());
                    }
                }
            }
            _ => {}
        }
    }
}

fn derives(attributes: &[Attribute], what: &str) -> bool {
    let of = |a: &&Attribute| a.path().is_ident("derive");
    attributes
        .iter()
        .filter(of)
        .any(|a| tokens(&a.meta).contains(what))
}

/// The value of a serde attribute: `Some("")` for one without a value.
fn serde(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| {
            let value = match meta.value() {
                Ok(value) => value.parse::<syn::LitStr>().map(|s| s.value())?,
                Err(_) => String::new(),
            };
            if meta.path.is_ident(key) {
                found = Some(value);
            }
            Ok(())
        });
    }
    found
}

fn doc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta
            && let Expr::Lit(ExprLit {
                lit: Lit::Str(line),
                ..
            }) = &pair.value
        {
            text.push_str(line.value().trim());
            text.push(' ');
        }
    }
    // Links of rustdoc are names of items, which mean nothing here.
    let mut plain = String::new();
    for (k, part) in text.trim().split('[').enumerate() {
        let link = part
            .split_once(']')
            .filter(|(inner, _)| k > 0 && inner.starts_with('`'));
        match link {
            Some((inner, rest)) => plain += &format!("{inner}{rest}"),
            None if k > 0 => plain += &format!("[{part}"),
            None => plain += part,
        }
    }
    plain.replace('|', "\\|")
}

/// A default with the variants in it as they are written.
fn words(value: &str) -> String {
    // Of a choice by type the value alone.
    if let Some((_, inner)) = value.trim_end_matches(')').split_once(" (") {
        return inner.to_owned();
    }
    let parts = value.split_inclusive(&[',', ' ', '[', ']']).map(|part| {
        let word = part.trim_end_matches([',', ' ', '[', ']']);
        match word.rsplit_once("::") {
            Some((_, variant)) => part.replace(word, &format!("{:?}", kebab(variant))),
            None => part.to_owned(),
        }
    });
    parts.collect()
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (k, c) in name.chars().enumerate() {
        if c.is_uppercase() && k > 0 {
            out.push('-');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// The last word of a type's path and its arguments.
fn path(ty: &Type) -> Option<(String, Vec<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let mut inner = Vec::new();
    if let PathArguments::AngleBracketed(list) = &last.arguments {
        inner.extend(list.args.iter().filter_map(|a| match a {
            GenericArgument::Type(t) => Some(t),
            _ => None,
        }));
    }
    Some((last.ident.to_string(), inner))
}

/// The page that is being written.
struct Page<'a> {
    sources: &'a Sources,
    /// Tables that are still to be described: heading, and type.
    due: VecDeque<(String, String)>,
    seen: BTreeSet<String>,
    text: String,
}

impl Page<'_> {
    /// What a type is to a reader; tables come later.
    fn kind(&mut self, key: &str, ty: &Type) -> String {
        if let Type::Array(array) = ty {
            return format!("{} of {}", tokens(&array.len), self.kind(key, &array.elem));
        }
        let Some((name, inner)) = path(ty) else {
            return tokens(ty);
        };
        match name.as_str() {
            "String" => "text".into(),
            "PathBuf" => "file or folder".into(),
            "f64" => "number".into(),
            "usize" | "u64" | "u32" | "i32" => "integer".into(),
            "bool" => "true or false".into(),
            "Option" | "Box" => self.kind(key, inner[0]),
            "Vec" => format!("list of {}", self.kind(&format!("{key}[]"), inner[0])),
            "BTreeMap" => format!(
                "table by name, {} each",
                self.kind(&format!("{key}.NAME"), inner[1])
            ),
            "Table" => "table of keys to replace".into(),
            _ => {
                let unit = self
                    .sources
                    .enums
                    .get(&name)
                    .filter(|e| serde(&e.attrs, "tag").is_none());
                if unit.is_some_and(|e| serde(&e.attrs, "try_from").is_some()) {
                    // Written in its own way, which its text tells.
                    return "a word, or true or false".into();
                }
                if let Some(choice) = unit.filter(|e| serde(&e.attrs, "untagged").is_some()) {
                    let fields = choice.variants.iter().flat_map(|v| v.fields.iter());
                    let kinds: Vec<String> = fields.map(|f| self.kind(key, &f.ty)).collect();
                    return kinds.join(", or ");
                }
                if let Some(choice) = unit {
                    let names: Vec<String> = choice
                        .variants
                        .iter()
                        .map(|v| {
                            let renamed = serde(&v.attrs, "rename");
                            format!(
                                "`{}`",
                                renamed.unwrap_or_else(|| kebab(&v.ident.to_string()))
                            )
                        })
                        .collect();
                    return names.join(", ");
                }
                let known = self.sources.structs.contains_key(&name)
                    || self.sources.enums.contains_key(&name);
                if !known {
                    // Read from a text.
                    return "text".into();
                }
                if self.seen.insert(name.clone()) {
                    self.due.push_back((key.to_owned(), name.clone()));
                }
                "table, see below".into()
            }
        }
    }

    fn table(&mut self, heading: &str, name: &str) {
        if let Some(choice) = self.sources.enums.get(name) {
            let tag = serde(&choice.attrs, "tag").expect("a choice of tables names its kind");
            for variant in &choice.variants {
                let kind = serde(&variant.attrs, "rename")
                    .unwrap_or_else(|| kebab(&variant.ident.to_string()));
                let about = doc(&variant.attrs);
                write!(
                    self.text,
                    "\n### `{heading}`, `{tag} = \"{kind}\"`\n\n{about}\n"
                )
                .expect("text");
                if let Fields::Unnamed(inner) = &variant.fields {
                    let mut ty = &inner.unnamed[0].ty;
                    while let Some((outer, inside)) = path(ty).filter(|(outer, _)| outer == "Box") {
                        let _ = outer;
                        ty = inside[0];
                    }
                    let (inner, _) = path(ty).expect("a variant holds a table");
                    if self.seen.insert(format!("{heading} {inner}")) {
                        self.fields(heading, &inner);
                    } else {
                        self.text += "\nThe keys are those above.\n";
                    }
                }
            }
            return;
        }
        let about = doc(&self.sources.structs[name].attrs);
        write!(self.text, "\n## `{heading}`\n\n{about}\n").expect("text");
        self.fields(heading, name);
    }

    fn fields(&mut self, heading: &str, name: &str) {
        let sources = self.sources;
        let table = sources
            .structs
            .get(name)
            .unwrap_or_else(|| panic!("no struct {name} is read from files"));
        let whole = serde(&table.attrs, "default").is_some();
        let none = BTreeMap::new();
        let made = sources.defaults.get(name).unwrap_or(&none);
        let mut rows = String::new();
        let mut flattened = Vec::new();
        for field in &table.fields {
            let own = field.ident.as_ref().expect("a named field").to_string();
            let key = serde(&field.attrs, "rename").unwrap_or_else(|| own.clone());
            if serde(&field.attrs, "flatten").is_some() {
                flattened.push(path(&field.ty).expect("a type").0);
                continue;
            }
            let place = if heading == "the file" {
                key.clone()
            } else {
                format!("{heading}.{key}")
            };
            let kind = self.kind(&place, &field.ty);
            let optional = path(&field.ty).is_some_and(|(outer, _)| outer == "Option");
            let default = match serde(&field.attrs, "default") {
                Some(function) if !function.is_empty() => sources.value(name, &function),
                _ if optional => "none".into(),
                given if given.is_some() || whole => match made.get(&own) {
                    Some(value) if value == "usize::MAX" => "no limit".into(),
                    Some(value) if value.ends_with("default ()") || value.ends_with("new ()") => {
                        String::new()
                    }
                    Some(value) => words(value),
                    None => match kind.as_str() {
                        "number" | "integer" => "0".into(),
                        "true or false" => "false".into(),
                        _ => String::new(),
                    },
                },
                _ => "**needed**".into(),
            };
            writeln!(
                rows,
                "| `{key}` | {kind} | {default} | {} |",
                doc(&field.attrs)
            )
            .expect("text");
        }
        if rows.is_empty() {
            self.text += "\nIt has no keys.\n";
        } else {
            self.text += "\n| key | value | default | |\n| --- | --- | --- | --- |\n";
            self.text += &rows;
        }
        for choice in flattened {
            self.table(heading, &choice);
        }
    }
}

/// `NEPAL_BLESS=1 cargo test --test cli keys` writes it.
#[test]
fn the_reference_of_keys_is_current() {
    let sources = Sources::read(&["src/dynamics", "src/loop"]);
    let mut page = Page {
        sources: &sources,
        due: VecDeque::new(),
        seen: BTreeSet::new(),
        text: String::new(),
    };
    page.text += "# The campaign file\n\nTOML. Units are Å, eV, K, GPa and ps. `[]` after a name: one of a list, `[[NAME]]`. An unknown key is refused\nwith the nearest that there is.\n";
    page.table("the file", "Config");
    while let Some((heading, name)) = page.due.pop_front() {
        page.table(&heading, &name);
    }
    let file = root().join("docs/reference/campaign.md");
    if std::env::var_os("NEPAL_BLESS").is_some() {
        std::fs::write(&file, &page.text).expect("written");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == page.text,
        "write it anew: NEPAL_BLESS=1 cargo test --test cli keys"
    );
    // Nothing of a table is passed over: a key that every campaign has, one of a kind, one with a name of its own.
    for key in [
        "`nep_in`",
        "`pseudopotentials`",
        "`break`",
        "`whole_cell_atoms`",
        "`partition`",
    ] {
        assert!(there.contains(key), "{key} is missing");
    }
}
