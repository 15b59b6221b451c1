//! The commands that change something: describe, compare, act under one lock.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::args::{Add, Apply, Attach, Del, Format, Global, Rollback, Unload, Which};
use super::hurry::{self, Hurry};
use super::print;
use crate::attach::Mechanism;
use crate::bundle::Bundle;
use crate::error::{Context, Error};
use crate::labels::Labels;
use crate::mac::Mac;
use crate::observe::Snapshot;
use crate::pins::Pins;
use crate::plan::{self, AddRequest, Plan, Scene, Step};
use crate::state::{KnownBy, Link};
use crate::sys::lock::{self, Lock, LockError};
use crate::sys::{files, net};
use crate::{observe, reconcile};

pub fn apply(global: &Global, pins: &Pins, args: &Apply, out: &mut dyn Write) -> Result<(), Error> {
    let bundle = Bundle::open(&args.bundle.bundle)?;
    let _lock = begin(global, pins, args.bundle.dry_run, "apply")?;
    let node = plan::choose_node(&bundle.manifest, args.bundle.node.as_deref())?;
    let target = Target { bundle, node, snapshot: observe::snapshot(pins)? };
    let plan = plan::apply(&target.scene(pins))?;
    let done = format!("bundle {} is in force", plan::step::short(&target.bundle.digest));
    finish(global, pins, Some(&target.bundle), &plan, args.bundle.dry_run, &done, out)
}

pub fn rollback(global: &Global, pins: &Pins, args: &Rollback, out: &mut dyn Write) -> Result<(), Error> {
    let _lock = begin(global, pins, args.dry_run, "rollback")?;
    let snapshot = observe::snapshot(pins)?;
    let previous = snapshot.current.as_ref().and_then(|current| current.previous);
    let number = args.to.or(previous).ok_or_else(|| {
        Error::Refused(
            "there is no generation to go back to: nothing was applied here before the one in force".to_owned(),
        )
    })?;
    let target = stored(pins, snapshot, number)?;
    let plan = plan::apply(&target.scene(pins))?;
    let digest = plan::step::short(&target.bundle.digest);
    let done = format!("generation {number} (bundle {digest}) is in force again");
    finish(global, pins, Some(&target.bundle), &plan, args.dry_run, &done, out)
}

pub fn add(global: &Global, pins: &Pins, args: &Add, out: &mut dyn Write) -> Result<(), Error> {
    let given = args.bundle.as_ref().map(|path| Bundle::open(path)).transpose()?;
    let _lock = begin(global, pins, args.dry_run, "endpoint add")?;
    let target = target(pins, given, args.node.as_deref())?;
    let attach_by = mechanism(args.attach)?;
    if let Some(batch) = &args.batch {
        return super::batch::add(global, pins, target, batch, attach_by, out);
    }
    let known_by = match &args.endpoint {
        Some(name) => KnownBy::Name(name.clone()),
        None => {
            let labels = args.labels.iter().map(String::as_str);
            KnownBy::Labels(Labels::parse(labels, args.namespace.as_deref()).map_err(Error::Usage)?)
        }
    };
    let name = args.name.as_ref().or(args.endpoint.as_ref());
    let (Some(name), Some(interface)) = (name, &args.interface) else {
        return Err(Error::Usage("give --endpoint or --name, and --interface".to_owned()));
    };
    if let Some(netns) = &args.netns {
        net::enter_netns(netns).map_err(|error| no_netns(netns, &error))?;
    }
    let ifindex = net::ifindex(interface).ok_or_else(|| no_interface(interface))?;
    let request = AddRequest {
        name: name.clone(),
        known_by,
        interface: interface.clone(),
        ifindex,
        netns: args.netns.as_ref().map(|path| path.display().to_string()),
        attach_by,
        addresses: args.addresses.clone(),
        link: link(args.mac, &args.gateways, interface, || net::mac(interface))?,
    };
    let plan = plan::add(&target.scene(pins), &request)?;
    let done = format!("{name} on {interface} is under policy");
    finish(global, pins, Some(&target.bundle), &plan, args.dry_run, &done, out)
}

