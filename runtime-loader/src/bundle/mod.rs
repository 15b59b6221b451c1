//! A bundle, read and checked.
//!
//! In: the bytes of a folder or archive. Out: a [`Bundle`] in which every byte is what the compiler wrote and every
//! reference leads somewhere. Nothing but the manifest is parsed before all digests are right: the ELF reader may
//! panic on a damaged object.

mod check;
pub mod tar;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ciliumc_abi::ipcache::{RECORD_LEN, Record};
use ciliumc_abi::manifest::{self, Class, Direction, Endpoint, Manifest, Section};
use ciliumc_abi::provenance::Provenance;
use sha2::{Digest, Sha256};

use crate::gather::gather;
use crate::state::Documents;
use crate::sys::files::{self, Tree};

/// A bundle whose digests and references are right.
#[derive(Debug)]
pub struct Bundle {
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// SHA-256 of the manifest, which holds the digests of all else: the name of the bundle.
    pub digest: String,
    /// The addresses that every node knows.
    pub records: Arc<[Record]>,
    files: Files,
}

/// Where the bytes are.
#[derive(Debug)]
enum Files {
    /// All in memory.
    Read(BTreeMap<String, Vec<u8>>),
    /// In a folder of the node's state, each read and checked when it is first asked for.
    Stored(PathBuf, BTreeMap<String, OnceCell<Vec<u8>>>),
}

/// Why a bundle is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("cannot read the bundle `{path}`: {source}")]
    Read {
        /// The bundle.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive is damaged.
    #[error("bundle refused: the archive is damaged: {0}; copy it again or rebuild it with `ciliumc build`")]
    Archive(String),
    /// A file that the manifest lists is not there.
    #[error("bundle refused: `{path}` is missing; copy the bundle again or rebuild it with `ciliumc build`")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file that the manifest does not list.
    #[error("bundle refused: `{path}` is not in the manifest; a bundle holds nothing else: remove the file")]
    Unlisted {
        /// The file.
        path: String,
    },
    /// A link, device or the like.
    #[error("bundle refused: `{path}` is not a plain file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// A path that leads out of the bundle.
    #[error("bundle refused: path `{path}` is not a plain relative path")]
    PathEscape {
        /// The path.
        path: String,
    },
    /// The bytes are not those that the compiler wrote.
    #[error(
        "bundle refused: `{path}` is damaged: it has {found}, the manifest says {expected}; \
         copy the bundle again or rebuild it with `ciliumc build`"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Size or digest that it has.
        found: String,
        /// Size or digest that it must have.
        expected: String,
    },
    /// Another format version.
    #[error(
        "bundle refused: its format is version {found}, this loader reads version {expected}; rebuild the bundle or update the loader"
    )]
    Schema {
        /// Version of the bundle.
        found: u64,
        /// Version of the loader.
        expected: u32,
    },
    /// A document that cannot be read.
    #[error(
        "bundle refused: `{path}` cannot be read: {message}; copy the bundle again or rebuild it with `ciliumc build`"
    )]
    Malformed {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// Right bytes with a wrong meaning.
    #[error("bundle refused: {0}")]
    Inconsistent(String),
}

