//! `cargo xtask kernels`: other kernels take every object.
//!
//! Debian's kernels are downloaded (with a package list of our own: this machine's stays as it is), booted under qemu
//! without any help of the processor, and asked to load every object of the test inputs with `bpftool prog loadall`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process;
use crate::report::{Report, Tone};
use crate::setup::{self, Need};
use crate::tools::{self, Tools};

/// Suites of Debian with a kernel that is to be tried: 6.1 and the newest for the same release.
const SUITES: [&str; 2] = ["bookworm", "bookworm-backports"];
/// Packages that are unpacked from the first suite, and never installed.
const BUSYBOX: &str = "busybox-static";
/// The kernel for virtual machines: the same code, fewer drivers.
const KERNEL: &str = "linux-image-cloud-amd64";
/// An emulated processor is slow, and the verifier walks far.
const BOOT_MAX: Duration = Duration::from_secs(1800);

/// Runs in the machine: one line for each object, then off.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
echo \"KERNEL $(uname -r)\"
for object in /objects/*.o; do
\tname=${object##*/}
\tif bpftool prog loadall $object /sys/fs/bpf/try >/tmp/log 2>&1; then echo \"TAKEN $name\"
\telse echo \"REFUSED $name\"; tail -n 20 /tmp/log; fi
\trm -rf /sys/fs/bpf/try
done
echo FINISHED
poweroff -f
";

/// What one kernel said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    release: String,
    taken: usize,
    refused: Vec<String>,
    finished: bool,
}

/// Boots each kernel and fails when one refuses an object.
pub fn run(report: Report) -> Result<()> {
    setup::ensure(Need::Emulator, report)?;
    let tools = tools::build()?;
    let scratch = tempfile::tempdir().map_err(|e| Error::io("make", "a temporary folder", &e))?;
    let initrd = initrd(&tools, scratch.path(), report)?;
    let mut broken = Vec::new();
    for suite in SUITES {
        let image = kernel(scratch.path(), suite)?;
        let verdict = match boot(&image, &initrd) {
            Ok(verdict) => verdict,
            Err(Error::Failed(problem)) => {
                broken.push(format!("{suite}: {problem}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let words = format!(
            "{suite}: Linux {}, {} objects taken, {} refused",
            verdict.release,
            verdict.taken,
            verdict.refused.len()
        );
        let good = verdict.finished && verdict.refused.is_empty() && verdict.taken > 0;
        report.line(report.paint(if good { Tone::Good } else { Tone::Bad }, &words));
        if !good {
            broken
                .push(format!("{words}{}", verdict.refused.iter().map(|text| format!("\n{text}")).collect::<String>()));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(Error::Failed(broken.join("\n"))) }
}

/// Everything the machine has: busybox, bpftool with its libraries, the objects, and what to do.
fn initrd(tools: &Tools, scratch: &Path, report: Report) -> Result<PathBuf> {
    let root = scratch.join("root");
    for folder in ["bin", "objects", "proc", "sys", "tmp", "dev"] {
        make(&root.join(folder))?;
    }
    let unpacked = unpack(scratch, SUITES[0], &[BUSYBOX.to_owned()])?;
    copy(&unpacked.join("bin/busybox"), &root.join("bin/busybox"))?;
    let bpftool = PathBuf::from(process::stdout(Command::new("sh").args(["-c", "command -v bpftool"]))?.trim());
    copy(&bpftool, &root.join("bin/bpftool"))?;
    let libraries = process::stdout(Command::new("ldd").arg(&bpftool))?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), &root.join(&library[1..]))?;
    }
    let count = objects(tools, scratch, &root.join("objects"))?;
    report.line(format!("{count} distinct objects"));
    let init = root.join("init");
    std::fs::write(&init, INIT).map_err(|e| Error::io("write", &init, &e))?;
    let archive = scratch.join("initrd");
    let pack = "chmod 755 init && find . | bin/busybox cpio -o -H newc > \"$1\" 2>/dev/null";
    process::stdout(Command::new("sh").args(["-c", pack, "pack"]).arg(&archive).current_dir(&root))?;
    Ok(archive)
}

/// The objects of every scenario and case, each content once.
fn objects(tools: &Tools, scratch: &Path, folder: &Path) -> Result<usize> {
    let mut found: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    let mut number = 0;
    for inputs in ["testdata/scenarios", "testdata/cases"] {
        let inputs = tools::root().join(inputs);
        for entry in inputs.read_dir().map_err(|e| Error::io("read", &inputs, &e))?.flatten() {
            let bundle = scratch.join(format!("bundle{number}"));
            number += 1;
            let mut command = Command::new(&tools.ciliumc);
            command.arg("build").arg(entry.path().join("input.yaml")).arg("--out").arg(&bundle);
            command.arg("--lock").arg(scratch.join(format!("lock{number}")));
            let groups = entry.path().join("groups.yaml");
            if groups.is_file() {
                command.arg("--groups").arg(groups);
            }
            process::stdout(&mut command)?;
            let objects = bundle.join("objects");
            // A bundle without endpoints has none.
            if !objects.is_dir() {
                continue;
            }
            for object in objects.read_dir().map_err(|e| Error::io("read", &objects, &e))?.flatten() {
                found.entry(object.file_name()).or_insert_with(|| object.path());
            }
        }
    }
    for (name, path) in &found {
        copy(path, &folder.join(name))?;
    }
    Ok(found.len())
}

/// The kernel image of a suite.
fn kernel(scratch: &Path, suite: &str) -> Result<PathBuf> {
    let depends = apt(scratch, suite, "apt-cache")?.args(["depends", "--important", KERNEL]).capture()?;
    let package = depends.split_whitespace().find(|word| word.starts_with("linux-image-") && *word != KERNEL);
    let package = package.ok_or_else(|| Error::Failed(format!("{suite} has no {KERNEL}")))?;
    let boot = unpack(scratch, suite, &[package.to_owned()])?.join("boot");
    let images = boot.read_dir().map_err(|e| Error::io("read", &boot, &e))?.flatten();
    let mut images = images.filter(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz-"));
    images.next().map(|entry| entry.path()).ok_or_else(|| Error::Failed(format!("{package} has no kernel")))
}

/// A command of apt that knows one suite and keeps its lists below `scratch`.
struct Apt(Command);

impl Apt {
    fn args<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.0.args(words);
        self
    }

    fn capture(mut self) -> Result<String> {
        process::stdout(&mut self.0)
    }
}

fn apt(scratch: &Path, suite: &str, program: &str) -> Result<Apt> {
    let home = scratch.join(suite);
    let fresh = !home.exists();
    for folder in ["lists/partial", "cache/archives/partial"] {
        make(&home.join(folder))?;
    }
    let sources = home.join("sources.list");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let line = format!("deb [signed-by={keys}] http://deb.debian.org/debian {suite} main\n");
    std::fs::write(&sources, line).map_err(|e| Error::io("write", &sources, &e))?;
    let command = |program: &str| {
        let mut command = Command::new(program);
        let options = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", home.join("lists").display()),
            format!("Dir::Cache={}", home.join("cache").display()),
            "APT::Sandbox::User=root".to_owned(),
        ];
        for option in &options {
            command.args(["-o", option]);
        }
        command
    };
    if fresh {
        process::stdout(command("apt-get").args(["--quiet", "update"]))?;
    }
    Ok(Apt(command(program)))
}

