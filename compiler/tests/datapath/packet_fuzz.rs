//! Packets by the hundred thousand, well formed and damaged: the programs and a plain reading of the same bytes must
//! agree on every one, on the verdict and on the reason.
//!
//! A sample with a fixed seed. The whole: `CILIUMC_FUZZ_PACKETS=1000000 cargo test -p ciliumc --test datapath
//! packets_by_the`; another one: `CILIUMC_FUZZ_SEED=7`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ciliumc::ir::options::Options;
use ciliumc::ir::{Direction, Protocol, RuleAction, RuleId};
use ciliumc::lower::{self, tables::Tables};
use ciliumc::resolve::{
    AddressTable, Class, DirectionPolicy, Enforcement, Identity, L4Filter, L4Match, Lock, PeerSet, Resolved, Tiers,
    Variant, VariantIndex,
};
use ciliumc_abi::identity::{IdentityIndex, NumericIdentity};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::*;
use crate::machine::{GENERATION, Machine, Policy, Programs, Setup};
use crate::model::Model;
use crate::policy::{BEYOND, OTHER, OUTSIDE4, OUTSIDE6, PEER, STRANGER};
use crate::shapes::NODE;

/// Packets in the sample.
const SAMPLE: usize = 50_000;
/// Packets between two fresh starts.
const BATCH: usize = 500;
/// Packets between two switches of policy, on average.
const SWITCH: usize = 60;
/// The endpoint's MAC address, which frames have.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// One direction's rules: some peers, ports, ranges, types, and a deny across them. `peer` may do anything.
fn direction(peer: u32, ports: u16) -> DirectionPolicy {
    let these = |peers: &[u32]| PeerSet::These(peers.iter().map(|&n| IdentityIndex(n)).collect::<Arc<[_]>>());
    let range = |protocol, first, last| L4Match::Ports { protocol, first, last };
    let mut filters = Vec::new();
    let mut add = |action, peers, l4| {
        filters.push(L4Filter { rule: Some(RuleId(filters.len() as u32)), action, peers, l4, attributes: None });
    };
    add(RuleAction::Allow, these(&[peer]), L4Match::All);
    add(RuleAction::Allow, these(&[OTHER]), range(Protocol::Tcp, ports, ports + 3));
    add(RuleAction::Allow, these(&[OUTSIDE4, OTHER]), range(Protocol::Udp, 53, 53));
    add(RuleAction::Allow, PeerSet::Everyone, range(Protocol::Sctp, ports, ports));
    add(RuleAction::Allow, PeerSet::Everyone, L4Match::Icmp(8));
    add(RuleAction::Allow, PeerSet::Everyone, L4Match::Icmp6(128));
    add(RuleAction::Allow, these(&[OUTSIDE6]), range(Protocol::Udp, 1024, 65535));
    add(RuleAction::Deny, PeerSet::Everyone, range(Protocol::Tcp, ports + 1, ports + 1));
    add(RuleAction::Deny, these(&[PEER]), range(Protocol::Udp, 54, 60));
    let enforcement = Enforcement::DefaultDeny([RuleId(0)].into());
    DirectionPolicy { enforcement, filters, tiers: Tiers::default(), audit: false }
}

/// The policy that is in force first, and the one that takes its place now and then.
fn resolved(first: bool) -> Resolved {
    let (peer, ingress, egress) = if first { (PEER, 80, 8080) } else { (OTHER, 8080, 80) };
    let identity = |n: u32| {
        let identity = Identity { numeric: NumericIdentity(n), labels: Default::default(), place: Default::default() };
        (IdentityIndex(n), identity)
    };
    Resolved {
        identities: [PEER, OTHER, OUTSIDE4, OUTSIDE6].map(identity).into(),
        lock: Lock::default(),
        areas: Vec::new(),
        host_indices: BTreeMap::new(),
        addresses: AddressTable::new(&Options::default(), std::iter::empty()),
        variants: vec![Variant { host_labels: Default::default() }],
        node_variants: Vec::new(),
        classes: vec![Class {
            identity: IdentityIndex(PEER),
            namespace: "ns".into(),
            named_ports: BTreeSet::new(),
            variant: VariantIndex(0),
            ingress: direction(peer, ingress),
            egress: direction(peer, egress),
        }],
        hosts: Vec::new(),
        host_labels_matter: false,
        endpoints: Vec::new(),
    }
}

/// The identity index of an address, as the machine's tries have it.
fn identity(address: IpAddr) -> u32 {
    match address {
        PEER4 | PEER6 => PEER,
        OTHER4 | OTHER6 => OTHER,
        STRANGER4 | STRANGER6 => STRANGER,
        BEYOND4 | BEYOND6 => BEYOND,
        IpAddr::V4(_) => OUTSIDE4,
        IpAddr::V6(_) => OUTSIDE6,
    }
}

