//! The demo: three ships, a node and the world outside; what the policies say and what the packets do.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::flow::{self, Flow, Place, Transport, Verdict};
use crate::lab::Lab;
use crate::process::{self, Guard};
use crate::report::{Report, Tone};
use crate::setup::{self, Need};
use crate::tools::{self, Tools};

/// How long curl and ping wait before a flow counts as denied.
const PATIENCE_SECS: &str = "1";
/// How often a flow that is to be allowed is sent before it counts as lost.
const ATTEMPTS: usize = 5;
/// How long a drop may take to show up in the monitor.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);
/// How long a server may take to listen.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the demo: all of it with root and tcx, else the half that needs neither.
///
/// # Errors
/// [`Error::Failed`] when a flow went another way than `ciliumc trace` says, or a drop was not explained.
pub fn run(report: Report) -> Result<()> {
    let gap = setup::kernel_gap();
    setup::ensure(if gap.is_some() { Need::Build } else { Need::Kernel }, report)?;
    let tools = tools::build()?;
    let folder = tools::root().join("testdata/demo");
    let flows: Vec<Flow> = flow::read_table(&folder.join("flows.tsv"))?.into_iter().map(|(flow, _)| flow).collect();
    let input = folder.join("star-wars");
    let scratch = tools::target().join("demo");
    let bundle = build(&tools, &input, &scratch, gap.is_none(), report)?;
    let expected = flow::expectations(&tools, &input, &scratch, &flows)?;
    if let Some(gap) = gap {
        offline(&flows, &expected, &gap, report);
        return Ok(());
    }
    report.heading("Loading it on a node made of network namespaces");
    let lab = Lab::wire("demo", 0, &tools, &bundle, &flow::outside(&flows))?;
    let _servers = serve(&lab, &flows, &scratch)?;
    let begin = Instant::now();
    lab.attach()?;
    report.line(format!("all endpoints attached in {} ms", begin.elapsed().as_millis()));
    let monitor = Monitor::start(&lab)?;
    judge(&lab, &monitor, &flows, &expected, report)
}

/// Builds the bundle, timed, and shows one generated header.
fn build(tools: &Tools, input: &Path, scratch: &Path, verify: bool, report: Report) -> Result<PathBuf> {
    let bundle = scratch.join("bundle");
    if scratch.exists() {
        std::fs::remove_dir_all(scratch).map_err(|e| Error::io("remove", scratch, &e))?;
    }
    std::fs::create_dir_all(scratch).map_err(|e| Error::io("make", scratch, &e))?;
    let mut command = Command::new(&tools.ciliumc);
    command.arg("build").arg(relative(input)).arg("--out").arg(relative(&bundle)).arg("--lock");
    command.arg(relative(&scratch.join("identities.lock"))).current_dir(tools::root());
    if verify {
        command.arg("--verify");
    }
    report
        .line(report.paint(Tone::Strong, &format!("$ {}", process::line(&command).replace(&*tool(tools), "ciliumc"))));
    let begin = Instant::now();
    let output = process::capture(&mut command)?;
    let elapsed = begin.elapsed();
    report.line(output.stderr.trim_end());
    if !output.success() {
        return Err(Error::Failed("the demo's input does not build".to_owned()));
    }
    report.line(format!("built in {} ms", elapsed.as_millis()));
    report.heading("One of the generated headers");
    let header = header(tools, input)?;
    report.line(report.paint(Tone::Faint, header.trim_end()));
    Ok(bundle)
}

fn tool(tools: &Tools) -> std::borrow::Cow<'_, str> {
    tools.ciliumc.to_string_lossy()
}

/// Paths in what the demo prints are those that a reader in the root would type.
fn relative(path: &Path) -> &Path {
    path.strip_prefix(tools::root()).unwrap_or(path)
}

/// The first header of the `codegen` stage.
fn header(tools: &Tools, input: &Path) -> Result<String> {
    let mut command = Command::new(&tools.ciliumc);
    command.arg("build").arg(input).args(["--emit", "codegen"]);
    let text = process::stdout(&mut command)?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("#define"));
    let header: Vec<&str> = lines.by_ref().take_while(|line| line.starts_with("#define")).collect();
    Ok(header.join("\n"))
}

fn offline(flows: &[Flow], expected: &[Verdict], gap: &str, report: Report) {
    report.heading("What the policies say");
    for (flow, verdict) in flows.iter().zip(expected) {
        report.line(format!("{verdict:<6} {flow}"));
    }
    report.heading("Left out");
    report.line(format!("loading the bundle and sending packets ({gap})"));
}

