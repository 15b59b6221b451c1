//! The plan of `endpoint del`.

use super::{Plan, Step, addresses, garbage};
use crate::error::Error;
use crate::observe::{Seen, Snapshot};
use crate::pins::Pins;

/// Which endpoint a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By name; there may be one only.
    Name(String),
    /// By number on this node.
    Id(u16),
}

impl Which {
    /// Its number on this node.
    pub fn find(&self, snapshot: &Snapshot) -> Result<u16, Error> {
        match self {
            Self::Id(id) if snapshot.endpoints.contains_key(id) => Ok(*id),
            Self::Id(id) => Err(Error::Refused(format!("there is no endpoint {id} on this node"))),
            Self::Name(name) => {
                let named = |seen: &Seen| seen.record.as_ref().is_some_and(|record| record.name == *name);
                let ids = snapshot.endpoints.iter().filter(|(_, seen)| named(seen)).map(|(id, _)| *id);
                match ids.collect::<Vec<_>>()[..] {
                    [id] => Ok(id),
                    [] => Err(Error::Refused(format!("there is no endpoint `{name}` on this node"))),
                    ref ids => {
                        let ids = ids.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
                        Err(Error::Usage(format!("`{name}` has several instances here; use --id with one of {ids}")))
                    }
                }
            }
        }
    }
}

/// Detaches one endpoint and forgets it. Its addresses first, so that nobody else is taken for it.
pub fn del(pins: &Pins, snapshot: &Snapshot, which: &Which) -> Result<Plan, Error> {
    let id = which.find(snapshot)?;
    let mut plan = Plan::default();
    let mut records = snapshot.records();
    let record = records.remove(&id);
    let own = record.map(|record| record.addresses.clone()).unwrap_or_default();
    let inside = |path: &&std::path::PathBuf| path.starts_with(pins.endpoint(id));
    plan.steps.extend(snapshot.leftovers.iter().filter(inside).cloned().map(Step::RemoveLeftover));
    plan.steps.extend(own.iter().flat_map(|&address| addresses::withdraw(snapshot, address)));
    plan.steps.push(Step::RemoveEndpoint(id));
    if !snapshot.node.is_empty() {
        plan.steps.extend(own.iter().map(|&address| Step::ForgetConnections(address)));
    }
    garbage::collect(snapshot, &records, snapshot.current.as_ref(), &mut plan);
    Ok(plan)
}
