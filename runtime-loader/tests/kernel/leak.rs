//! Endpoints come and go, and nothing is left of them: no file, pin, map, program or link, nor memory of the kernel or
//! of the loader.
//!
//! A hundred times, or CILIUMC_LEAK_CYCLES times; `cargo xtask test --whole` does it 10 000 times.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::batch::interfaces;
use crate::cgroup::Cgroup;
use crate::lab::{DEATHSTAR, Lab, XWING, loader, utf8};

/// What the kernel may keep for other reasons than a leak: caches, what waits for a grace period, counts of each CPU
/// that are not yet added up. A leak of 100 bytes a cycle is more than that in 10 000.
const KERNEL_SLACK: u64 = 1 << 20;
/// What a process may grow by: a page here and there, not one for every hundred lines.
const PROCESS_SLACK_KB: u64 = 256;

/// Cycles until all that is shared is taken away, too.
const ROUND: usize = 20;

fn cycles() -> usize {
    let asked = std::env::var("CILIUMC_LEAK_CYCLES").ok();
    asked.map_or(100, |cycles| cycles.parse().expect("CILIUMC_LEAK_CYCLES is a number"))
}

/// Whether the kernel still has a map or program.
fn exists(kind: &str, id: u32) -> bool {
    Command::new("bpftool").args([kind, "show", "id", &id.to_string()]).output().expect("bpftool").status.success()
}

