//! Traces: which packets that pass are told of at each level, with what, and that they give way to other events.

use std::mem::offset_of;

use ciliumc::ir::options::MonitorAggregation;
use ciliumc::lower::shape::NodeConfig;
use ciliumc_abi::drop_reason::POLICY_DENIED;
use ciliumc_abi::event::{
    EVENT_BURST, EVENT_DROP, EVENT_POLICY_VERDICT, EVENT_TRACE, EventHeader, TRACE_BURST, TRACE_FROM_LXC,
    TRACE_REASON_ESTABLISHED, TRACE_REASON_NEW, TRACE_REASON_RELATED, TRACE_REASON_REPLY, TRACE_REASON_UNKNOWN,
    TRACE_TO_LXC, TRACE_TO_STACK, TraceEvent,
};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{ENDPOINT_ID, ENDPOINT_IDENTITY, GENERATION, Machine, Policy, Setup};
use crate::policy::*;
use crate::records::Record;
use crate::shapes::NODE;

const NEW_SENT: (u8, u8) = (TRACE_TO_STACK, TRACE_REASON_NEW);
const MORE_SENT: (u8, u8) = (TRACE_TO_STACK, TRACE_REASON_ESTABLISHED);
const REPLY_GOT: (u8, u8) = (TRACE_TO_LXC, TRACE_REASON_REPLY);
const CAME: (u8, u8) = (TRACE_FROM_LXC, TRACE_REASON_UNKNOWN);
const RELATED_GOT: (u8, u8) = (TRACE_TO_LXC, TRACE_REASON_RELATED);

/// Egress to the peer's TCP and UDP 80; nothing may come in.
fn client(level: MonitorAggregation) -> Setup {
    let rules = vec![rule(PEER, TCP, 80, ALLOW), rule(PEER, UDP, 80, ALLOW)];
    let node = NodeConfig { monitor_aggregation: level, allow_icmp_frag_needed: false, ..NODE };
    Setup { node, ..Setup::new(Policy::Tables(rules), Policy::DenyAll) }
}

fn records(machine: &mut Machine) -> Vec<Record> {
    machine.events().into_iter().map(Record).collect()
}

/// Points and reasons of what was traced since the last call.
fn traced(machine: &mut Machine) -> Vec<(u8, u8)> {
    let traces = records(machine).into_iter().filter(|record| record.byte(0) == EVENT_TRACE);
    traces.map(|trace| (trace.byte(1), trace.byte(offset_of!(TraceEvent, reason)))).collect()
}

#[test]
fn a_trace_names_flow_identities_and_cause() {
    for ([pod, peer, ..], family) in FAMILIES.into_iter().zip([4, 6]) {
        let Some(mut machine) = Machine::new(&client(MonitorAggregation::Medium)) else { return };
        let frame = tcp_frame(pod, 1000, peer, 80, SYN);
        assert_eq!(machine.sends(&frame), 0);
        let told = records(&mut machine);
        assert_eq!(told.iter().map(|record| record.byte(0)).collect::<Vec<_>>(), [EVENT_POLICY_VERDICT, EVENT_TRACE]);
        let trace = &told[1];
        assert_eq!(trace.0.len(), size_of::<TraceEvent>());
        assert_eq!(u32::from(trace.half(offset_of!(EventHeader, source))), ENDPOINT_ID);
        assert_eq!(trace.word(offset_of!(EventHeader, len_orig)), frame.len() as u32);
        assert_eq!(trace.half(offset_of!(EventHeader, version)), 0);
        assert_eq!(trace.word(offset_of!(TraceEvent, source_identity)), ENDPOINT_IDENTITY);
        assert_eq!(trace.word(offset_of!(TraceEvent, destination_identity)), NUMBER_BASE + PEER);
        assert_eq!(trace.half(offset_of!(TraceEvent, destination_id)), 0);
        assert_eq!(trace.byte(offset_of!(TraceEvent, flags)), u8::from(family == 6));
        assert_eq!(trace.tail(), (71, GENERATION, DIRECTION_EGRESS, family, TCP, 0, 1000, 80));

        // Nobody judges the reply, and yet it says whom it is from.
        assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, SYN | ACK)), 0);
        let told = records(&mut machine);
        assert_eq!(told.len(), 1);
        let trace = &told[0];
        assert_eq!((trace.byte(0), trace.byte(1)), (EVENT_TRACE, TRACE_TO_LXC));
        assert_eq!(trace.byte(offset_of!(TraceEvent, reason)), TRACE_REASON_REPLY);
        assert_eq!(trace.word(offset_of!(TraceEvent, source_identity)), NUMBER_BASE + PEER);
        assert_eq!(trace.word(offset_of!(TraceEvent, destination_identity)), ENDPOINT_IDENTITY);
        assert_eq!(u32::from(trace.half(offset_of!(TraceEvent, destination_id))), ENDPOINT_ID);
        assert_eq!(trace.tail(), (0, GENERATION, DIRECTION_INGRESS, family, TCP, 0, 80, 1000));
    }
}

