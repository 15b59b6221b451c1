//! `cargo xtask bench`: build time and sizes against what was promised.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::process;
use crate::report::{self, Report};
use crate::setup::{self, Need};
use crate::tools::{self, LOADER_BYTES_MAX, Tools};

/// The demo builds with a cold cache in this time.
const DEMO_COLD_MAX: Duration = Duration::from_millis(500);
/// Runs of which the median counts.
const RUNS: usize = 5;

/// Measures, prints a table, and fails when a promise is broken.
pub fn run(report: Report) -> Result<()> {
    setup::ensure(Need::Build, report)?;
    let tools = tools::build()?;
    let scratch = tempfile::tempdir().map_err(|e| Error::io("make", "a temporary folder", &e))?;
    let mut rows = vec![["what", "measured", "limit"].map(str::to_owned).to_vec()];
    let mut broken = Vec::new();

    let demo = tools::root().join("testdata/demo/star-wars");
    let cold = median(&tools, &demo, scratch.path(), true)?;
    rows.push(vec!["demo, cold cache".to_owned(), millis(cold), millis(DEMO_COLD_MAX)]);
    if cold > DEMO_COLD_MAX {
        broken.push("the demo builds too slowly");
    }
    rows.push(vec![
        "demo, warm cache".to_owned(),
        millis(median(&tools, &demo, scratch.path(), false)?),
        String::new(),
    ]);
    for pods in [10, 1_000, 10_000] {
        let input = scratch.path().join(format!("{pods}.yaml"));
        std::fs::write(&input, cluster(pods, 8000)).map_err(|e| Error::io("write", &input, &e))?;
        let time = median(&tools, &input, scratch.path(), true)?;
        rows.push(vec![format!("{pods} pods, cold cache"), millis(time), String::new()]);
    }
    let size = std::fs::metadata(&tools.loader).map_err(|e| Error::io("read", &tools.loader, &e))?.len();
    rows.push(vec!["loader".to_owned(), format!("{size} B"), format!("{LOADER_BYTES_MAX} B")]);
    if size > LOADER_BYTES_MAX {
        broken.push("the loader is too large");
    }

    for line in report::columns(&rows) {
        report.line(line);
    }
    if broken.is_empty() { Ok(()) } else { Err(Error::Failed(broken.join("; "))) }
}

/// Median time of `ciliumc build`, with an empty cache each time or with a filled one.
fn median(tools: &Tools, input: &Path, scratch: &Path, cold: bool) -> Result<Duration> {
    let cache = scratch.join("cache");
    let mut times = Vec::new();
    for _ in 0..RUNS {
        for folder in [scratch.join("bundle")].into_iter().chain(cold.then(|| cache.clone())) {
            if folder.exists() {
                std::fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", &folder, &e))?;
            }
        }
        let mut command = Command::new(&tools.ciliumc);
        command.arg("build").arg(input).arg("--out").arg(scratch.join("bundle"));
        command.arg("--lock").arg(scratch.join("lock")).env("XDG_CACHE_HOME", &cache);
        let begin = Instant::now();
        process::stdout(&mut command)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[RUNS / 2])
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// A cluster of ten pods per application; each application admits the next one on one port, from `port` on.
pub fn cluster(pods: u32, port: u32) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: bench}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n1}\n\
         status: {addresses: [{type: InternalIP, address: 172.18.0.1}]}\n",
    );
    for pod in 0..pods {
        let application = pod / 10;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{pod}, namespace: bench, labels: {{app: a{application}}}}}\n\
             spec: {{nodeName: n1, containers: [{{name: main}}]}}\nstatus: {{podIP: 10.{}.{}.{}}}\n",
            pod >> 16,
            pod >> 8 & 255,
            pod & 255
        );
    }
    for application in 0..pods.div_ceil(10) {
        let _ = write!(
            text,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: a{application}, namespace: bench}}\n\
             spec:\n  podSelector: {{matchLabels: {{app: a{application}}}}}\n  ingress:\n  - from: [{{podSelector: \
             {{matchLabels: {{app: a{}}}}}}}]\n    ports: [{{port: {}}}]\n",
            application + 1,
            port + application % 100
        );
    }
    text
}
