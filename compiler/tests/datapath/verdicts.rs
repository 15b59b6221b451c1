//! Policy: every mode, protocol and kind of action; beside each "allowed" a "denied".

use ciliumc::lower::shape::NodeConfig;
use ciliumc_abi::drop_reason::{AUTH_REQUIRED, CT_UNKNOWN_PROTO, NO_PROXY, POLICY_DENIED, POLICY_DENY, UNKNOWN_L3};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{Machine, Policy, Setup};
use crate::policy::*;
use crate::shapes::NODE;

fn l4(proto: u8, port: u16) -> Vec<u8> {
    match proto {
        TCP => tcp(40_000, port, SYN),
        UDP => udp(40_000, port),
        SCTP => sctp(40_000, port),
        _ => icmp(port as u8, 0, 1, &[0; 8]),
    }
}

#[test]
fn open_and_shut() {
    let Some(mut open) = Machine::new(&Setup::new(Policy::AllowAll, Policy::AllowAll)) else { return };
    let Some(mut shut) = Machine::new(&Setup::new(Policy::DenyAll, Policy::DenyAll)) else { return };
    for [pod, peer, _, world] in FAMILIES {
        for proto in [TCP, UDP, SCTP, icmp_of(pod)] {
            for other in [peer, world] {
                assert_eq!(open.sends(&ip(pod, other, proto, &l4(proto, 8))), 0);
                assert_eq!(shut.sends(&ip(pod, other, proto, &l4(proto, 8))), POLICY_DENIED);
                // Another port: the first would be a reply.
                assert_eq!(open.gets(&ip(other, pod, proto, &l4(proto, 9))), 0);
                assert_eq!(shut.gets(&ip(other, pod, proto, &l4(proto, 9))), POLICY_DENIED);
            }
        }
    }
    assert_eq!(shut.conntrack4().len() + shut.conntrack6().len(), 0);
    assert!(open.forwarded(DIRECTION_EGRESS)[0] > 0 && open.forwarded(DIRECTION_INGRESS)[0] > 0);
}

#[test]
fn by_peer_alone() {
    let rules = vec![everything(PEER, ALLOW), everything(OUTSIDE6, DENY)];
    let Some(mut machine) = Machine::new(&Setup::new(Policy::L3Only(rules.clone()), Policy::L3Only(rules))) else {
        return;
    };
    for [pod, peer, other, world] in FAMILIES {
        let denied = if world.is_ipv4() { POLICY_DENIED } else { POLICY_DENY };
        for proto in [TCP, UDP, SCTP, icmp_of(pod)] {
            for (to, reason) in [(peer, 0), (other, POLICY_DENIED), (world, denied)] {
                assert_eq!(machine.sends(&ip(pod, to, proto, &l4(proto, 8))), reason, "{to} {proto}");
                assert_eq!(machine.gets(&ip(to, pod, proto, &l4(proto, 9))), reason, "{to} {proto}");
            }
        }
    }
}

#[test]
fn by_peer_protocol_and_port() {
    let mut rules = Vec::new();
    // The same number in every protocol, and another neighbour in each: none may stand for another.
    for (proto, port) in [(TCP, 8), (UDP, 1032), (SCTP, 65_535), (ICMP, 8), (ICMP6, 128)] {
        rules.push(rule(PEER, proto, port, ALLOW));
    }
    let Some(mut machine) = Machine::new(&Setup::new(Policy::Tables(rules.clone()), Policy::Tables(rules))) else {
        return;
    };
    for [pod, peer, other, world] in FAMILIES {
        let allowed = [(TCP, 8), (UDP, 1032), (SCTP, 65_535), (icmp_of(pod), if pod.is_ipv4() { 8 } else { 128 })];
        for (proto, good) in allowed {
            // The answers to an echo are left out: they pass as replies to what the other direction lets in.
            let others = [7, 8, 9, 13, 130, 128, 1031, 1032, 1033, 65_534, 65_535];
            for port in others.into_iter().filter(|port| *port < 256 || !matches!(proto, ICMP | ICMP6)) {
                let reason = if port == good { 0 } else { POLICY_DENIED };
                assert_eq!(machine.sends(&ip(pod, peer, proto, &l4(proto, port))), reason, "{proto} {port}");
                assert_eq!(machine.gets(&ip(peer, pod, proto, &l4(proto, port))), reason, "{proto} {port}");
                for nobody in [other, world] {
                    assert_eq!(machine.sends(&ip(pod, nobody, proto, &l4(proto, port))), POLICY_DENIED);
                    assert_eq!(machine.gets(&ip(nobody, pod, proto, &l4(proto, port))), POLICY_DENIED);
                }
            }
        }
    }
}

