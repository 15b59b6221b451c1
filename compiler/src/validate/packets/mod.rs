//! Flows as frames, run through the objects and tables of a bundle in this kernel and held against the model's verdict.
//!
//! In: a bundle, and flows that were judged. Out: what became of each frame. The egress object of the source and the ingress
//! object of the destination are both asked, each with its own verdict, so a wrong one does not hide behind the other.
//! Every frame begins a flow of its own: conntrack is empty in front of it.
//!
//! What a node learns at run time stands for itself: an endpoint without addresses gets some, and an identity that has
//! none either, as `endpoint add` and `ipcache upsert` would say them.

mod addresses;
mod image;

use std::collections::BTreeMap;
use std::fmt;

use addresses::Addressing;
use ciliumc_abi::drop_reason::{POLICY_DENIED, POLICY_DENY};
use ciliumc_abi::endpoint::Endpoint;
use ciliumc_abi::names::{self, DIRECTION_EGRESS, DIRECTION_INGRESS};
use image::{Image, Key};

use super::node;
use crate::bundle::Bundle;
use crate::eval::L4;
use crate::eval::flow::{Asked, End, Judgement, Side};
use crate::exec::frames::{self, Addresses};
use crate::exec::{LoadError, Loaded, Loader};
use crate::ir::{Cluster, Direction, EndpointIndex, NodeIndex, Protocol};
use crate::resolve::Resolved;

/// What was judged, and what runs.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The same with numbers.
    pub resolved: &'a Resolved,
    /// Objects and tables, of the same cluster or of another version of it.
    pub bundle: &'a Bundle,
}

/// A flow with its verdict.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// Where it comes from.
    pub source: End,
    /// Where it goes.
    pub destination: End,
    /// Protocol and port: any for which the verdict holds.
    pub l4: L4,
    /// What both ends decide.
    pub judgement: &'a Judgement,
}

/// What became of the frames of some flows.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Frames that ended as the verdict says, by drop reason; 0 for those that passed.
    pub as_expected: BTreeMap<u8, usize>,
    /// Flows without a frame, by the reason.
    pub unsent: BTreeMap<Unsent, usize>,
    /// What an end did otherwise.
    pub differences: Vec<Difference>,
}

impl Sent {
    /// Frames that ran.
    pub fn frames(&self) -> usize {
        self.as_expected.values().sum::<usize>() + self.differences.len()
    }
}

/// Why there is no frame of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsent {
    /// The ends have no addresses of one family, or the protocol is of the other one.
    Family,
    /// Host policies alone decide, which nodes do not enforce.
    Host,
}

impl Unsent {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Family => "the ends have no addresses of one family",
            Self::Host => "host policies alone decide, and nodes enforce none",
        }
    }
}

/// An end that does not do what the model says.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The endpoint.
    pub endpoint: EndpointIndex,
    /// Direction, seen from it.
    pub direction: Direction,
    /// Addresses of the frame.
    pub addresses: Addresses,
    /// Protocol and port of the frame.
    pub l4: L4,
    /// Drop reason that the model leads to; 0 for a pass.
    pub expected: u8,
    /// What happened.
    pub found: Found,
}

/// What happened to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Drop reason; 0 for a pass.
    Outcome(u8),
    /// The bundle does not have the endpoint, so a node would drop all that it sends and gets.
    NoEndpoint,
}

/// Why frames cannot be run.
#[derive(Debug)]
pub enum PacketError {
    /// A program does not run here.
    Load(LoadError),
    /// The bundle names what it does not have.
    Damaged(String),
}

impl From<LoadError> for PacketError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

/// One frame at one end.
struct Ask {
    /// Position of its frame.
    frame: usize,
    endpoint: EndpointIndex,
    direction: Direction,
    slot: Endpoint,
    expected: u8,
    /// Whether the address of the other end is one that the verdict was asked for: of several that a rule of a tier tells
    /// apart, the verdict is that of all (spec §6.4), the reason that of the first.
    is_exact: bool,
}

/// One frame.
struct Frame {
    /// Position of the group that its flow belongs to.
    group: usize,
    addresses: Addresses,
    l4: L4,
    /// What the last end says that it reaches.
    expected: u8,
    differs: bool,
}

/// Number of the one endpoint that a program knows at a time, in slot 0.
const ENDPOINT_ID: u32 = 1;

/// Port that frames come from.
const SOURCE_PORT: u16 = 40_000;

