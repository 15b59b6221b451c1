//! The commands that change something: describe, compare, act under one lock.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use super::args::{Add, Apply, BundleArgs, Del, Format, Global, Unload};
use super::print;
use crate::bundle::Bundle;
use crate::error::{Context, Error};
use crate::pins::Pins;
use crate::plan::{self, AddRequest, Plan, Scene, Step};
use crate::sys::lock::{self, Lock, LockError};
use crate::sys::{files, net};
use crate::{observe, reconcile};

pub fn apply(global: &Global, pins: &Pins, args: &Apply, out: &mut dyn Write) -> Result<(), Error> {
    let bundle = Bundle::open(&args.bundle.bundle)?;
    let _lock = begin(global, pins, args.bundle.dry_run, "apply")?;
    let plan = with_scene(pins, &bundle, &args.bundle, plan::apply)?;
    let done = format!("bundle {} is in force", plan::step::short(&bundle.digest));
    finish(global, pins, Some(&bundle), &plan, args.bundle.dry_run, &done, out)
}

pub fn add(global: &Global, pins: &Pins, args: &Add, out: &mut dyn Write) -> Result<(), Error> {
    let bundle = Bundle::open(&args.bundle.bundle)?;
    let _lock = begin(global, pins, args.bundle.dry_run, "endpoint add")?;
    if let Some(netns) = &args.netns {
        net::enter_netns(netns).context(|| format!("cannot enter the network namespace `{}`", netns.display()))?;
    }
    let ifindex = net::ifindex(&args.interface)
        .ok_or_else(|| Error::Machine(format!("there is no interface `{}` here; see `ip link`", args.interface)))?;
    let request = AddRequest {
        name: args.endpoint.clone(),
        interface: args.interface.clone(),
        ifindex,
        netns: args.netns.as_ref().map(|path| path.display().to_string()),
        addresses: args.addresses.clone(),
    };
    let plan = with_scene(pins, &bundle, &args.bundle, |scene| plan::add(scene, &request))?;
    let done = format!("{} on {} is under policy", args.endpoint, args.interface);
    finish(global, pins, Some(&bundle), &plan, args.bundle.dry_run, &done, out)
}

pub fn del(global: &Global, pins: &Pins, args: &Del, out: &mut dyn Write) -> Result<(), Error> {
    let which = match (&args.which.endpoint, args.which.id) {
        (Some(name), _) => plan::Which::Name(name.clone()),
        (None, Some(id)) => plan::Which::Id(id),
        (None, None) => return Err(Error::Usage("give --endpoint or --id".to_owned())),
    };
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
        let path = pins.lock();
        files::remove(&path).context(|| format!("cannot remove `{}`", path.display()))?;
        files::remove_if_empty(&pins.state).context(|| format!("cannot remove `{}`", pins.state.display()))?;
    }
    Ok(())
}

/// Checks the machine and takes the lock; a dry run reads only, and takes none.
fn begin(global: &Global, pins: &Pins, dry_run: bool, command: &str) -> Result<Option<Lock>, Error> {
    observe::require_machine(pins)?;
    if dry_run {
        return Ok(None);
    }
    let path = pins.lock();
    files::make_folder(&pins.state).context(|| format!("cannot make the folder `{}`", pins.state.display()))?;
    let holder = format!("process {}: ciliumc-loader {command}", std::process::id());
    match lock::take(&path, &holder, Duration::from_secs(global.lock_timeout)) {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Io(source)) => Err(Error::Io { what: format!("cannot lock `{}`", path.display()), source }),
        Err(LockError::Held(holder)) => Err(Error::Machine(format!(
            "`{}` is held by {} for more than {} s; wait for it, or give a longer --lock-timeout",
            path.display(),
            if holder.is_empty() { "another command" } else { &holder },
            global.lock_timeout
        ))),
    }
}

fn with_scene(
    pins: &Pins,
    bundle: &Bundle,
    args: &BundleArgs,
    make: impl FnOnce(&Scene<'_>) -> Result<Plan, Error>,
) -> Result<Plan, Error> {
    let node = plan::choose_node(&bundle.manifest, args.node.as_deref())?;
    let snapshot = observe::snapshot(pins)?;
    make(&Scene { pins, bundle, node: node.as_deref(), snapshot: &snapshot })
}

/// Takes the steps, or prints them.
fn finish(
    global: &Global,
    pins: &Pins,
    bundle: Option<&Bundle>,
    plan: &Plan,
    dry_run: bool,
    done: &str,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if !dry_run {
        reconcile::run(pins, bundle, plan)?;
    }
    if global.output == Format::Json {
        let steps: Vec<_> = plan.steps.iter().map(Step::to_string).collect();
        return print(out, json!({ "dry_run": dry_run, "steps": steps, "notes": plan.notes }));
    }
    if dry_run {
        for step in &plan.steps {
            print(out, step)?;
        }
    } else {
        print(out, format_args!("{done} ({} steps)", plan.steps.len()))?;
    }
    for note in &plan.notes {
        // A note is for people; without stderr there are none.
        let _ = writeln!(io::stderr(), "note: {note}");
    }
    Ok(())
}
