//! Models, structures and active sets: what is accepted survives being written and read again.

use super::{check_message, data};
use nepal::grade::{BuildOptions, Features, Origin};
use nepal::system::xyz::{self, FrameReader};
use nepal::{ActiveSet, Error, Model};
use std::sync::LazyLock;

/// A message for people names the place and stays short, whatever the file holds.
fn check_error(error: &Error) {
    let message = error.to_string();
    check_message(&message);
    assert!(message.starts_with("input"), "{message}");
    if let Error::Parse { line, .. } = error {
        assert!(*line > 0, "{message}");
    }
}

pub fn model_seeds() -> Vec<Vec<u8>> {
    let folders = [
        "nep4_minimal",
        "nep4_zbl_flexible",
        "nep4_typewise_cutoffs",
        "nep5_zbl",
        "nep4_charge3",
        "nep4_vdw",
    ];
    let of = |name| data(&format!("synthetic_variants/{name}/nep.txt"));
    folders.map(of).into()
}

/// A model file.
pub fn nep_txt(bytes: &[u8]) -> bool {
    match Model::parse(bytes, "input") {
        Ok(model) => {
            let text = model.to_text();
            let again = Model::parse(text.as_bytes(), "written").expect("what was written is read");
            assert!(again.to_text() == text, "writing twice gives the same text");
            true
        }
        Err(error) => {
            check_error(&error);
            false
        }
    }
}

pub fn xyz_seeds() -> Vec<Vec<u8>> {
    [
        "2\nEnergy = -3.5 config_type=\"two words\" pbc=\"T T F\" Lattice=\"4 0 0 0 5 0 0 0 6\" \
         virial=\" 1 2 3 2 5 6 3 6 9 \" Properties=species:S:1:pos:R:3:force:R:3:tag:I:1\n\
         Pb 0 0 0 0.1 0.2 0.3 7\nTe 1.5 1 1 -0.1 -0.2 -0.3 8\n",
        "1\n\nSi 0 0 0\n3\nplain words\nO 0 0 0\nH 0.7 0.6 0\nH -0.7 0.6 0\n",
        "1\nLattice=\"2 0 0 0 2 0 0 0 2\" stress=\"1 2 3 4 5 6\" weight=0.5 flag \
         'quoted key'=\"a \\\"b\\\" \\\\ c\" Properties=species:S:1:pos:R:3:gamma:R:1:label:S:2:fix:L:1\n\
         Si 0 0 0 inf a b T\n0\n\n",
        "2\nLattice={4 0 0 0 4 0 0 0 4} pbc=[T, true, False] REF_energy=-1.5d0 list=[1, 2.5, 3] \
         table=[[1, 2], [3, 4]] words={a b} Properties=pos:R:3:Z:I:1:REF_forces:R:3:mask:L:1\n\
         0 0 0 11 0.1 0 0 T\n2 2 2.1 17 -0.1 0 0 F\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// An extended XYZ file, frame by frame.
pub fn extended_xyz(bytes: &[u8]) -> bool {
    let mut frames = Vec::new();
    let mut good = true;
    for frame in FrameReader::new(bytes, "input") {
        match frame {
            Ok(frame) => {
                super::check_frame(&frame);
                frames.push(frame);
            }
            Err(error) => {
                check_error(&error);
                good = false;
            }
        }
    }
    let text: String = frames.iter().map(xyz::to_text).collect();
    let again: Result<Vec<_>, _> = FrameReader::new(text.as_bytes(), "written").collect();
    let again = again.unwrap_or_else(|e| panic!("what was written is read: {e}\n{text}"));
    // Text, not frames, is compared: a NaN grade differs from itself.
    let twice: String = again.iter().map(xyz::to_text).collect();
    assert!(
        twice == text,
        "writing twice gives the same text:\n{text}\n{twice}"
    );
    good
}

/// An active set, public or native, for a tiny model.
pub fn asi(bytes: &[u8]) -> bool {
    let model = &*TINY;
    match ActiveSet::read(bytes, "input", model) {
        Ok(set) => {
            set.check_model(model).expect("the set is for this model");
            let rows = vec![0.5; set.width()];
            for t in 0..set.elements().len() {
                // A missing element is an error in one form; neither may panic.
                let _ = set.grade_rows(t, &rows);
            }
            true
        }
        Err(error) => {
            if !matches!(error, Error::InvalidArgument(_)) {
                check_error(&error);
            }
            false
        }
    }
}

pub fn asi_seeds() -> Vec<Vec<u8>> {
    let mut text = String::new();
    for element in ["Te", "Pb"] {
        text.push_str(&format!("{element} 4 4\n"));
        for k in 0..16 {
            text.push_str(&format!("{:.16e}\n", 0.3 * f64::from(k) - 1.7));
        }
    }
    vec![text.into_bytes()]
}

/// A native file of the tiny model's features.
static NAS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let model = &*TINY;
    let mut features = Features::new(model);
    for n in 0..40u32 {
        let row: Vec<f64> = (0..features.width() as u32)
            .map(|k| f64::from((n * 7919 + k * 104_729) % 1009) / 1009.0 - 0.5)
            .collect();
        let origin = Origin {
            structure: n,
            atom: 0,
        };
        features
            .push((n % 2) as usize, &row, origin)
            .expect("a row");
    }
    let (set, _) = ActiveSet::build(model, &features, &BuildOptions::default()).expect("a set");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("active_set");
    set.save(&path).expect("a file");
    std::fs::read(path).expect("a file")
});

pub fn nas_seeds() -> Vec<Vec<u8>> {
    vec![NAS.clone()]
}

/// The native form has a checksum: damage anywhere is refused.
pub fn nas(bytes: &[u8]) -> bool {
    let accepted = asi(bytes);
    assert!(
        !accepted || bytes == *NAS || !bytes.starts_with(b"nepal"),
        "a damaged file was accepted"
    );
    accepted
}

/// Two elements, one neuron, a descriptor of length 2: features of length 4.
pub static TINY: LazyLock<Model> = LazyLock::new(|| {
    let mut text = String::from(
        "nep4 2 Te Pb\ncutoff 5 4 50 20\nn_max 0 0\nbasis_size 0 0\nl_max 1 0 0\nANN 1 0\n",
    );
    for k in 0..19 {
        text.push_str(&format!("{}\n", 0.1 * f64::from(k) - 0.7));
    }
    Model::parse(text.as_bytes(), "tiny").expect("nineteen numbers are right")
});