/// Runs the flows of each group.
pub fn run(input: Input<'_>, groups: &[Vec<Flow<'_>>]) -> Result<Vec<Sent>, PacketError> {
    let image = Image::new(input.bundle)?;
    let mut addressing = Addressing::new(input, &image);
    let mut out: Vec<Sent> = groups.iter().map(|_| Sent::default()).collect();
    let mut frames: Vec<Frame> = Vec::new();
    // By program, so that one of them is in the kernel at a time.
    let mut asks: BTreeMap<Key, Vec<Ask>> = BTreeMap::new();
    for ((group, flows), sent) in groups.iter().enumerate().zip(&mut out) {
        for flow in flows {
            // A host has no program: nothing is said of its side.
            if flow.judgement.sides().all(|side| side.asked.endpoint().is_none()) {
                *sent.unsent.entry(Unsent::Host).or_default() += 1;
                continue;
            }
            let pairs = addressing.pairs(flow);
            if pairs.is_empty() {
                *sent.unsent.entry(Unsent::Family).or_default() += 1;
            }
            for addresses in pairs {
                let mut frame = Frame { group, addresses, l4: flow.l4, expected: 0, differs: false };
                for side in flow.judgement.sides() {
                    let Some(endpoint) = side.asked.endpoint() else { continue };
                    let direction = side.direction;
                    let expected = node::passes(&input.cluster.options, &side.decision).err().unwrap_or(0);
                    if frame.expected == 0 {
                        frame.expected = expected;
                    }
                    let Some((key, identity)) = key(input, &image, side)? else {
                        frame.differs = true;
                        let (l4, found) = (flow.l4, Found::NoEndpoint);
                        sent.differences.push(Difference { endpoint, direction, addresses, l4, expected, found });
                        continue;
                    };
                    let (own, peer) = match direction {
                        Direction::Egress => (addresses.source(), addresses.destination()),
                        Direction::Ingress => (addresses.destination(), addresses.source()),
                    };
                    let is_exact = input.resolved.addresses.at(peer).is_none_or(|index| index == side.peer);
                    let slot = Endpoint { id: ENDPOINT_ID, identity, ..Endpoint::default() }.with_addresses(&[own]);
                    let ask = Ask { frame: frames.len(), endpoint, direction, slot, expected, is_exact };
                    asks.entry(key).or_default().push(ask);
                }
                frames.push(frame);
            }
        }
    }
    let mut loader = Loader::default();
    for (key, asks) in &asks {
        let mut program = image.load(&mut loader, key, addressing.learnt())?;
        for ask in asks {
            let Some(frame) = frames.get_mut(ask.frame) else { continue };
            let Some(found) = differs(&mut program, frame, ask)? else { continue };
            frame.differs = true;
            let Ask { endpoint, direction, expected, .. } = *ask;
            let (addresses, l4, found) = (frame.addresses, frame.l4, Found::Outcome(found));
            let difference = Difference { endpoint, direction, addresses, l4, expected, found };
            out.get_mut(frame.group).into_iter().for_each(|sent| sent.differences.push(difference.clone()));
        }
    }
    for frame in frames.iter().filter(|frame| !frame.differs) {
        if let Some(sent) = out.get_mut(frame.group) {
            *sent.as_expected.entry(frame.expected).or_default() += 1;
        }
    }
    Ok(out)
}

/// What happened instead of the expected outcome, if it did.
fn differs(program: &mut Loaded, frame: &Frame, ask: &Ask) -> Result<Option<u8>, LoadError> {
    const ENTRY: (u32, u32) = (0, ENDPOINT_ID);
    let bytes = bytes(frame.addresses, frame.l4);
    program.fill(names::ENDPOINTS, size_of::<Endpoint>(), &ask.slot.to_bytes())?;
    program.forget()?;
    if program.is(ask.expected, ENTRY, &bytes)? {
        return Ok(None);
    }
    program.forget()?;
    let found = program.outcome(ENTRY, &bytes)?;
    let are_denials = [ask.expected, found].iter().all(|reason| matches!(*reason, POLICY_DENIED | POLICY_DENY));
    Ok((ask.is_exact || !are_denials).then_some(found))
}

/// The program of an end, with the endpoint's numeric identity; `None` when the bundle does not have the endpoint.
fn key(input: Input<'_>, image: &Image<'_>, side: &Side) -> Result<Option<(Key, u32)>, PacketError> {
    let endpoint = side.asked.endpoint().and_then(|endpoint| input.cluster.endpoints.get(endpoint.0 as usize));
    let endpoint = endpoint.ok_or_else(|| PacketError::Damaged("an endpoint is not in the cluster".into()))?;
    let node = node_of(input, side).and_then(|node| input.cluster.nodes.get(node.0 as usize));
    image.key(&endpoint.name, node.map(|node| node.name.as_str()), side.direction)
}

/// The node that an end was judged on.
fn node_of(input: Input<'_>, side: &Side) -> Option<NodeIndex> {
    let own = match side.asked {
        Asked::Endpoint(endpoint) => input.cluster.endpoints.get(endpoint.0 as usize)?.node,
        Asked::Host(node) => node,
    };
    let variant = input.resolved.class(side.class).variant;
    let first = || input.resolved.node_variants.iter().position(|of| *of == variant);
    own.or_else(|| first().map(|node| NodeIndex(node as u32)))
}

/// The frame that begins a flow.
fn bytes(addresses: Addresses, l4: L4) -> Vec<u8> {
    let (proto, payload) = match l4 {
        L4::Port(Protocol::Tcp, port) => (frames::TCP, frames::tcp(SOURCE_PORT, port, frames::SYN)),
        L4::Port(Protocol::Udp, port) => (frames::UDP, frames::udp(SOURCE_PORT, port)),
        L4::Port(Protocol::Sctp, port) => (frames::SCTP, frames::sctp(SOURCE_PORT, port)),
        L4::Icmp(kind) => (frames::ICMP, frames::icmp(kind, 0, 1, &[0; 8])),
        L4::Icmp6(kind) => (frames::ICMP6, frames::icmp(kind, 0, 1, &[0; 8])),
    };
    frames::frame(&frames::packet(addresses, proto, &payload))
}

/// Number of a direction in the programs' metrics.
fn number(direction: Direction) -> u8 {
    match direction {
        Direction::Egress => DIRECTION_EGRESS,
        Direction::Ingress => DIRECTION_INGRESS,
    }
}
