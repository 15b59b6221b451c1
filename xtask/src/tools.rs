//! The two programs of this project, built as users get them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;

/// Paths of the built programs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `ciliumc`, release build.
    pub ciliumc: PathBuf,
    /// `ciliumc-loader`, one static binary.
    pub loader: PathBuf,
}

/// Root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    // This crate is a folder in the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Most bytes of the loader, which every node gets.
pub const LOADER_BYTES_MAX: u64 = 2_000_000;

/// Where cargo writes.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A folder with both programs, which are then not built: for whoever changes them all the time.
pub const TOOLS: &str = "CILIUMC_TOOLS";

/// Builds both programs; quick when nothing changed.
pub fn build() -> Result<Tools> {
    if let Some(folder) = std::env::var_os(TOOLS).map(PathBuf::from) {
        return Ok(Tools { ciliumc: folder.join("ciliumc"), loader: folder.join("ciliumc-loader") });
    }
    let target = loader_target()?;
    let tools = Tools { ciliumc: compiler()?, loader: self::target().join(&target).join("loader/ciliumc-loader") };
    // glibc links statically only when asked; musl does it by itself. A fixed address saves the relocations.
    let libc = if target.ends_with("-gnu") { " -C target-feature=+crt-static -C relocation-model=static" } else { "" };
    // Code that many functions have in common is moved out of them: 3 % of the loader. SHA-256 without its loops unrolled is
    // 9 kB less; most processors have instructions for it anyway.
    let small = "-C llvm-args=-enable-machine-outliner=always --cfg sha2_backend_soft=\"compact\"";
    let flags = format!("{small}{libc}");
    let loader = ["build", "--profile", "loader", "--package", "ciliumc-loader", "--target", &target];
    cargo(&[&loader, volume(&tools.loader)].concat(), &flags)?;
    Ok(tools)
}

/// Builds `ciliumc` alone.
pub fn compiler() -> Result<PathBuf> {
    let program = target().join("release/ciliumc");
    cargo(&[&["build", "--release", "--package", "ciliumc"], volume(&program)].concat(), "")?;
    Ok(program)
}

/// The first build takes minutes: then cargo shows what it does.
fn volume(program: &Path) -> &'static [&'static str] {
    if program.exists() { &["--quiet"] } else { &[] }
}

fn cargo(arguments: &[&str], rustflags: &str) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    if !rustflags.is_empty() {
        command.env("RUSTFLAGS", rustflags);
    }
    if process::passthrough(&mut command)? {
        return Ok(());
    }
    Err(Error::Failed(format!("`cargo {}` failed", arguments.join(" "))))
}

/// The musl target of this machine when it is installed, else the machine's own.
fn loader_target() -> Result<String> {
    let architecture = std::env::consts::ARCH;
    let musl = format!("{architecture}-unknown-linux-musl");
    let sysroot = process::stdout(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(&musl).join("lib").is_dir();
    Ok(if installed { musl } else { format!("{architecture}-unknown-linux-gnu") })
}
