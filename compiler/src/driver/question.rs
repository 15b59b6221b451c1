//! An analysis for questions: with the pods and the addresses of names that questions are about and the input has not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Analysis, Failure, analyse, understand};
use crate::eval::flow;
use crate::front::FrontOptions;
use crate::ir::{AssumedPod, Cluster, EndName};
use crate::resolve::{Lock, Resolved};
use crate::source::SourceMap;

/// Reads an input for questions about these ends; `pods` are there whatever the input says.
pub fn analyse_for(
    sources: &SourceMap,
    options: &FrontOptions,
    pods: &[AssumedPod],
    ends: &[EndName],
) -> Result<Analysis, Failure> {
    let analysis = analyse(sources, options, Lock::default())?;
    Ok(extend(&analysis, pods, ends)?.unwrap_or(analysis))
}

/// The same for an input that was read; `None` when it has everything.
pub fn extend(analysis: &Analysis, pods: &[AssumedPod], ends: &[EndName]) -> Result<Option<Analysis>, Failure> {
    let mut pods: BTreeMap<(String, String), AssumedPod> =
        pods.iter().map(|pod| ((pod.namespace.clone(), pod.name.clone()), pod.clone())).collect();
    let mut names: BTreeMap<String, IpAddr> = BTreeMap::new();
    let mut unused = unused(&analysis.cluster, &analysis.resolved);
    let known: BTreeSet<&str> = analysis.objects.answers.dns.iter().map(|(name, _)| name.as_str()).collect();
    for end in ends {
        match end {
            EndName::Labels(pod) if flow::find(&analysis.cluster, &[], end).is_err() => {
                let among_pods = pods.values().any(|other| {
                    other.namespace == pod.namespace && pod.labels.iter().all(|(k, v)| other.labels.get(k) == Some(v))
                });
                if !among_pods {
                    pods.insert((pod.namespace.clone(), pod.name.clone()), pod.clone());
                }
            }
            EndName::Fqdn(name) if !known.contains(name.as_str()) && !names.contains_key(name) => {
                let address = unused.next().ok_or_else(too_many)?;
                names.insert(name.clone(), address);
            }
            EndName::Labels(_) | EndName::Fqdn(_) => {}
            EndName::Object { .. } | EndName::Address(_) | EndName::Node(_) | EndName::Entity(_) => {}
        }
    }
    if pods.is_empty() && names.is_empty() {
        return Ok(None);
    }
    let mut objects = analysis.objects.clone();
    objects.assumed = pods.into_values().collect();
    objects.answers.dns.extend(names.into_iter().map(|(name, address)| (name, vec![address])));
    understand(objects, analysis.read.clone(), Lock::default()).map(Some)
}

/// Addresses that nobody has, of a family that is on: they stand for those of names.
pub fn unused<'r>(cluster: &Cluster, resolved: &'r Resolved) -> Box<dyn Iterator<Item = IpAddr> + 'r> {
    let addresses = &resolved.addresses;
    match cluster.options.ipv4 {
        true => Box::new(addresses.unused_ipv4()),
        false => Box::new(addresses.unused_ipv6()),
    }
}

/// There are no more of them.
pub fn too_many() -> Failure {
    Failure::Input("more DNS names than there are addresses to stand for them; ask about fewer".into())
}
