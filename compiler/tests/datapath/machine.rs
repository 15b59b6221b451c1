//! Both programs of one endpoint in this kernel, on shared conntrack, with packets from `BPF_PROG_TEST_RUN`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{HashMap, Map, ProgramArray, RingBuf};
use aya::programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions};
use ciliumc::clang::{Toolchain, compile_all};
use ciliumc::codegen;
use ciliumc::exec::{self, Loaded, Loader, Table, context};
use ciliumc::lower::shape::{CellWidth, NodeConfig, PolicyMode, Program, Shape};
use ciliumc_abi::conntrack::{CT_REPORT_CLOCK_BITS, CT_REPORT_TICK_SHIFT, CtEntry};
use ciliumc_abi::counter::metric_index;
use ciliumc_abi::endpoint::{self, ENDPOINT_BYTES, Endpoint};
use ciliumc_abi::ipcache::{Trie4, Trie6};
use ciliumc_abi::names::{self, DIRECTION_EGRESS, DIRECTION_INGRESS};

use crate::frames::{BEYOND4, BEYOND6, OTHER4, OTHER6, PEER4, PEER6, POD4, POD6, STRANGER4, STRANGER6};
use crate::policy::{self, Rule};
use crate::shapes::{NODE, verified};

/// What a program answers to the kernel that sends a frame back.
const REDIRECT: u32 = 7;

pub const ENDPOINT_ID: u32 = 77;
pub const ENDPOINT_IDENTITY: u32 = 5000;
pub const GENERATION: u32 = 3;
pub const DEFAULT_CAUSE: u32 = 60;

/// Policy of one direction.
#[derive(Clone)]
pub enum Policy {
    AllowAll,
    DenyAll,
    L3Only(Vec<Rule>),
    Tables(Vec<Rule>),
    /// As the compiler lowers it, with cells of 8 bits.
    Compiled(Box<ciliumc::lower::tables::Tables>),
}

impl Policy {
    fn mode(&self) -> PolicyMode {
        match self {
            Self::AllowAll => PolicyMode::AllowAll,
            Self::DenyAll => PolicyMode::DenyAll,
            Self::L3Only(_) => PolicyMode::L3Only,
            Self::Tables(_) | Self::Compiled(_) => PolicyMode::Tables,
        }
    }

    fn tables(&self) -> Option<policy::Tables> {
        match self {
            Self::AllowAll | Self::DenyAll => None,
            Self::L3Only(rules) => Some(policy::tables(rules, true)),
            Self::Tables(rules) => Some(policy::tables(rules, false)),
            Self::Compiled(tables) => Some(policy::compiled(tables)),
        }
    }

    fn class_shift(&self) -> u32 {
        match self {
            Self::AllowAll | Self::DenyAll | Self::L3Only(_) => 0,
            Self::Tables(_) => 4,
            Self::Compiled(tables) => tables.class_shift,
        }
    }
}

/// What a test varies.
#[derive(Clone)]
pub struct Setup {
    pub egress: Policy,
    pub ingress: Policy,
    pub node: NodeConfig,
    pub audit: bool,
    pub addresses: bool,
    pub mac: Option<[u8; 6]>,
    /// Addresses of the gateway, and its MAC address.
    pub gateway: Option<([IpAddr; 2], [u8; 6])>,
    pub ct_entries: u32,
}

impl Setup {
    pub fn new(egress: Policy, ingress: Policy) -> Self {
        Self { egress, ingress, node: NODE, audit: false, addresses: true, mac: None, gateway: None, ct_entries: 64 }
    }
}

/// The two programs of a generation, which know each other.
pub struct Programs {
    from: Loaded,
    to: Loaded,
}

/// The endpoint.
pub struct Machine {
    pins: PathBuf,
    from: Loaded,
    to: Loaded,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The test is over, and a pin that is left does not change its outcome.
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}