#[test]
fn what_is_dropped_has_no_trace() {
    for [pod, peer, other, _] in FAMILIES {
        let Some(mut machine) = Machine::new(&client(MonitorAggregation::Low)) else { return };
        assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN)), 0);
        assert_eq!(traced(&mut machine), [NEW_SENT]);
        for frame in [tcp_frame(pod, 1000, peer, 81, SYN), tcp_frame(pod, 1000, other, 80, SYN)] {
            assert_eq!(machine.sends(&frame), POLICY_DENIED);
            assert_eq!(traced(&mut machine), []);
        }
        assert_eq!(machine.gets(&tcp_frame(peer, 1000, pod, 80, SYN)), POLICY_DENIED);
        assert_eq!(traced(&mut machine), []);
    }
}

#[test]
fn every_packet_is_traced_where_nothing_is_aggregated() {
    use MonitorAggregation::{Low, Lowest, None};
    for (level, came) in [(None, true), (Lowest, false), (Low, false)] {
        for [pod, peer, ..] in FAMILIES {
            let Some(mut machine) = Machine::new(&client(level)) else { return };
            let expect = |trace| if came { vec![CAME, trace] } else { vec![trace] };
            assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, SYN)), 0);
            assert_eq!(traced(&mut machine), expect(NEW_SENT));
            for _ in 0..3 {
                assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 80, ACK)), 0);
                assert_eq!(traced(&mut machine), expect(MORE_SENT));
                assert_eq!(machine.gets(&tcp_frame(peer, 80, pod, 1000, ACK)), 0);
                assert_eq!(traced(&mut machine), [REPLY_GOT]);
            }
            // It came, and then it was dropped.
            assert_eq!(machine.sends(&tcp_frame(pod, 1000, peer, 81, SYN)), POLICY_DENIED);
            assert_eq!(traced(&mut machine), if came { vec![CAME] } else { vec![] });
        }
    }
}

#[test]
fn a_connection_tells_what_is_new_and_once_in_an_interval() {
    for level in [MonitorAggregation::Medium, MonitorAggregation::Maximum] {
        let Some(mut machine) = Machine::new(&client(level)) else { return };
        let sent = |flags| tcp_frame(POD4, 1000, PEER4, 80, flags);
        let got = |flags| tcp_frame(PEER4, 80, POD4, 1000, flags);
        let step = |machine: &mut Machine, sends: bool, flags, expected: &[(u8, u8)]| {
            let outcome = if sends { machine.sends(&sent(flags)) } else { machine.gets(&got(flags)) };
            assert_eq!((outcome, traced(machine).as_slice()), (0, expected), "{level:?} {sends} {flags:#x}");
        };
        step(&mut machine, true, SYN, &[NEW_SENT]);
        step(&mut machine, true, SYN, &[]);
        step(&mut machine, false, SYN | ACK, &[REPLY_GOT]);
        step(&mut machine, false, SYN | ACK, &[]);
        step(&mut machine, true, ACK, &[MORE_SENT]);
        for _ in 0..3 {
            step(&mut machine, true, ACK, &[]);
            step(&mut machine, false, ACK, &[]);
        }
        const PSH: u8 = 0x08;
        step(&mut machine, false, PSH | ACK, &[REPLY_GOT]);
        step(&mut machine, true, PSH | ACK, &[MORE_SENT]);
        // Not yet, and then once in either direction.
        machine.age_reports(3);
        step(&mut machine, true, ACK, &[]);
        machine.age_reports(4);
        step(&mut machine, true, ACK, &[MORE_SENT]);
        step(&mut machine, true, ACK, &[]);
        step(&mut machine, false, ACK, &[REPLY_GOT]);
        step(&mut machine, false, ACK, &[]);
        step(&mut machine, true, FIN | ACK, &[MORE_SENT]);
        step(&mut machine, true, FIN | ACK, &[]);
        step(&mut machine, false, FIN | ACK, &[REPLY_GOT]);
        step(&mut machine, false, RST, &[REPLY_GOT]);
        step(&mut machine, true, SYN, &[NEW_SENT]);
    }
}

