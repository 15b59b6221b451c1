//! Runs of ports on which no filter begins or ends, so that one port of each speaks for all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Input, Judged};
use crate::eval::flow::{End, is_asked, judge};
use crate::eval::{HOST_ICMP6, L4};
use crate::ir::{Direction, PortSpan, Transport};
use crate::resolve::{DirectionPolicy, Holder, L4Match, VariantIndex};

/// Ports at which runs begin, by protocol.
type Starts = BTreeMap<Transport, BTreeSet<u16>>;

/// Asks flows run by run; what a policy's filters cut is kept.
pub struct Pieces<'a> {
    input: Input<'a>,
    starts: HashMap<(Holder, Direction), Starts>,
}

impl<'a> Pieces<'a> {
    /// Nothing is known yet.
    pub fn new(input: Input<'a>) -> Self {
        Self { input, starts: HashMap::new() }
    }

    /// What becomes of each run of the ports, or of every protocol that is in use.
    pub fn judge(
        &mut self,
        source: End,
        destination: End,
        ports: Option<&[PortSpan]>,
        cuts: &[PortSpan],
    ) -> Vec<Judged> {
        let all;
        let ports = match ports {
            Some(ports) => ports,
            None => {
                all = self.everything();
                &all
            }
        };
        let mut starts = Starts::new();
        for cut in cuts {
            add(&mut starts, cut.transport, cut.first, cut.last);
        }
        for (end, direction) in [(source, Direction::Egress), (destination, Direction::Ingress)] {
            for holder in self.holders(end) {
                let policy = self.input.resolved.class(holder).policy(direction);
                let own = self.starts.entry((holder, direction)).or_insert_with(|| self::starts(policy));
                if let Holder::Host(_) = holder {
                    starts.entry(Transport::Icmp6).or_default().extend(HOST_ICMP6);
                }
                for (transport, ports) in own.iter() {
                    starts.entry(*transport).or_default().extend(ports);
                }
            }
        }
        let mut out = Vec::new();
        for span in ports {
            let inner = starts.get(&span.transport).into_iter().flatten().copied();
            let inner = inner.filter(|port| (span.first + 1..=span.last).contains(port));
            let mut firsts: Vec<u16> = vec![span.first];
            firsts.extend(inner);
            let lasts: Vec<u16> = firsts.iter().skip(1).map(|next| next - 1).chain([span.last]).collect();
            for (first, last) in firsts.into_iter().zip(lasts) {
                let l4 = L4::new(span.transport, first);
                let judged = judge(self.input.cluster, self.input.resolved, source, destination, l4);
                out.push((PortSpan { transport: span.transport, first, last }, judged));
            }
        }
        out
    }

    /// Whose policies may be asked at an end.
    fn holders(&self, end: End) -> Vec<Holder> {
        let Input { cluster, resolved, .. } = self.input;
        match end {
            End::Endpoint(endpoint) => {
                resolved.endpoints[endpoint.0 as usize].classes.values().copied().map(Holder::Class).collect()
            }
            // Which node it is depends on the other end; runs that are too short cost time alone.
            End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) if is_asked(cluster, resolved, end) => {
                (0..resolved.hosts.len() as u32).map(VariantIndex).map(Holder::Host).collect()
            }
            End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) => Vec::new(),
        }
    }

    /// Every port of every protocol that can pass at all.
    fn everything(&self) -> Vec<PortSpan> {
        let is_used = |transport: &Transport| self.input.cluster.options.sctp || *transport != Transport::Sctp;
        let whole = |transport: Transport| PortSpan { transport, first: transport.lowest(), last: transport.last() };
        Transport::ALL.into_iter().filter(is_used).map(whole).collect()
    }
}

/// Where the filters of a policy begin and end. A range is cut into its blocks, since the length of their prefixes decides
/// between redirects (spec §4.3).
fn starts(policy: &DirectionPolicy) -> Starts {
    let mut out = Starts::new();
    let tiers = policy.tiers.admin.iter().chain(&policy.tiers.baseline).flat_map(|rule| rule.l4.iter().copied());
    for l4 in policy.filters.iter().map(|filter| filter.l4).chain(tiers) {
        match l4 {
            L4Match::All | L4Match::Icmp(0) | L4Match::Icmp6(0) => {}
            L4Match::Icmp(kind) => add(&mut out, Transport::Icmp, kind.into(), kind.into()),
            L4Match::Icmp6(kind) => add(&mut out, Transport::Icmp6, kind.into(), kind.into()),
            L4Match::Ports { protocol, first, last } => {
                let mut at = u32::from(first);
                while at <= u32::from(last) {
                    let aligned = if at == 0 { 16 } else { at.trailing_zeros().min(16) };
                    let fitting = (u32::from(last) - at + 1).ilog2();
                    let size = 1 << aligned.min(fitting);
                    add(&mut out, protocol.into(), at as u16, (at + size - 1) as u16);
                    at += size;
                }
            }
        }
    }
    out
}

fn add(starts: &mut Starts, transport: Transport, first: u16, last: u16) {
    let own = starts.entry(transport).or_default();
    own.insert(first);
    own.extend(last.checked_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Protocol, RuleAction};
    use crate::resolve::{Enforcement, L4Filter, PeerSet, Tiers};

    #[test]
    fn a_range_is_cut_into_blocks() {
        let l4 = L4Match::Ports { protocol: Protocol::Tcp, first: 80, last: 97 };
        let filter = L4Filter { rule: None, action: RuleAction::Allow, peers: PeerSet::Everyone, l4, attributes: None };
        let policy = DirectionPolicy {
            enforcement: Enforcement::DefaultAllow,
            filters: vec![filter],
            tiers: Tiers::default(),
            audit: false,
        };
        assert_eq!(starts(&policy)[&Transport::Tcp], [80, 96, 98].into());
        let whole = L4Match::Ports { protocol: Protocol::Tcp, first: 0, last: u16::MAX };
        let filters = vec![L4Filter { l4: whole, ..policy.filters[0].clone() }];
        assert_eq!(starts(&DirectionPolicy { filters, ..policy })[&Transport::Tcp], [0].into());
    }
}
