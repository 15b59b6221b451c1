//! Events as they happen.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, RingBuf};
use ciliumc_abi::names;

use super::args::{Direction, EventType, Format, Global, Monitor};
use super::print;
use crate::error::{Context, Error};
use crate::events::{self, Book, End, Event, What};
use crate::observe;
use crate::pins::Pins;
use crate::sys::lock::{self, LockError};
use crate::sys::net;

/// How long one wait for events lasts at most.
const WAIT: Duration = Duration::from_millis(500);

pub fn run(global: &Global, pins: &Pins, args: &Monitor, out: &mut dyn Write) -> Result<(), Error> {
    observe::require_machine(pins)?;
    let path = pins.node().join(names::EVENTS);
    if !path.exists() {
        return Err(Error::Machine(format!("nothing is loaded below `{}`; `apply` a bundle", pins.root.display())));
    }
    // A ring has one reader: a second one would take events away from the first.
    let own = pins.state.join("monitor.lock");
    let holder = format!("process {}", std::process::id());
    let _lock = lock::take(&own, &holder, Duration::ZERO).map_err(|error| match error {
        LockError::Held(holder) => Error::Machine(format!("another monitor reads the events: {holder}")),
        LockError::Io(source) => Error::Io { what: format!("cannot lock `{}`", own.display()), source },
    })?;
    let broken = |error: aya::maps::MapError| Error::Machine(format!("cannot read `{}`: {error}", path.display()));
    let map = MapData::from_pin(&path).map_err(broken)?;
    let mut ring = RingBuf::try_from(Map::RingBuf(map)).map_err(broken)?;

    let end = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut book = Book::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        while let Some(item) = ring.next() {
            let Some(event) = events::decode(&item) else {
                print(out, unreadable(global, item.len()))?;
                continue;
            };
            book.prepare(pins, &event);
            if !wanted(args, &book, &event) {
                continue;
            }
            match global.output {
                Format::Text => print(out, events::line(&event, &book, args.labels))?,
                Format::Json => print(out, events::json(&event, &book))?,
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
        let now = Instant::now();
        let wait = match end {
            Some(end) if now >= end => return Ok(()),
            Some(end) => WAIT.min(end - now),
            None => WAIT,
        };
        net::wait_readable(ring.as_fd(), wait).context(|| format!("cannot wait for `{}`", path.display()))?;
    }
    Ok(())
}

fn unreadable(global: &Global, len: usize) -> String {
    match global.output {
        Format::Text => format!("unknown record of {len} bytes"),
        Format::Json => serde_json::json!({ "type": "unknown", "length": len }).to_string(),
    }
}

fn wanted(args: &Monitor, book: &Book, event: &Event) -> bool {
    let kind = match args.kind {
        None => true,
        Some(EventType::Drop) => matches!(event.what, What::Drop { .. }),
        Some(EventType::Verdict) => matches!(event.what, What::Verdict { .. }),
    };
    let direction = match args.direction {
        None => true,
        Some(Direction::Ingress) => event.ingress,
        Some(Direction::Egress) => !event.ingress,
    };
    let of_endpoint = |name: &String| {
        name.parse() == Ok(event.endpoint) || book.endpoint(event.endpoint).is_some_and(|known| known.name == *name)
    };
    let ends = [&event.source, &event.destination];
    let any = |test: &dyn Fn(&End) -> bool| ends.into_iter().any(test);
    let protocol = |asked: &String| events::protocol_name(event.proto).eq_ignore_ascii_case(asked);
    kind && direction
        && args.endpoint.as_ref().is_none_or(of_endpoint)
        && args.address.is_none_or(|address| any(&|end| end.address == Some(address)))
        && args.port.is_none_or(|port| any(&|end| end.port == port))
        && args.protocol.as_ref().is_none_or(protocol)
        && args.identity.is_none_or(|identity| any(&|end| book.identity(event, end) == Some(identity)))
}
