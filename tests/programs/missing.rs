//! What this program says where CP2K is not: its one test of it, in a process without a search path.

use std::process::Command;

/// Exit status and everything that is said; `require` is `NEPAL_REQUIRE`.
fn without_programs(require: &str) -> (Option<i32>, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("cp2k::")
        .env("PATH", "/nowhere")
        .env("NEPAL_REQUIRE", require)
        .output()
        .unwrap();
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out + &errors)
}

#[test]
fn it_is_ignored_and_the_last_line_says_why() {
    for require in ["", "c++, lammps"] {
        let (status, text) = without_programs(require);
        assert_eq!(status, Some(0), "{text}");
        assert!(text.contains("ignored (needs cp2k)"), "{text}");
        assert!(
            text.contains("test result: ok. 0 passed; 0 failed; 1 ignored;"),
            "{text}"
        );
        let last = text.lines().last().unwrap();
        let start = "ignored for lack of cp2k (1): apt-get install cp2k";
        assert!(last.starts_with(start), "{text}");
    }
}

#[test]
fn it_fails_where_it_is_required() {
    let (status, text) = without_programs("lammps,cp2k");
    assert_eq!(status, Some(101), "{text}");
    assert!(
        text.contains("NEPAL_REQUIRE names cp2k, which is not here: apt-get"),
        "{text}"
    );
    assert!(text.contains("test result: FAILED. 0 passed; 1 failed;"));
}

#[test]
fn a_need_that_no_test_knows_is_an_error() {
    let (status, text) = without_programs("lammps,cp2");
    assert_eq!(status, Some(1), "{text}");
    assert!(!text.contains("test result"), "{text}");
    assert!(
        text.contains("NEPAL_REQUIRE names \"cp2\"") && text.contains("known are cc, c++,"),
        "{text}"
    );
}