/// Makes frames; remembers some, to answer and to quote them.
struct Source {
    dice: Dice,
    recent: Vec<(u8, Vec<u8>)>,
}

impl Source {
    /// Direction and frame.
    fn next(&mut self) -> (u8, Vec<u8>) {
        let direction = self.dice.pick(&[DIRECTION_EGRESS, DIRECTION_INGRESS]);
        let (direction, packet) = match self.dice.below(10) {
            0 | 1 if !self.recent.is_empty() => self.again(),
            2 if !self.recent.is_empty() => self.error(),
            3 if self.dice.once_in(4) => (direction, self.housekeeping(direction)),
            _ => (direction, self.fresh(direction)),
        };
        let mut frame = packet;
        if self.dice.once_in(3) {
            self.damage(&mut frame);
        }
        if self.dice.once_in(50) {
            let tag = self.dice.pick(&[[0x81, 0, 0, 5], [0x88, 0xa8, 0, 5]]);
            frame.splice(12..12, tag);
        }
        if self.dice.once_in(100) {
            frame[6 + self.dice.below(6)] ^= 1 << self.dice.below(8);
        }
        // A frame that the kernel takes for a test.
        frame.resize(frame.len().clamp(14 + 40, 1400), 0);
        if self.recent.len() == 64 {
            let at = self.dice.below(64);
            self.recent.swap_remove(at);
        }
        self.recent.push((direction, frame.clone()));
        (direction, frame)
    }

    fn ends(&mut self, direction: u8) -> (IpAddr, IpAddr) {
        let peers4 = [PEER4, PEER4, PEER4, OTHER4, STRANGER4, BEYOND4, WORLD4];
        let peers6 = [PEER6, PEER6, PEER6, OTHER6, STRANGER6, BEYOND6, WORLD6, LINK_LOCAL, ALL_NODES];
        let ipv4 = self.dice.once_in(2);
        let (own, peer) = if ipv4 { (POD4, self.dice.pick(&peers4)) } else { (POD6, self.dice.pick(&peers6)) };
        let own = if self.dice.once_in(12) { self.dice.pick(if ipv4 { &peers4 } else { &peers6 }) } else { own };
        if direction == DIRECTION_EGRESS { (own, peer) } else { (peer, own) }
    }

    fn l4(&mut self, ipv4: bool) -> (u8, Vec<u8>) {
        let ports = [53, 54, 80, 81, 82, 84, 1000, 1001, 8080, 8081, 8083, 65_535, 0];
        let (sport, dport) = (self.dice.pick(&ports), self.dice.pick(&ports));
        let icmp_proto = if ipv4 { ICMP } else { ICMP6 };
        let (proto, mut bytes) = match self.dice.below(9) {
            0..=2 => (TCP, tcp(sport, dport, self.dice.pick(&[SYN, SYN | ACK, ACK, FIN | ACK, RST, 0, 0xff]))),
            3..=4 => (UDP, udp(sport, dport)),
            5 => (SCTP, sctp(sport, dport)),
            6 | 7 => {
                let kind = self.dice.pick(&[0, 8, 128, 129, 3, 13, 1, 2, 130, 133, 135, 136, 143, 255]);
                let (code, id) = (self.dice.below(6) as u8, self.dice.below(3) as u16);
                (icmp_proto, icmp(kind, code, id, &[0; 16]))
            }
            _ => (self.dice.pick(&[2, 47, 50, ICMP, ICMP6, 255]), self.dice.bytes(24)),
        };
        let more = self.dice.below(64);
        bytes.extend(self.dice.bytes(more));
        (proto, bytes)
    }

