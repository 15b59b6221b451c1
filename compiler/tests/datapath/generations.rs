//! A new bundle under living flows: what its policy allows no longer ends in both directions, whoever speaks next.

use ciliumc_abi::conntrack::CT_GENERATION_ENDED;
use ciliumc_abi::drop_reason::{MISSED_TAIL_CALL, POLICY_DENIED, POLICY_DENY};
use ciliumc_abi::event::{DropEvent, EventTail};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{GENERATION, Machine, Policy, Setup};
use crate::policy::*;

const NEXT: u32 = GENERATION + 1;

/// The same verdict for the peer's TCP, UDP and SCTP 80 and echo.
fn tables(action: u8) -> Policy {
    let rules = [(TCP, 80), (UDP, 80), (SCTP, 80), (ICMP, 8), (ICMP6, 128)];
    Policy::Tables(rules.map(|(proto, port)| rule(PEER, proto, port, action)).to_vec())
}

/// Nothing is said about the direction in which flows do not begin: replies pass for what they are, and would pass anyway.
fn client(action: u8) -> Setup {
    Setup::new(tables(action), Policy::AllowAll)
}

fn server(action: u8) -> Setup {
    Setup::new(Policy::AllowAll, tables(action))
}

/// Request and answer of each protocol, from the endpoint's peer or to it.
fn exchanges(asks: std::net::IpAddr, answers: std::net::IpAddr) -> [(Vec<u8>, Vec<u8>); 4] {
    [
        (tcp_frame(asks, 1000, answers, 80, SYN), tcp_frame(answers, 80, asks, 1000, ACK)),
        (udp_frame(asks, 1000, answers, 80), udp_frame(answers, 80, asks, 1000)),
        (ip(asks, answers, SCTP, &sctp(1000, 80)), ip(answers, asks, SCTP, &sctp(80, 1000))),
        (echo_frame(asks, answers, false, 7), echo_frame(answers, asks, true, 7)),
    ]
}

/// The frame of a direction.
fn passes(machine: &mut Machine, direction: u8, frame: &[u8]) -> u8 {
    if direction == DIRECTION_EGRESS { machine.sends(frame) } else { machine.gets(frame) }
}

#[test]
fn a_reply_is_judged_by_the_policy_of_its_flow() {
    for (direction, setup) in [(DIRECTION_EGRESS, client as fn(u8) -> Setup), (DIRECTION_INGRESS, server)] {
        for [pod, peer, ..] in FAMILIES {
            let Some(mut machine) = Machine::new(&setup(ALLOW)) else { return };
            let (asks, answers) = if direction == DIRECTION_EGRESS { (pod, peer) } else { (peer, pod) };
            let exchanges = exchanges(asks, answers);
            for (request, _) in &exchanges {
                assert_eq!(passes(&mut machine, direction, request), 0);
            }
            machine.switch(&mut machine.next(&setup(DENY), NEXT));
            for (_, reply) in &exchanges {
                // Twice: the flow has ended, and is not forgotten.
                for _ in 0..2 {
                    assert_eq!(passes(&mut machine, 1 - direction, reply), POLICY_DENY);
                }
            }
            let generations = machine.generations();
            assert_eq!(generations, [CT_GENERATION_ENDED; 4]);
            // The way back: what is allowed again goes on.
            machine.switch(&mut machine.next(&setup(ALLOW), GENERATION));
            for (_, reply) in &exchanges {
                assert_eq!(passes(&mut machine, 1 - direction, reply), 0);
            }
            assert_eq!(machine.generations(), [GENERATION; 4]);
        }
    }
}

#[test]
fn a_flow_that_is_still_allowed_notices_nothing() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&client(ALLOW)) else { return };
        let exchanges = exchanges(pod, peer);
        for (request, _) in &exchanges {
            assert_eq!(machine.sends(request), 0);
        }
        let mut next = machine.next(&client(ALLOW), NEXT);
        // In the middle of a switch, in either order: one program is new, the other is not.
        for direction in [DIRECTION_INGRESS, DIRECTION_EGRESS] {
            machine.switch_one(direction, &mut next);
            for (request, reply) in &exchanges {
                assert_eq!((machine.gets(reply), machine.sends(request), machine.gets(reply)), (0, 0, 0));
            }
        }
        assert_eq!(machine.generations(), [NEXT; 4]);
        let asked = machine.egress_counter(u32::from(ALLOW))[0];
        for (_, reply) in &exchanges {
            assert_eq!(machine.gets(reply), 0);
        }
        assert_eq!(machine.egress_counter(u32::from(ALLOW))[0], asked, "policy was asked once");
    }
}

