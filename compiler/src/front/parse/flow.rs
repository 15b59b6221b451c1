//! Ends and ports of flows, as `trace` and tests write them.

use std::collections::BTreeMap;

use super::{Wrong, cidr, dns_label, fqdn, ip_address, label_value, qualified_name};
use crate::front::meta::DEFAULT_NAMESPACE;
use crate::front::objects::{AssumedPod, EndName, PortSpan, Transport};
use ipnet::IpNet;

/// Short words of kinds, as `kubectl` has them.
const KINDS: [(&str, &str); 9] = [
    ("po", "pod"),
    ("deploy", "deployment"),
    ("sts", "statefulset"),
    ("ds", "daemonset"),
    ("rs", "replicaset"),
    ("rc", "replicationcontroller"),
    ("cj", "cronjob"),
    ("pods", "pod"),
    ("deployments", "deployment"),
];

/// `[KIND/]NAMESPACE/NAME`, `labels:k=v,..`, `ip:ADDRESS`, `node:NAME`, `entity:NAME`, `fqdn:NAME`, or `pod:NAMESPACE/NAME`.
pub fn end(text: &str) -> Result<EndName, Wrong> {
    let (kind, rest) = match text.split_once(':') {
        Some((kind @ ("labels" | "ip" | "node" | "entity" | "fqdn" | "pod"), rest)) => (kind, rest),
        // An IPv6 address has colons of its own.
        Some(_) | None => ("", text),
    };
    let offset = text.len() - rest.len();
    let end = match kind {
        "labels" => labels(rest).map(EndName::Labels),
        "ip" => ip_address(rest).map(EndName::Address),
        "node" => match rest {
            "" => Err(Wrong::whole(rest, "the name of the node is missing")),
            name => Ok(EndName::Node(name.to_owned())),
        },
        "entity" => match rest {
            "" => Err(Wrong::whole(rest, "the entity is missing: write entity:world")),
            word => Ok(EndName::Entity(word.to_owned())),
        },
        "fqdn" => fqdn::name(rest).map(EndName::Fqdn),
        _ => object(rest),
    };
    end.map_err(|wrong| Wrong { offset: wrong.offset + offset, ..wrong })
}

/// `cidr:PREFIX`; `None` is none.
pub fn net(text: &str) -> Option<Result<IpNet, Wrong>> {
    let rest = text.strip_prefix("cidr:")?;
    let offset = text.len() - rest.len();
    Some(cidr(rest).map(|cidr| cidr.net.trunc()).map_err(|wrong| Wrong { offset: wrong.offset + offset, ..wrong }))
}

