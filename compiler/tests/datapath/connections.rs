//! Conntrack: replies, timeouts, what a policy change cuts, a full map.

use ciliumc_abi::conntrack::{CT_CLOSING, CT_CLOSING_FORWARD, CT_GENERATION_ENDED, CT_TOLD_SENT};
use ciliumc_abi::drop_reason::{CT_MAP_INSERT_FAILED, POLICY_DENIED};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{GENERATION, Machine, Policy, Setup, monotonic_ns};
use crate::policy::*;

/// Egress to the peer's TCP, UDP and SCTP 80 and echo; nothing may come in.
fn client() -> Setup {
    let rules = [(TCP, 80), (UDP, 80), (SCTP, 80), (ICMP, 8), (ICMP6, 128)];
    Setup::new(Policy::Tables(rules.map(|(proto, port)| rule(PEER, proto, port, ALLOW)).to_vec()), Policy::DenyAll)
}

#[test]
fn replies_pass_and_only_replies() {
    for (number, [pod, peer, other, _]) in FAMILIES.into_iter().enumerate() {
        let Some(mut machine) = Machine::new(&client()) else { return };
        let frames = |proto| match proto {
            TCP => (tcp(1000, 80, SYN), tcp(80, 1000, SYN | ACK), tcp(80, 1001, SYN | ACK)),
            UDP => (udp(1000, 80), udp(80, 1000), udp(80, 1001)),
            _ => (sctp(1000, 80), sctp(80, 1000), sctp(80, 1001)),
        };
        for proto in [TCP, UDP, SCTP] {
            let (request, reply, stray) = frames(proto);
            assert_eq!(machine.gets(&ip(peer, pod, proto, &reply)), POLICY_DENIED, "a reply without a request");
            assert_eq!(machine.sends(&ip(pod, peer, proto, &request)), 0);
            assert_eq!(machine.gets(&ip(peer, pod, proto, &reply)), 0);
            assert_eq!(machine.gets(&ip(peer, pod, proto, &stray)), POLICY_DENIED, "another port");
            assert_eq!(machine.gets(&ip(other, pod, proto, &reply)), POLICY_DENIED, "another pod");
            let again = if proto == UDP { TCP } else { UDP };
            let (_, foreign, _) = frames(again);
            assert_eq!(machine.gets(&ip(peer, pod, again, &foreign)), if proto == TCP { POLICY_DENIED } else { 0 });
        }
        let entries: Vec<_> = if number == 0 {
            machine.conntrack4().into_iter().map(|(_, entry)| entry).collect()
        } else {
            machine.conntrack6().into_iter().map(|(_, entry)| entry).collect()
        };
        assert_eq!(entries.len(), 3);
        for entry in entries {
            assert_eq!((entry.initiator, entry.generation), (DIRECTION_EGRESS, GENERATION));
        }
        machine.expire_all();
        for proto in [TCP, UDP, SCTP] {
            let (request, reply, _) = frames(proto);
            assert_eq!(machine.gets(&ip(peer, pod, proto, &reply)), POLICY_DENIED, "the entry is too old");
            assert_eq!(machine.sends(&ip(pod, peer, proto, &request)), 0);
            assert_eq!(machine.gets(&ip(peer, pod, proto, &reply)), 0);
        }
    }
}

#[test]
fn an_entry_counts_both_directions() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&client()) else { return };
        assert_eq!(machine.sends(&udp_frame(pod, 1000, peer, 80)), 0);
        assert_eq!(machine.gets(&udp_frame(peer, 80, pod, 1000)), 0);
        let entry = machine.connection();
        let length = if pod.is_ipv4() { 28 } else { 48 };
        assert_eq!((entry.packets, entry.bytes), (2, 2 * length));
        assert_eq!(machine.seconds_left(), 60);
    }
}

#[test]
fn ingress_mirrors_egress() {
    let rules = vec![rule(PEER, TCP, 80, ALLOW)];
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::Tables(rules.clone()))) else {
            return;
        };
        assert_eq!(machine.sends(&tcp_frame(pod, 80, peer, 1000, SYN | ACK)), POLICY_DENIED);
        assert_eq!(machine.gets(&tcp_frame(peer, 1000, pod, 80, SYN)), 0);
        assert_eq!(machine.sends(&tcp_frame(pod, 80, peer, 1000, SYN | ACK)), 0);
        assert_eq!(machine.sends(&tcp_frame(pod, 81, peer, 1000, SYN | ACK)), POLICY_DENIED);
        assert_eq!(machine.connection().initiator, DIRECTION_INGRESS);
    }
}

