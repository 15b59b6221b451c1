//! A generated cluster of a realistic size and mix, for measurements: the same seed gives the same bytes.
//!
//! Workloads call each other: what calls a workload stands in the policy of its ingress, whom it calls in that of its
//! egress. Both kinds of policy are mixed, with ranges, named ports, prefixes, names, entities, ICMP, L7 and denies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Error, Result};

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Namespaces.
    pub namespaces: usize,
    /// Workloads, dealt to the namespaces one by one.
    pub workloads: usize,
    /// Pods of a workload.
    pub replicas: usize,
    /// Nodes.
    pub nodes: usize,
}

impl Size {
    /// 10 000 pods of 500 workloads, with 1 000 policies.
    pub const LARGE: Self = Self { namespaces: 25, workloads: 500, replicas: 20, nodes: 100 };
}

/// Which of two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Before.
    Old,
    /// After about a dozen edits: ports, callers, prefixes and paths that come and go, a policy less, a workload more.
    New,
}

/// The files of a cluster: name and content.
#[must_use]
pub fn files(seed: u64, size: Size, version: Version) -> BTreeMap<String, String> {
    let cluster = Cluster::new(seed, size, version);
    let mut files = BTreeMap::from([("nodes.yaml".to_owned(), cluster.nodes())]);
    for namespace in 0..size.namespaces {
        let name = namespace_name(namespace);
        files.insert(format!("{name}/workloads.yaml"), cluster.workloads(namespace));
        files.insert(format!("{name}/policies.yaml"), cluster.policies(namespace));
    }
    files
}

/// Writes them below a folder.
pub fn write(folder: &Path, seed: u64, size: Size, version: Version) -> Result<()> {
    for (name, text) in files(seed, size, version) {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|e| Error::io("make", parent, &e))?;
        std::fs::write(&path, text).map_err(|e| Error::io("write", &path, &e))?;
    }
    Ok(())
}

/// What a workload is, by its number: name and port.
const TRADES: [(&str, u16); 6] =
    [("web", 8080), ("api", 8443), ("store", 5432), ("cache", 6379), ("queue", 5672), ("worker", 9000)];
/// Workloads that each one calls.
const CALLS: usize = 3;

struct Cluster {
    size: Size,
    version: Version,
    /// By workload: those it calls, sorted.
    calls: Vec<Vec<usize>>,
    /// By workload: those that call it, sorted.
    callers: Vec<Vec<usize>>,
}

impl Cluster {
    fn new(seed: u64, size: Size, version: Version) -> Self {
        let mut random = Random(seed);
        let mut calls = Vec::with_capacity(size.workloads);
        let mut callers = vec![Vec::new(); size.workloads];
        for caller in 0..size.workloads {
            let mut own: Vec<usize> = (0..CALLS)
                .map(|call| {
                    let any = random.below(size.workloads);
                    // The last call goes anywhere, the others stay in the namespace.
                    let at_home = any - any % size.namespaces + caller % size.namespaces;
                    if call + 1 < CALLS && at_home < size.workloads { at_home } else { any }
                })
                .filter(|called| *called != caller)
                .collect();
            own.sort_unstable();
            own.dedup();
            for called in &own {
                callers[*called].push(caller);
            }
            calls.push(own);
        }
        Self { size, version, calls, callers }
    }

    /// Whether a workload is one of those that the new version edits in one of eight ways.
    fn is_edited(&self, workload: usize, way: usize) -> bool {
        self.version == Version::New && workload % 64 == 8 * way + 3
    }

    fn nodes(&self) -> String {
        let mut out = String::new();
        for node in 0..self.size.nodes {
            document(
                &mut out,
                format_args!(
                    "apiVersion: v1\nkind: Node\nmetadata:\n  name: node-{node}\n  labels:\n    \
                     topology.kubernetes.io/zone: zone-{}\nstatus:\n  addresses:\n  - type: InternalIP\n    \
                     address: 172.18.{}.{}\n",
                    node % 3,
                    node / 200,
                    node % 200 + 10
                ),
            );
        }
        out
    }

    fn of(&self, namespace: usize) -> impl Iterator<Item = usize> {
        (namespace..self.size.workloads).step_by(self.size.namespaces)
    }

