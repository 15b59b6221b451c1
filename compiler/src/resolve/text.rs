//! The resolved cluster as text: `--emit resolve`.

use std::fmt::Write;

use super::places::area_text;
use super::{AreaIndex, Enforcement, L4Match, PeerSet, Place, Resolved};
use crate::ir::{Cluster, Direction};

/// One line per thing, sorted.
pub fn print(cluster: &Cluster, resolved: &Resolved) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(cluster, resolved, &mut out);
    out
}

fn write(cluster: &Cluster, resolved: &Resolved, out: &mut String) -> std::fmt::Result {
    let place = |place: &Place| -> String {
        let inside = |area: &AreaIndex| format!(" inside {}", area_text(&resolved.areas[area.0 as usize]));
        place.iter().map(inside).collect()
    };
    for (index, identity) in resolved.identities.iter().filter(|(index, _)| index.0 >= 256) {
        writeln!(out, "identity {index} number {} {}{}", identity.numeric, identity.labels, place(&identity.place))?;
    }
    // A reserved number has an identity of its own in every cluster; a place it has only for some tiers.
    for (index, identity) in resolved.identities.iter().filter(|(index, i)| index.0 < 256 && !i.place.is_empty()) {
        writeln!(out, "identity {index}{}", place(&identity.place))?;
    }
    for (net, index) in resolved.addresses.rows() {
        writeln!(out, "address {net} -> {index}")?;
    }
    for (address, index) in &resolved.host_indices {
        writeln!(out, "own address {address} -> {index}")?;
    }
    for (n, variant) in resolved.variants.iter().enumerate() {
        writeln!(out, "variant {n} host {}", variant.host_labels)?;
    }
    for (node, variant) in cluster.nodes.iter().zip(&resolved.node_variants) {
        writeln!(out, "node {} variant {}", node.name, variant.0)?;
    }
    for (endpoint, numbers) in cluster.endpoints.iter().zip(&resolved.endpoints) {
        let classes: Vec<_> = numbers.classes.iter().map(|(v, c)| format!("{} on variant {}", c.0, v.0)).collect();
        writeln!(out, "endpoint {} identity {} class {}", endpoint.name, numbers.identity, classes.join(", "))?;
    }
    // Without the host firewall hosts have nothing to say.
    let hosts = if cluster.options.host_firewall { resolved.hosts.as_slice() } else { &[] };
    for (n, class) in resolved.classes.iter().enumerate().chain(hosts.iter().enumerate()) {
        match class.is_host() {
            true => writeln!(out, "host of variant {n}")?,
            false => writeln!(out, "class {n} identity {} variant {}", class.identity, class.variant.0)?,
        }
        for direction in Direction::ALL {
            let policy = class.policy(direction);
            let enforcement = match &policy.enforcement {
                Enforcement::Open => "open".to_string(),
                Enforcement::DefaultAllow => "default allow".into(),
                Enforcement::Conflict => "no policy: its rules conflict".into(),
                Enforcement::DefaultDeny(rules) => {
                    format!("default deny by rules {:?}", rules.iter().map(|r| r.0).collect::<Vec<_>>())
                }
            };
            let audit = if policy.audit { ", audited" } else { "" };
            writeln!(out, "  {} {enforcement}{audit}", direction.word())?;
            for (name, tier) in [("admin", &policy.tiers.admin), ("baseline", &policy.tiers.baseline)] {
                for rule in tier {
                    let l4: Vec<String> = rule.l4.iter().map(|l4| self::l4(*l4)).collect();
                    let (action, peers) = (rule.action.word(), peers(&rule.peers));
                    writeln!(out, "    {name} rule {} {action} {peers} {}", rule.rule.0, l4.join(", "))?;
                }
            }
            for filter in &policy.filters {
                let action = filter.action.word();
                let rule = filter.rule.map_or("implicit".into(), |r| format!("rule {}", r.0));
                let peers = peers(&filter.peers);
                write!(out, "    {rule} {action} {peers} {}", l4(filter.l4))?;
                if let Some(attributes) = &filter.attributes {
                    if let Some(redirect) = &attributes.redirect {
                        write!(out, " to {} with priority {}", redirect.parser, redirect.priority)?;
                    }
                    if let Some(auth) = attributes.auth {
                        write!(out, " authentication {}", auth.word())?;
                    }
                }
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

fn peers(peers: &PeerSet) -> String {
    match peers {
        PeerSet::Everyone => "everyone".into(),
        PeerSet::These(list) => format!("{:?}", list.iter().map(|i| i.0).collect::<Vec<_>>()),
    }
}

fn l4(l4: L4Match) -> String {
    match l4 {
        L4Match::All => "everything".into(),
        L4Match::Ports { protocol, first, last } if first == last => format!("{first}/{}", protocol.word()),
        L4Match::Ports { protocol, first, last } => format!("{first}-{last}/{}", protocol.word()),
        L4Match::Icmp(t) => format!("icmp type {t}"),
        L4Match::Icmp6(t) => format!("icmpv6 type {t}"),
    }
}