fn object(text: &str) -> Result<EndName, Wrong> {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts.as_slice() {
        [namespace, name] => (None, *namespace, *name),
        [kind, namespace, name] => {
            let kind = kind.to_ascii_lowercase();
            let long = KINDS.iter().find(|(short, _)| *short == kind).map(|(_, long)| (*long).to_owned());
            (Some(long.unwrap_or(kind)), *namespace, *name)
        }
        _ => {
            if let Ok(address) = ip_address(text) {
                return Ok(EndName::Address(address));
            }
            let message = "an end of a flow is `namespace/pod`, `kind/namespace/name`, `labels:key=value`, `ip:address`, \
                           `node:name`, `entity:name` or `fqdn:name`";
            return Err(Wrong::whole(text, message));
        }
    };
    dns_label(namespace).map_err(|wrong| Wrong::whole(text, format!("in the namespace: {}", wrong.message)))?;
    if name.is_empty() {
        return Err(Wrong::whole(text, "the name is missing"));
    }
    Ok(EndName::Object { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

fn labels(text: &str) -> Result<AssumedPod, Wrong> {
    let mut labels = BTreeMap::new();
    let mut namespace = DEFAULT_NAMESPACE.to_owned();
    let mut offset = 0;
    for part in text.split(',') {
        let at = |wrong: Wrong, more: usize| Wrong { offset: wrong.offset + offset + more, ..wrong };
        let Some((key, value)) = part.split_once('=') else {
            return Err(at(Wrong::whole(part, "a label is `key=value`"), 0));
        };
        let value_offset = key.len() + 1;
        if matches!(key, "ns" | "namespace") {
            dns_label(value).map_err(|wrong| at(wrong, value_offset))?;
            value.clone_into(&mut namespace);
        } else {
            qualified_name("", key).map_err(|wrong| at(wrong, 0))?;
            label_value(value).map_err(|wrong| at(wrong, value_offset))?;
            labels.insert(key.to_owned(), value.to_owned());
        }
        offset += part.len() + 1;
    }
    let name = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    Ok(AssumedPod { namespace, name: format!("labels:{name}"), labels })
}

/// `tcp/80`, `80/tcp`, `tcp/80-90`, `tcp` for every port, `80` for TCP; for ICMP the type.
pub fn ports(text: &str) -> Result<PortSpan, Wrong> {
    let (transport, numbers) = match text.split_once('/') {
        Some((left, right)) => match (transport(left), transport(right)) {
            (Some(transport), None) => (transport, right),
            (None, Some(transport)) => (transport, left),
            _ => return Err(Wrong::whole(text, "ports are `tcp/80`, `udp/53`, `sctp/1-10`, `icmp/8` or `icmpv6/128`")),
        },
        None => match transport(text) {
            Some(transport) => {
                return Ok(PortSpan { transport, first: transport.lowest(), last: transport.last() });
            }
            None => (Transport::Tcp, text),
        },
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n <= transport.last());
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(PortSpan { transport, first, last }),
        _ => {
            let message = format!("{numbers:?} is no port or range of {}, 0 to {}", transport.name(), transport.last());
            Err(Wrong::whole(text, message))
        }
    }
}

fn transport(text: &str) -> Option<Transport> {
    Transport::ALL.into_iter().find(|transport| transport.name().eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let object = |kind: Option<&str>| {
            Ok(EndName::Object { kind: kind.map(str::to_owned), namespace: "shop".into(), name: "cart".into() })
        };
        assert_eq!(end("shop/cart"), object(None));
        assert_eq!(end("pod:shop/cart"), object(None));
        assert_eq!(end("deploy/shop/cart"), object(Some("deployment")));
        assert_eq!(end("StatefulSet/shop/cart"), object(Some("statefulset")));
        assert_eq!(end("fd00::1"), Ok(EndName::Address("fd00::1".parse().unwrap())));
        assert_eq!(end("node:n1.eu"), Ok(EndName::Node("n1.eu".into())));
        assert_eq!(end("fqdn:A.io."), Ok(EndName::Fqdn("a.io".into())));
        let Ok(EndName::Labels(pod)) = end("labels:app=x,ns=y") else { panic!("no labels") };
        assert_eq!((pod.namespace.as_str(), pod.labels["app"].as_str()), ("y", "x"));
        for (bad, offset) in [
            ("cart", 0),
            ("a/b/c/d", 0),
            ("Shop/cart", 0),
            ("labels:app", 7),
            ("labels:a=b,c=-", 13),
            ("ip:1.2.x", 7),
            ("node:", 5),
        ] {
            assert_eq!(end(bad).map_err(|wrong| wrong.offset), Err(offset), "{bad}");
        }
    }

    #[test]
    fn ports_in_both_orders() {
        let span = |transport, first, last| Ok(PortSpan { transport, first, last });
        assert_eq!(ports("tcp/80"), span(Transport::Tcp, 80, 80));
        assert_eq!(ports("80-90/UDP"), span(Transport::Udp, 80, 90));
        assert_eq!(ports("443"), span(Transport::Tcp, 443, 443));
        assert_eq!(ports("icmpv6/128"), span(Transport::Icmp6, 128, 128));
        assert_eq!(ports("sctp"), span(Transport::Sctp, 1, 65535));
        for bad in ["tcp/x", "tcp/90-80", "icmp/256", "tcp/udp", "65536", "http/80", ""] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
