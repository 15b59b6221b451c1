//! `cargo xtask bench analysis`: what the offline commands cost on a large cluster.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{self, Size, Version};
use crate::error::{Error, Result};
use crate::process;
use crate::report::{self, Report};
use crate::tools;

/// Seed of the cluster.
const SEED: u64 = 1;
/// Runs of which the median counts.
const RUNS: usize = 3;

/// Writes two versions of the cluster below `target/bench/analysis`, where they stay to be looked at, and prints the
/// median time of each command beside what was promised.
pub fn run(report: Report) -> Result<()> {
    let folder = tools::target().join("bench/analysis");
    let (old, new) = (folder.join("old"), folder.join("new"));
    for (path, version) in [(&old, Version::Old), (&new, Version::New)] {
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, &e))?;
        }
        cluster::write(path, SEED, Size::LARGE, version)?;
    }
    let probes = folder.join("probes.tsv");
    let probe = "ns-00/web-000-0\tegress\tpod:ns-01/api-001-0\tTCP\t8443\n";
    std::fs::write(&probes, probe).map_err(|e| Error::io("write", &probes, &e))?;
    let program = tools::compiler()?;

    let commands: [(&str, u64, Vec<&Path>); 4] = [
        ("check", 3, vec![&old]),
        ("diff", 5, vec![&old, &new]),
        ("list", 5, vec![&old]),
        ("trace", 1, vec![&old, Path::new("--probes"), &probes]),
    ];
    let mut rows = vec![["command", "median", "limit"].map(str::to_owned).to_vec()];
    for (command, limit, words) in commands {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let begin = Instant::now();
            let output = process::capture(Command::new(&program).arg(command).args(&words))?;
            // 1 is findings.
            if !output.status.is_some_and(|status| matches!(status.code(), Some(0 | 1))) {
                return Err(Error::Failed(format!("`ciliumc {command}` failed: {}", output.stderr.trim())));
            }
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        rows.push(vec![command.to_owned(), seconds(times[RUNS / 2]), format!("{limit} s")]);
    }
    report.line(format!(
        "{} pods of {} workloads, 1000 policies",
        Size::LARGE.workloads * Size::LARGE.replicas,
        Size::LARGE.workloads
    ));
    for line in report::columns(&rows) {
        report.line(line);
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
