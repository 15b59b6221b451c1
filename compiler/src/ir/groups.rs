//! `fromGroups` and `toGroups` (spec §2.18): the addresses come from the file of `--groups`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::build::Ctx;
use super::{CidrPeer, CidrSource, Peer};
use crate::diag::{Code, Diagnostic, ObjectRef, Spanned};
use crate::front::objects::{Answers, Group};

/// Addresses by group.
pub type GroupAddresses<'a> = BTreeMap<&'a Group, BTreeSet<IpAddr>>;

/// Two answers for one group are one.
pub fn collect(answers: &Answers) -> GroupAddresses<'_> {
    let mut out = GroupAddresses::new();
    for (group, addresses) in &answers.groups {
        out.entry(group).or_default().extend(addresses);
    }
    out
}

/// A host prefix for each address of the groups, as a CIDR set. A group without an answer is E-236.
pub fn peers(ctx: &mut Ctx<'_>, groups: &[Spanned<Group>], object: &ObjectRef) -> Vec<Peer> {
    let mut out = Vec::new();
    for group in groups {
        match ctx.group(&group.value) {
            Some(addresses) => out.extend(addresses.iter().map(|address| {
                let source = CidrSource::Net(IpNet::from(*address));
                Peer::Cidr(CidrPeer { source, except: Vec::new(), set: true })
            })),
            None => {
                let message = format!("no answer says which addresses are in {}", text(&group.value));
                let hint =
                    "write the group and its addresses, which may be none, into a file and name it with --groups";
                ctx.report(Diagnostic::error(Code("E-236"), group.span, message).hint(hint), object);
            }
        }
    }
    out
}

fn text(group: &Group) -> String {
    let mut words: Vec<String> = group.labels.iter().map(|(key, value)| format!("label {key}={value}")).collect();
    words.extend(group.security_group_ids.iter().map(|id| format!("id {id}")));
    words.extend(group.security_group_names.iter().map(|name| format!("name {name}")));
    words.extend(group.region.iter().map(|region| format!("region {region}")));
    match words.is_empty() {
        true => "the AWS group of everything".into(),
        false => format!("the AWS group with {}", words.join(", ")),
    }
}