/// What was said of a link; the host's MAC address on it is looked up when there is somebody to tell it to.
pub fn link(
    mac: Option<Mac>,
    gateways: &[IpAddr],
    interface: &str,
    own_mac: impl FnOnce() -> io::Result<Option<[u8; 6]>>,
) -> Result<Link, Error> {
    let mut link = Link { mac, gateways: gateways.to_vec(), gateway_mac: None };
    if !gateways.is_empty() {
        let found = own_mac().context(|| format!("cannot ask for the MAC address of `{interface}`"))?;
        let none = || {
            Error::Machine(format!("interface {interface} has no MAC address, so there is none to tell for --gateway"))
        };
        link.gateway_mac = Some(Mac(found.ok_or_else(none)?));
    }
    Ok(link)
}

/// How to attach programs here.
fn mechanism(asked: Attach) -> Result<Mechanism, Error> {
    match (asked, observe::mechanism()?) {
        (Attach::Auto, found) => Ok(found),
        (Attach::Clsact, _) => Ok(Mechanism::Clsact),
        (Attach::Tcx, Mechanism::Tcx) => Ok(Mechanism::Tcx),
        (Attach::Tcx, Mechanism::Clsact) => {
            Err(Error::Machine("the kernel has no tcx (Linux 6.6 has); use --attach clsact".to_owned()))
        }
    }
}

/// An interface that is asked for and not there.
pub fn no_interface(interface: &str) -> Error {
    Error::Machine(format!("there is no interface `{interface}` here; see `ip link`"))
}

/// What takes a bundle in force, and there is none.
pub fn no_bundle() -> Error {
    Error::Refused("no bundle is in force here; `apply` one first".to_owned())
}

/// A network namespace that is asked for and cannot be entered.
pub fn no_netns(path: &Path, error: &io::Error) -> Error {
    let rights = if error.kind() == io::ErrorKind::PermissionDenied { " (it takes CAP_SYS_ADMIN)" } else { "" };
    Error::Machine(format!("cannot enter the network namespace `{}`{rights}: {error}", path.display()))
}

/// The endpoint that the arguments name.
pub fn which(args: &Which) -> Result<plan::Which, Error> {
    match (&args.endpoint, args.id) {
        (Some(name), _) => Ok(plan::Which::Name(name.clone())),
        (None, Some(id)) => Ok(plan::Which::Id(id)),
        (None, None) => Err(Error::Usage("give --endpoint or --id".to_owned())),
    }
}

pub fn del(global: &Global, pins: &Pins, args: &Del, out: &mut dyn Write) -> Result<(), Error> {
    let which = which(&args.which)?;
    let _lock = begin(global, pins, args.dry_run, "endpoint del")?;
    let plan = plan::del(pins, &observe::snapshot(pins)?, &which)?;
    let done = match which {
        plan::Which::Name(name) => format!("{name} is detached"),
        plan::Which::Id(id) => format!("endpoint {id} is detached"),
    };
    finish(global, pins, None, &plan, args.dry_run, &done, out)
}

pub fn unload(global: &Global, pins: &Pins, args: &Unload, out: &mut dyn Write) -> Result<(), Error> {
    let lock = begin(global, pins, args.dry_run, "unload")?;
    let plan = plan::unload(pins, &observe::snapshot(pins)?);
    if global.output == Format::Text && !args.dry_run {
        for step in &plan.steps {
            print(out, step)?;
        }
    }
    finish(global, pins, None, &plan, args.dry_run, "nothing is loaded any more", out)?;
    // The folder stays while the lock in it is held, and while others put things there.
    if lock.is_some() {
        for path in [pins.monitor_lock(), pins.lock()] {
            files::remove(&path).context(|| format!("cannot remove `{}`", path.display()))?;
        }
        files::remove_if_empty(&pins.state).context(|| format!("cannot remove `{}`", pins.state.display()))?;
    }
    Ok(())
}

