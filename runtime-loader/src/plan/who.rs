//! Which class an endpoint has, by its name in the bundle or by its labels.

use std::net::IpAddr;

use ciliumc_abi::manifest::Class;

use super::Scene;
use crate::labels::Labels;
use crate::state::{Endpoint, KnownBy};

/// The class of an endpoint on this node; the error says why the bundle has none.
pub fn class<'a>(scene: &Scene<'a>, known_by: &KnownBy) -> Result<&'a Class, String> {
    let bundle = scene.bundle;
    match known_by {
        KnownBy::Name(name) => {
            let endpoint = bundle.endpoint(name).ok_or_else(|| unknown_name(scene, name))?;
            bundle.class(endpoint, scene.variant()).ok_or_else(|| {
                format!("the bundle has no policy for `{name}` on this node (variant {})", scene.variant())
            })
        }
        KnownBy::Labels(labels) => by_labels(scene, labels),
    }
}

/// The addresses that the bundle gives an endpoint.
pub fn addresses<'a>(scene: &Scene<'a>, known_by: &KnownBy) -> &'a [IpAddr] {
    match known_by {
        KnownBy::Name(name) => scene.bundle.endpoint(name).map_or(&[], |entry| entry.addresses.as_slice()),
        KnownBy::Labels(_) => &[],
    }
}

/// Endpoints of one identity differ in their policy when they differ in their named ports, which labels do not tell.
fn by_labels<'a>(scene: &Scene<'a>, labels: &Labels) -> Result<&'a Class, String> {
    let manifest = &scene.bundle.manifest;
    let identity = labels.find(manifest)?;
    let here = |class: &&Class| class.identity == identity.index && class.variant == scene.variant();
    let mut classes = manifest.classes.iter().filter(here);
    let first = classes.next().ok_or_else(|| format!("no endpoint of the bundle has the labels {labels}"))?;
    match classes.find(|class| (&class.ingress, &class.egress) != (&first.ingress, &first.egress)) {
        None => Ok(first),
        Some(_) => Err(format!(
            "the policy of the labels {labels} depends on the endpoint's named ports; give its workload with --endpoint"
        )),
    }
}

fn unknown_name(scene: &Scene<'_>, name: &str) -> String {
    let known: Vec<_> = scene.bundle.manifest.endpoints.keys().take(8).map(String::as_str).collect();
    let more = scene.bundle.manifest.endpoints.len().saturating_sub(known.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("the bundle has no endpoint `{name}`; it has {}{more}", known.join(", "))
}

/// Identity index in this bundle of an endpoint, whichever bundle its programs are from: that of its class, or that of
/// the labels that its own bundle gave it, or 0, which is denied wherever anything is enforced.
pub fn index(scene: &Scene<'_>, record: &Endpoint) -> u32 {
    if let Ok(class) = class(scene, &record.known_by) {
        return class.identity.0;
    }
    let old = scene.snapshot.generations.get(&record.generation).and_then(|seen| seen.documents.as_ref());
    let own = old.and_then(|old| old.manifest.identities.iter().find(|i| i.identity.0 == record.identity));
    let same = own.and_then(|own| Labels::of(own).find(&scene.bundle.manifest).ok());
    same.map_or(0, |identity| identity.index.0)
}