/// Waits until something is true: the kernel gets rid of things some time after they are gone.
fn soon(what: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(problem) = what() {
        assert!(Instant::now() < end, "{problem}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Starts the loader in the group; it is counted there from its first system call on.
fn start(lab: &Lab, group: Option<&Cgroup>, args: &[&str]) -> Child {
    let program = loader();
    let mut command = group.map_or_else(|| Command::new(&program), |group| group.enter(utf8(&program)));
    command.arg("--root").arg(lab.root()).arg("--state-dir").arg(lab.state()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    lab.inside_node(move || command.spawn().expect("the loader runs"))
}

/// Runs the loader with something on its standard input; its exit code.
fn run(lab: &Lab, group: Option<&Cgroup>, args: &[&str], input: &str) -> (i32, String) {
    let mut child = start(lab, group, args);
    // It may have refused its arguments and be gone.
    let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    let out = child.wait_with_output().expect("the loader ends");
    (out.status.code().expect("an exit code"), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn line(name: &str, labels: &str) -> String {
    let line =
        json!({"name": name, "labels": [labels], "interface": DEATHSTAR.1, "addresses": ["10.77.0.1", "fd77::1"]});
    format!("{line}\n")
}

#[test]
fn nothing_is_left_of_endpoints_that_came_and_went() {
    let Some(lab) = Lab::new() else { return };
    let group = Cgroup::new(lab.node());
    let group = group.as_ref();
    let ok = |args: &[&str], input: &str, code: i32| {
        let (got, said) = run(&lab, group, args, input);
        assert_eq!(got, code, "{args:?}: {said}");
    };
    ok(&["apply", "--bundle", utf8(&lab.bundle(80))], "", 0);
    ok(&["endpoint", "add", "--endpoint", XWING.0, "--interface", XWING.1], "", 0);
    let (batch, del) = (["endpoint", "add", "--expedite-rcu", "--batch", "-"], ["endpoint", "del", "--expedite-rcu"]);
    let mut files = Vec::new();
    let mut ids = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let (mut maps, mut programs) = (Vec::new(), Vec::new());
    let cycles = cycles().next_multiple_of(ROUND);
    let fleet = interfaces(&lab, 1);
    let mate =
        json!({"name": "run/mate", "labels": ["app=deathstar"], "interface": fleet[0], "addresses": ["10.77.0.9"]});
    let mate = format!("{mate}\n");
    // The first ones fill caches, and the folder of all classes stays behind the first class.
    let warm = ROUND;
    for cycle in 0..warm + cycles {
        // Most find a mate whose programs they share; the others bring theirs, which go with them.
        let alone = cycle % ROUND < 3;
        if cycle % ROUND == 3 {
            ok(&batch, &mate, 0);
        }
        // Known, unknown, by name, by labels, one by one and in a batch.
        match cycle % 3 {
            0 => {
                ok(&["endpoint", "add", "--expedite-rcu", "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1], "", 0)
            }
            1 => ok(&batch, &line("run/time", "app=deathstar"), 0),
            _ => ok(&batch, &line("run/time", "app=droid"), 3),
        }
        if cycle >= warm && alone && ((cycle - warm) / ROUND).is_multiple_of((cycles / ROUND / 4).max(1)) {
            let now = lab.kernel_ids();
            maps.extend(now.0.into_iter().filter(|id| !ids.0.contains(id)));
            programs.extend(now.1.into_iter().filter(|id| !ids.1.contains(id)));
        }
        ok(&[&del[..], &["--id", if alone { "2" } else { "3" }]].concat(), "", 0);
        if cycle % ROUND == ROUND - 1 {
            ok(&[&del[..], &["--endpoint", "run/mate"]].concat(), "", 0);
        }
        if cycle + 1 == warm {
            files = lab.listing();
            ids = lab.kernel_ids();
            std::thread::sleep(Duration::from_secs(1));
            bytes = group.map_or(0, Cgroup::kernel_bytes);
        } else if cycle > warm && cycle % ROUND == ROUND - 1 {
            assert_eq!(lab.listing(), files, "after cycle {}", cycle - warm);
        }
    }
    assert!(maps.len() >= 6 && programs.len() >= 6, "{maps:?} {programs:?}");
    assert_eq!(lab.kernel_ids(), ids, "xwing was left alone");
    soon(|| {
        let left: Vec<_> = maps.iter().filter(|id| exists("map", **id)).collect();
        let running: Vec<_> = programs.iter().filter(|id| exists("prog", **id)).collect();
        let words = || format!("of maps {maps:?} and programs {programs:?}, {left:?} and {running:?} are still there");
        if left.is_empty() && running.is_empty() { Ok(()) } else { Err(words()) }
    });
    if let Some(group) = group {
        soon(|| match group.kernel_bytes() {
            now if now <= bytes + KERNEL_SLACK => Ok(()),
            now => Err(format!("the kernel keeps {now} bytes after {cycles} cycles, {bytes} before them")),
        });
        println!("{cycles} cycles: the kernel keeps {} bytes, {bytes} before them", group.kernel_bytes());
    }
    assert!(lab.connects("10.77.0.1:81"), "nothing guards deathstar");
    lab.ok(&["unload"]);
    assert_eq!(lab.listing(), Vec::<String>::new());
}

/// Kilobytes of a process that are its own, and its open files.
fn size(process: &Child) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("status");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next());
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("files").count();
    (kilobytes.and_then(|number| number.parse().ok()).expect("RssAnon"), files)
}

#[test]
fn one_process_that_renews_endpoints_for_ever_does_not_grow() {
    let Some(lab) = Lab::new() else { return };
    let group = Cgroup::new(lab.node());
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(80))]);
    lab.add(&lab.bundle(80), XWING);
    let mut process = start(&lab, group.as_ref(), &["endpoint", "add", "--expedite-rcu", "--batch", "-", "-o", "json"]);
    let mut input: ChildStdin = process.stdin.take().expect("stdin");
    let mut answers = BufReader::new(process.stdout.take().expect("stdout")).lines();
    let (cycles, warm) = (cycles(), 50);
    let (mut before, mut files, mut bytes) = ((0, 0), Vec::new(), 0);
    for cycle in 0..warm + cycles {
        // Its class, and the addresses that it has, come and go.
        let labels = if cycle % 2 == 0 { "app=deathstar" } else { "app=fleet" };
        input.write_all(line("run/time", labels).as_bytes()).expect("a line");
        let answer = answers.next().expect("an answer").expect("text");
        assert!(answer.contains("\"micros\"") && !answer.contains("error"), "{answer}");
        if cycle + 1 == warm {
            (before, files) = (size(&process), lab.listing());
            bytes = group.as_ref().map_or(0, Cgroup::kernel_bytes);
        }
    }
    let after = size(&process);
    println!("{cycles} renewals: {} KB and {} files, {} and {} before them", after.0, after.1, before.0, before.1);
    assert!(after.0 <= before.0 + PROCESS_SLACK_KB && after.1 == before.1, "{after:?}, {before:?} before");
    if let Some(group) = &group {
        soon(|| match group.kernel_bytes() {
            now if now <= bytes + KERNEL_SLACK => Ok(()),
            now => Err(format!("the kernel keeps {now} bytes after {cycles} renewals, {bytes} before them")),
        });
    }
    assert_eq!(lab.listing(), files);
    drop(input);
    assert!(process.wait().expect("it ends").success());
    lab.ok(&["unload"]);
    assert_eq!(lab.listing(), Vec::<String>::new());
}