    fn workloads(&self, namespace: usize) -> String {
        let mut out = String::new();
        let name = namespace_name(namespace);
        document(
            &mut out,
            format_args!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    \
                 kubernetes.io/metadata.name: {name}\n    team: team-{}\n    stage: {}\n",
                namespace % 7,
                ["prod", "prod", "test"][namespace % 3]
            ),
        );
        for workload in self.of(namespace) {
            self.workload(&mut out, workload);
        }
        if self.version == Version::New && namespace == 3 {
            pod(
                &mut out,
                &Pod { name: "extra-0", namespace: &name, owner: "extra", port: 8080, node: 0 },
                "10.255.0.1",
            );
        }
        out
    }

    fn workload(&self, out: &mut String, workload: usize) {
        let (name, namespace, port) = (name(workload), namespace_name(self.home(workload)), port(workload));
        document(
            out,
            format_args!(
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  \
                 selector:\n    app: {name}\n  ports:\n  - name: main\n    port: 80\n    targetPort: {port}\n"
            ),
        );
        for replica in 0..self.size.replicas {
            let number = workload * self.size.replicas + replica;
            let own = format!("{name}-{replica}");
            let node = number % self.size.nodes;
            let about = Pod { name: &own, namespace: &namespace, owner: &name, port, node };
            pod(out, &about, &format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255));
        }
    }

    fn home(&self, workload: usize) -> usize {
        workload % self.size.namespaces
    }

    fn policies(&self, namespace: usize) -> String {
        let mut out = String::new();
        let name = namespace_name(namespace);
        document(
            &mut out,
            format_args!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: default-deny\n  \
                 namespace: {name}\nspec:\n  podSelector: {{}}\n  policyTypes:\n  - Ingress\n"
            ),
        );
        document(
            &mut out,
            format_args!(
                "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: allow-dns\n  \
                 namespace: {name}\nspec:\n  endpointSelector: {{}}\n  egress:\n  - toEndpoints:\n    \
                 - matchLabels:\n        k8s:io.kubernetes.pod.namespace: {}\n        app: {}\n    toPorts:\n    \
                 - ports:\n      - port: \"53\"\n        protocol: ANY\n      rules:\n        dns:\n        \
                 - matchPattern: \"*\"\n",
                namespace_name(0),
                self::name(0)
            ),
        );
        for workload in self.of(namespace) {
            // One edit is a policy less.
            if !self.is_edited(workload, 0) {
                match workload / self.size.namespaces % 2 {
                    0 => self.ingress_np(&mut out, workload),
                    _ => self.ingress_cnp(&mut out, workload),
                }
            }
            // One workload in ten has no policy of its own for egress.
            match workload / self.size.namespaces % 10 {
                9 => {}
                place if place % 2 == 0 => self.egress_cnp(&mut out, workload),
                _ => self.egress_np(&mut out, workload),
            }
        }
        out
    }

    /// Callers as the policy names them: an edit loses the first.
    fn admitted(&self, workload: usize) -> &[usize] {
        let callers = &self.callers[workload];
        if self.is_edited(workload, 1) { callers.get(1..).unwrap_or_default() } else { callers }
    }

    fn ingress_np(&self, out: &mut String, workload: usize) {
        let mut text = self.np_head(workload, "ingress");
        text += "  policyTypes:\n  - Ingress\n  ingress:\n";
        for &caller in self.admitted(workload) {
            text += "  - from:\n";
            text += &self.np_peer(workload, caller);
            let port = if workload.is_multiple_of(4) { "main".to_owned() } else { port(workload).to_string() };
            let _ = write!(text, "    ports:\n    - port: {port}\n      protocol: TCP\n");
            if self.is_edited(workload, 2) {
                text += "    - port: 9443\n      protocol: TCP\n";
            }
        }
        // Metrics are collected from one namespace.
        let _ = write!(
            text,
            "  - from:\n    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: {}\n    \
             ports:\n    - port: 9100\n      endPort: 9110\n      protocol: TCP\n",
            namespace_name(1)
        );
        document(out, format_args!("{text}"));
    }

    fn egress_np(&self, out: &mut String, workload: usize) {
        let mut text = self.np_head(workload, "egress");
        text += "  policyTypes:\n  - Egress\n  egress:\n";
        for &called in &self.calls[workload] {
            text += "  - to:\n";
            text += &self.np_peer(workload, called);
            let _ = write!(text, "    ports:\n    - port: {}\n      protocol: TCP\n", port(called));
        }
        if workload.is_multiple_of(3) {
            let length = if self.is_edited(workload, 3) { 15 } else { 16 };
            let _ = write!(
                text,
                "  - to:\n    - ipBlock:\n        cidr: 203.{}.0.0/{length}\n        except:\n        \
                 - 203.{}.7.0/24\n    ports:\n    - port: 443\n      protocol: TCP\n",
                workload % 40 * 2,
                workload % 40 * 2
            );
        }
        document(out, format_args!("{text}"));
    }

    fn np_head(&self, workload: usize, suffix: &str) -> String {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}-{suffix}\n  \
             namespace: {}\nspec:\n  podSelector:\n    matchLabels:\n      app: {name}\n",
            namespace_name(self.home(workload)),
            name = name(workload)
        )
    }

    fn np_peer(&self, workload: usize, peer: usize) -> String {
        let pods = format!("podSelector:\n        matchLabels:\n          app: {}\n", name(peer));
        if self.home(workload) == self.home(peer) {
            return format!("    - {pods}");
        }
        let namespace = namespace_name(self.home(peer));
        format!(
            "    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: {namespace}\n      \
             {pods}"
        )
    }

    fn ingress_cnp(&self, out: &mut String, workload: usize) {
        let mut text = self.cnp_head(workload, "ingress");
        text += "  ingress:\n";
        for &caller in self.admitted(workload) {
            text += "  - fromEndpoints:\n";
            text += &self.cnp_peer(caller);
            let _ = write!(
                text,
                "    toPorts:\n    - ports:\n      - port: \"{}\"\n        protocol: TCP\n",
                port(workload)
            );
            if matches!(workload % 8, 0 | 3) {
                let tail = if self.is_edited(workload, 4) { "(/.*)?" } else { "/[0-9]+" };
                let _ = write!(
                    text,
                    "      rules:\n        http:\n        - method: GET\n          path: /v1/{}{tail}\n        \
                     - method: POST|PUT\n          path: /v1/{}\n",
                    name(caller),
                    name(caller)
                );
            }
        }
        let _ = write!(
            text,
            "  - fromEndpoints:\n    - matchLabels:\n        k8s:io.kubernetes.pod.namespace: {}\n    toPorts:\n    \
             - ports:\n      - port: \"9100\"\n        endPort: 9110\n        protocol: TCP\n  - fromEntities:\n    \
             - host\n",
            namespace_name(1)
        );
        if workload.is_multiple_of(6) {
            text += "  - fromEntities:\n    - world\n    toPorts:\n    - ports:\n      - port: \"8080\"\n        protocol: TCP\n";
        }
        if workload % 15 == 1 || self.is_edited(workload, 5) {
            text +=
                "  - fromEntities:\n    - cluster\n    icmps:\n    - fields:\n      - type: 8\n        family: IPv4\n";
        }
        if workload % 20 == 2 {
            text += "  ingressDeny:\n  - fromCIDR:\n    - 198.51.100.0/24\n";
        }
        document(out, format_args!("{text}"));
    }

    fn egress_cnp(&self, out: &mut String, workload: usize) {
        let mut text = self.cnp_head(workload, "egress");
        text += "  egress:\n";
        for &called in &self.calls[workload] {
            text += "  - toEndpoints:\n";
            text += &self.cnp_peer(called);
            let _ =
                write!(text, "    toPorts:\n    - ports:\n      - port: \"{}\"\n        protocol: TCP\n", port(called));
        }
        if workload.is_multiple_of(5) {
            let top = if self.is_edited(workload, 6) { "example.org" } else { "example.com" };
            let _ = write!(
                text,
                "  - toFQDNs:\n    - matchName: {}.{top}\n    - matchPattern: \"*.cdn.{top}\"\n    toPorts:\n    \
                 - ports:\n      - port: \"443\"\n        protocol: TCP\n",
                name(workload)
            );
        }
        if workload.is_multiple_of(7) {
            let _ = write!(
                text,
                "  - toCIDRSet:\n    - cidr: 192.{}.0.0/16\n      except:\n      - 192.{}.8.0/22\n",
                workload % 30 + 20,
                workload % 30 + 20
            );
        }
        if workload.is_multiple_of(25) {
            text += "  - toEntities:\n    - kube-apiserver\n    toPorts:\n    - ports:\n      - port: \"6443\"\n        protocol: TCP\n";
        }
        // Redundant: an edit without effect.
        if self.is_edited(workload, 7)
            && let Some(&called) = self.calls[workload].first()
        {
            text += "  - toEndpoints:\n";
            text += &self.cnp_peer(called);
            let _ =
                write!(text, "    toPorts:\n    - ports:\n      - port: \"{}\"\n        protocol: TCP\n", port(called));
        }
        document(out, format_args!("{text}"));
    }

    fn cnp_head(&self, workload: usize, suffix: &str) -> String {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: {name}-{suffix}\n  \
             namespace: {}\nspec:\n  endpointSelector:\n    matchLabels:\n      app: {name}\n",
            namespace_name(self.home(workload)),
            name = name(workload)
        )
    }

    fn cnp_peer(&self, peer: usize) -> String {
        format!(
            "    - matchLabels:\n        app: {}\n        k8s:io.kubernetes.pod.namespace: {}\n",
            name(peer),
            namespace_name(self.home(peer))
        )
    }
}

