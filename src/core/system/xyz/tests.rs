use super::*;
use crate::system::frame::ColumnData;

fn parse(text: &str) -> Result<Vec<Frame>> {
    FrameReader::new(text.as_bytes(), "in.xyz").collect()
}

const GPUMD: &str = "2\nEnergy = -3.5 config_type=\"two words\" pbc=\"T T F\" \
    Lattice=\"4 0 0 0 5 0 0 0 6\" virial=\" 1 2 3 2 5 6 3 6 9 \" \
    Properties=species:S:1:pos:R:3:force:R:3:tag:I:1\n\
    Pb 0 0 0 0.1 0.2 0.3 7\nTe 1.5 1 1 -0.1 -0.2 -0.3 8\n";

#[test]
fn doubtful_labels_pass_only_where_they_are_looked_at() {
    let text = "1\nenergy=nan Properties=species:S:1:pos:R:3:forces:R:3\nPb 0 0 0 nan 0 inf\n";
    assert!(parse(text).is_err());
    let mut reader = FrameReader::new(text.as_bytes(), "in.xyz").with_doubtful_labels();
    let frame = reader.next().unwrap().unwrap();
    assert!(frame.energy.unwrap().is_nan() && frame.forces.unwrap()[0][0].is_nan());
    for bad in ["Pb nan 0 0 1 0 0", "Pb 0 0 0 **** 0 0"] {
        let text = text.replace("Pb 0 0 0 nan 0 inf", bad);
        let mut reader = FrameReader::new(text.as_bytes(), "in.xyz").with_doubtful_labels();
        assert!(reader.next().unwrap().is_err());
    }
}

#[test]
fn reads_what_gpumd_reads() {
    let frames = parse(GPUMD).unwrap();
    let frame = &frames[0];
    assert_eq!(frame.energy, Some(-3.5));
    assert_eq!(frame.structure.cell.periodic(), [true, true, false]);
    assert_eq!(frame.forces.as_ref().unwrap()[1], [-0.1, -0.2, -0.3]);
    assert_eq!(frame.virial.unwrap()[4], 5.0);
    assert_eq!(frame.info["config_type"], "two words");
    assert!(matches!(
        &frame.columns[0].data,
        ColumnData::Integer { values, .. } if values == &[7, 8]
    ));
}

#[test]
fn writing_and_reading_changes_nothing() {
    let mut frames = parse(GPUMD).unwrap();
    frames[0].force_mask = Some(vec![1.0, 0.0]);
    frames[0].weight = 0.25;
    frames[0].structure.positions[1] = [0.1 + 0.2, 1e-17, -123456.789];
    frames[0]
        .info
        .insert("odd".into(), "a \"quoted\\\" = b".into());
    let text = to_text(&frames[0]);
    let again = parse(&text).unwrap();
    assert_eq!(again, frames);
    assert_eq!(to_text(&again[0]), text);
}

#[test]
fn stress_becomes_a_virial() {
    let text = "1\nLattice=\"2 0 0 0 2 0 0 0 2\" stress=\"1 2 3 4 5 6\"\nSi 0 0 0\n";
    let virial = parse(text).unwrap()[0].virial.unwrap();
    assert_eq!(
        virial,
        [-8.0, -48.0, -40.0, -48.0, -16.0, -32.0, -40.0, -32.0, -24.0]
    );
}

