//! A bundle read back, from its folder or archive, for analyses. The loader has a reader of its own, which trusts less.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ciliumc_abi::action::Action;
use ciliumc_abi::ipcache::{RECORD_LEN, Record};
use ciliumc_abi::manifest::{self, Direction, IPCACHE_FILE, MANIFEST_FILE, Manifest, PROVENANCE_FILE};
use ciliumc_abi::names;
use ciliumc_abi::provenance::Provenance;
use serde::de::DeserializeOwned;

use super::{Bundle, rulesets, rulesets_read, sha256};
use crate::lower::shape::CellWidth;
use crate::lower::tables::Tables;
use crate::resolve::Ruleset;

/// A bundle whose digests are right.
#[derive(Debug)]
pub struct Opened {
    /// Where it was.
    pub path: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// Rules and causes.
    pub provenance: Provenance,
    /// L7 rule sets. The first has number 1.
    pub rulesets: Vec<Arc<Ruleset>>,
    /// Addresses that every node knows.
    pub records: Vec<Record>,
    files: BTreeMap<String, Vec<u8>>,
}

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("{}: cannot be read: {error}; check the path", path.display())]
    Io {
        /// The bundle.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not the bytes that the compiler wrote.
    #[error("{}: `{file}` {problem}; build the bundle again", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// Which of its files.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

/// Whether a path is a bundle rather than manifests: a folder with a manifest of ours, or an archive.
pub fn is_bundle(path: &Path) -> bool {
    path.join(MANIFEST_FILE).is_file() || path.is_file() && path.extension().is_some_and(|extension| extension == "tar")
}

/// Reads a bundle. Digests are compared before anything but the manifest is looked at.
pub fn open(path: &Path) -> Result<Opened, ReadError> {
    let io = |error| ReadError::Io { path: path.to_owned(), error };
    let files = if path.is_dir() { folder(path) } else { archive(path) }.map_err(io)?;
    let ctx = Ctx { path, files: &files };
    let manifest = ctx.manifest()?;
    for (file, listed) in &manifest.files {
        let bytes = ctx.file(file)?;
        if bytes.len() as u64 != listed.size || sha256(bytes) != listed.sha256 {
            return Err(ctx.damaged(file, "is not what the manifest says"));
        }
    }
    let provenance: Provenance = ctx.json(PROVENANCE_FILE)?;
    let rules = provenance.rules.len();
    if provenance.causes.iter().flatten().any(|rule| *rule as usize >= rules) {
        return Err(ctx.damaged(PROVENANCE_FILE, "has a cause without its rule"));
    }
    let rulesets = match files.get(rulesets::RULESETS_FILE) {
        Some(bytes) => rulesets_read::read(bytes).map_err(|problem| ctx.damaged(rulesets::RULESETS_FILE, &problem))?,
        None => Vec::new(),
    };
    let (records, rest) = ctx.file(IPCACHE_FILE)?.as_chunks::<RECORD_LEN>();
    let records: Option<Vec<Record>> = records.iter().map(Record::from_bytes).collect();
    let records = records.filter(|_| rest.is_empty());
    let records = records.ok_or_else(|| ctx.damaged(IPCACHE_FILE, "has a record that is no prefix"))?;
    Ok(Opened { path: path.to_owned(), manifest, provenance, rulesets, records, files })
}

impl Opened {
    /// The bundle as it was written.
    pub fn into_bundle(self) -> Bundle {
        Bundle { manifest: self.manifest, files: self.files }
    }

    /// The tables of one direction of a class; `None` where its object reads none.
    pub fn tables(&self, direction: &Direction) -> Result<Option<Tables>, ReadError> {
        let Some(file) = &direction.tables else { return Ok(None) };
        let ctx = Ctx { path: &self.path, files: &self.files };
        let damaged = || self.damaged_tables(direction);
        let bytes = ctx.file(file)?;
        let sections = &self.manifest.tables.get(file).ok_or_else(damaged)?.sections;
        let section = |name| -> Result<(CellWidth, &[u8]), ReadError> {
            let Some(section) = sections.get(name) else { return Ok((CellWidth::U8, &[])) };
            let length = u64::from(section.entries) * u64::from(section.value_size);
            let range = section.offset as usize..section.offset.saturating_add(length) as usize;
            let width = if section.value_size == 256 { CellWidth::U8 } else { CellWidth::U16 };
            Ok((width, bytes.get(range).ok_or_else(damaged)?))
        };
        let cells = |name| -> Result<(CellWidth, Vec<u16>), ReadError> {
            let (width, bytes) = section(name)?;
            let cells = match width {
                CellWidth::U8 => bytes.iter().map(|byte| u16::from(*byte)).collect(),
                CellWidth::U16 => bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
            };
            Ok((width, cells))
        };
        let (row_width, id_row) = cells(names::ID_ROW)?;
        let (class_width, port_class) = cells(names::PORT_CLASS)?;
        let (action_width, verdict) = cells(names::VERDICT)?;
        let actions: Vec<Action> = section(names::ACTIONS)?.1.as_chunks().0.iter().map(Action::from_bytes).collect();
        if actions.is_empty() {
            return Err(damaged());
        }
        let class_shift = self.define(direction, "CLASS_SHIFT").filter(|shift| *shift <= 16).ok_or_else(damaged)?;
        Ok(Some(Tables { id_row, port_class, verdict, actions, row_width, class_width, action_width, class_shift }))
    }

    /// The tables of a direction are not what its object reads.
    pub fn damaged_tables(&self, direction: &Direction) -> ReadError {
        let ctx = Ctx { path: &self.path, files: &self.files };
        let file = direction.tables.as_deref().unwrap_or(MANIFEST_FILE);
        ctx.damaged(file, "does not hold the tables that the manifest describes")
    }

    /// A number that the object of a direction was built with.
    pub fn define(&self, direction: &Direction, name: &str) -> Option<u32> {
        self.manifest.objects.get(&direction.object)?.shape.get(name)?.parse().ok()
    }
}

struct Ctx<'a> {
    path: &'a Path,
    files: &'a BTreeMap<String, Vec<u8>>,
}

