//! What the machine must have. Detection starts no process, so that a complete machine costs nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::report::Report;

/// clang versions whose objects are accepted, the preferred one first.
const CLANG_VERSIONS: [u32; 6] = [19, 21, 20, 18, 17, 16];
/// The version that is installed when there is none.
const CLANG_INSTALLED: u32 = 19;
/// Where BPF objects are pinned.
pub const BPFFS: &str = "/sys/fs/bpf";

/// What a chore is going to do with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Build bundles.
    Build,
    /// Build the fuzz targets too: libFuzzer is C++.
    Fuzz,
    /// Run the tests too: headers are read through libclang.
    Test,
    /// Load bundles and send packets.
    Kernel,
    /// Boot other kernels.
    Emulator,
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    thing: String,
    /// Debian package that has it.
    package: String,
}

/// Makes the machine ready, or says exactly what to do.
///
/// # Errors
/// [`Error::Machine`] with the command to run, when something is missing and cannot be installed from here.
pub fn ensure(need: Need, report: Report) -> Result<()> {
    let missing = missing(need);
    if !missing.is_empty() {
        install(&missing, report)?;
    }
    if need == Need::Kernel && is_root() { mount_bpffs(report) } else { Ok(()) }
}

/// Whether this process may load programs and make namespaces.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Why packets cannot be judged here, or nothing.
#[must_use]
pub fn kernel_gap() -> Option<String> {
    if !is_root() {
        return Some("not root: programs cannot be loaded and namespaces cannot be made".to_owned());
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match kernel_version(&release) {
        Some(version) if version >= (6, 6) => None,
        Some(_) | None => Some(format!("kernel {} has no tcx: 6.6 or later is needed", release.trim())),
    }
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn missing(need: Need) -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut want = |there: bool, thing: &str, package: &str| {
        if !there {
            missing.push(Missing { thing: thing.to_owned(), package: package.to_owned() });
        }
    };
    let clang = CLANG_VERSIONS.into_iter().find(|&v| llvm_tool("clang", v)).unwrap_or(CLANG_INSTALLED);
    want(llvm_tool("clang", clang), "clang (16 to 21)", &format!("clang-{clang}"));
    want(llvm_tool("llvm-strip", clang), "llvm-strip", &format!("llvm-{clang}"));
    if need == Need::Fuzz {
        want(on_path("c++") || on_path("g++") || on_path("clang++"), "a C++ compiler", "g++");
    }
    if need >= Need::Test {
        want(libclang(clang), "libclang", &format!("libclang1-{clang}"));
    }
    if need >= Need::Kernel {
        for (program, package) in [
            ("bpftool", "bpftool"),
            ("ip", "iproute2"),
            ("curl", "curl"),
            ("ping", "iputils-ping"),
            ("python3", "python3"), // its http.server: a web server package would start a service
        ] {
            want(on_path(program), program, package);
        }
    }
    if need == Need::Emulator {
        want(on_path("qemu-system-x86_64"), "qemu", "qemu-system-x86");
    }
    missing
}

fn install(missing: &[Missing], report: Report) -> Result<()> {
    let things = missing.iter().map(|m| m.thing.as_str()).collect::<Vec<_>>().join(", ");
    let packages = missing.iter().map(|m| m.package.as_str()).collect::<Vec<_>>().join(" ");
    let apt = format!("apt-get update && apt-get install --yes --no-install-recommends {packages}");
    if !on_path("apt-get") {
        return Err(Error::Machine(format!(
            "missing: {things}. Install them with this system's package manager (on Debian: `{apt}`)"
        )));
    }
    if !is_root() {
        return Err(Error::Machine(format!("missing: {things}. Run: sudo sh -c '{apt}'")));
    }
    report.line(format!("installing {things}: {apt}"));
    let mut command = Command::new("sh");
    command.args(["-c", &apt.replace("apt-get ", "apt-get -qq ")]).env("DEBIAN_FRONTEND", "noninteractive");
    let output = process::capture(&mut command)?;
    if output.success() {
        return Ok(());
    }
    Err(Error::Machine(format!("`{apt}` failed:\n{}{}", output.stdout, output.stderr)))
}

fn mount_bpffs(report: Report) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/mounts").map_err(|e| Error::io("read", "/proc/mounts", &e))?;
    if mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq([BPFFS, "bpf"])) {
        return Ok(());
    }
    report.line(format!("mounting the BPF file system on {BPFFS}"));
    match process::stdout(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS])) {
        Ok(_) => Ok(()),
        Err(Error::Failed(why)) => {
            Err(Error::Machine(format!("no BPF file system on {BPFFS} ({why}). Run: mount -t bpf bpf {BPFFS}")))
        }
        Err(other) => Err(other),
    }
}

/// Debian's `clang-19`, upstream's `/usr/lib/llvm-19/bin/clang`.
fn llvm_tool(name: &str, version: u32) -> bool {
    on_path(&format!("{name}-{version}")) || Path::new(&format!("/usr/lib/llvm-{version}/bin/{name}")).exists()
}

fn libclang(version: u32) -> bool {
    let prefix = format!("libclang-{version}.so");
    let own = PathBuf::from(format!("/usr/lib/llvm-{version}/lib"));
    let places = [own.as_path(), Path::new("/usr/lib/x86_64-linux-gnu"), Path::new("/usr/lib/aarch64-linux-gnu")];
    std::env::var_os("LIBCLANG_PATH").is_some()
        || own.join("libclang.so.1").exists()
        || places.iter().any(|place| holds(place, &prefix))
}

fn holds(folder: &Path, prefix: &str) -> bool {
    let Ok(entries) = folder.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Plain users often lack the sbin folders; the programs are there all the same.
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions() {
        assert_eq!(kernel_version("6.18.0-generic\n"), Some((6, 18)));
        assert_eq!(kernel_version("5.15.0"), Some((5, 15)));
        assert_eq!(kernel_version("odd"), None);
    }

    #[test]
    fn a_missing_thing_names_its_command() {
        let missing = [Missing { thing: "clang".to_owned(), package: "clang-19".to_owned() }];
        if is_root() && on_path("apt-get") {
            return; // it would install
        }
        let error = install(&missing, Report::stdout()).expect_err("nothing may be installed");
        assert!(error.to_string().contains("apt-get install --yes --no-install-recommends clang-19"), "{error}");
    }
}
