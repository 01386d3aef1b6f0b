//! How LAMMPS gets the plugin, and which it refuses.

use crate::host::{build_with, lammps};
use crate::sample::Sample;
use crate::support::root;
use std::path::Path;
use std::process::Command;

fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

#[test]
fn another_release_or_other_integers_are_refused_with_a_sentence() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    for (variable, value, sentence) in [
        (
            "LAMMPS_VERSION",
            "20240829",
            "was built for the LAMMPS of 20240829",
        ),
        (
            "LAMMPS_SIZES",
            "-DLAMMPS_BIGBIG",
            "tagint has 64 bits, in this one it has 32",
        ),
    ] {
        let plugin = folder.path().join("nepalplugin.so");
        build_with(lammps.package(), &plugin, &[(variable, value)]);
        let script = folder.path().join("in.lmp");
        let text = format!("plugin load {}\npair_style nepal\n", plugin.display());
        std::fs::write(&script, text).expect("written");
        let output = lammps
            .command(1)
            .arg("-in")
            .arg(&script)
            .current_dir(folder.path())
            .output()
            .expect("LAMMPS starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains(sentence), "{text}");
        assert!(text.contains("build it again"), "{text}");
        assert!(text.contains("Unrecognized pair style 'nepal'"), "{text}");
    }
}

#[test]
fn pip_installs_it_so_that_lmp_and_python_find_it() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("site");
    output(
        lammps
            .tool("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--no-index",
                "--no-deps",
                "--no-build-isolation",
                "--target",
            ])
            .arg(&site)
            .arg(root().join("bindings/lammps"))
            .env("NEPAL_LIB", crate::host::archive()),
    );
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}thermo_style custom step pe\nthermo_modify format float %.15g\nrun 0\n",
        sample.pair("")
    );
    std::fs::write(folder.path().join("in.lmp"), script).expect("written");
    let energy = sample.expected().energy;
    let near = |text: &str| {
        text.split_whitespace()
            .filter_map(|word| word.parse::<f64>().ok())
            .any(|x| (x - energy).abs() < 1e-9 * energy.abs())
    };

    let said = output(
        lammps
            .tool("lmp")
            .args(["-in", "in.lmp"])
            .env("PYTHONPATH", &site)
            .current_dir(folder.path()),
    );
    assert!(near(&said), "{energy} is not in:\n{said}");

    let program = "import lammps\n\
        l = lammps.lammps(cmdargs=['-screen', 'none', '-log', 'none'])\n\
        l.file('in.lmp')\n\
        print('%.15g' % l.get_thermo('pe'))\n\
        try:\n    l.command('pair_coeff * * absent.txt Si')\n\
        except Exception as e:\n    print(e)\n";
    let said = output(
        lammps
            .tool("python3")
            .args(["-c", program])
            .env("PYTHONPATH", &site)
            .current_dir(folder.path()),
    );
    assert!(near(&said), "{energy} is not in:\n{said}");
    assert!(
        said.contains("cannot read absent.txt: No such file"),
        "{said}"
    );
}

#[test]
#[needs()]
fn the_build_script_says_what_it_lacks() {
    let empty = tempfile::tempdir().expect("a folder");
    let run = |dir: &Path| {
        let output = Command::new("bash")
            .arg(root().join("bindings/lammps/build.sh"))
            .arg(empty.path().join("x.so"))
            .env("LAMMPS_DIR", dir)
            .output()
            .expect("bash starts");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(empty.path()).contains("has no pair.h"));
    assert!(run(Path::new("/nowhere")).contains("is no folder"));
}

#[test]
fn it_can_be_cleared_and_unloaded() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let pair = sample.pair("");
    let script = format!(
        "{read}{pair}run 0\nclear\n{read}{pair}run 0\n{pair}run 0\n\
         clear\nplugin unload fix nepal/bias\nplugin unload pair nepal\nplugin list\n\
         print \"the end\"\n"
    );
    let run = lammps.run_in(folder, 2, &script).ok();
    assert!(run.text.contains("the end"), "{}", run.text);
}

#[test]
fn a_gpu_that_is_not_there_is_told() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!("{read}{}run 0\n", sample.pair("device 4000"));
    let run = lammps.run_in(folder, 1, &script);
    assert!(!run.success && run.text.contains("CUDA"), "{}", run.text);
}

#[test]
fn the_same_sources_compile_into_lammps() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("compiled");
    let sources = root().join("bindings/lammps/src");
    let mut compiler = Command::new("c++");
    compiler.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]);
    compiler.args(["-Wno-unused-parameter", "-DLAMMPS_SMALLBIG", "-I"]);
    compiler.arg(&sources).arg("-I").arg(root().join("include"));
    for headers in lammps.headers() {
        compiler.arg("-isystem").arg(headers);
    }
    compiler.arg(root().join("tests/lammps/compiled.cpp"));
    for name in [
        "pair_nepal",
        "pair_nepal_grades",
        "pair_nepal_ranks",
        "pair_nepal_settings",
        "fix_nepal_bias",
        "fix_nepal_step",
        "nepal_host",
    ] {
        compiler.arg(sources.join(name).with_extension("cpp"));
    }
    compiler.arg(crate::host::archive());
    compiler
        .arg("-L")
        .arg(lammps.package())
        .arg("-l:liblammps.so.0");
    compiler
        .arg("-L")
        .arg(lammps.libraries())
        .arg("-l:libmpi.so.12");
    compiler
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program);
    output(&mut compiler);

    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}fix b all nepal/bias push 1 2\nfix_modify b energy no\n\
         thermo_style custom step pe\nthermo_modify format float %.15g\nrun 0\n",
        sample.pair("")
    );
    std::fs::write(folder.path().join("in.lmp"), script).expect("written");
    let paths = std::env::join_paths([lammps.package(), lammps.libraries().as_path()]);
    let said = output(
        Command::new(&program)
            .arg("in.lmp")
            .env("LD_LIBRARY_PATH", paths.expect("two paths"))
            .env("OMP_NUM_THREADS", "1")
            .current_dir(folder.path()),
    );
    let energy = sample.expected().energy;
    let found = said
        .split_whitespace()
        .filter_map(|word| word.parse::<f64>().ok())
        .any(|x| (x - energy).abs() < 1e-9 * energy.abs());
    assert!(found, "{energy} is not in:\n{said}");
}