#[test]
fn tcp_states_and_timeouts() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&client()) else { return };
        let sent = |flags| tcp_frame(pod, 1000, peer, 80, flags);
        let got = |flags| tcp_frame(peer, 80, pod, 1000, flags);
        assert_eq!(machine.sends(&sent(SYN)), 0);
        assert_eq!(machine.seconds_left(), 60);
        assert_eq!(machine.gets(&got(SYN | ACK)), 0);
        assert_eq!(machine.seconds_left(), 60, "half open");
        assert_eq!(machine.sends(&sent(ACK)), 0);
        assert_eq!(machine.seconds_left(), 8000);
        assert_eq!(machine.sends(&sent(FIN | ACK)), 0);
        assert_eq!(machine.seconds_left(), 8000, "half closed: the server may send for as long as it likes");
        assert_eq!(machine.connection().flags & CT_CLOSING, CT_CLOSING_FORWARD);
        assert_eq!(machine.gets(&got(FIN | ACK)), 0);
        assert_eq!(machine.seconds_left(), 10);
        assert_eq!(machine.connection().flags & CT_CLOSING, CT_CLOSING);
        assert_eq!(machine.sends(&sent(ACK)), 0);
        assert!(machine.seconds_left() <= 10);
        // From the side that may not open connections, a SYN is not a reply any more.
        assert_eq!(machine.gets(&got(SYN)), POLICY_DENIED);
        assert_eq!(machine.sends(&sent(SYN)), 0);
        assert_eq!(machine.seconds_left(), 60, "opened again");
        assert_eq!(machine.connection().flags, CT_TOLD_SENT, "neither closing nor established");
        assert_eq!(machine.gets(&got(RST)), 0);
        assert_eq!(machine.seconds_left(), 10);
    }
}

#[test]
fn policy_is_asked_for_every_packet_and_a_denied_one_ends_the_flow() {
    // The server may speak first, too: a flow that ended is not one of its own.
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup { ingress: Policy::AllowAll, ..client() }) else { return };
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN)), 0);
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), 0);
        machine.set_egress(&[rule(PEER, TCP, 80, DEFAULT_DENY)]);
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), 0, "nobody has asked yet");
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, ACK)), POLICY_DENIED);
        assert_eq!(machine.connection().generation, CT_GENERATION_ENDED);
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), POLICY_DENIED);
        machine.set_egress(&[rule(PEER, TCP, 80, ALLOW)]);
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), 0, "allowed again");
    }
}

#[test]
fn a_full_map_refuses_new_flows_and_no_others() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup { ct_entries: 4, ..client() }) else { return };
        for port in 1000..1004 {
            assert_eq!(machine.sends(&udp_frame(pod, port, peer, 80)), 0);
        }
        assert_eq!(machine.sends(&udp_frame(pod, 1004, peer, 80)), CT_MAP_INSERT_FAILED);
        for port in 1000..1004 {
            assert_eq!(machine.sends(&udp_frame(pod, port, peer, 80)), 0);
            assert_eq!(machine.gets(&udp_frame(peer, 80, pod, port)), 0);
        }
    }
}

#[test]
fn a_full_map_gets_rid_of_what_has_expired() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup { ct_entries: 4, ..client() }) else { return };
        for port in 1000..1004 {
            assert_eq!(machine.sends(&udp_frame(pod, port, peer, 80)), 0);
        }
        assert_eq!(machine.sends(&udp_frame(pod, 1004, peer, 80)), CT_MAP_INSERT_FAILED, "swept in vain");
        machine.expire_all();
        assert_eq!(machine.sends(&udp_frame(pod, 1004, peer, 80)), CT_MAP_INSERT_FAILED, "swept a moment ago");
        // Until then an old entry is in nobody's way but its own flow's.
        assert_eq!(machine.sends(&udp_frame(pod, 1000, peer, 80)), 0);
        assert_eq!(machine.gets(&udp_frame(peer, 80, pod, 1001)), POLICY_DENIED);
        machine.end_sweep_pause();
        assert_eq!(machine.sends(&udp_frame(pod, 1004, peer, 80)), 0);
        assert_eq!(machine.conntrack4().len() + machine.conntrack6().len(), 2, "the living one and the new one");
        for port in [1000, 1004] {
            assert_eq!(machine.gets(&udp_frame(peer, 80, pod, port)), 0);
        }
        for port in 2000..2002 {
            assert_eq!(machine.sends(&udp_frame(pod, port, peer, 80)), 0);
        }
        assert_eq!(machine.sends(&udp_frame(pod, 2002, peer, 80)), CT_MAP_INSERT_FAILED);
    }
}