impl Machine {
    /// The endpoint, or `None` (said aloud) where we may not load programs.
    pub fn new(setup: &Setup) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pins = PathBuf::from(format!("/sys/fs/bpf/ciliumc-datapath-{}-{number}", std::process::id()));
        let built = build(setup);
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        let ask = || verified(&built[0], names::FROM_CONTAINER).is_some();
        if !PERMITTED.get_or_init(ask) {
            return None;
        }
        std::fs::create_dir(&pins).unwrap();
        let Programs { from, to } = programs(&built, setup, GENERATION, &pins);
        Some(Self { pins, from, to })
    }

    /// The programs of another generation for the same endpoint.
    pub fn next(&self, setup: &Setup, generation: u32) -> Programs {
        programs(&build(setup), setup, generation, &self.pins)
    }

    /// Puts other programs in the place of those that run.
    pub fn switch(&mut self, programs: &mut Programs) {
        std::mem::swap(&mut self.from, &mut programs.from);
        std::mem::swap(&mut self.to, &mut programs.to);
    }

    /// The same for one direction.
    pub fn switch_one(&mut self, direction: u8, programs: &mut Programs) {
        match direction {
            DIRECTION_EGRESS => std::mem::swap(&mut self.from, &mut programs.from),
            _ => std::mem::swap(&mut self.to, &mut programs.to),
        }
    }

    /// The endpoint sends: drop reason, 0 when it passes.
    pub fn sends(&mut self, frame: &[u8]) -> u8 {
        self.from.outcome(ENTRY, frame).unwrap()
    }

    /// The endpoint is sent to: drop reason, 0 when it passes.
    pub fn gets(&mut self, frame: &[u8]) -> u8 {
        self.to.outcome(ENTRY, frame).unwrap()
    }

    /// The endpoint's program of a direction, loaded for test runs.
    pub fn program(&mut self, direction: u8) -> &mut SchedClassifier {
        self.of(direction).classifier().unwrap()
    }

    fn of(&mut self, direction: u8) -> &mut Loaded {
        if direction == DIRECTION_EGRESS { &mut self.from } else { &mut self.to }
    }

    /// Runs a program and nothing else: whether the packet passes, or `None` where the kernel takes no such frame.
    pub fn passes(&mut self, direction: u8, frame: &[u8]) -> Option<bool> {
        self.of(direction).passes(ENTRY, frame).ok()
    }

    /// Packets of a direction by outcome, 0 for what passed.
    pub fn outcomes(&self, direction: u8) -> Vec<(u8, u64)> {
        let of = if direction == DIRECTION_EGRESS { &self.from } else { &self.to };
        of.outcomes().unwrap()
    }

    /// Ends every connection and forgets every datagram.
    pub fn forget(&mut self) {
        self.from.forget().unwrap();
    }

    /// The endpoint sends one packet many times.
    pub fn floods(&mut self, frame: &[u8], times: u32) {
        let context = context(ENTRY);
        let options =
            TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), repeat: times, ..TestRunOptions::default() };
        self.program(DIRECTION_EGRESS).test_run(options).unwrap();
    }

    /// The mark that a packet of the endpoint leaves with.
    pub fn mark(&mut self, frame: &[u8]) -> u32 {
        const MARK: std::ops::Range<usize> = 8..12;
        // struct __sk_buff, of which the kernel writes as much as there is room for.
        let entered = context(ENTRY);
        let mut context = [0; 192];
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&entered),
            ctx_out: Some(&mut context),
            ..TestRunOptions::default()
        };
        self.program(DIRECTION_EGRESS).test_run(options).unwrap();
        u32::from_ne_bytes(context[MARK].try_into().unwrap())
    }

    /// Events that were not reported.
    pub fn events_lost(&self) -> u64 {
        self.from.counter(names::EVENTS_LOST, 0).unwrap()[0]
    }

    /// A packet comes to both programs from an entry program that says this slot and this endpoint.
    pub fn entered(&mut self, entry: (u32, u32), frame: &[u8]) -> [u8; 2] {
        [&mut self.from, &mut self.to].map(|program| program.outcome(entry, frame).unwrap())
    }

    /// Takes the endpoint out of both programs.
    pub fn free_slot(&mut self) {
        for program in [&mut self.from, &mut self.to] {
            program.fill(names::ENDPOINTS, ENDPOINT_BYTES, &Endpoint::default().to_bytes()).unwrap();
        }
    }

    /// The IPv4 conntrack, keys and values.
    pub fn conntrack4(&mut self) -> Vec<([u8; 16], CtEntry)> {
        let map: HashMap<_, [u8; 16], [u8; 32]> = HashMap::try_from(self.map(names::CONNTRACK4)).unwrap();
        map.iter().map(Result::unwrap).map(|(key, value)| (key, entry(&value))).collect()
    }

    /// The IPv6 conntrack, keys and values.
    pub fn conntrack6(&mut self) -> Vec<([u8; 40], CtEntry)> {
        let map: HashMap<_, [u8; 40], [u8; 32]> = HashMap::try_from(self.map(names::CONNTRACK6)).unwrap();
        map.iter().map(Result::unwrap).map(|(key, value)| (key, entry(&value))).collect()
    }

    /// The only connection that there is, of either family.
    pub fn connection(&mut self) -> CtEntry {
        let mut entries: Vec<CtEntry> = self.conntrack4().into_iter().map(|(_, entry)| entry).collect();
        entries.extend(self.conntrack6().into_iter().map(|(_, entry)| entry));
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0]
    }

    /// The generations of all connections.
    pub fn generations(&mut self) -> Vec<u32> {
        let mut entries: Vec<CtEntry> = self.conntrack4().into_iter().map(|(_, entry)| entry).collect();
        entries.extend(self.conntrack6().into_iter().map(|(_, entry)| entry));
        entries.iter().map(|entry| entry.generation).collect()
    }

    /// Makes the two programs strangers to each other.
    pub fn part(&mut self) {
        part(&mut self.from);
        part(&mut self.to);
    }

    /// Makes them known to each other again.
    pub fn meet(&mut self) {
        meet(&mut self.from, self.to.classifier().unwrap().fd().unwrap());
        meet(&mut self.to, self.from.classifier().unwrap().fd().unwrap());
    }

    /// The endpoint sends a frame that is answered in its place: the answer.
    pub fn answered(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let context = context(ENTRY);
        let mut out = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = self.program(DIRECTION_EGRESS).test_run(options).unwrap();
        (result.return_value == REDIRECT).then_some(out)
    }

    /// Seconds that the only connection has left.
    pub fn seconds_left(&mut self) -> u64 {
        let left = self.connection().expires_ns.saturating_sub(monotonic_ns());
        (left + 500_000_000) / 1_000_000_000
    }

    /// Lets time pass over every connection.
    pub fn expire_all(&mut self) {
        let expired = |entry: CtEntry| bytes(&CtEntry { expires_ns: 1, ..entry });
        for (key, entry) in self.conntrack4() {
            let map = self.from.ebpf.map_mut(names::CONNTRACK4).unwrap();
            HashMap::<_, [u8; 16], [u8; 32]>::try_from(map).unwrap().insert(key, expired(entry), 0).unwrap();
        }
        for (key, entry) in self.conntrack6() {
            let map = self.from.ebpf.map_mut(names::CONNTRACK6).unwrap();
            HashMap::<_, [u8; 40], [u8; 32]>::try_from(map).unwrap().insert(key, expired(entry), 0).unwrap();
        }
    }

    /// Lets an interval of reports pass over every IPv4 connection.
    pub fn age_reports(&mut self, seconds: u64) {
        let ticks = (seconds * 1_000_000_000) >> CT_REPORT_TICK_SHIFT;
        let mask = (1_u64 << CT_REPORT_CLOCK_BITS) - 1;
        for (key, entry) in self.conntrack4() {
            let clock = entry.expires_ns.wrapping_sub(ticks) & mask;
            let aged = bytes(&CtEntry { expires_ns: entry.expires_ns & !mask | clock, ..entry });
            let map = self.from.ebpf.map_mut(names::CONNTRACK4).unwrap();
            HashMap::<_, [u8; 16], [u8; 32]>::try_from(map).unwrap().insert(key, aged, 0).unwrap();
        }
    }

    /// Lets the pause between two sweeps pass.
    pub fn end_sweep_pause(&mut self) {
        self.from.fill(names::CT_SWEPT, 8, &[0; 16]).unwrap();
    }

    /// Makes the last sweep of both families one of `seconds` ago.
    pub fn set_swept(&mut self, seconds: u64) {
        let swept = (monotonic_ns() - seconds * 1_000_000_000).to_ne_bytes();
        self.from.fill(names::CT_SWEPT, 8, &[swept, swept].concat()).unwrap();
    }

    /// Adds IPv4 flows of nobody, which have expired or live on.
    pub fn crowd(&mut self, numbers: std::ops::Range<u32>, expired: bool) {
        let expires_ns = if expired { 1 } else { monotonic_ns() + 3_600_000_000_000 };
        let value = bytes(&CtEntry {
            expires_ns,
            packets: 1,
            bytes: 1,
            generation: 0,
            initiator: 0,
            flags: 0,
            tcp_told: [0; 2],
        });
        let map = self.from.ebpf.map_mut(names::CONNTRACK4).unwrap();
        let mut map: HashMap<_, [u8; 16], [u8; 32]> = HashMap::try_from(map).unwrap();
        for number in numbers {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&number.to_ne_bytes());
            map.insert(key, value, 0).unwrap();
        }
    }

    /// Lets the IPv4 flow expire that a sweep sees last.
    pub fn expire_last(&mut self) {
        let map = self.from.ebpf.map_mut(names::CONNTRACK4).unwrap();
        let mut map: HashMap<_, [u8; 16], [u8; 32]> = HashMap::try_from(map).unwrap();
        let last = map.keys().last().unwrap().unwrap();
        let value = entry(&map.get(&last, 0).unwrap());
        map.insert(last, bytes(&CtEntry { expires_ns: 1, ..value }), 0).unwrap();
    }

    /// Rewrites the egress tables, as no loader would do while packets flow.
    pub fn set_egress(&mut self, rules: &[Rule]) {
        let tables = policy::tables(rules, false);
        for (name, pages) in [(names::ID_ROW, &tables.id_row), (names::VERDICT, &tables.verdict)] {
            self.from.fill(name, 256, pages.as_flattened()).unwrap();
        }
    }

    /// Records that have come since the last call.
    pub fn events(&mut self) -> Vec<Vec<u8>> {
        let mut ring = RingBuf::try_from(self.from.ebpf.map_mut(names::EVENTS).unwrap()).unwrap();
        let mut events = Vec::new();
        while let Some(event) = ring.next() {
            events.push(event.to_vec());
        }
        events
    }

    /// Packets and bytes of an egress action, over all processors.
    pub fn egress_counter(&self, action: u32) -> [u64; 2] {
        self.from.counter(names::COUNTERS, action).unwrap()
    }

    /// Packets and bytes that passed in a direction, over all processors.
    pub fn forwarded(&self, direction: u8) -> [u64; 2] {
        self.from.counter(names::METRICS, metric_index(0, direction)).unwrap()
    }

    fn map(&self, name: &str) -> &Map {
        self.from.ebpf.map(name).unwrap()
    }
}

