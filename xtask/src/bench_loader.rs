//! `cargo xtask bench loader`: what it costs a node that endpoints come and policies change.
//!
//! A hundred pods of ten applications on one node. Nothing is asserted: how long a grace period of the kernel takes is the
//! machine's matter.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench;
use crate::error::{Error, Result};
use crate::netns::{self, Netns};
use crate::process::{self, Guard};
use crate::report::{self, Report};
use crate::setup::{self, BPFFS, Need};
use crate::tools::{self, Tools};

/// Endpoints of the node.
const ENDPOINTS: usize = 100;
/// Times that an endpoint comes in a process of its own.
const ALONE: usize = 20;
/// Beginning of the names of namespaces and pins.
const STEM: &str = "ciliumc-bench-";

/// How endpoints are attached: name, arguments.
const WAYS: [(&str, &[&str]); 4] = [
    ("tcx", &["--attach", "tcx"]),
    ("tcx, --expedite-rcu=never", &["--attach", "tcx", "--expedite-rcu=never"]),
    ("tcx, --expedite-rcu", &["--attach", "tcx", "--expedite-rcu"]),
    ("clsact", &["--attach", "clsact"]),
];

/// Measures and prints a table.
pub fn run(report: Report) -> Result<()> {
    setup::ensure(Need::Kernel, report)?;
    let tools = tools::build()?;
    let bench = Bench::new(&tools)?;
    let bundles = [8000, 9000].map(|port| bench.bundle(port));
    let [first, second] = bundles;
    let (first, second) = (first?, second?);
    let mut rows = vec![["what", "p50", "p99", "memory"].map(str::to_owned).to_vec()];
    let mut row = |what: String, times: &mut [Duration], memory: u64| {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let text =
            |time: Option<&Duration>| time.map_or(String::new(), |time| format!("{:.2} ms", time.as_secs_f64() * 1e3));
        rows.push(vec![what, text(at(50)), text(at(99)), format!("{:.1} MB", memory as f64 / 1e6)]);
    };
    for (way, arguments) in WAYS {
        bench.loader(&["apply", "--bundle", text(&first)])?;
        let (mut each, memory) = bench.batch(arguments)?;
        row(format!("endpoint add in a batch of {ENDPOINTS}, {way}"), &mut each, memory);
        let mut alone = Vec::new();
        let mut most = 0;
        for _ in 0..ALONE {
            bench.loader(&["endpoint", "del", "--id", "1"])?;
            let endpoint = ["endpoint", "add", "--endpoint", "bench/p0", "--interface", "vb0"];
            let ran = bench.loader(&[&endpoint[..], arguments].concat())?;
            alone.push(ran.time);
            most = most.max(ran.memory);
        }
        row(format!("endpoint add in a process of its own, {way}"), &mut alone, most);
        let mut applied = Vec::new();
        let mut most = 0;
        for bundle in [&second, &first, &second, &first, &second] {
            let ran = bench.loader(&["apply", "--bundle", text(bundle)])?;
            applied.push(ran.time);
            most = most.max(ran.memory);
        }
        row(format!("apply for {ENDPOINTS} endpoints, {way}"), &mut applied, most);
        bench.loader(&["unload"])?;
    }
    for line in report::columns(&rows) {
        report.line(line);
    }
    Ok(())
}

/// A node with interfaces that lead nowhere.
struct Bench<'a> {
    tools: &'a Tools,
    scratch: tempfile::TempDir,
    node: Netns,
    pins: PathBuf,
}

/// What a run of the loader cost.
struct Ran {
    time: Duration,
    /// Bytes that it had in memory at most, as far as was seen.
    memory: u64,
    stdout: String,
}

impl<'a> Bench<'a> {
    fn new(tools: &'a Tools) -> Result<Self> {
        netns::sweep(STEM);
        let name = format!("{STEM}{}-node", std::process::id());
        let scratch = tempfile::tempdir().map_err(|e| Error::io("make", "a temporary folder", &e))?;
        let pins = Path::new(BPFFS).join(&name);
        let node = Netns::create(name)?;
        let links = (0..ENDPOINTS)
            .flat_map(|n| [format!("link add vb{n} type veth peer name vp{n}"), format!("link set vb{n} up")]);
        node.ip(&links.collect::<Vec<_>>())?;
        Ok(Self { tools, scratch, node, pins })
    }

    /// A bundle in which each application admits the next one at a port from `port` on.
    fn bundle(&self, port: u32) -> Result<PathBuf> {
        let (input, out) = (self.path(&format!("{port}.yaml")), self.path(&format!("bundle{port}")));
        let cluster = bench::cluster(ENDPOINTS as u32, port);
        std::fs::write(&input, cluster).map_err(|e| Error::io("write", &input, &e))?;
        let mut command = Command::new(&self.tools.ciliumc);
        command.arg("build").arg(&input).arg("--out").arg(&out).arg("--lock").arg(self.path("lock"));
        process::stdout(&mut command)?;
        Ok(out)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Adds all endpoints in one process; what each one took, by the loader's own clock.
    fn batch(&self, arguments: &[&str]) -> Result<(Vec<Duration>, u64)> {
        let lines = (0..ENDPOINTS).map(|n| json!({ "endpoint": format!("bench/p{n}"), "interface": format!("vb{n}") }));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let file = self.path("endpoints");
        std::fs::write(&file, lines).map_err(|e| Error::io("write", &file, &e))?;
        let ran = self.loader(&[&["endpoint", "add", "-o", "json", "--batch", text(&file)], arguments].concat())?;
        let micros = ran.stdout.lines().filter_map(|line| {
            let answer: BTreeMap<String, Value> = serde_json::from_str(line).ok()?;
            answer.get("micros")?.as_u64()
        });
        Ok((micros.map(Duration::from_micros).collect(), ran.memory))
    }

    /// Runs the loader on the node; it must succeed.
    fn loader(&self, arguments: &[&str]) -> Result<Ran> {
        let log = self.path("stderr");
        let stderr = std::fs::File::create(&log).map_err(|e| Error::io("write", &log, &e))?;
        let answers = self.path("stdout");
        let stdout = std::fs::File::create(&answers).map_err(|e| Error::io("write", &answers, &e))?;
        let mut command = Command::new(&self.tools.loader);
        command.args(arguments).arg("--root").arg(&self.pins).arg("--state-dir").arg(self.path("state"));
        command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        let (time, memory, status) = self.node.within(|| -> Result<_> {
            let begin = Instant::now();
            let mut child = Guard::spawn(&mut command)?;
            let mut memory = 0;
            loop {
                memory = memory.max(peak(child.0.id()));
                let ended = child.0.try_wait().map_err(|e| Error::Machine(format!("cannot wait: {e}")))?;
                if let Some(status) = ended {
                    return Ok((begin.elapsed(), memory, status));
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        })??;
        process::check()?;
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| Error::io("read", path, &e));
        if !status.success() {
            return Err(Error::Failed(format!("`{}` failed: {}", process::line(&command), read(&log)?.trim())));
        }
        Ok(Ran { time, memory, stdout: read(&answers)? })
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // What is not there need not be removed.
        let _ = self.loader(&["unload"]);
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}

/// Most bytes that a process ever had in memory; 0 when it has ended.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
