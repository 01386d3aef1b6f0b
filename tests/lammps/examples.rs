//! The scripts of `examples/lammps` run.

use crate::host::lammps;
use crate::support::root;

#[test]
fn every_script_runs() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = folder.path().join("lammps/work");
    std::fs::create_dir_all(&scripts).expect("a folder");
    std::os::unix::fs::symlink(root().join("examples/data"), folder.path().join("data"))
        .expect("a link");
    let plugins = lammps.plugin_folder();
    let mut seen = 0;
    for (name, ranks, steps, sign) in [
        ("in.melt", 1, 20, "Loop time"),
        ("in.grade", 1, 30, "Loop time"),
        ("in.halt", 1, 1000, "Fix halt condition"),
        ("in.fragments", 1, 20, "Loop time"),
        ("in.mpi", 2, 20, "2 by 1 by 1 MPI processor grid"),
        ("in.heatflux", 1, 20, "Loop time"),
        ("in.bias", 1, 5, "Loop time"),
    ] {
        seen += 1;
        let script = root().join("examples/lammps").join(name);
        let output = lammps
            .command(ranks)
            .env("LAMMPS_PLUGIN_PATH", plugins)
            .args(["-nocite", "-var", "steps", &steps.to_string(), "-in"])
            .arg(script)
            .current_dir(&scripts)
            .output()
            .expect("LAMMPS starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}:\n{text}");
        assert!(text.contains(sign), "{name}: no {sign:?} in\n{text}");
        assert!(!text.contains("WARNING: nepal"), "{name}:\n{text}");
    }
    let present = std::fs::read_dir(root().join("examples/lammps"))
        .expect("the folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("in."))
        .count();
    assert_eq!(
        seen, present,
        "examples/lammps has scripts that nobody runs"
    );
}
