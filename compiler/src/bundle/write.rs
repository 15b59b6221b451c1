//! Bundles on disk: written aside, then put in place in one step.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ciliumc_abi::manifest::MANIFEST_FILE;

use super::Bundle;

/// Why a bundle is not on disk. Nothing half-written is left.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The place is taken by something that is no bundle.
    #[error("{} exists and is not a bundle (no {MANIFEST_FILE} in it); name another --out or remove it", .0.display())]
    NotABundle(PathBuf),
    /// The file system said no.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_path_buf();
    move |source| WriteError::Io { path, source }
}

/// Writes the bundle: a tar if `out` ends in `.tar`, else a directory.
pub fn write(bundle: &Bundle, out: &Path) -> Result<(), WriteError> {
    if out.extension().is_some_and(|extension| extension == "tar") {
        return file(out, &tar(bundle).map_err(at(out))?);
    }
    directory(bundle, out)
}

/// Writes one file atomically.
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let parent = parent(path);
    fs::create_dir_all(parent).map_err(at(parent))?;
    let mut aside = tempfile::Builder::new()
        .prefix(".ciliumc-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(at(parent))?;
    io::Write::write_all(&mut aside, bytes).map_err(at(path))?;
    aside.as_file().sync_all().map_err(at(path))?;
    aside.persist(path).map_err(|error| at(path)(error.error))?;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn directory(bundle: &Bundle, out: &Path) -> Result<(), WriteError> {
    let replaces = match fs::symlink_metadata(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(at(out)(error)),
        Ok(metadata) => {
            let is_empty = || fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
            if !metadata.is_dir() || !(out.join(MANIFEST_FILE).is_file() || is_empty()) {
                return Err(WriteError::NotABundle(out.to_path_buf()));
            }
            true
        }
    };
    let parent = parent(out);
    fs::create_dir_all(parent).map_err(at(parent))?;
    // Removed with everything in it on every early return.
    let aside = tempfile::Builder::new().prefix(".ciliumc-").tempdir_in(parent).map_err(at(parent))?;
    let new = aside.path().join("bundle");
    for (path, bytes) in &bundle.files {
        let place = new.join(path);
        fs::create_dir_all(self::parent(&place)).map_err(at(&place))?;
        fs::write(&place, bytes).map_err(at(&out.join(path)))?;
    }
    if replaces {
        // A directory cannot be renamed over another one that holds files: the old one steps aside first.
        let old: OsString = aside.path().join("old").into();
        fs::rename(out, &old).map_err(at(out))?;
        if let Err(error) = fs::rename(&new, out) {
            fs::rename(&old, out).map_err(at(out))?;
            return Err(at(out)(error));
        }
        return Ok(());
    }
    fs::rename(&new, out).map_err(at(out))
}

/// One tar: sorted, and without times, owners or modes of this machine.
fn tar(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in &bundle.files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        builder.append_data(&mut header, path, bytes.as_slice())?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use ciliumc_abi::manifest::{Clang, Datapath, Kernel, Manifest, SCHEMA};

    fn bundle(text: &str) -> Bundle {
        let manifest = Manifest {
            schema: SCHEMA,
            digest: String::new(),
            compiler: String::new(),
            clang: Clang { version: String::new(), flags: Vec::new() },
            kernel: Kernel { features: Vec::new() },
            datapath: Datapath {
                ipv4: true,
                ipv6: true,
                sctp: false,
                world_ipv4: ciliumc_abi::identity::IdentityIndex(9),
                world_ipv6: ciliumc_abi::identity::IdentityIndex(10),
            },
            maps: BTreeMap::new(),
            objects: BTreeMap::new(),
            tables: BTreeMap::new(),
            identities: Vec::new(),
            classes: Vec::new(),
            endpoints: BTreeMap::new(),
            places: BTreeMap::new(),
            nodes: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let files = BTreeMap::from([
            (MANIFEST_FILE.to_string(), text.as_bytes().to_vec()),
            ("objects/a.o".to_string(), b"elf".to_vec()),
        ]);
        Bundle { manifest, files }
    }

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        write(&bundle("one"), &out).unwrap();
        fs::write(out.join("stale"), "x").unwrap();
        write(&bundle("two"), &out).unwrap();
        assert_eq!(fs::read(out.join(MANIFEST_FILE)).unwrap(), b"two");
        assert_eq!(listing(&out), [MANIFEST_FILE, "objects"]);
        assert_eq!(listing(dir.path()), ["out"]);
    }

    #[test]
    fn what_is_no_bundle_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("precious"), "x").unwrap();
        let error = write(&bundle("one"), dir.path()).unwrap_err();
        assert!(matches!(error, WriteError::NotABundle(_)), "{error}");
        assert_eq!(listing(dir.path()), ["precious"]);
        let file = dir.path().join("precious");
        assert!(matches!(write(&bundle("one"), &file).unwrap_err(), WriteError::NotABundle(_)));
    }

    #[test]
    fn a_tar_is_the_same_bytes_each_time() {
        assert_eq!(tar(&bundle("one")).unwrap(), tar(&bundle("one")).unwrap());
    }
}