#[test]
fn errors_name_the_line() {
    let cases = [
        ("x\n", "in.xyz:1:", "number of atoms"),
        ("1\n", "in.xyz:2:", "comment"),
        ("2\n\nSi 0 0 0\n", "in.xyz:4:", "2 atoms"),
        ("1\n\nSi 0 0\n", "in.xyz:3:", "4 columns"),
        ("1\n\nXx 0 0 0\n", "in.xyz:3:", "Xx"),
        ("1\n\nSi 0 nan 0\n", "in.xyz:3:", "nan"),
        ("1\nLattice=\"1 2\"\nSi 0 0 0\n", "in.xyz:2:", "9 numbers"),
        ("1\nenergy=abc\nSi 0 0 0\n", "in.xyz:2:", "abc"),
        ("1\nkey=\"open\nSi 0 0 0\n", "in.xyz:2:", "quote"),
        ("1\nProperties=pos:R:3\n0 0 0\n", "in.xyz:2:", "species"),
        ("1\npbc=\"T T T\"\nSi 0 0 0\n", "in.xyz:2:", "no Lattice"),
        (
            "1\nLattice=\"4 0 0 8 0 0 0 0 6\"\nSi 0 0 0\n",
            "in.xyz:2:",
            "volume",
        ),
        (
            "1\ncell=\"4 0 0 0 5 0 0 0 6\"\nSi 0 0 0\n",
            "in.xyz:2:",
            "under cell",
        ),
        (
            "1\nUnit_Cell=[4,0,0,0,5,0,0,0,6]\nSi 0 0 0\n",
            "in.xyz:2:",
            "under Unit_Cell",
        ),
        (
            "1\nenergy=-1 Energy=-2\nSi 0 0 0\n",
            "in.xyz:2:",
            "Energy appears twice",
        ),
        (
            "1\nLattice=\"4 0 0 0 5 0 0 0 6\" lattice=\"4 0 0 0 5 0 0 0 7\"\nSi 0 0 0\n",
            "in.xyz:2:",
            "twice",
        ),
    ];
    for (text, place, word) in cases {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.starts_with(place), "{text:?}: {message}");
        assert!(message.contains(word), "{text:?}: {message}");
    }
    for same in [
        "energy=-1 Energy=-1",
        "cell=fcc box=\"1 2 3\" size=\"4 0 0 0 5 0 0 0 6\"",
    ] {
        assert_eq!(parse(&format!("1\n{same}\nSi 0 0 0\n")).unwrap().len(), 1);
    }
    assert!(parse("").unwrap().is_empty());
    assert_eq!(parse("0\n\n").unwrap()[0].len(), 0);
}

/// Eight numbers in the head, one atom.
fn head(comment: &str) -> Frame {
    let text = format!("1\n{comment}\nSi 0.5 1 1.5\n");
    parse(&text)
        .unwrap_or_else(|e| panic!("{comment}: {e}"))
        .swap_remove(0)
}

#[test]
fn values_in_every_spelling_are_the_same() {
    let cell = "4 0 0 1 5 0 0 0 6";
    let commas = cell.replace(' ', ", ");
    let usual = head(&format!("Lattice=\"{cell}\" energy=-3.5 pbc=\"T T F\""));
    for (lattice, energy, pbc) in [
        (format!("{{{cell}}}"), "{-3.5}", "{T T F}"),
        (format!("[{cell}]"), "[-3.5]", "[T,T,F]"),
        (format!("[{commas}]"), "-3.5D0", "[T, T, F]"),
        (format!("'{cell}'"), "-35d-1", "\"[ True  True False]\""),
        (format!("\"[{commas}]\""), "\" -3.5 \"", "\"TRUE, true, f\""),
        (format!("\" {cell} \""), "-.35e+1", "TTF"),
    ] {
        let comment = format!("LATTICE={lattice} Energy = {energy} PBC={pbc}");
        assert_eq!(head(&comment), usual, "{comment}");
    }
    assert_eq!(
        head(&format!("Lattice=\"{cell}\" pbc=T"))
            .structure
            .cell
            .periodic(),
        [true; 3]
    );
    assert_eq!(
        head(&format!("Lattice=\"{cell}\" pbc=0"))
            .structure
            .cell
            .periodic(),
        [false; 3]
    );
    let nested = parse("1\nLattice=[[4, 0, 0], [1, 5, 0], [0, 0, 6]]\nSi 0 0 0\n");
    assert!(nested.unwrap_err().to_string().contains("rows or columns"));
}

#[test]
fn what_is_not_understood_is_written_as_it_was() {
    for pair in [
        "momenta=[0.1, 0.2, 0.3]",
        "weights={1 2 3}",
        "nested=[[1, 2], [3, 4]]",
        "params=\"_JSON {\\\"a\\\": [1, 2]}\"",
        "names=[\"a b\", 'c]']",
        "comment=5'",
        "tag=a=b",
        "iter:500",
        "energy",
        "title='two words'",
        "quoted=\"[1 2]\"",
        "spaced = 3",
        "plain=word",
        "\"odd key\"=\"x y\"",
        "path=\"C:\\dir\"",
        "empty=\"\"",
    ] {
        let frame = head(&format!("{pair} last=1"));
        let text = to_text(&frame);
        assert!(text.contains(pair), "{pair}: {text}");
        assert_eq!(parse(&text).unwrap()[0], frame, "{text}");
    }
    // A value that has changed is written anew.
    let mut frame = head("momenta=[0.1, 0.2]");
    frame.info.insert("momenta".into(), "[1, 2]".into());
    assert!(to_text(&frame).contains("momenta=\"[1, 2]\""));
}

