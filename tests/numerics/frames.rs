//! Extended XYZ: whatever is written is read again to the last bit; nothing is read without bound.

use nepal::system::frame::{Column, ColumnData};
use nepal::system::xyz::{self, FrameReader};
use nepal::{Cell, Element, Error, Frame, Structure};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::io::BufReader;

fn read(text: &str) -> nepal::Result<Vec<Frame>> {
    FrameReader::new(text.as_bytes(), "in.xyz").collect()
}

/// Any finite number.
fn finite() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![3 => -100.0..100.0, 1 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO]
}

fn cell() -> impl Strategy<Value = Cell> {
    let vectors = proptest::array::uniform3(proptest::array::uniform3(-20.0..20.0f64));
    let full = (vectors, any::<[bool; 3]>()).prop_filter_map("flat cell", |(vectors, periodic)| {
        Cell::new(vectors, periodic).ok()
    });
    prop_oneof![4 => full, 1 => Just(Cell::isolated())]
}

/// Columns that nepal does not know, of all kinds. Words of text hold no blanks.
fn columns(n: usize) -> impl Strategy<Value = Vec<Column>> {
    let data = (1..4usize).prop_flat_map(move |width| {
        prop_oneof![
            vec(finite(), n * width).prop_map(move |values| ColumnData::Real { width, values }),
            vec(any::<i64>(), n * width)
                .prop_map(move |values| ColumnData::Integer { width, values }),
            vec("[!-~]{1,8}", n * width).prop_map(move |values| ColumnData::Text {
                width,
                kind: 'S',
                values
            }),
        ]
    });
    vec(data, 0..4).prop_map(|list| {
        let named = list.into_iter().enumerate();
        named
            .map(|(i, data)| Column {
                name: format!("column{i}"),
                data,
            })
            .collect()
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    (0..6usize).prop_flat_map(|n| {
        let triple = || proptest::array::uniform3(finite());
        let structure = (cell(), vec(1..=94usize, n), vec(triple(), n));
        let labels = (
            proptest::option::of(finite()),
            proptest::option::of(vec(triple(), n)),
            proptest::option::of(proptest::array::uniform9(finite())),
            proptest::option::of(vec(finite(), n)),
        );
        let info = btree_map("x_[a-zA-Z0-9_]{0,8}", "\\PC{0,12}", 0..4);
        (structure, labels, (finite(), finite()), info, columns(n)).prop_map(
            |((cell, numbers, positions), labels, weights, info, columns)| {
                let elements = numbers
                    .into_iter()
                    .map(|z| Element::from_number(z).unwrap());
                let structure = Structure::new(cell, elements.collect(), positions).unwrap();
                let mut frame = Frame::new(structure);
                (frame.energy, frame.forces, frame.virial, frame.force_mask) = labels;
                (frame.weight, frame.energy_weight) = weights;
                frame.info = info;
                frame.columns = columns;
                frame
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_survive_writing_and_reading(frames in vec(frame(), 1..4)) {
        let text: String = frames.iter().map(xyz::to_text).collect();
        match read(&text) {
            Ok(again) => {
                prop_assert_eq!(&again, &frames, "{}", text);
                let twice: String = again.iter().map(xyz::to_text).collect();
                prop_assert!(twice == text);
            }
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}"))),
        }
    }
}

#[test]
fn files_are_written_in_one_step_and_appended_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.xyz");
    let silicon = Element::from_symbol("Si").unwrap();
    let frames: Vec<Frame> = (1..4)
        .map(|n| {
            let cell = Cell::orthorhombic([f64::from(n); 3]).unwrap();
            Frame::new(Structure::new(cell, vec![silicon], vec![[0.1; 3]]).unwrap())
        })
        .collect();
    xyz::write_frames(&path, &frames[..2]).unwrap();
    xyz::append_frame(&path, &frames[2]).unwrap();
    assert_eq!(xyz::read_frames(&path).unwrap(), frames);
    xyz::write_frames(&path, &frames[1..2]).unwrap();
    assert_eq!(xyz::read_frames(&path).unwrap(), frames[1..2]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.xyz");
    for path in [folder.path(), missing.as_path()] {
        let error = xyz::read_frames(path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_reader_stops_after_the_first_error_and_keeps_what_came_before() {
    let text = "1\n\nSi 0 0 0\n1\n\nXx 0 0 0\n1\n\nSi 0 0 0\n";
    let mut reader = FrameReader::new(text.as_bytes(), "in.xyz");
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("in.xyz:6: "), "{error}");
    assert!(reader.next().is_none());
}

/// What a file promises costs nothing: counts are believed only as lines arrive.
#[test]
fn promises_and_endless_lines_are_refused() {
    let huge = "18446744073709551615\n\nSi 0 0 0\n";
    let error = read(huge).unwrap_err().to_string();
    assert!(
        error.starts_with("in.xyz:4: ") && error.contains("after 1"),
        "{error}"
    );
    let wide = "1\nProperties=species:S:1:pos:R:3:x:R:1000000000\nSi 0 0 0\n";
    let error = read(wide).unwrap_err().to_string();
    assert!(error.starts_with("in.xyz:2: "), "{error}");
    for pattern in [b'7', b' ', b'='] {
        let endless = BufReader::new(std::io::repeat(pattern));
        let error = FrameReader::new(endless, "endless")
            .next()
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().starts_with("endless:1: "), "{error}");
    }
    let binary = [0xffu8, 0xfe, 0x00, 0x0a];
    let error = FrameReader::new(binary.as_slice(), "binary")
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().starts_with("binary:1: "), "{error}");
}

/// Names that a file may give to its columns come back, also odd ones.
#[test]
fn column_names_with_blanks_survive() {
    let text = "1\nProperties=\"species:S:1:pos:R:3:my column:I:1\"\nSi 0 0 0 5\n";
    let frames = read(text).unwrap();
    assert_eq!(frames[0].columns[0].name, "my column");
    assert_eq!(read(&xyz::to_text(&frames[0])).unwrap(), frames);
}