/// Downloads packages and unpacks them; the folder.
fn unpack(scratch: &Path, suite: &str, packages: &[String]) -> Result<PathBuf> {
    let folder = scratch.join(format!("{suite}-{}", packages.join("-")));
    make(&folder)?;
    let mut command = apt(scratch, suite, "apt-get")?.args(["--quiet", "download"]).0;
    process::stdout(command.args(packages).current_dir(&folder))?;
    for entry in folder.read_dir().map_err(|e| Error::io("read", &folder, &e))?.flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "deb") {
            process::stdout(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(&folder))?;
        }
    }
    Ok(folder)
}

fn boot(image: &Path, initrd: &Path) -> Result<Verdict> {
    // Not `max`: qemu 7.2 emulates the newest instructions in ways that newer kernels do not survive.
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-accel", "tcg", "-cpu", "Nehalem", "-m", "1024", "-nographic", "-no-reboot", "-net", "none"]);
    command.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let output = process::capture_within(&mut command, BOOT_MAX)?;
    let verdict = read(&output.stdout);
    if verdict.release.is_empty() {
        return Err(Error::Failed(format!("the machine did not start: {}{}", output.stdout, output.stderr)));
    }
    Ok(verdict)
}

/// Reads the machine's console.
fn read(console: &str) -> Verdict {
    let mut verdict = Verdict::default();
    // The firmware clears the screen on the same line.
    let mut lines = console.lines().map(|line| line.rsplit("\u{1b}[2J").next().unwrap_or(line).trim()).peekable();
    while let Some(line) = lines.next() {
        match line.split_once(' ') {
            Some(("KERNEL", release)) => release.clone_into(&mut verdict.release),
            Some(("TAKEN", _)) => verdict.taken += 1,
            Some(("REFUSED", name)) => {
                let mut text = name.to_owned();
                let is_log =
                    |line: &&str| !["TAKEN ", "REFUSED ", "FINISHED"].iter().any(|word| line.starts_with(word));
                while let Some(log) = lines.next_if(is_log) {
                    text.push_str("\n  ");
                    text.push_str(log);
                }
                verdict.refused.push(text);
            }
            _ => verdict.finished |= line == "FINISHED",
        }
    }
    verdict
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, &e))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        make(folder)?;
    }
    std::fs::copy(from, to).map_err(|e| Error::io("copy", from, &e)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_read() {
        let verdict = read(
            "noise\r\n\u{1b}[2JKERNEL 6.1.0\r\nTAKEN a.o\r\nREFUSED b.o\r\n too long\r\n R1 bad\r\nTAKEN c.o\r\nFINISHED\r\n",
        );
        assert_eq!((verdict.release.as_str(), verdict.taken, verdict.finished), ("6.1.0", 2, true));
        assert_eq!(verdict.refused, ["b.o\n  too long\n  R1 bad"]);
        assert!(!read("KERNEL 6.1.0\nTAKEN a.o\n").finished);
    }
}