#[test]
fn every_kind_of_action() {
    let rules = [
        (1, ALLOW, 0),
        (2, DENY, POLICY_DENY),
        (3, REDIRECT, NO_PROXY),
        (4, AUTH, AUTH_REQUIRED),
        (5, AUDITED, 0),
        (6, MISSING, POLICY_DENIED),
        (7, DEFAULT_DENY, POLICY_DENIED),
    ];
    let policy = Policy::Tables(rules.map(|(port, action, _)| rule(PEER, UDP, port, action)).to_vec());
    let setup = Setup::new(policy.clone(), policy);
    let Some(mut strict) = Machine::new(&setup) else { return };
    let Some(mut lenient) = Machine::new(&Setup { audit: true, ..setup }) else { return };
    for [pod, peer, ..] in FAMILIES {
        for (port, action, reason) in rules {
            let (sent, got) = (udp_frame(pod, 1000, peer, port), udp_frame(peer, 1000, pod, port));
            assert_eq!((strict.sends(&sent), strict.gets(&got)), (reason, reason), "action {action}");
            // Audit mode forgives policy, and cannot make a proxy.
            let audited = if reason == NO_PROXY { NO_PROXY } else { 0 };
            assert_eq!((lenient.sends(&sent), lenient.gets(&got)), (audited, audited), "action {action}");
        }
    }
    assert_eq!(strict.egress_counter(u32::from(ALLOW)), [2, 28 + 48]);
    assert_eq!(strict.egress_counter(u32::from(DENY)), [2, 28 + 48]);
}

#[test]
fn an_unknown_identity_is_denied_even_by_rules_for_everyone_else() {
    let rules = vec![everything(OTHERS, ALLOW), everything(PEER, DENY)];
    for policy in [Policy::L3Only(rules.clone()), Policy::Tables(rules)] {
        let Some(mut machine) = Machine::new(&Setup::new(policy.clone(), policy)) else { return };
        let families =
            [[POD4, OTHER4, WORLD4, PEER4, STRANGER4, BEYOND4], [POD6, OTHER6, WORLD6, PEER6, STRANGER6, BEYOND6]];
        for [pod, other, world, peer, stranger, beyond] in families {
            let reasons =
                [(other, 0), (world, 0), (peer, POLICY_DENY), (stranger, POLICY_DENIED), (beyond, POLICY_DENIED)];
            for (address, reason) in reasons {
                assert_eq!(machine.sends(&udp_frame(pod, 1, address, 2)), reason, "{address}");
                assert_eq!(machine.gets(&udp_frame(address, 1, pod, 2)), reason, "{address}");
            }
        }
    }
}

#[test]
fn what_is_switched_off_is_unknown() {
    let open = Setup::new(Policy::AllowAll, Policy::AllowAll);
    let Some(mut only6) = Machine::new(&Setup { node: NodeConfig { ipv4: false, ..NODE }, ..open.clone() }) else {
        return;
    };
    assert_eq!(only6.sends(&udp_frame(POD4, 1, PEER4, 1)), UNKNOWN_L3);
    assert_eq!(only6.gets(&udp_frame(PEER4, 1, POD4, 1)), UNKNOWN_L3);
    assert_eq!(only6.gets(&arp([10, 1, 0, 9].into(), [10, 1, 0, 5].into())), UNKNOWN_L3);
    assert_eq!(only6.sends(&udp_frame(POD6, 1, PEER6, 1)), 0);

    let node = NodeConfig { ipv6: false, sctp: false, ..NODE };
    let Some(mut only4) = Machine::new(&Setup { node, ..open }) else { return };
    assert_eq!(only4.sends(&udp_frame(POD6, 1, PEER6, 1)), UNKNOWN_L3);
    assert_eq!(only4.sends(&udp_frame(POD4, 1, PEER4, 1)), 0);
    assert_eq!(only4.sends(&ip(POD4, PEER4, SCTP, &sctp(1, 1))), CT_UNKNOWN_PROTO);
    assert_eq!(only4.gets(&ip(PEER4, POD4, SCTP, &sctp(1, 1))), CT_UNKNOWN_PROTO);
}
