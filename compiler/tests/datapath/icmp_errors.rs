//! ICMP errors: those about a flow of the endpoint pass under every policy, no others do.

use std::net::IpAddr;

use ciliumc::lower::shape::NodeConfig;
use ciliumc_abi::drop_reason::POLICY_DENIED;

use crate::frames::*;
use crate::machine::{Machine, Policy, Setup};
use crate::policy::*;
use crate::shapes::NODE;

/// "Destination unreachable" and "time exceeded" of both families, and IPv6's "packet too big".
fn errors(family: IpAddr) -> &'static [(u8, u8)] {
    if family.is_ipv4() { &[(3, 1), (3, 4), (11, 0), (12, 0)] } else { &[(1, 0), (2, 0), (3, 0), (4, 0)] }
}

fn strict() -> NodeConfig {
    NodeConfig { allow_icmp_frag_needed: false, ..NODE }
}

fn client() -> Setup {
    let rules = [(TCP, 80), (UDP, 80), (SCTP, 80), (ICMP, 8), (ICMP6, 128)];
    let egress = Policy::Tables(rules.map(|(proto, port)| rule(PEER, proto, port, ALLOW)).to_vec());
    Setup { node: strict(), ..Setup::new(egress, Policy::DenyAll) }
}

#[test]
fn an_error_about_a_flow_passes_from_any_router() {
    for [pod, peer, other, router] in FAMILIES {
        let Some(mut machine) = Machine::new(&client()) else { return };
        let flows = [
            (TCP, tcp(1000, 80, SYN)),
            (UDP, udp(1000, 80)),
            (SCTP, sctp(1000, 80)),
            (icmp_of(pod), echo(pod, false, 7)),
        ];
        for (proto, l4) in flows {
            let sent = packet(pod, peer, proto, &l4);
            for &(kind, code) in errors(pod) {
                let error = error_frame(router, pod, kind, code, &sent);
                assert_eq!(machine.gets(&error), POLICY_DENIED, "{proto}: before the flow");
            }
            assert_eq!(machine.sends(&frame(&sent)), 0);
            // What an error must quote, and no more.
            let quoted = &sent[..sent.len().min(if pod.is_ipv4() { 28 } else { 48 })];
            for &(kind, code) in errors(pod) {
                assert_eq!(machine.gets(&error_frame(router, pod, kind, code, quoted)), 0, "{proto} {kind}");
                let short = &quoted[..quoted.len() - 1];
                assert_eq!(machine.gets(&error_frame(router, pod, kind, code, short)), POLICY_DENIED);
                let foreign = packet(pod, other, proto, &l4);
                assert_eq!(machine.gets(&error_frame(router, pod, kind, code, &foreign)), POLICY_DENIED);
                let backwards = packet(peer, pod, proto, &l4);
                assert_eq!(machine.gets(&error_frame(router, pod, kind, code, &backwards)), POLICY_DENIED);
            }
            assert_eq!(machine.gets(&error_frame(router, pod, 5, 0, quoted)), POLICY_DENIED, "a redirect");
        }
        machine.expire_all();
        let (kind, code) = errors(pod)[0];
        let old = packet(pod, peer, UDP, &udp(1000, 80));
        assert_eq!(machine.gets(&error_frame(router, pod, kind, code, &old)), POLICY_DENIED);
    }
}

#[test]
fn an_error_about_another_endpoints_flow_is_not_ours() {
    for [pod, peer, other, router] in FAMILIES {
        let Some(mut machine) = Machine::new(&client()) else { return };
        let sent = packet(pod, peer, UDP, &udp(1000, 80));
        assert_eq!(machine.sends(&frame(&sent)), 0);
        let (kind, code) = errors(pod)[0];
        assert_eq!(machine.gets(&error_frame(router, other, kind, code, &sent)), POLICY_DENIED);
        assert_eq!(machine.gets(&error_frame(router, pod, kind, code, &sent)), 0);
    }
}

#[test]
fn the_endpoint_may_complain_about_what_it_got() {
    let ingress = Policy::Tables(vec![rule(PEER, UDP, 53, ALLOW)]);
    for [pod, peer, ..] in FAMILIES {
        let setup = Setup { node: strict(), ..Setup::new(Policy::DenyAll, ingress.clone()) };
        let Some(mut machine) = Machine::new(&setup) else { return };
        let asked = packet(peer, pod, UDP, &udp(1000, 53));
        let (kind, code) = errors(pod)[0];
        let complaint = error_frame(pod, peer, kind, code, &asked);
        assert_eq!(machine.sends(&complaint), POLICY_DENIED);
        assert_eq!(machine.gets(&frame(&asked)), 0);
        assert_eq!(machine.sends(&complaint), 0);
    }
}

#[test]
fn an_error_may_quote_extension_headers_and_first_fragments() {
    let Some(mut machine) = Machine::new(&client()) else { return };
    let (IpAddr::V6(pod), IpAddr::V6(peer)) = (POD6, PEER6) else { unreachable!() };
    let l4 = udp(1000, 80);
    assert_eq!(machine.sends(&udp_frame(POD6, 1000, PEER6, 80)), 0);
    let extended = [&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &l4].concat();
    let quoted = ipv6(pod, peer, 60, 64, &extended);
    assert_eq!(machine.gets(&error_frame(WORLD6, POD6, 2, 0, &quoted)), 0);

    let (IpAddr::V4(pod), IpAddr::V4(peer)) = (POD4, PEER4) else { unreachable!() };
    assert_eq!(machine.sends(&udp_frame(POD4, 1000, PEER4, 80)), 0);
    let first = ipv4(pod, peer, UDP, &[1, 1, 1, 1], 0x2000, &l4);
    assert_eq!(machine.gets(&error_frame(WORLD4, POD4, 11, 1, &first)), 0);
    let later = ipv4(pod, peer, UDP, &[], 100, &l4);
    assert_eq!(machine.gets(&error_frame(WORLD4, POD4, 11, 1, &later)), POLICY_DENIED);
}

#[test]
fn fragmentation_needed_passes_when_the_option_says_so() {
    let setup = Setup::new(Policy::DenyAll, Policy::DenyAll);
    let Some(mut machine) = Machine::new(&setup) else { return };
    let stray = packet(POD4, OTHER4, UDP, &udp(1, 1));
    assert_eq!(machine.gets(&error_frame(WORLD4, POD4, 3, 4, &stray)), 0);
    assert_eq!(machine.sends(&error_frame(POD4, WORLD4, 3, 4, &stray)), 0);
    assert_eq!(machine.gets(&error_frame(WORLD4, POD4, 3, 3, &stray)), POLICY_DENIED);
    let stray = packet(POD6, OTHER6, UDP, &udp(1, 1));
    assert_eq!(machine.gets(&error_frame(WORLD6, POD6, 2, 0, &stray)), POLICY_DENIED, "the option is IPv4's");
    let Some(mut machine) = Machine::new(&Setup { node: strict(), ..setup }) else { return };
    let stray = packet(POD4, OTHER4, UDP, &udp(1, 1));
    assert_eq!(machine.gets(&error_frame(WORLD4, POD4, 3, 4, &stray)), POLICY_DENIED);
}