impl Bundle {
    /// Reads a bundle, folder or archive.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let tree = files::read_tree(path).map_err(|source| BundleError::Read { path: path.to_owned(), source })?;
        match tree {
            Tree::File(bytes) => Self::from_files(tar::files(&bytes)?),
            Tree::Folder { files, strange } => match strange.into_iter().next() {
                Some(path) => Err(BundleError::NotAFile { path }),
                None => Self::from_files(files),
            },
        }
    }

    /// Checks the files of a bundle: digests first, then meaning.
    pub fn from_files(files: BTreeMap<String, Vec<u8>>) -> Result<Self, BundleError> {
        let text = bytes_of(&files, manifest::MANIFEST_FILE)?;
        let digest = sha256_hex(text);
        let manifest = read_manifest(text)?;
        check_seal(&manifest, text)?;
        check_files(&manifest, &files)?;
        check::manifest(&manifest)?;

        let provenance: Provenance = json(manifest::PROVENANCE_FILE, bytes_of(&files, manifest::PROVENANCE_FILE)?)?;
        check::provenance(&provenance)?;
        let records = records(bytes_of(&files, manifest::IPCACHE_FILE)?)?.into();
        Ok(Self { manifest: Arc::new(manifest), digest, records, files: Files::Read(files) })
    }

    /// The bundle of a published generation, of which the node keeps what its endpoints may need.
    pub fn stored(documents: &Documents, folder: PathBuf) -> Result<Self, BundleError> {
        check::manifest(&documents.manifest)?;
        let cells = gather(documents.manifest.files.keys().map(|path| (path.clone(), OnceCell::new())));
        Ok(Self {
            manifest: documents.manifest.clone(),
            digest: documents.generation.bundle.clone(),
            records: documents.records.clone(),
            files: Files::Stored(folder, cells),
        })
    }

    /// A file, by its path in the manifest.
    pub fn file(&self, path: &str) -> Result<&[u8], BundleError> {
        match &self.files {
            Files::Read(files) => bytes_of(files, path),
            Files::Stored(folder, cells) => {
                let cell = cells.get(path).ok_or_else(|| BundleError::Missing { path: path.to_owned() })?;
                if let Some(bytes) = cell.get() {
                    return Ok(bytes);
                }
                check::path(path)?;
                let full = folder.join(path);
                let read = files::read_optional(&full);
                let read = read.map_err(|source| BundleError::Read { path: full, source })?;
                let bytes = read.ok_or_else(|| BundleError::Missing { path: path.to_owned() })?;
                check_file(&self.manifest, path, &bytes)?;
                Ok(cell.get_or_init(|| bytes))
            }
        }
    }

    /// Paths of what endpoints on nodes of a variant may need: objects and tables.
    pub fn needed(&self, variant: u32) -> BTreeSet<&str> {
        let classes = self.manifest.classes.iter().filter(|class| class.variant == variant);
        let directions = classes.flat_map(|class| [&class.ingress, &class.egress]);
        gather(directions.flat_map(|one| [Some(one.object.as_str()), one.tables.as_deref()]).flatten())
    }

    /// One table of a table file, with its place.
    pub fn table(&self, file: &str, map: &str) -> Result<(Section, &[u8]), BundleError> {
        let section = self.manifest.tables.get(file).and_then(|table| table.sections.get(map));
        let Some(section) = section else {
            return Err(BundleError::Inconsistent(format!("`{file}` has no table `{map}`")));
        };
        let first = section.offset as usize;
        let bytes = self.file(file)?.get(first..first + section.entries as usize * section.value_size as usize);
        let bytes = bytes.ok_or_else(|| BundleError::Inconsistent(format!("table `{map}` leaves `{file}`")))?;
        Ok((*section, bytes))
    }

    /// Name of the published form of a table file: its bytes and where its tables lie in them.
    pub fn class_digest(&self, file: &str) -> Result<String, BundleError> {
        let mut hash = Sha256::new();
        hash.update(self.file(file)?);
        for (name, section) in self.manifest.tables.get(file).into_iter().flat_map(|table| &table.sections) {
            hash.update(format!("\n{name} {} {} {}", section.offset, section.entries, section.value_size));
        }
        let mut digest = manifest::hex(&hash.finalize());
        // 128 bits; the whole digest makes pin paths unreadable.
        digest.truncate(32);
        Ok(digest)
    }

    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.manifest.endpoints.get(name)
    }

    /// Class of an endpoint on nodes of a variant.
    pub fn class(&self, endpoint: &Endpoint, variant: u32) -> Option<&Class> {
        self.manifest.classes.get(*endpoint.classes.get(&variant)? as usize)
    }
}

impl Bundle {
    /// Counters of an endpoint in a class direction: its actions, one where no table decides.
    pub fn counters(&self, direction: &Direction) -> u32 {
        let tables = direction.tables.as_ref().and_then(|file| self.manifest.tables.get(file));
        tables.map_or(1, |tables| tables.actions.max(1))
    }
}

/// SHA-256 as the manifest writes it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    manifest::hex(&Sha256::digest(bytes))
}

