//! Events as they happen.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, RingBuf};
use ciliumc_abi::names;

use super::args::{Direction, EventType, Format, Global, Monitor};
use super::print;
use crate::counters;
use crate::error::{Context, Error};
use crate::events::{self, Book, End, Event, Heard, What};
use crate::observe;
use crate::pins::Pins;
use crate::sys::lock::{self, LockError};
use crate::sys::{clock, files, net, signal};

/// How long one wait for events lasts at most.
const WAIT: Duration = Duration::from_millis(500);
/// How often events that nobody will hear of are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Where the kernel says what this host is called.
const HOST: &str = "/proc/sys/kernel/hostname";

pub fn run(global: &Global, pins: &Pins, args: &Monitor, out: &mut dyn Write) -> Result<(), Error> {
    observe::require_bpffs(pins)?;
    let path = pins.node().join(names::EVENTS);
    if crate::maps::open_optional(&path)?.is_none() {
        return Err(Error::Machine(format!("nothing is loaded below `{}`; `apply` a bundle", pins.root.display())));
    }
    // A ring has one reader: a second one would take events away from the first.
    let own = pins.monitor_lock();
    let holder = format!("process {}", std::process::id());
    let _lock = lock::take(&own, &holder, Duration::ZERO).map_err(|error| match error {
        LockError::Held(holder) => Error::Machine(format!("another monitor reads the events: {holder}")),
        LockError::Io(source) => Error::Io { what: format!("cannot lock `{}`", own.display()), source },
    })?;
    let broken = |error: aya::maps::MapError| Error::Machine(format!("cannot read `{}`: {error}", path.display()));
    let map = MapData::from_pin(&path).map_err(broken)?;
    let mut ring = RingBuf::try_from(Map::RingBuf(map)).map_err(broken)?;

    signal::catch().context(|| "cannot catch SIGTERM".to_owned())?;
    let host = files::read_optional(Path::new(HOST)).context(|| format!("cannot read `{HOST}`"))?;
    let host = String::from_utf8_lossy(&host.unwrap_or_default()).trim().to_owned();
    let mut losses = Losses { known: lost(pins)?, host, looked: Instant::now() };
    let end = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut book = Book::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !signal::asked() {
        while let Some(item) = ring.next() {
            let Some(event) = events::decode(&item) else {
                // Without stderr nobody wants to know.
                let _ = writeln!(io::stderr(), "unknown record of {} bytes", item.len());
                continue;
            };
            book.prepare(pins, &event);
            if !wanted(args, &book, &event) {
                continue;
            }
            match global.output {
                Format::Text => print(out, events::line(&event, &book, args.labels))?,
                Format::Json => print(out, events::flow(&event, &book, &losses.heard()?))?,
            }
            left -= 1;
            if left == 0 || signal::asked() {
                return Ok(());
            }
            losses.report(global, pins, out)?;
        }
        losses.report(global, pins, out)?;
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

/// Events that were not reported so far.
fn lost(pins: &Pins) -> Result<u64, Error> {
    Ok(counters::sum(&counters::read(&pins.node().join(names::EVENTS_LOST))?).packets)
}

/// What this monitor did not get to see.
struct Losses {
    known: u64,
    host: String,
    looked: Instant,
}

impl Losses {
    /// Says how many events were lost since it last did, now and then.
    fn report(&mut self, global: &Global, pins: &Pins, out: &mut dyn Write) -> Result<(), Error> {
        if self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let now = lost(pins)?;
        let new = now.saturating_sub(self.known);
        self.known = now;
        match global.output {
            _ if new == 0 => Ok(()),
            Format::Text => print(out, format_args!("lost  {new} events: too many at once, or nobody read them")),
            Format::Json => print(out, events::lost(new, &self.heard()?)),
        }
    }

    fn heard(&self) -> Result<Heard, Error> {
        let uuid = clock::uuid().context(|| "cannot get random bytes".to_owned())?;
        Ok(Heard { time: clock::now(), uuid, host: self.host.clone() })
    }
}

fn wanted(args: &Monitor, book: &Book, event: &Event) -> bool {
    let kind = match args.kind {
        None => true,
        Some(EventType::Drop) => matches!(event.what, What::Drop { .. }),
        Some(EventType::Verdict) => matches!(event.what, What::Verdict { .. }),
        Some(EventType::Trace) => matches!(event.what, What::Trace { .. }),
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