/// Checks the machine and takes the lock; a dry run reads only, and takes none.
pub fn begin(global: &Global, pins: &Pins, dry_run: bool, command: &str) -> Result<Option<Lock>, Error> {
    observe::require_machine(pins)?;
    if dry_run {
        return Ok(None);
    }
    let path = pins.lock();
    files::make_folder(&pins.state).context(|| format!("cannot make the folder `{}`", pins.state.display()))?;
    let holder = format!("process {}: ciliumc-loader {command}", std::process::id());
    match lock::take(&path, &holder, Duration::from_secs(global.lock_timeout)) {
        Ok(lock) => {
            // A process that was killed cannot have done so itself.
            hurry::restore(pins);
            Ok(Some(lock))
        }
        Err(LockError::Io(source)) => Err(Error::Io { what: format!("cannot lock `{}`", path.display()), source }),
        Err(LockError::Held(holder)) => Err(Error::Machine(format!(
            "`{}` is held by {} for more than {} s; wait for it, or give a longer --lock-timeout",
            path.display(),
            if holder.is_empty() { "another command" } else { &holder },
            global.lock_timeout
        ))),
    }
}

/// A bundle, this node in it, and what the node has.
pub struct Target {
    pub bundle: Bundle,
    pub node: Option<String>,
    pub snapshot: Snapshot,
}

impl Target {
    /// What plans start from.
    pub fn scene<'a>(&'a self, pins: &'a Pins) -> Scene<'a> {
        Scene { pins, bundle: &self.bundle, node: self.node.as_deref(), snapshot: &self.snapshot }
    }
}

/// The bundle that was given, or the one in force.
pub fn target(pins: &Pins, given: Option<Bundle>, node: Option<&str>) -> Result<Target, Error> {
    let snapshot = observe::snapshot(pins)?;
    match (given, snapshot.in_force()) {
        (Some(bundle), _) => {
            let node = plan::choose_node(&bundle.manifest, node)?;
            Ok(Target { bundle, node, snapshot })
        }
        (None, Some(number)) => stored(pins, snapshot, number),
        (None, None) => Err(no_bundle()),
    }
}

/// The bundle of a published generation, from the node's own state.
fn stored(pins: &Pins, snapshot: Snapshot, number: u32) -> Result<Target, Error> {
    let documents = snapshot.generations.get(&number).and_then(|seen| seen.documents.as_ref());
    let documents = documents.filter(|_| snapshot.stored.contains(&number)).ok_or_else(|| {
        Error::Refused(format!("what generation {number} was made from is not there any more; `apply` its bundle"))
    })?;
    let bundle = Bundle::stored(documents, pins.files(number))?;
    let node = documents.generation.node.clone();
    Ok(Target { bundle, node, snapshot })
}

/// Takes the steps, or prints them.
pub fn finish(
    global: &Global,
    pins: &Pins,
    bundle: Option<&Bundle>,
    plan: &Plan,
    dry_run: bool,
    done: &str,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if !dry_run {
        let _expedited = Hurry::new(pins, global.expedite_rcu).begin(plan.moves_several());
        reconcile::run(pins, bundle, plan)?;
    }
    if global.output == Format::Json {
        let steps: Vec<_> = plan.steps.iter().map(Step::to_string).collect();
        let report = json!({ "dry_run": dry_run, "steps": steps, "notes": plan.notes, "refused": plan.refused });
        print(out, report)?;
        return refused(plan);
    }
    if dry_run {
        for step in &plan.steps {
            print(out, step)?;
        }
    } else if plan.refused.is_none() {
        print(out, format_args!("{done} ({} steps)", plan.steps.len()))?;
    }
    plan.notes.iter().for_each(hurry::note);
    refused(plan)
}

/// The end of a command that did what is left to do for what it refuses.
fn refused(plan: &Plan) -> Result<(), Error> {
    plan.refused.clone().map_or(Ok(()), |why| Err(Error::Refused(why)))
}
