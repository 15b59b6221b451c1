//! The cluster as text: `--emit ir`.

use std::fmt::Write;

use super::{
    CidrSource, Cluster, FqdnSelector, L7Rules, Peer, Peers, Port, PortMatch, Ports, ProxyPolicy, Subject, Tier,
    TierPlace, fqdn,
};

/// One line per thing, sorted.
pub fn print(cluster: &Cluster) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(cluster, &mut out);
    out
}

fn write(cluster: &Cluster, out: &mut String) -> std::fmt::Result {
    let labels = |labels: &std::collections::BTreeMap<String, String>| {
        labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
    };
    for (name, l) in &cluster.namespaces {
        writeln!(out, "namespace {name} {{{}}}", labels(l))?;
    }
    for node in &cluster.nodes {
        writeln!(out, "node {} {{{}}} {}", node.name, labels(&node.labels), join(&node.addresses))?;
    }
    for e in &cluster.endpoints {
        write!(out, "endpoint {} {{{}}} sa={}", e.name, labels(&e.labels), e.service_account)?;
        for port in &e.named_ports {
            write!(out, " {}={}/{}", port.name, port.port, port.protocol.word())?;
        }
        if let Some(node) = e.node {
            write!(out, " node={}", cluster.nodes[node.0 as usize].name)?;
        }
        writeln!(out, " {}", join(&e.addresses))?;
    }
    for pod in &cluster.host_pods {
        writeln!(out, "host-pod {}", pod.name)?;
    }
    if !cluster.api_servers.is_empty() {
        writeln!(out, "api-server {}", join(&cluster.api_servers))?;
    }
    for (name, group) in &cluster.cidr_groups {
        writeln!(out, "cidr-group {name} {{{}}} {}", labels(&group.labels), join(&group.prefixes))?;
    }
    for (selector, addresses) in &cluster.fqdn_addresses {
        writeln!(out, "fqdn {} {}", fqdn::text(selector), join(addresses))?;
    }
    for (n, policy) in cluster.policies.iter().enumerate() {
        let subject = match &policy.subject {
            Subject::Endpoints(selector) => format!("endpoints {selector}"),
            Subject::Nodes(selector) => format!("nodes {selector}"),
        };
        let kind = match policy.tier {
            Some(TierPlace { tier: Tier::Admin, priority }) => format!("tier admin priority {priority}"),
            Some(TierPlace { tier: Tier::Baseline, priority }) => format!("tier baseline priority {priority}"),
            None => {
                let deny = policy.default_deny;
                format!("default deny ingress={} egress={}", deny.ingress, deny.egress)
            }
        };
        writeln!(out, "policy {n} {} {} selects {subject}; {kind}", policy.object, policy.path)?;
        for (id, rule) in cluster.rules().filter(|(_, r)| r.policy.0 as usize == n) {
            write!(
                out,
                "  rule {} {} {} {}: {} on {}",
                id.0,
                rule.direction.word(),
                rule.action.word(),
                rule.path,
                peers(&rule.peers),
                ports(&rule.ports)
            )?;
            rule.requires.iter().try_for_each(|selector| write!(out, ", requires [{selector}]"))?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join(",")
}

fn peers(peers: &Peers) -> String {
    match peers {
        Peers::Nobody => "nobody".into(),
        Peers::Everyone => "everyone".into(),
        Peers::AnyOf(list) => list.iter().map(peer).collect::<Vec<_>>().join(" or "),
    }
}

/// One peer, as explanations and texts show it.
pub fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Labels(selector) if selector.requirements.is_empty() => "everyone".into(),
        Peer::Labels(selector) => format!("[{selector}]"),
        Peer::Cidr(cidr) if cidr.except.is_empty() => cidr_source(&cidr.source),
        Peer::Cidr(cidr) => format!("{} except {}", cidr_source(&cidr.source), join(&cidr.except)),
        Peer::Entity(entity) => format!("entity {}", entity.word()),
        Peer::Fqdn(FqdnSelector::Name(name)) => format!("name {name}"),
        Peer::Fqdn(FqdnSelector::Pattern(pattern)) => format!("names {pattern}"),
        Peer::Nodes(selector) => format!("nodes [{selector}]"),
        Peer::Network(net) => format!("network {net}"),
    }
}

fn cidr_source(source: &CidrSource) -> String {
    match source {
        CidrSource::Net(net) => net.to_string(),
        CidrSource::Group(name) => format!("group {name}"),
        CidrSource::Groups(selector) => format!("groups [{selector}]"),
    }
}

fn ports(ports: &Ports) -> String {
    match ports {
        Ports::All => "everything".into(),
        Ports::AnyOf(list) if list.is_empty() => "no port".into(),
        Ports::AnyOf(list) => list.iter().map(port).collect::<Vec<_>>().join(", "),
    }
}

fn port(PortMatch { port, proxy }: &PortMatch) -> String {
    let text = match port {
        Port::Range { protocol: p, first: 0, last: u16::MAX } => format!("any {}", p.word()),
        Port::Range { protocol: p, first, last } if first == last => format!("{first}/{}", p.word()),
        Port::Range { protocol: p, first, last } => format!("{first}-{last}/{}", p.word()),
        Port::Named { protocol: p, name, .. } => format!("{name}/{}", p.word()),
        Port::Icmp(t) => format!("icmp type {t}"),
        Port::NamedAtPeer { name, .. } => format!("{name} of the destination"),
        Port::Icmp6(t) => format!("icmpv6 type {t}"),
    };
    match proxy {
        Some(proxy) => format!("{text} through {}", self::proxy(proxy)),
        None => text,
    }
}

fn proxy(proxy: &ProxyPolicy) -> String {
    let mut words = Vec::new();
    match &proxy.l7 {
        Some(L7Rules::Http(rules)) => words.push(format!("http ({} rules)", rules.len())),
        Some(L7Rules::Kafka(rules)) => words.push(format!("kafka ({} rules)", rules.len())),
        Some(L7Rules::Dns(rules)) => words.push(format!("dns ({} rules)", rules.len())),
        Some(L7Rules::Proto { name, rules }) => words.push(format!("{name} ({} rules)", rules.len())),
        None => {}
    }
    if !proxy.server_names.is_empty() {
        words.push(format!("server names {}", join(&proxy.server_names)));
    }
    if proxy.terminating_tls.is_some() {
        words.push("terminating TLS".into());
    }
    if proxy.originating_tls.is_some() {
        words.push("originating TLS".into());
    }
    if let Some(listener) = &proxy.listener {
        words.push(format!("listener {}", listener.name));
    }
    words.join(" and ")
}
