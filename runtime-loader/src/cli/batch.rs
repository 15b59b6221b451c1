//! `endpoint add --batch`: many endpoints in one process, each answered by a line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::args::{Format, Global};
use super::change::{self, Target, no_interface};
use super::hurry::Hurry;
use super::print;
use crate::attach::Mechanism;
use crate::error::{Context, Error};
use crate::labels::Labels;
use crate::mac::Mac;
use crate::observe;
use crate::pins::Pins;
use crate::plan::{self, AddRequest, Scene};
use crate::reconcile::Session;
use crate::state::KnownBy;
use crate::sys::net;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    endpoint: Option<String>,
    labels: Option<LabelList>,
    namespace: Option<String>,
    name: Option<String>,
    interface: String,
    netns: Option<String>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    mac: Option<Mac>,
    #[serde(default)]
    gateways: Vec<IpAddr>,
}

/// Labels as a list of `key=value`, or as Kubernetes writes them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum LabelList {
    Items(Vec<String>),
    Map(BTreeMap<String, String>),
}

impl LabelList {
    /// The labels of a line.
    pub fn parse(&self, namespace: Option<&str>) -> Result<Labels, Error> {
        let items = match self {
            Self::Items(items) => items.clone(),
            Self::Map(map) => map.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        };
        Labels::parse(items.iter().map(String::as_str), namespace).map_err(Error::Usage)
    }
}

/// Lines that come one by one.
pub type Lines = Box<dyn Iterator<Item = Result<Vec<u8>, Error>>>;

/// The lines of a file or of standard input, without empty ones. One that is not UTF-8 is refused as such, with the
/// others still to come.
pub fn lines(path: &Path) -> Result<Lines, Error> {
    let cannot = format!("cannot read `{}`", path.display());
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).context(|| cannot.clone())?))
    };
    let lines = reader.split(b'\n').map(move |line| line.context(|| cannot.clone()));
    Ok(Box::new(lines.filter(|line| line.as_ref().map_or(true, |bytes| !bytes.trim_ascii().is_empty()))))
}

pub fn add(
    global: &Global,
    pins: &Pins,
    mut target: Target,
    path: &Path,
    attach_by: Mechanism,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut failed = Failed::default();
    let Target { bundle, node, snapshot } = &mut target;
    let mut session = Session::new(pins, Some(bundle));
    let mut hurry = Hurry::new(pins, global.expedite_rcu);
    for line in lines(path)? {
        let line = line?;
        let start = Instant::now();
        // Only while something is done: whoever writes the lines may take his time.
        let expedited = hurry.begin(failed.lines > 0);
        let result = request(&line, attach_by).and_then(|request| {
            let scene = Scene { pins, bundle, node: node.as_deref(), snapshot };
            let plan = plan::add(&scene, &request)?;
            let done = session.run(&plan);
            match &done {
                Ok(()) => observe::refresh(pins, snapshot, &plan.steps)?,
                // Whatever it left.
                Err(_) => *snapshot = observe::snapshot(pins)?,
            }
            done.and_then(|()| plan.refused.map_or(Ok(request), |why| Err(Error::Refused(why))))
        });
        drop(expedited);
        answer(global, &String::from_utf8_lossy(&line), &result, start.elapsed().as_micros(), out)?;
        failed.count(&result);
    }
    failed.end()
}

fn request(line: &[u8], attach_by: Mechanism) -> Result<AddRequest, Error> {
    let line: Line = serde_json::from_slice(line).map_err(|error| Error::Usage(format!("line refused: {error}")))?;
    let known_by = match (&line.endpoint, &line.labels) {
        (Some(name), None) => KnownBy::Name(name.clone()),
        (None, Some(labels)) => KnownBy::Labels(labels.parse(line.namespace.as_deref())?),
        _ => return Err(Error::Usage("line refused: give either `endpoint` or `labels`".to_owned())),
    };
    let name = line.name.or(line.endpoint);
    let name =
        name.ok_or_else(|| Error::Usage("line refused: an endpoint known by labels needs a `name`".to_owned()))?;
    let interface = line.interface;
    let ifindex = match &line.netns {
        None => net::ifindex(&interface),
        Some(path) => {
            let path = Path::new(path);
            net::ifindex_in(path, &interface).map_err(|error| change::no_netns(path, &error))?
        }
    };
    let ifindex = ifindex.ok_or_else(|| no_interface(&interface))?;
    let link = change::link(line.mac, &line.gateways, &interface, || match &line.netns {
        None => net::mac(&interface),
        Some(path) => net::in_netns(Path::new(path), || net::mac(&interface))?,
    })?;
    Ok(AddRequest { name, known_by, interface, ifindex, netns: line.netns, attach_by, addresses: line.addresses, link })
}

fn answer(
    global: &Global,
    line: &str,
    result: &Result<AddRequest, Error>,
    micros: u128,
    out: &mut dyn Write,
) -> Result<(), Error> {
    match (global.output, result) {
        (Format::Text, Ok(request)) => {
            print(out, format_args!("{} on {} is under policy ({micros} us)", request.name, request.interface))
        }
        (Format::Text, Err(error)) => {
            // Whoever closed stderr does not want to know.
            let _ = writeln!(io::stderr(), "ciliumc-loader: {error}\n  in {line}");
            Ok(())
        }
        (Format::Json, Ok(request)) => {
            print(out, json!({ "name": request.name, "interface": request.interface, "micros": micros }))
        }
        (Format::Json, Err(error)) => print(
            out,
            json!({ "line": line, "error": error.to_string(), "exit_code": error.exit_code(), "micros": micros }),
        ),
    }
}

/// What becomes of the exit code when some lines fail.
#[derive(Default)]
struct Failed {
    lines: usize,
    failed: usize,
    worst: u8,
}

impl Failed {
    fn count<T>(&mut self, result: &Result<T, Error>) {
        self.lines += 1;
        if let Err(error) = result {
            self.failed += 1;
            self.worst = self.worst.max(error.exit_code());
        }
    }

    /// The error of the whole command has the highest exit code among its lines.
    fn end(self) -> Result<(), Error> {
        let what = format!("{} of {} endpoints failed", self.failed, self.lines);
        match self.worst {
            0 => Ok(()),
            2 => Err(Error::Usage(what)),
            3 => Err(Error::Refused(what)),
            70.. => Err(Error::Bug(what)),
            _ => Err(Error::Machine(what)),
        }
    }
}