struct Pod<'a> {
    name: &'a str,
    namespace: &'a str,
    owner: &'a str,
    port: u16,
    node: usize,
}

fn pod(out: &mut String, pod: &Pod<'_>, address: &str) {
    let Pod { name, namespace, owner, port, node } = pod;
    document(
        out,
        format_args!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  labels:\n    \
             app: {owner}\n    tier: {}\n  ownerReferences:\n  - apiVersion: apps/v1\n    kind: ReplicaSet\n    \
             name: {owner}\n    uid: 0\nspec:\n  nodeName: node-{node}\n  containers:\n  - name: main\n    \
             image: registry.example.com/{owner}:1\n    ports:\n    - name: main\n      containerPort: {port}\n    \
             - name: metrics\n      containerPort: 9102\nstatus:\n  podIP: {address}\n",
            if *port == 8080 { "front" } else { "back" }
        ),
    );
}

fn namespace_name(namespace: usize) -> String {
    format!("ns-{namespace:02}")
}

fn name(workload: usize) -> String {
    format!("{}-{workload:03}", TRADES[workload % TRADES.len()].0)
}

fn port(workload: usize) -> u16 {
    TRADES[workload % TRADES.len()].1
}

fn document(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(out, "---\n{text}");
}

/// SplitMix64: a few lines, and the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(files: &BTreeMap<String, String>, line: &str) -> usize {
        files.values().flat_map(|text| text.lines()).filter(|own| *own == line).count()
    }

    #[test]
    fn the_large_cluster_is_as_large_as_it_says() {
        let files = files(1, Size::LARGE, Version::Old);
        let policies = ["kind: NetworkPolicy", "kind: CiliumNetworkPolicy"].map(|kind| count(&files, kind));
        assert_eq!((count(&files, "kind: Pod"), policies.iter().sum::<usize>()), (10_000, 1_000), "{policies:?}");
        assert!(policies.iter().all(|count| *count > 400), "{policies:?}");
    }

    #[test]
    fn a_seed_is_a_cluster_and_the_new_version_differs_in_little() {
        let of = |seed, version| files(seed, Size::LARGE, version);
        assert_eq!(of(7, Version::Old), of(7, Version::Old));
        assert_ne!(of(7, Version::Old), of(8, Version::Old));
        let (old, new) = (of(7, Version::Old), of(7, Version::New));
        let length = |files: &BTreeMap<String, String>| files.values().map(String::len).sum::<usize>();
        assert_ne!(old, new);
        assert!(length(&old).abs_diff(length(&new)) < 40_000);
    }
}