/// A real HTTP server on every TCP port that a flow goes to.
fn serve(lab: &Lab, flows: &[Flow], scratch: &Path) -> Result<Vec<Guard>> {
    let pages = scratch.join("pages");
    std::fs::create_dir_all(&pages).map_err(|e| Error::io("make", &pages, &e))?;
    std::fs::write(pages.join("index.html"), "Ship landed\n").map_err(|e| Error::io("write", &pages, &e))?;
    let targets: BTreeSet<(&Place, u16)> =
        flows.iter().filter(|f| f.transport == Transport::Tcp).map(|f| (&f.to, f.port)).collect();
    let mut servers = Vec::new();
    for (place, port) in &targets {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "::", "--directory"]).arg(&pages).arg(port.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        servers.push(lab.netns(place)?.within(|| Guard::spawn(&mut command))??);
    }
    for (place, port) in targets {
        let deadline = Instant::now() + SERVER_PATIENCE;
        while !lab.netns(place)?.within(|| std::net::TcpStream::connect(("::1", port)).is_ok())? {
            process::check()?;
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("the HTTP server of {place} does not listen on port {port}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(servers)
}

/// Sends one flow after the other, so that every drop in the monitor belongs to the flow before it.
fn judge(lab: &Lab, monitor: &Monitor, flows: &[Flow], expected: &[Verdict], report: Report) -> Result<()> {
    report.heading("Real packets");
    let width = flows.iter().map(|f| f.to_string().len()).max().unwrap_or(0);
    report.line(report.paint(Tone::Faint, &format!("{:<width$}  expected  observed", "flow")));
    let mut wrong = 0;
    for (flow, &expected) in flows.iter().zip(expected) {
        let mark = monitor.mark();
        let observed = observe_until(lab, flow, expected)?;
        let drop = if observed == Verdict::Deny { monitor.drop_since(mark, lab, flow)? } else { None };
        let good = observed == expected && (observed == Verdict::Allow || drop.is_some());
        wrong += usize::from(!good);
        let tone = if good { Tone::Good } else { Tone::Bad };
        let flow = flow.to_string();
        let verdict = report.paint(tone, &format!("{:<8}  {observed}", expected.to_string()));
        report.line(format!("{flow:<width$}  {verdict}"));
        match (observed, drop) {
            (Verdict::Deny, Some(line)) => report.line(report.paint(Tone::Faint, &format!("    {line}"))),
            (Verdict::Deny, None) => {
                report.line(report.paint(Tone::Bad, "    the monitor names no file and line for it"))
            }
            (Verdict::Allow, _) => {}
        }
    }
    if wrong > 0 {
        return Err(Error::Failed(format!("{wrong} of {} flows are not as expected", flows.len())));
    }
    report.line(format!("\nall {} flows as expected, every drop explained", flows.len()));
    Ok(())
}

/// A flow that is to be allowed is sent again when it was lost: a busy machine answers late.
fn observe_until(lab: &Lab, flow: &Flow, expected: Verdict) -> Result<Verdict> {
    let mut observed = observe(lab, flow)?;
    for _ in 1..ATTEMPTS {
        if observed == expected || expected == Verdict::Deny {
            break;
        }
        observed = observe(lab, flow)?;
    }
    Ok(observed)
}

fn observe(lab: &Lab, flow: &Flow) -> Result<Verdict> {
    let address = lab.address(&flow.to, flow.ipv6)?;
    let mut command;
    match flow.transport {
        Transport::Tcp => {
            command = Command::new("curl");
            let host = if flow.ipv6 { format!("[{address}]") } else { address.to_string() };
            command.args(["--silent", "--fail", "--noproxy", "*", "--globoff", "--connect-timeout", PATIENCE_SECS]);
            command.args(["--max-time", "3"]).arg(format!("http://{host}:{}/", flow.port));
        }
        Transport::Ping => {
            command = Command::new("ping");
            command.args(["-n", "-q", "-c", "1", "-W", PATIENCE_SECS]).arg(address.to_string());
        }
        Transport::Udp | Transport::Fragments => {
            return Err(Error::Failed(format!("{flow}: the demo speaks HTTP and ping")));
        }
    }
    let output = lab.netns(&flow.from)?.within(|| process::capture(&mut command))??;
    // curl 28: timed out; ping 1: no answer.
    match (flow.transport, output.status.and_then(|s| s.code())) {
        (_, Some(0)) => Ok(Verdict::Allow),
        (Transport::Tcp, Some(28)) | (Transport::Ping, Some(1)) => Ok(Verdict::Deny),
        (_, code) => Err(Error::Failed(format!(
            "{flow}: `{}` ended with {code:?}: {}{}",
            process::line(&command),
            output.stdout,
            output.stderr
        ))),
    }
}

/// A running `ciliumc-loader monitor` and the lines that it printed so far.
struct Monitor {
    lines: Arc<Mutex<Vec<String>>>,
    _child: Guard,
}

impl Monitor {
    fn start(lab: &Lab) -> Result<Self> {
        let mut child = lab.monitor()?;
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let sink = Arc::clone(&lines);
        let pipe = child.0.stdout.take().ok_or_else(|| Error::Failed("the monitor has no output".to_owned()))?;
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(std::result::Result::ok) {
                locked(&sink).push(line);
            }
        });
        // It must be reading before the first packet; the ring buffer keeps what comes earlier, so a moment is enough.
        thread::sleep(Duration::from_millis(100));
        Ok(Monitor { lines, _child: child })
    }

    /// How many lines there are.
    fn mark(&self) -> usize {
        locked(&self.lines).len()
    }

    /// The line after `mark` that reports the drop of `flow` with file and line.
    fn drop_since(&self, mark: usize, lab: &Lab, flow: &Flow) -> Result<Option<String>> {
        let ends = [lab.address(&flow.from, flow.ipv6)?, lab.address(&flow.to, flow.ipv6)?].map(|a| a.to_string());
        let deadline = Instant::now() + MONITOR_PATIENCE;
        loop {
            let found = locked(&self.lines)[mark..]
                .iter()
                .find(|line| {
                    line.starts_with("drop") && ends.iter().all(|end| line.contains(end)) && names_a_line(line)
                })
                .cloned();
            if found.is_some() || Instant::now() > deadline {
                return Ok(found);
            }
            process::check()?;
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn locked(lines: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether a monitor line holds `FILE.yaml:NUMBER`.
fn names_a_line(line: &str) -> bool {
    line.split(".yaml:").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_must_name_file_and_line() {
        assert!(names_a_line("DROP a -> b by policies.yaml:17 landing-permit"));
        assert!(!names_a_line("DROP a -> b by policies.yaml"));
        assert!(!names_a_line("DROP a -> b by policies.yaml: nothing"));
    }
}