#[test]
fn the_event_names_the_rule_of_the_flow() {
    let Some(mut machine) = Machine::new(&client(ALLOW)) else { return };
    assert_eq!(machine.sends(&udp_frame(POD4, 1000, PEER4, 80)), 0);
    machine.switch(&mut machine.next(&client(DENY), NEXT));
    machine.events();
    assert_eq!(machine.gets(&udp_frame(PEER4, 80, POD4, 1000)), POLICY_DENY);
    let events = machine.events();
    assert_eq!(events.len(), 1);
    let word = |at: usize| u32::from_ne_bytes(events[0][at..at + 4].try_into().unwrap());
    let tail = std::mem::offset_of!(DropEvent, tail);
    let cause = policy_actions_cause(DENY);
    assert_eq!(word(tail + std::mem::offset_of!(EventTail, cause)), cause);
    assert_eq!(word(tail + std::mem::offset_of!(EventTail, generation)), NEXT);
    assert_eq!(word(std::mem::offset_of!(DropEvent, source_identity)), NUMBER_BASE + PEER);
    assert_eq!(machine.egress_counter(u32::from(DENY))[0], 1);
}

fn policy_actions_cause(action: u8) -> u32 {
    actions()[usize::from(action)].cause
}

#[test]
fn who_is_cut_off_may_begin_anew_where_policy_allows() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&client(ALLOW)) else { return };
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN)), 0);
        machine.switch(&mut machine.next(&client(DENY), NEXT));
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), POLICY_DENY);
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, ACK)), POLICY_DENY);
        // Ingress is open: a connection of the peer's own is none of egress's business.
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, SYN)), 0);
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN | ACK)), 0, "its reply");
    }
}

#[test]
fn an_error_about_a_flow_that_ended_is_related_to_nothing() {
    for [pod, peer, _, router] in FAMILIES {
        let strict = |setup: Setup| Setup {
            ingress: Policy::DenyAll,
            node: ciliumc::lower::shape::NodeConfig { allow_icmp_frag_needed: false, ..crate::shapes::NODE },
            ..setup
        };
        let Some(mut machine) = Machine::new(&strict(client(ALLOW))) else { return };
        let sent = packet(pod, peer, UDP, &udp(1000, 80));
        assert_eq!(machine.sends(&frame(&sent)), 0);
        let kind = if pod.is_ipv4() { 3 } else { 1 };
        let error = error_frame(router, pod, kind, 1, &sent);
        assert_eq!(machine.gets(&error), 0);
        machine.switch(&mut machine.next(&strict(client(DENY)), NEXT));
        assert_eq!(machine.gets(&error), 0, "nobody has asked yet");
        assert_eq!(machine.gets(&udp_frame(peer, 80, pod, 1000)), POLICY_DENY);
        assert_eq!(machine.gets(&error), POLICY_DENIED);
    }
}

#[test]
fn in_the_middle_of_a_switch_each_direction_has_one_policy() {
    for [pod, peer, ..] in FAMILIES {
        let both = |action| Setup::new(tables(action), tables(action));
        let Some(mut machine) = Machine::new(&both(ALLOW)) else { return };
        let mine = exchanges(pod, peer);
        let theirs = exchanges(peer, pod);
        for ((sent, _), (got, _)) in mine.iter().zip(&theirs).take(3) {
            assert_eq!((machine.sends(sent), machine.gets(got)), (0, 0));
        }
        let mut next = machine.next(&both(DENY), NEXT);
        machine.part();
        next.part();
        machine.switch_one(DIRECTION_EGRESS, &mut next);
        for ((sent, reply), (got, answer)) in mine.iter().zip(&theirs).take(3) {
            // The egress program is new, the ingress program is not.
            assert_eq!((machine.gets(got), machine.sends(answer)), (0, 0));
            assert_eq!(machine.gets(reply), 0, "nobody has asked yet");
            assert_eq!(machine.sends(sent), POLICY_DENY);
            assert_eq!(machine.gets(reply), MISSED_TAIL_CALL, "it has ended, whoever can be asked");
        }
        machine.switch_one(DIRECTION_INGRESS, &mut next);
        machine.meet();
        for ((_, reply), (_, answer)) in mine.iter().zip(&theirs).take(3) {
            assert_eq!((machine.sends(answer), machine.gets(reply)), (POLICY_DENY, POLICY_DENY));
        }
    }
}
