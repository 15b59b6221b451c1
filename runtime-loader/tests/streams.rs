//! The program starts by itself, without the standard library's start: what that does for the standard streams holds.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LOADER: &str = env!("CARGO_BIN_EXE_ciliumc-loader");

#[test]
fn what_is_printed_into_a_closed_stream_goes_nowhere_else() {
    // It waits for its standard input with both outputs closed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" ipcache upsert - >&- 2>&-", LOADER]).stdin(Stdio::piped());
    let mut loader = shell.spawn().unwrap();
    let stream = |number: u32| fs::read_link(format!("/proc/{}/fd/{number}", loader.id()));
    let nowhere = |number| stream(number).is_ok_and(|target| target == Path::new("/dev/null"));
    let since = Instant::now();
    while !(nowhere(1) && nowhere(2)) && since.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(5));
    }
    let found = [1, 2].map(stream);
    loader.kill().unwrap();
    loader.wait().unwrap();
    assert!(
        found.iter().all(|target| target.as_ref().is_ok_and(|target| target == Path::new("/dev/null"))),
        "{found:?}"
    );
}

#[test]
fn a_reader_that_goes_away_does_not_end_it() {
    let mut loader = Command::new(LOADER).arg("--help").stdout(Stdio::piped()).spawn().unwrap();
    drop(loader.stdout.take());
    assert_eq!(loader.wait().unwrap().code(), Some(0));
}

#[test]
fn arguments_arrive_as_they_are() {
    let mut loader = Command::new(LOADER).args(["no such command", "--help"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    loader.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((loader.wait().unwrap().code(), said.contains("'no such command'")), (Some(2), true), "{said}");
}
