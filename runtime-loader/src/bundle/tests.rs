use super::*;
use crate::handmade;

fn good() -> BTreeMap<String, Vec<u8>> {
    handmade::files(80, |path| path.as_bytes().to_vec())
}

fn refused(files: BTreeMap<String, Vec<u8>>) -> BundleError {
    Bundle::from_files(files).expect_err("refused")
}

/// The good bundle with another manifest, sealed again: only its meaning is wrong.
fn with_manifest(change: impl FnOnce(&mut Manifest)) -> BTreeMap<String, Vec<u8>> {
    let mut files = good();
    let mut manifest: Manifest = serde_json::from_slice(&files[manifest::MANIFEST_FILE]).unwrap();
    change(&mut manifest);
    handmade::seal(&mut files, &manifest);
    files
}

#[test]
fn a_whole_bundle_is_taken() {
    let bundle = Bundle::from_files(good()).unwrap();
    assert_eq!(bundle.records.len(), 4);
    assert_eq!(bundle.table(handmade::TABLES, "verdict").unwrap().1.len(), 256);
    assert_eq!(bundle.class_digest(handmade::TABLES).unwrap().len(), 32);
    assert_eq!(bundle.counters(&bundle.manifest.classes[0].ingress), 1);
    assert_eq!(bundle.counters(&bundle.manifest.classes[1].ingress), 2);
}

#[test]
fn every_flipped_byte_is_found_and_its_file_named() {
    let good = good();
    for (path, bytes) in &good {
        // All would take half a minute; the step is prime to every size of a table.
        for at in (0..bytes.len()).step_by(31).chain([bytes.len() - 1]) {
            let mut files = good.clone();
            files.get_mut(path).unwrap()[at] ^= 1;
            let error = refused(files).to_string();
            assert!(error.contains(path.as_str()), "{path} byte {at}: {error}");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_found() {
    for (path, bytes) in good() {
        for len in [0, bytes.len() / 2, bytes.len() - 1, bytes.len() + 1] {
            let mut files = good();
            files.get_mut(&path).unwrap().resize(len, 0);
            let error = refused(files).to_string();
            assert!(error.contains(&path), "{path} of {len} bytes: {error}");
        }
    }
}

#[test]
fn every_missing_file_is_named() {
    for path in good().keys() {
        let mut files = good();
        files.remove(path);
        assert!(matches!(refused(files), BundleError::Missing { path: missing } if missing == *path));
    }
}

#[test]
fn a_file_too_many_is_named() {
    let mut files = good();
    files.insert("objects/more.o".to_owned(), vec![]);
    assert!(matches!(refused(files), BundleError::Unlisted { path } if path == "objects/more.o"));
}

#[test]
fn paths_stay_inside() {
    for escape in ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/", "", "a\\b"] {
        let files = with_manifest(|manifest| {
            let file = manifest.files.values().next().unwrap().clone();
            manifest.files.insert(escape.to_owned(), file);
        });
        assert!(matches!(refused(files), BundleError::PathEscape { path } if path == escape), "{escape}");
    }
    assert!(check::path("tables/a.bin").is_ok());
}

#[test]
fn another_schema_is_refused_even_when_nothing_else_is_known() {
    let text = br#"{ "schema": 7, "whatever": [] }"#.to_vec();
    let files = BTreeMap::from([(manifest::MANIFEST_FILE.to_owned(), text)]);
    assert!(matches!(refused(files), BundleError::Schema { found: 7, expected: manifest::SCHEMA }));
}

#[test]
fn references_lead_somewhere() {
    type Change = fn(&mut Manifest);
    let cases: [(&str, Change); 14] = [
        ("feature", |m| m.kernel.features.push("warp".to_owned())),
        ("leaves", |m| m.tables.get_mut(handmade::TABLES).unwrap().sections.get_mut("verdict").unwrap().entries = 99),
        ("leaves", |m| {
            m.tables.get_mut(handmade::TABLES).unwrap().sections.get_mut("verdict").unwrap().offset = u64::MAX;
        }),
        ("unknown table", |m| {
            let tables = m.tables.get_mut(handmade::TABLES).unwrap();
            tables.sections.insert("../x".to_owned(), Section { offset: 0, entries: 1, value_size: 16 });
        }),
        ("there is none", |m| m.classes[0].ingress.object = "objects/none.o".to_owned()),
        ("belongs", |m| m.classes[0].ingress.object = m.classes[0].egress.object.clone()),
        ("no table", |m| m.classes[1].ingress.tables = None),
        ("says that it is", |m| m.classes[1].id = 7),
        ("there is none", |m| *m.endpoints.get_mut("default/xwing").unwrap().classes.get_mut(&0).unwrap() = 9),
        ("not of its kind", |m| *m.endpoints.get_mut("default/xwing").unwrap().classes.get_mut(&0).unwrap() = 1),
        ("identity index", |m| m.datapath.world_ipv4.0 = u32::MAX),
        ("serves nobody", |m| m.objects.values_mut().for_each(|object| object.maps.retain(|map| map != "endpoints"))),
        ("values of 24 bytes", |m| m.maps.get_mut("endpoints").unwrap().value_size = 24),
        ("name of a map", |m| {
            let map = m.maps["events"].clone();
            m.maps.insert("a/b".to_owned(), map);
        }),
    ];
    for (expected, change) in cases {
        let error = refused(with_manifest(change)).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// One archive entry, with the checksum that `tar` writes.
fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut out = header.to_vec();
    out.extend(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn archive() -> Vec<u8> {
    let mut out = entry("tables/", b'5', b"");
    for (path, bytes) in good() {
        out.extend(entry(&path, b'0', &bytes));
    }
    out.extend([0; 1024]);
    out
}

#[test]
fn an_archive_is_the_same_bundle() {
    assert_eq!(tar::files(&archive()).unwrap(), good());
}

#[test]
fn damaged_archives_are_refused() {
    let whole = archive();
    for len in [0, 100, 512, whole.len() / 2, whole.len() - 512, whole.len() - 1] {
        assert!(matches!(tar::files(&whole[..len]), Err(BundleError::Archive(_))), "{len} bytes");
    }
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        // Padding behind a file's data is the only place where a flip changes nothing.
        if let Ok(files) = tar::files(&bytes)
            && files != good()
        {
            refused(files);
        }
    }
    let mut linked = entry("objects/x.o", b'2', b"");
    linked.extend([0; 1024]);
    assert!(matches!(tar::files(&linked), Err(BundleError::NotAFile { path }) if path == "objects/x.o"));
    let twice = [entry("a", b'0', b"1"), entry("a", b'0', b"2"), vec![0; 1024]].concat();
    assert!(matches!(tar::files(&twice), Err(BundleError::Archive(_))));
}

#[test]
fn links_and_devices_in_a_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in good() {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    assert!(Bundle::open(folder.path()).is_ok());
    let object = folder.path().join(handmade::OBJECTS[0].0);
    let elsewhere = folder.path().join("../elsewhere");
    std::fs::rename(&object, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &object).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err();
    std::fs::remove_file(elsewhere).unwrap();
    assert!(matches!(error, BundleError::NotAFile { path } if path == handmade::OBJECTS[0].0));
}