impl Ctx<'_> {
    fn damaged(&self, file: &str, problem: &str) -> ReadError {
        ReadError::Damaged { path: self.path.to_owned(), file: file.to_owned(), problem: problem.to_owned() }
    }

    fn file(&self, file: &str) -> Result<&[u8], ReadError> {
        self.files.get(file).map(Vec::as_slice).ok_or_else(|| self.damaged(file, "is missing"))
    }

    fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T, ReadError> {
        serde_json::from_slice(self.file(file)?)
            .map_err(|error| self.damaged(file, &format!("cannot be read: {error}")))
    }

    /// The version first: another one may have other fields.
    fn manifest(&self) -> Result<Manifest, ReadError> {
        #[derive(serde::Deserialize)]
        struct Version {
            schema: u32,
        }
        let Version { schema } = self.json(MANIFEST_FILE)?;
        if schema != manifest::SCHEMA {
            let problem = format!("has version {schema} of the format, this program reads {}", manifest::SCHEMA);
            return Err(self.damaged(MANIFEST_FILE, &problem));
        }
        let manifest: Manifest = self.json(MANIFEST_FILE)?;
        let sealed = serde_json::to_vec(&manifest.unsealed()).map(|bytes| sha256(&bytes));
        if !sealed.is_ok_and(|digest| digest == manifest.digest) {
            return Err(self.damaged(MANIFEST_FILE, "is not what its digest says"));
        }
        Ok(manifest)
    }
}

/// The plain files below a folder.
fn folder(root: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let kind = fs::symlink_metadata(&path)?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn archive(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(fs::File::open(path)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(name, bytes);
        }
    }
    Ok(files)
}