#[test]
fn a_sweep_removes_so_many_and_leaves_the_rest_to_the_next() {
    const REMOVALS_MAX: u32 = 16_384;
    const FULL: u32 = 20_000;
    let Some(mut machine) = Machine::new(&Setup { ct_entries: FULL, ..client() }) else { return };
    machine.crowd(0..FULL, true);
    assert_eq!(machine.sends(&udp_frame(POD4, 1000, PEER4, 80)), 0);
    assert_eq!(machine.conntrack4().len() as u32, FULL - REMOVALS_MAX + 1);
    // Full again, before the pause is over: a sweep that found so much is followed by another one.
    machine.crowd(FULL..FULL + REMOVALS_MAX - 1, false);
    assert_eq!(machine.sends(&udp_frame(POD4, 1001, PEER4, 80)), 0);
    assert_eq!(machine.conntrack4().len() as u32, REMOVALS_MAX + 1, "the living ones, and no other");
    assert_eq!(machine.gets(&udp_frame(PEER4, 80, POD4, 1000)), 0);
}

#[test]
fn a_sweep_looks_at_so_many_but_for_one_in_a_while() {
    const VISITS_MAX: u32 = 65_536;
    const WHOLE_SECS: u64 = 32;
    let Some(mut machine) = Machine::new(&Setup { ct_entries: VISITS_MAX + 100, ..client() }) else { return };
    assert_eq!(machine.sends(&udp_frame(POD4, 1000, PEER4, 80)), 0);
    machine.crowd(0..VISITS_MAX + 99, false);
    machine.expire_last();
    // The last sweep must be over its pause and in the same stretch of time.
    while !(4..WHOLE_SECS - 1).contains(&(monotonic_ns() / 1_000_000_000 % WHOLE_SECS)) {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    machine.set_swept(3);
    assert_eq!(machine.sends(&udp_frame(POD4, 1001, PEER4, 80)), CT_MAP_INSERT_FAILED, "out of sight");
    assert_eq!(machine.gets(&udp_frame(PEER4, 80, POD4, 1000)), 0, "an established flow");
    machine.set_swept(WHOLE_SECS);
    assert_eq!(machine.sends(&udp_frame(POD4, 1001, PEER4, 80)), 0);
    assert_eq!(machine.sends(&udp_frame(POD4, 1002, PEER4, 80)), CT_MAP_INSERT_FAILED, "there was one");
}

#[test]
fn an_answer_belongs_to_its_echo() {
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&client()) else { return };
        assert_eq!(machine.gets(&echo_frame(peer, pod, true, 7)), POLICY_DENIED);
        assert_eq!(machine.sends(&echo_frame(pod, peer, false, 7)), 0);
        assert_eq!(machine.gets(&echo_frame(peer, pod, true, 7)), 0);
        assert_eq!(machine.gets(&echo_frame(peer, pod, true, 8)), POLICY_DENIED);
        assert_eq!(machine.gets(&echo_frame(peer, pod, false, 7)), POLICY_DENIED, "a request is no answer");
        assert_eq!(machine.connection().packets, 2);
    }
}

#[test]
fn an_answer_that_nobody_asked_for_opens_nothing() {
    let answers = vec![rule(PEER, ICMP, 0, ALLOW), rule(PEER, ICMP6, 129, ALLOW)];
    for [pod, peer, ..] in FAMILIES {
        let Some(mut machine) = Machine::new(&Setup::new(Policy::DenyAll, Policy::Tables(answers.clone()))) else {
            return;
        };
        assert_eq!(machine.gets(&echo_frame(peer, pod, true, 7)), 0);
        assert_eq!(machine.conntrack4().len() + machine.conntrack6().len(), 0);
        assert_eq!(machine.sends(&echo_frame(pod, peer, false, 7)), POLICY_DENIED);
    }
}