    /// A new packet, now and then in pieces, with options, or with a chain of headers.
    fn fresh(&mut self, direction: u8) -> Vec<u8> {
        let (source, destination) = self.ends(direction);
        let (mut proto, mut payload) = self.l4(source.is_ipv4());
        let dice = &mut self.dice;
        let in_pieces = dice.once_in(5);
        let (offset, more) = (dice.pick(&[0, 0, 1, 2, 3, 5, 0x1fff]), dice.once_in(2));
        let id = dice.below(4) as u8;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let options = if dice.once_in(6) { vec![1; 4 * dice.below(11)] } else { Vec::new() };
                let field = if in_pieces { offset | u16::from(more) << 13 } else { dice.pick(&[0, 0x4000]) };
                let mut packet = ipv4(source, destination, proto, &options, field, &payload);
                packet[5] = id;
                frame(&packet)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                if in_pieces {
                    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                    payload = [&[proto, 0, high, low, 0, 0, 0, id][..], &payload].concat();
                    proto = 44;
                }
                let count = if dice.once_in(4) { dice.below(11) } else { 0 };
                for _ in 0..count {
                    let kind = dice.pick(&[0, 43, 60, 60, 51, 44, 59]);
                    let mut header = vec![proto, 0, 0, 0, 0, 0, 0, id];
                    if kind == 51 {
                        header[1] = 4;
                        header.resize(24, 0);
                    } else if kind != 44 && dice.once_in(3) {
                        header[1] = 1;
                        header.resize(16, 0);
                    }
                    payload = [header, payload].concat();
                    proto = kind;
                }
                let hop_limit = dice.pick(&[64, 255, 1]);
                frame(&ipv6(source, destination, proto, hop_limit, &payload))
            }
            _ => unreachable!(),
        }
    }

    /// A packet that was there, once more or as its answer.
    fn again(&mut self) -> (u8, Vec<u8>) {
        let (direction, mut frame) = self.recent[self.dice.below(self.recent.len())].clone();
        if self.dice.once_in(3) {
            return (direction, frame);
        }
        let (at, bytes) = if frame[12..14] == [8, 0] { (26, 4) } else { (22, 16) };
        for byte in at..at + bytes {
            frame.swap(byte, byte + bytes);
        }
        let l4 = if bytes == 4 { 14 + usize::from(frame[14] & 15) * 4 } else { 54 };
        let proto = if bytes == 4 { frame[23] } else { frame[20] };
        if matches!(proto, ICMP | ICMP6) {
            let kind = &mut frame[l4.min(53)];
            *kind = match *kind {
                8 => 0,
                128 => 129,
                other => other,
            };
        } else if frame.len() >= l4 + 4 {
            frame.swap(l4, l4 + 2);
            frame.swap(l4 + 1, l4 + 3);
        }
        (1 - direction, frame)
    }

    /// An ICMP error about a packet that was there.
    fn error(&mut self) -> (u8, Vec<u8>) {
        let (direction, quoted) = self.recent[self.dice.below(self.recent.len())].clone();
        let ipv4 = quoted[14] >> 4 == 4;
        let (own, router) = if ipv4 { (POD4, WORLD4) } else { (POD6, WORLD6) };
        let direction = if self.dice.once_in(5) { direction } else { 1 - direction };
        let (source, destination) = if direction == DIRECTION_EGRESS { (own, router) } else { (router, own) };
        let kind = self.dice.pick(if ipv4 { &[3, 3, 11, 12, 5] } else { &[1, 2, 3, 4, 137] });
        let code = self.dice.below(5) as u8;
        let length = (14 + 20 + self.dice.below(100)).min(quoted.len());
        (direction, error_frame(source, destination, kind, code, &quoted[14..length]))
    }

    /// ARP and the link's own ICMPv6.
    fn housekeeping(&mut self, direction: u8) -> Vec<u8> {
        let dice = &mut self.dice;
        if dice.once_in(2) {
            let addresses = [POD4, PEER4, IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)];
            let (IpAddr::V4(sender), IpAddr::V4(target)) = (dice.pick(&addresses), PEER4) else { unreachable!() };
            return arp(sender, target);
        }
        let nobody = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        let source = dice.pick(&[POD6, LINK_LOCAL, nobody, PEER6]);
        let destination = if direction == DIRECTION_EGRESS { ALL_NODES } else { dice.pick(&[POD6, ALL_NODES]) };
        let kind = dice.pick(&[131, 132, 133, 134, 135, 136, 137, 143]);
        icmp6_frame(source, destination, kind, dice.pick(&[1, 255, 64]), dice.pick(&[POD6, LINK_LOCAL, PEER6]))
    }

    fn damage(&mut self, frame: &mut Vec<u8>) {
        let dice = &mut self.dice;
        match dice.below(6) {
            0 => frame.truncate(14 + dice.below(frame.len() - 14)),
            1 => {
                let more = dice.below(80);
                frame.extend(dice.bytes(more));
            }
            // The L3 header, where a bit decides most.
            2 | 3 => {
                let at = 12 + dice.below(44.min(frame.len() - 12));
                frame[at] ^= 1 << dice.below(8);
            }
            _ => {
                for _ in 0..=dice.below(3) {
                    let at = 12 + dice.below(frame.len() - 12);
                    frame[at] = dice.next() as u8;
                }
            }
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn setup(resolved: &Resolved) -> Setup {
    let options = Options { sctp: true, ..Options::default() };
    let lowered = lower::lower(&options, resolved).unwrap();
    let policy = |direction| {
        let tables: &Tables = &lowered.tables[lowered.classes[0].direction(direction).tables.unwrap().0 as usize];
        Policy::Compiled(Box::new(tables.clone()))
    };
    // Nothing expires while a test runs, however slow the machine.
    let hour = 3600;
    let node = ciliumc::lower::shape::NodeConfig {
        ct_tcp_timeout_secs: hour,
        ct_tcp_syn_timeout_secs: hour,
        ct_tcp_fin_timeout_secs: hour,
        ct_any_timeout_secs: hour,
        ..NODE
    };
    let setup = Setup::new(policy(Direction::Egress), policy(Direction::Ingress));
    Setup { node, ct_entries: 4096, mac: Some(MAC), ..setup }
}

/// The endpoint under two policies that take turns, and the model of it.
struct Stage<'a> {
    machine: Machine,
    waiting: Programs,
    model: Model<'a>,
    policies: [&'a Resolved; 2],
}

impl<'a> Stage<'a> {
    fn new(policies: [&'a Resolved; 2]) -> Option<Self> {
        let machine = Machine::new(&setup(policies[0]))?;
        let waiting = machine.next(&setup(policies[1]), GENERATION + 1);
        let model = Model::new(policies[0], MAC, [POD4, POD6], identity);
        Some(Self { machine, waiting, model, policies })
    }

    fn forget(&mut self) {
        self.machine.forget();
        self.model.forget();
        if self.model.generation != 1 {
            self.switch();
        }
    }

    fn switch(&mut self) {
        self.machine.switch(&mut self.waiting);
        self.model.generation = 3 - self.model.generation;
        self.model.resolved = self.policies[self.model.generation as usize - 1];
    }
}

#[test]
fn packets_by_the_thousand_mean_what_their_bytes_say() {
    let policies = [resolved(true), resolved(false)];
    let Some(mut stage) = Stage::new([&policies[0], &policies[1]]) else { return };
    let packets = number("CILIUMC_FUZZ_PACKETS", SAMPLE as u64) as usize;
    let mut source = Source { dice: Dice(number("CILIUMC_FUZZ_SEED", 1)), recent: Vec::new() };
    let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
    for batch in 0..packets.div_ceil(BATCH) {
        stage.forget();
        source.recent.clear();
        let before = [DIRECTION_INGRESS, DIRECTION_EGRESS].map(|direction| stage.machine.outcomes(direction));
        let mut expected: [BTreeMap<u8, u64>; 2] = Default::default();
        let mut played = Vec::new();
        for number in 0..BATCH {
            if source.dice.once_in(SWITCH) {
                stage.switch();
                played.push(Played::Switch);
            }
            let (direction, frame) = source.next();
            let Some(passes) = stage.machine.passes(direction, &frame) else { continue };
            let reason = stage.model.judge(direction, &frame);
            let told = || format!("batch {batch} packet {number} direction {direction}: {}", hex(&frame));
            assert_eq!(passes, reason == 0, "by its bytes: reason {reason}; {}", told());
            assert!(!passes || frame[12..14] == [8, 6] || stage.model.packet(&frame).is_ok(), "{}", told());
            *expected[usize::from(direction)].entry(reason).or_default() += 1;
            *seen.entry(reason).or_default() += 1;
            played.push(Played::Packet(direction, frame));
        }
        let moved = [DIRECTION_INGRESS, DIRECTION_EGRESS].map(|direction| {
            let after = stage.machine.outcomes(direction);
            let moved =
                after.iter().zip(&before[usize::from(direction)]).map(|(after, before)| (after.0, after.1 - before.1));
            moved.filter(|(_, count)| *count > 0).collect::<BTreeMap<u8, u64>>()
        });
        if moved != expected {
            find(&mut stage, batch, &played);
            panic!("batch {batch}: {moved:?} instead of {expected:?}, and not again");
        }
    }
    println!("{packets} packets by reason: {seen:?}");
    let total: usize = seen.values().sum();
    assert!(total * 10 >= packets * 9, "the kernel took {total} of {packets}");
    assert!(seen[&0] * 8 >= total && seen.len() >= 10, "too many of a kind: {seen:?}");
}

/// What happened in a batch.
enum Played {
    Switch,
    Packet(u8, Vec<u8>),
}

/// Plays a batch again, packet by packet, for the first that has another reason.
fn find(stage: &mut Stage<'_>, batch: usize, played: &[Played]) {
    stage.forget();
    for (number, step) in played.iter().enumerate() {
        let Played::Packet(direction, frame) = step else {
            stage.switch();
            continue;
        };
        let machine = &mut stage.machine;
        let reason = if *direction == DIRECTION_EGRESS { machine.sends(frame) } else { machine.gets(frame) };
        let expected = stage.model.judge(*direction, frame);
        assert_eq!(reason, expected, "batch {batch} step {number} direction {direction}: {}", hex(frame));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