/// The entry program says slot 0 and the endpoint.
const ENTRY: (u32, u32) = (0, ENDPOINT_ID);

/// The objects of both directions.
fn build(setup: &Setup) -> [Vec<u8>; 2] {
    let shape = |program, policy: &Policy| {
        let (mode, width) = (policy.mode(), CellWidth::U8);
        let class_shift = policy.class_shift();
        Shape { program, mode, row: width, class: width, action: width, class_shift, audit: setup.audit }
    };
    let shapes = [shape(Program::FromContainer, &setup.egress), shape(Program::ToContainer, &setup.ingress)];
    let units = shapes.map(|shape| codegen::unit(&shape, &setup.node));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objects");
    let built = compile_all(&Toolchain::find().unwrap(), &units, 0, Some(&cache)).unwrap();
    [0, 1].map(|at: usize| built[at].object.clone())
}

/// Loads both and makes them known to each other.
fn programs(built: &[Vec<u8>; 2], setup: &Setup, generation: u32, pins: &Path) -> Programs {
    let mut from = load(&built[0], DIRECTION_EGRESS, &setup.egress, setup, generation, pins);
    let mut to = load(&built[1], DIRECTION_INGRESS, &setup.ingress, setup, generation, pins);
    meet(&mut from, to.classifier().unwrap().fd().unwrap());
    meet(&mut to, from.classifier().unwrap().fd().unwrap());
    Programs { from, to }
}

