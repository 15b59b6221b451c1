//! Manifest and files from what the stages made.

use std::collections::{BTreeMap, BTreeSet};

use ciliumc_abi::manifest::{
    Class, Datapath, Direction, Endpoint, File, IPCACHE_FILE, Identity, Kernel, MANIFEST_FILE, Manifest, Node,
    PROVENANCE_FILE, SCHEMA, Section, TableFile,
};

use super::{Bundle, Input, provenance, rulesets, sha256};
use crate::lower::shape::Shape;
use crate::lower::tables::Tables;
use crate::lower::{LoweredDirection, TablesIndex};

/// Kernel features that every bundle needs.
const KERNEL_FEATURES: [&str; 3] = ["btf", "ringbuf", "tcx"];

/// What cannot happen unless a stage before this one is wrong.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A class needs an object that nobody built.
    #[error("no object was built for the shape {0:?}")]
    MissingObject(Shape),
    /// A document does not serialise.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Puts a bundle together.
pub fn assemble(input: Input<'_>) -> Result<Bundle, AssembleError> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();

    let mut objects = BTreeMap::new();
    let mut object_paths: BTreeMap<Shape, String> = BTreeMap::new();
    for (shape, built) in input.objects {
        let path = format!("objects/{}.o", short_digest(&built.bytes));
        object_paths.insert(shape, path.clone());
        objects.insert(path.clone(), built.entry);
        files.insert(path, built.bytes);
    }

    let mut tables = BTreeMap::new();
    let mut table_paths: BTreeMap<TablesIndex, String> = BTreeMap::new();
    for (n, built) in input.lowered.tables.iter().enumerate() {
        let (entry, bytes) = table_file(built);
        let path = format!("tables/{}.bin", short_digest(&bytes));
        table_paths.insert(TablesIndex(n as u32), path.clone());
        tables.insert(path.clone(), entry);
        files.insert(path, bytes);
    }
    files.insert(IPCACHE_FILE.into(), input.resolved.addresses.records().flat_map(|r| r.to_bytes()).collect());

    let direction = |lowered: &LoweredDirection| {
        let object = object_paths.get(&lowered.shape).ok_or(AssembleError::MissingObject(lowered.shape))?;
        Ok::<_, AssembleError>(Direction {
            object: object.clone(),
            tables: lowered.tables.and_then(|index| table_paths.get(&index).cloned()),
            default_cause: lowered.default_cause,
        })
    };
    let classes = input.resolved.classes.iter().zip(&input.lowered.classes).enumerate();
    let classes = classes.map(|(n, (resolved, lowered))| {
        Ok::<_, AssembleError>(Class {
            id: n as u32,
            identity: resolved.identity,
            variant: resolved.variant.0,
            ingress: direction(&lowered.ingress)?,
            egress: direction(&lowered.egress)?,
        })
    });

    let provenance = provenance::provenance(input.sources, input.cluster, input.lowered);
    files.insert(PROVENANCE_FILE.into(), json(&provenance)?);
    if let Some(document) = rulesets::rulesets(input.lowered) {
        files.insert(rulesets::RULESETS_FILE.into(), json(&document)?);
    }

    let listed = files.iter().map(|(path, bytes)| {
        let file = File { sha256: sha256(bytes), size: bytes.len() as u64 };
        (path.clone(), file)
    });
    let mut manifest = Manifest {
        schema: SCHEMA,
        digest: String::new(),
        compiler: concat!("ciliumc ", env!("CARGO_PKG_VERSION")).into(),
        clang: input.clang,
        kernel: Kernel { features: KERNEL_FEATURES.map(Into::into).to_vec() },
        datapath: Datapath {
            ipv4: input.lowered.node.ipv4,
            ipv6: input.lowered.node.ipv6,
            sctp: input.lowered.node.sctp,
            world_ipv4: input.resolved.addresses.world_ipv4,
            world_ipv6: input.resolved.addresses.world_ipv6,
        },
        maps: input.maps,
        objects,
        tables,
        identities: identities(input.resolved),
        classes: classes.collect::<Result<_, _>>()?,
        endpoints: endpoints(input.cluster, input.resolved),
        places: places(input.cluster, input.resolved),
        nodes: nodes(input.cluster, input.resolved),
        files: listed.collect(),
    };
    manifest.digest = sha256(&serde_json::to_vec(&manifest.unsealed())?);
    files.insert(MANIFEST_FILE.into(), json(&manifest)?);
    Ok(Bundle { manifest, files })
}

/// Content address: enough of the SHA-256 to tell apart all that one bundle can hold.
fn short_digest(bytes: &[u8]) -> String {
    let mut digest = sha256(bytes);
    digest.truncate(32);
    digest
}

fn json(document: &impl serde::Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn table_file(tables: &Tables) -> (TableFile, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut sections = BTreeMap::new();
    for section in tables.sections() {
        let offset = bytes.len() as u64;
        let entry = Section { offset, entries: section.entries, value_size: section.value_size };
        sections.insert(section.name.to_string(), entry);
        bytes.extend(section.bytes);
    }
    (TableFile { sections, actions: tables.actions.len() as u32 }, bytes)
}

fn identities(resolved: &crate::resolve::Resolved) -> Vec<Identity> {
    let identity = |(index, identity): (&ciliumc_abi::identity::IdentityIndex, &crate::resolve::Identity)| Identity {
        index: *index,
        identity: identity.numeric,
        labels: identity.labels.iter().map(ToString::to_string).collect(),
    };
    resolved.identities.iter().map(identity).collect()
}

fn endpoints(cluster: &crate::ir::Cluster, resolved: &crate::resolve::Resolved) -> BTreeMap<String, Endpoint> {
    let endpoints = cluster.endpoints.iter().zip(&resolved.endpoints).map(|(endpoint, numbers)| {
        let entry = Endpoint {
            kind: endpoint.kind.clone(),
            namespace: endpoint.namespace.clone(),
            identity: numbers.identity,
            classes: numbers.classes.iter().map(|(variant, class)| (variant.0, class.0)).collect(),
            node: endpoint.node.map(|node| cluster.nodes[node.0 as usize].name.clone()),
            addresses: endpoint.addresses.iter().copied().collect(),
        };
        (endpoint.name.clone(), entry)
    });
    endpoints.collect()
}

/// Own addresses of nodes and addresses of endpoints whose index is not that of their identity.
fn places(
    cluster: &crate::ir::Cluster,
    resolved: &crate::resolve::Resolved,
) -> BTreeMap<std::net::IpAddr, ciliumc_abi::identity::IdentityIndex> {
    let mut out = resolved.host_indices.clone();
    for (endpoint, numbers) in cluster.endpoints.iter().zip(&resolved.endpoints) {
        let at = |address: &std::net::IpAddr| Some((*address, resolved.addresses.at(*address)?));
        out.extend(endpoint.addresses.iter().filter_map(at).filter(|(_, index)| *index != numbers.identity));
    }
    out
}

fn nodes(cluster: &crate::ir::Cluster, resolved: &crate::resolve::Resolved) -> BTreeMap<String, Node> {
    let nodes = cluster.nodes.iter().zip(&resolved.node_variants).map(|(node, variant)| {
        let addresses: BTreeSet<_> = node.addresses.iter().copied().collect();
        (node.name.clone(), Node { variant: variant.0, addresses: addresses.into_iter().collect() })
    });
    nodes.collect()
}