#[test]
fn only_the_flags_that_were_asked_for_are_news_and_the_end_always_is() {
    let setup = client(MonitorAggregation::Medium);
    let setup = Setup { node: NodeConfig { monitor_tcp_flags: SYN, monitor_interval_secs: 60, ..setup.node }, ..setup };
    let Some(mut machine) = Machine::new(&setup) else { return };
    for (flags, expected) in [(SYN, vec![NEW_SENT]), (ACK, vec![]), (FIN | ACK, vec![MORE_SENT])] {
        assert_eq!(machine.sends(&tcp_frame(POD4, 1000, PEER4, 80, flags)), 0);
        assert_eq!(traced(&mut machine), expected, "{flags:#x}");
    }
    machine.age_reports(50);
    assert_eq!(machine.sends(&tcp_frame(POD4, 1000, PEER4, 80, ACK)), 0);
    assert_eq!(traced(&mut machine), [], "the interval is a minute");
    machine.age_reports(11);
    assert_eq!(machine.sends(&tcp_frame(POD4, 1000, PEER4, 80, ACK)), 0);
    assert_eq!(traced(&mut machine), [MORE_SENT]);
}

#[test]
fn an_interval_is_as_long_as_the_clock_says() {
    let setup = client(MonitorAggregation::Medium);
    let setup = Setup { node: NodeConfig { monitor_interval_secs: 1, ..setup.node }, ..setup };
    let Some(mut machine) = Machine::new(&setup) else { return };
    let frame = udp_frame(POD4, 1000, PEER4, 80);
    assert_eq!(machine.sends(&frame), 0);
    assert_eq!(traced(&mut machine), [NEW_SENT]);
    let begin = std::time::Instant::now();
    while traced(&mut machine).is_empty() {
        assert!(begin.elapsed().as_secs() < 10, "no second trace");
        assert_eq!(machine.sends(&frame), 0);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // A tick less, where the flow began in the middle of one.
    assert!(begin.elapsed().as_millis() >= 800, "{:?}", begin.elapsed());
}

#[test]
fn an_error_about_a_flow_is_related_and_told_once_in_an_interval() {
    for ([pod, peer, _, router], aggregated) in [(FAMILIES[0], true), (FAMILIES[1], true), (FAMILIES[0], false)] {
        let level = if aggregated { MonitorAggregation::Medium } else { MonitorAggregation::Low };
        let Some(mut machine) = Machine::new(&client(level)) else { return };
        let sent = packet(pod, peer, UDP, &udp(1000, 80));
        let (kind, code) = if pod.is_ipv4() { (3, 3) } else { (1, 4) };
        let error = error_frame(router, pod, kind, code, &sent);
        assert_eq!(machine.gets(&error), POLICY_DENIED);
        assert_eq!(traced(&mut machine), [], "about no flow");
        assert_eq!(machine.sends(&frame(&sent)), 0);
        assert_eq!(traced(&mut machine), [NEW_SENT]);
        assert_eq!(machine.gets(&error), 0);
        assert_eq!(traced(&mut machine), [RELATED_GOT]);
        assert_eq!(machine.gets(&error), 0);
        assert_eq!(traced(&mut machine), if aggregated { vec![] } else { vec![RELATED_GOT] });
    }
}

#[test]
fn a_flood_of_traces_leaves_other_events_their_room_and_their_rate() {
    const PACKETS: u32 = 40_000;
    let Some(mut machine) = Machine::new(&client(MonitorAggregation::Low)) else { return };
    // Tokens for all that a CPU may say at once, and traces take what they can get, with nobody reading.
    machine.floods(&udp_frame(POD4, 1000, PEER4, 80), PACKETS);
    let lost = machine.events_lost();
    assert!(lost > 0, "traces alone do not fill the ring");
    machine.floods(&udp_frame(POD4, 1000, PEER4, 81), PACKETS);
    let told = records(&mut machine);
    let count = |kind| told.iter().filter(|record| record.byte(0) == kind).count() as u32;
    let (traces, drops, verdicts) = (count(EVENT_TRACE), count(EVENT_DROP), count(EVENT_POLICY_VERDICT));
    assert!(traces > 0 && traces <= 2800, "{traces} traces");
    assert!(drops >= EVENT_BURST, "{drops} drops");
    assert_eq!(verdicts, 1);
    assert_eq!(u64::from(traces + drops + verdicts) + machine.events_lost(), 2 * u64::from(PACKETS) + 1);

    // While drops take all tokens, no trace is told.
    machine.floods(&udp_frame(POD4, 1000, PEER4, 81), 2 * (EVENT_BURST + TRACE_BURST));
    records(&mut machine);
    machine.floods(&udp_frame(POD4, 1000, PEER4, 80), 100);
    let told = records(&mut machine);
    assert!(told.iter().all(|record| record.byte(0) != EVENT_TRACE), "{} traces", told.len());
}