impl Programs {
    /// Makes the two programs strangers to each other.
    pub fn part(&mut self) {
        part(&mut self.from);
        part(&mut self.to);
    }
}

fn part(program: &mut Loaded) {
    ProgramArray::try_from(program.ebpf.map_mut(names::OPPOSITES).unwrap()).unwrap().clear_index(&0).unwrap();
}

fn meet(program: &mut Loaded, other: &ProgramFd) {
    ProgramArray::try_from(program.ebpf.map_mut(names::OPPOSITES).unwrap()).unwrap().set(0, other, 0).unwrap();
}

fn load(object: &[u8], direction: u8, policy: &Policy, setup: &Setup, generation: u32, pins: &Path) -> Loaded {
    let addresses = if setup.addresses { &[POD4, POD6][..] } else { &[] };
    let mac = setup.mac.map_or(0, endpoint::mac);
    let endpoint = Endpoint { id: ENDPOINT_ID, identity: ENDPOINT_IDENTITY, mac, ..Endpoint::default() };
    let endpoint = match setup.gateway {
        Some((addresses, mac)) => endpoint.with_gateways(&addresses, endpoint::mac(mac)),
        None => endpoint,
    };
    let world = (policy::OUTSIDE4, policy::OUTSIDE6);
    let known4 =
        [(PEER4, policy::PEER), (OTHER4, policy::OTHER), (STRANGER4, policy::STRANGER), (BEYOND4, policy::BEYOND)];
    let known6 =
        [(PEER6, policy::PEER), (OTHER6, policy::OTHER), (STRANGER6, policy::STRANGER), (BEYOND6, policy::BEYOND)];
    let trie4 = Trie4::build(world.0, known4.map(|(address, index)| (v4(address), 32, index)));
    let trie6 = Trie6::build(world.1, known6.map(|(address, index)| (v6(address), 128, index)));
    let identities = (0..512_u32).flat_map(|index| (policy::NUMBER_BASE + index).to_ne_bytes());

    let table = |name, value_size, bytes| Table { name, value_size, bytes };
    let mut tables = vec![
        table(names::ENDPOINTS, ENDPOINT_BYTES, endpoint.with_addresses(addresses).to_bytes().to_vec()),
        table(names::IDENTITIES, 4, identities.collect()),
        table(names::IPCACHE4, 1024, trie4.to_bytes()),
        table(names::IPCACHE6, 1064, trie6.to_bytes()),
    ];
    let own = policy.tables();
    let counters = own.as_ref().map_or(1, |own| own.actions.len() as u32);
    if let Some(own) = own {
        for (name, pages) in
            [(names::ID_ROW, own.id_row), (names::PORT_CLASS, own.port_class), (names::VERDICT, own.verdict)]
        {
            tables.push(table(name, 256, pages.into_flattened()));
        }
        tables.push(table(names::ACTIONS, 16, own.actions.into_flattened()));
    }
    let (generation, default_cause, ct_entries) = (&generation, &DEFAULT_CAUSE, setup.ct_entries);
    let setup = exec::Setup { generation, default_cause, ct_entries, counters, tables, pins: Some(pins) };
    let program = if direction == DIRECTION_EGRESS { names::FROM_CONTAINER } else { names::TO_CONTAINER };
    Loader::default().load(object, program, direction, &setup).unwrap()
}

fn v4(address: IpAddr) -> std::net::Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!(),
    }
}

fn v6(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => unreachable!(),
    }
}

fn entry(bytes: &[u8; 32]) -> CtEntry {
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    let generation = u32::from_ne_bytes(bytes[24..28].try_into().unwrap());
    let (expires_ns, packets, octets) = (word(0), word(8), word(16));
    let [initiator, flags, tcp_told @ ..]: [u8; 4] = bytes[28..].try_into().unwrap();
    CtEntry { expires_ns, packets, bytes: octets, generation, initiator, flags, tcp_told }
}

fn bytes(entry: &CtEntry) -> [u8; 32] {
    let mut out = Vec::with_capacity(32);
    for word in [entry.expires_ns, entry.packets, entry.bytes] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(entry.generation.to_ne_bytes());
    out.extend([entry.initiator, entry.flags, entry.tcp_told[0], entry.tcp_told[1]]);
    out.try_into().unwrap()
}

/// The clock of conntrack; `/proc/uptime` has it in hundredths (and counts sleep too, which no test does).
pub fn monotonic_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1e9) as u64
}