fn bytes_of<'a>(files: &'a BTreeMap<String, Vec<u8>>, path: &str) -> Result<&'a [u8], BundleError> {
    files.get(path).map(Vec::as_slice).ok_or_else(|| BundleError::Missing { path: path.to_owned() })
}

fn json<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, BundleError> {
    serde_json::from_slice(bytes)
        .map_err(|error| BundleError::Malformed { path: path.to_owned(), message: error.to_string() })
}

/// The manifest is the bytes that its content makes, and its digest is that of its content.
fn check_seal(manifest: &Manifest, text: &[u8]) -> Result<(), BundleError> {
    let malformed = |error: serde_json::Error| BundleError::Malformed {
        path: manifest::MANIFEST_FILE.to_owned(),
        message: error.to_string(),
    };
    let damaged = |found: String, expected: String| {
        Err(BundleError::Damaged { path: manifest::MANIFEST_FILE.to_owned(), found, expected })
    };
    let digest = sha256_hex(&serde_json::to_vec(&manifest.unsealed()).map_err(malformed)?);
    if digest != manifest.digest {
        return damaged(format!("digest {digest}"), format!("digest {}", manifest.digest));
    }
    // A byte that changes no meaning is damage all the same: nobody but the compiler writes this file.
    let mut canonical = serde_json::to_vec_pretty(manifest).map_err(malformed)?;
    canonical.push(b'\n');
    if canonical != text {
        return damaged("other white space or order".to_owned(), "the compiler's own bytes".to_owned());
    }
    Ok(())
}

fn read_manifest(text: &[u8]) -> Result<Manifest, BundleError> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema: u64,
    }
    // The version alone first: another version may have other fields.
    let Version { schema } = json(manifest::MANIFEST_FILE, text)?;
    if schema != u64::from(manifest::SCHEMA) {
        return Err(BundleError::Schema { found: schema, expected: manifest::SCHEMA });
    }
    json(manifest::MANIFEST_FILE, text)
}

/// Every listed file is there with its size and digest, and no other.
fn check_files(manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>) -> Result<(), BundleError> {
    for path in manifest.files.keys() {
        check::path(path)?;
        check_file(manifest, path, bytes_of(files, path)?)?;
    }
    match files.keys().find(|path| *path != manifest::MANIFEST_FILE && !manifest.files.contains_key(*path)) {
        Some(path) => Err(BundleError::Unlisted { path: path.clone() }),
        None => Ok(()),
    }
}

/// The bytes of a file are those that the manifest lists.
fn check_file(manifest: &Manifest, path: &str, bytes: &[u8]) -> Result<(), BundleError> {
    let listed = manifest.files.get(path).ok_or_else(|| BundleError::Unlisted { path: path.to_owned() })?;
    // The manifest's own digest leaves this entry out, so either side of the comparison may be the damaged one.
    let named = match path {
        manifest::PROVENANCE_FILE => format!("{path} (or its entry in {})", manifest::MANIFEST_FILE),
        _ => path.to_owned(),
    };
    let damaged = |found, expected| Err(BundleError::Damaged { path: named, found, expected });
    if bytes.len() as u64 != listed.size {
        return damaged(format!("{} bytes", bytes.len()), format!("{} bytes", listed.size));
    }
    let found = sha256_hex(bytes);
    if found != listed.sha256 {
        return damaged(format!("SHA-256 {found}"), format!("SHA-256 {}", listed.sha256));
    }
    Ok(())
}

/// Reads the records of [`manifest::IPCACHE_FILE`].
pub fn records(bytes: &[u8]) -> Result<Vec<Record>, BundleError> {
    let malformed = |message| BundleError::Malformed { path: manifest::IPCACHE_FILE.to_owned(), message };
    let (records, rest) = bytes.as_chunks::<RECORD_LEN>();
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes are no whole number of records", bytes.len())));
    }
    let read = records.iter().enumerate();
    read.map(|(at, bytes)| Record::from_bytes(bytes).ok_or_else(|| malformed(format!("record {at} is no prefix"))))
        .collect()
}

#[cfg(test)]
mod tests;
