//! Child processes that an interrupt or a deadline ends.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a waiting parent looks at its child and at the interrupt flag.
const POLL: Duration = Duration::from_millis(3);

/// Makes Ctrl-C, SIGTERM and SIGHUP set a flag that [`check`] and every wait report, so that owners get to clean up.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))
        .map_err(|e| Error::Machine(format!("cannot install a signal handler: {e}")))
}

/// Fails once an interrupt came.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
}

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    /// How it ended; `None` when the deadline did it.
    pub status: Option<ExitStatus>,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }
}

/// Runs a command to its end and returns all that it wrote; standard input is closed.
pub fn capture(command: &mut Command) -> Result<Output> {
    run(command.stdout(Stdio::piped()).stderr(Stdio::piped()), None)
}

/// Like [`capture`], but kills the command when `limit` has passed.
pub fn capture_within(command: &mut Command, limit: Duration) -> Result<Output> {
    run(command.stdout(Stdio::piped()).stderr(Stdio::piped()), Some(limit))
}

/// Runs a command that must succeed and returns its standard output.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = capture(command)?;
    if output.success() {
        return Ok(output.stdout);
    }
    Err(Error::Failed(format!("`{}` failed: {}", line(command), output.stderr.trim())))
}

/// Runs a command whose output goes to the user's terminal. Returns whether it succeeded.
pub fn passthrough(command: &mut Command) -> Result<bool> {
    Ok(run(command, None)?.success())
}

/// A command as one would type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn run(command: &mut Command, limit: Option<Duration>) -> Result<Output> {
    check()?;
    let mut child = Guard::spawn(command)?;
    let (out, err) = (child.0.stdout.take(), child.0.stderr.take());
    let out = out.map(|pipe| thread::spawn(move || drain(pipe)));
    let err = err.map(|pipe| thread::spawn(move || drain(pipe)));
    let deadline = limit.map(|limit| Instant::now() + limit);
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(|e| Error::Machine(format!("cannot wait: {e}")))? {
            break Some(status);
        }
        check()?;
        if deadline.is_some_and(|d| Instant::now() >= d) {
            break None;
        }
        thread::sleep(POLL);
    };
    drop(child); // ends the pipes when the deadline did not wait for the child
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    Ok(Output { status, stdout: text(out), stderr: text(err) })
}

fn drain(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // A broken pipe ends the text; the exit status tells the rest.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A child that does not outlive its owner.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Guard {
    /// Starts a command with its standard input closed.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Guard).map_err(|e| Error::Machine(format!("cannot run `{}`: {e}", line(command))))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