#[test]
fn elements_come_as_symbols_or_numbers() {
    let one = |properties: &str, row: &str| parse(&format!("1\nProperties={properties}\n{row}\n"));
    for (properties, row) in [
        ("species:S:1:pos:R:3", "SI 0 0 0"),
        ("Z:I:1:pos:R:3", "14 0 0 0"),
        ("pos:R:3:numbers:I:1", "0 0 0 14"),
        ("element:S:1:positions:R:3", "si 0 0 0"),
    ] {
        let frame = one(properties, row).unwrap().swap_remove(0);
        assert_eq!(frame.structure.elements[0].symbol(), "Si", "{row}");
        assert!(frame.columns.is_empty());
    }
    assert_eq!(
        one("species:S:1:pos:R:3:Z:I:1", "Si 0 0 0 14").unwrap()[0]
            .columns
            .len(),
        1
    );
    for (properties, row, word) in [
        ("species:S:1:pos:R:3:Z:I:1", "Si 0 0 0 15", "contradict"),
        ("species:S:1:pos:R:3", "14 0 0 0", "a column Z:I:1"),
        ("species:S:1:pos:R:3", "Si1 0 0 0", "Si1"),
        ("species:S:1:pos:R:3:forces:R:1", "Si 0 0 0 1", "forces:R:3"),
        ("Z:I:1:pos:R:3", "0 0 0 0", "atomic number"),
    ] {
        let message = one(properties, row).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn lines_end_in_any_way() {
    let text = "2\nenergy=1 a=\"b c\"\nSi 0 0 0\nSi 2 0 0\n2\n\nSi 0 0 0\nSi 3 0 0\n";
    let usual = parse(text).unwrap();
    for ending in ["\r\n", "\r", "\r\r\n"] {
        assert_eq!(
            parse(&text.replace('\n', ending)).unwrap(),
            usual,
            "{ending:?}"
        );
    }
    assert_eq!(parse(&format!("\u{feff}{text}")).unwrap(), usual);
    for (bytes, word) in [(&b"\xff\xfe8\0"[..], "UTF-16"), (b"\x1f\x8b\x08", "gzip")] {
        let error = FrameReader::new(bytes, "in.xyz")
            .next()
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn both_spellings_of_forces_stand_beside_each_other() {
    let text = "1\nProperties=species:S:1:pos:R:3:force:R:3:forces:R:3:magmom:R:1\nSi 0 0 0 1 2 3 4 5 6 nan\n";
    let frame = parse(text).unwrap().swap_remove(0);
    assert_eq!(frame.forces.as_ref().unwrap()[0], [4.0, 5.0, 6.0]);
    assert_eq!(frame.real_column("force"), Some((&[1.0, 2.0, 3.0][..], 3)));
    assert!(to_text(&frame).contains(" 1 2 3 NaN") || to_text(&frame).contains(" 1 2 3 nan"));
}

/// What was read from such a file could not be written.
#[test]
fn line_ends_of_two_kinds_are_refused() {
    let error = parse("1\rnote=\"a\nb\"\rSi 0 0 0\r")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("in.xyz:2") && error.contains("LF"),
        "{error}"
    );
    let old = parse("1\rnote=\"a b\"\rSi 0 0 0\r\n").unwrap();
    assert_eq!(old[0].info["note"], "a b");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// Any title is read or refused, never with a panic, and what was read is read again as it was.
    #[test]
    fn any_title_survives(title in "[ a-zA-Z0-9=\"'\\[\\]{},:\\\\.\u{e9}\t-]{0,40}") {
        let text = format!("1\n{title}\nSi 0 0 0\n");
        if let Ok(frames) = parse(&text) {
            let written = to_text(&frames[0]);
            proptest::prop_assert_eq!(&parse(&written).unwrap(), &frames, "{}", written);
            proptest::prop_assert_eq!(to_text(&parse(&written).unwrap()[0]), written);
        }
    }

    /// Numbers keep all their digits, whatever the exponent is written with.
    #[test]
    fn numbers_survive(x in proptest::num::f64::NORMAL) {
        let fortran = format!("{x:e}").replace('e', "D");
        let frame = head(&format!("energy={fortran}"));
        proptest::prop_assert_eq!(frame.energy, Some(x));
        proptest::prop_assert_eq!(&parse(&to_text(&frame)).unwrap()[0], &frame);
    }

    /// Bytes of any kind are read or refused.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = FrameReader::new(&bytes[..], "in.xyz").collect::<Result<Vec<_>>>();
    }
}

#[test]
fn a_stress_whose_virial_is_no_number_is_refused() {
    let text = "1\nLattice=\"90 0 0 0 90 0 0 0 90\" stress=\"1e305 0 0 0 0 0\" Properties=species:S:1:pos:R:3\nSi 0 0 0\n";
    let error = FrameReader::new(text.as_bytes(), "x")
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("no finite number"), "{error}");
}
