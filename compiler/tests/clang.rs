//! Running clang: the same bytes everywhere, a cache that is never trusted, errors that tell what to do.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ciliumc::clang::{ClangError, FLAGS, Toolchain, compile_all};
use ciliumc::codegen::{self, Unit};
use ciliumc::ir::options::Options;
use ciliumc::lower::shape::{NodeConfig, PolicyMode, Program, Shape};

fn units() -> Vec<Unit> {
    let node = NodeConfig::from(&Options::default());
    [Program::FromContainer, Program::ToContainer]
        .map(|program| codegen::unit(&Shape::constant(program, PolicyMode::AllowAll), &node))
        .to_vec()
}

/// A program that says it is `says` and how it would compile, and fails when it shall do so.
fn fake_clang(folder: &Path, name: &str, says: &str) -> PathBuf {
    let path = folder.join(name);
    let script = format!(
        "#!/bin/sh\nexec >&2\n[ \"$1\" != -### ] && echo oops && exit 1\necho '{says}'\necho '\"'$0'\" \"-cc1\" \"-x\" \"c\" \"/dev/null\"'\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn bytes_do_not_depend_on_folder_threads_or_order() {
    let toolchain = Toolchain::find().unwrap();
    let units = units();
    let one = compile_all(&toolchain, &units, 1, None).unwrap();
    let two = compile_all(&toolchain, &units, 2, None).unwrap();
    assert_eq!(one, two);
    let reversed: Vec<Unit> = units.iter().rev().cloned().collect();
    let mut three = compile_all(&toolchain, &reversed, 2, None).unwrap();
    three.reverse();
    assert_eq!(one, three);
    assert_ne!(one[0].object, one[1].object);
}

#[test]
fn no_path_and_no_dwarf_in_an_object() {
    let toolchain = Toolchain::find().unwrap();
    let built = compile_all(&toolchain, &units(), 0, None).unwrap();
    let folder = std::env::temp_dir();
    for needle in [folder.to_str().unwrap(), "unit0"] {
        let found = built[0].object.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!found, "{needle}");
    }
    let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*built[0].object).unwrap();
    use object::{Object as _, ObjectSection as _};
    let names: Vec<&str> = file.sections().map(|section| section.name().unwrap()).collect();
    assert!(names.contains(&".BTF") && names.contains(&".BTF.ext"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("debug")), "{names:?}");
}

#[test]
fn cache_hits_and_a_damaged_entry_is_built_again() {
    let toolchain = Toolchain::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let fresh = compile_all(&toolchain, &units(), 0, Some(&cache)).unwrap();
    assert!(fresh.iter().all(|built| !built.cached));
    let again = compile_all(&toolchain, &units(), 0, Some(&cache)).unwrap();
    assert!(again.iter().all(|built| built.cached));
    assert_eq!(fresh[1].object, again[1].object);

    let entries: Vec<PathBuf> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 2);
    let mut bytes = fs::read(&entries[0]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&entries[0], bytes).unwrap();
    fs::write(&entries[1], b"short").unwrap();
    let repaired = compile_all(&toolchain, &units(), 0, Some(&cache)).unwrap();
    assert!(repaired.iter().all(|built| !built.cached));
    assert_eq!(fresh, repaired);
    assert!(compile_all(&toolchain, &units(), 0, Some(&cache)).unwrap().iter().all(|built| built.cached));
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let toolchain = Toolchain::find().unwrap();
    let built = compile_all(&toolchain, &units()[..1], 0, Some(Path::new("/proc/no-such-folder"))).unwrap();
    assert!(!built[0].cached);
}

#[test]
fn other_text_has_another_digest() {
    let unit = &units()[0];
    let changed = Unit { ep_config: unit.ep_config.replace("POLICY_AUDIT 0", "POLICY_AUDIT 1"), ..unit.clone() };
    assert_ne!(changed.ep_config, unit.ep_config);
    assert_ne!(codegen::digest(unit), codegen::digest(&changed));
    assert_eq!(codegen::digest(unit), codegen::digest(&units()[0]));
}

#[test]
fn a_missing_clang_names_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let error = Toolchain::at(&empty.path().join("clang")).unwrap_err();
    assert!(matches!(error, ClangError::Run { .. }), "{error}");
    assert!(error.to_string().contains("CILIUMC_CLANG"), "{error}");
    let error = Toolchain::search(&[PathBuf::new(), empty.path().to_owned()]).unwrap_err();
    assert!(matches!(error, ClangError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("apt-get install clang-19"), "{error}");
    assert!(!error.is_our_bug());
}

#[test]
fn versions_out_of_bounds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for old in ["Debian clang version 14.0.6", "clang version 22.0.0"] {
        let path = fake_clang(folder.path(), "clang", old);
        let error = Toolchain::at(&path).unwrap_err();
        assert!(matches!(error, ClangError::Version { .. }), "{error}");
        assert!(error.to_string().contains("16 to 21"), "{error}");
    }
    let path = fake_clang(folder.path(), "clang", "gcc (Debian 12) 12.2.0");
    assert!(matches!(Toolchain::at(&path).unwrap_err(), ClangError::NotClang { .. }));
    for good in ["clang version 16.0.0", "Ubuntu clang version 21.1.2"] {
        let path = fake_clang(folder.path(), "clang", good);
        assert_eq!(Toolchain::at(&path).unwrap().path(), path);
    }
}

#[test]
fn an_old_clang_does_not_hide_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    fake_clang(folder.path(), "clang", "clang version 14.0.6");
    let good = fake_clang(folder.path(), "clang-18", "clang version 18.1.3");
    assert_eq!(Toolchain::search(&[folder.path().to_owned()]).unwrap().path(), good);
}

#[test]
fn rejected_c_is_our_bug_and_is_kept() {
    let toolchain = Toolchain::find().unwrap();
    let mut unit = units()[0].clone();
    unit.ep_config = unit.ep_config.replace("POLICY_AUDIT", "POLICY_ODDITY");
    let error = compile_all(&toolchain, &[unit], 0, None).unwrap_err();
    assert!(error.is_our_bug());
    let ClangError::Rejected { kept, output, .. } = error else { panic!("{error}") };
    assert!(output.contains("ep_config.h must define POLICY_AUDIT"), "{output}");
    assert!(kept.join("ep_config.h").is_file());
    fs::remove_dir_all(kept.parent().unwrap()).unwrap();
}

/// The benchmark brings C of its own that includes our headers, and nobody else compiles it.
#[test]
fn programs_of_the_benchmark_compile() {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(Toolchain::find().unwrap().path())
        .args(FLAGS)
        .arg("-I")
        .arg(here.join("../bpf-lib/include"))
        .arg(here.join("benches/path/programs.c"))
        .arg("-o")
        .arg(folder.path().join("programs.o"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
