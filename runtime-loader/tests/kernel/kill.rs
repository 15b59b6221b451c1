//! `kill -9` at the system calls that change something, in every command that changes something.
//!
//! A sample of them, each time from another start; CILIUMC_KILL_ALL=1 takes every one.
#![expect(unsafe_code, reason = "ptrace stops a process in front of a system call")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::crash::{assert_settled, assert_whole};
use crate::lab::{DEATHSTAR, Lab, XWING, loader, utf8};

/// `bpf(2)` commands that change something: create, update, delete, load, pin, freeze, batch, links.
const CHANGING_BPF: [u64; 10] = [0, 2, 3, 5, 6, 22, 26, 28, 29, 34];
/// `WSTOPSIG` of a stop at a system call.
const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// Runs the loader and kills it in front of changing call `at`, from 0. False when it ended before.
pub fn killed_at(lab: &Lab, args: &[&str], at: usize) -> bool {
    let (root, state) = (lab.root(), lab.state());
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    // The thread that starts a process is the one that may trace it.
    lab.inside_node(move || {
        let mut command = Command::new(loader());
        command.arg("--root").arg(root).arg("--state-dir").arg(state).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: one system call, which is safe between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let mut child = command.spawn().expect("the loader runs");
        let pid = child.id().cast_signed();
        let stop = || {
            let mut status = 0;
            // SAFETY: the child is ours, and `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            status
        };
        stop();
        let good = libc::PTRACE_O_TRACESYSGOOD;
        // SAFETY: the child is stopped, and is traced by this thread.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, good) }, 0);
        let (mut seen, mut entering, mut killed) = (0, true, false);
        loop {
            // SAFETY: as above.
            assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0) }, 0);
            let status = stop();
            if libc::WIFEXITED(status) {
                break;
            }
            if !libc::WIFSTOPPED(status) || libc::WSTOPSIG(status) != SYSCALL_STOP {
                continue;
            }
            if entering && changes(pid) {
                if seen == at {
                    child.kill().expect("killed");
                    killed = true;
                    break;
                }
                seen += 1;
            }
            entering = !entering;
        }
        // One that ended by itself was waited for already.
        assert!(child.wait().is_ok() || !killed);
        killed
    })
}

/// Whether the system call that a stopped process is about to make changes something.
fn changes(pid: i32) -> bool {
    // SAFETY: all-zero bytes are valid registers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the process is stopped, and `registers` has the right type.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers) }, 0);
    match registers.orig_rax.cast_signed() {
        libc::SYS_bpf => CHANGING_BPF.contains(&registers.rdi),
        libc::SYS_openat => registers.rdx & libc::O_CREAT as u64 != 0,
        libc::SYS_write | libc::SYS_rename | libc::SYS_unlink | libc::SYS_rmdir | libc::SYS_mkdir => true,
        libc::SYS_renameat2 | libc::SYS_unlinkat | libc::SYS_mkdirat | libc::SYS_ftruncate | libc::SYS_sendto => true,
        _ => false,
    }
}

/// Which calls to die at: all of them, or a few.
pub fn moments(step: usize, start: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var_os("CILIUMC_KILL_ALL").is_some_and(|v| v == "1");
    let (start, step) = if all { (0, 1) } else { (start, step) };
    (start..).step_by(step)
}

#[test]
fn a_killed_apply_or_rollback_leaves_whole_generations() {
    let Some(lab) = Lab::new() else { return };
    let bundles = [lab.bundle(80), lab.bundle(81)];
    lab.add(&bundles[0], DEATHSTAR);
    lab.add(&bundles[0], XWING);
    let mut next = 1;
    for at in moments(11, 3) {
        let apply = ["apply", "--bundle", utf8(&bundles[next])];
        let killed = killed_at(&lab, &apply, at);
        assert_whole(&lab, &format!("apply killed at call {at}"));
        lab.ok(&apply);
        assert_settled(&lab, &format!("apply killed at call {at}"));
        let listing = lab.listing().join("\n");
        assert!(!listing.contains("_tmp"), "apply killed at call {at}:\n{listing}");
        next = 1 - next;
        if !killed {
            break;
        }
    }
    let (mut on, mut off) = (81, 80);
    if next == 1 {
        (on, off) = (off, on);
    }
    assert!(lab.connects(&format!("10.77.0.1:{on}")) && !lab.connects(&format!("10.77.0.1:{off}")));
    for at in moments(13, 5) {
        let killed = killed_at(&lab, &["rollback"], at);
        assert_whole(&lab, &format!("rollback killed at call {at}"));
        let one = lab.connects(&format!("10.77.0.1:{on}"));
        assert_ne!(one, lab.connects(&format!("10.77.0.1:{off}")), "rollback killed at call {at}");
        lab.ok(&["apply", "--bundle", utf8(&bundles[usize::from(on == 81)])]);
        assert!(lab.connects(&format!("10.77.0.1:{on}")), "rollback killed at call {at}");
        if !killed {
            break;
        }
    }
}

#[test]
fn a_killed_add_or_unload_is_finished_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    let add = ["endpoint", "add", "--bundle", utf8(&bundle), "--endpoint", DEATHSTAR.0, "--interface", DEATHSTAR.1];
    for at in moments(17, 2) {
        let killed = killed_at(&lab, &add, at);
        // Half attached is allowed: then the packets of one direction are judged, and those of the other not yet.
        lab.ok(&add);
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "add killed at call {at}");
        let listing = lab.listing().join("\n");
        assert!(!listing.contains("_tmp"), "add killed at call {at}:\n{listing}");
        killed_at(&lab, &["unload"], at);
        lab.ok(&["unload"]);
        assert_eq!(lab.listing(), Vec::<String>::new(), "unload killed at call {at}");
        if !killed {
            return;
        }
    }
}

#[test]
fn a_killed_del_is_finished_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.add(&bundle, XWING);
    lab.add(&bundle, DEATHSTAR);
    lab.ok(&["endpoint", "del", "--endpoint", DEATHSTAR.0]);
    let before = lab.listing();
    for at in moments(9, 1) {
        lab.add(&bundle, DEATHSTAR);
        let killed = killed_at(&lab, &["endpoint", "del", "--endpoint", DEATHSTAR.0], at);
        let when = format!("del killed at call {at}");
        // Whoever stays is guarded, and who comes again is.
        let status: serde_json::Value = serde_json::from_str(&lab.ok(&["status", "-o", "json"])).expect("JSON");
        let xwing = status["endpoints"].as_array().expect("endpoints").iter().find(|one| one["id"] == 1);
        assert_eq!(xwing.expect("xwing")["programs"]["from_container"]["state"], "attached", "{when}");
        if at % 2 == 0 {
            lab.add(&bundle, DEATHSTAR);
            assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "{when}");
            lab.ok(&["endpoint", "del", "--endpoint", DEATHSTAR.0]);
        } else {
            // What is left of it has a number at least; it may also be gone already.
            let code = lab.loader(&["endpoint", "del", "--id", "2"]).status.code();
            assert!(matches!(code, Some(0 | 3)), "{when}: {code:?}");
            lab.ok(&["apply", "--bundle", utf8(&bundle)]);
        }
        assert_eq!(lab.listing(), before, "{when}");
        assert!(lab.connects("10.77.0.1:81"), "{when}: nothing guards deathstar");
        if !killed {
            return;
        }
    }
}

#[test]
fn a_killed_upsert_or_delete_of_an_address_is_finished_by_the_next() {
    let Some(lab) = Lab::new() else { return };
    lab.add(&crate::ipcache::strangers(&lab, "strangers", 80), DEATHSTAR);
    let says = |who: &str| lab.ok(&["ipcache", "get", "10.77.0.3"]).contains(who);
    for at in moments(3, 0) {
        let mut killed = killed_at(&lab, &["ipcache", "upsert", "10.77.0.3", "1256"], at);
        // One answer or the other, to the packet and to who asks; never another one.
        assert!(!lab.connects("10.77.0.1:81"), "upsert killed at call {at}");
        assert!(says("identity 1256") || says("identity 2 reserved:world"), "upsert killed at call {at}");
        lab.ok(&["ipcache", "upsert", "10.77.0.3", "1256"]);
        assert!(says("identity 1256"), "upsert killed at call {at}");
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "upsert killed at call {at}");
        killed |= killed_at(&lab, &["ipcache", "delete", "10.77.0.3"], at);
        assert!(!lab.connects("10.77.0.1:81"), "delete killed at call {at}");
        // It can be said again, unless it was done.
        let code = lab.loader(&["ipcache", "delete", "10.77.0.3"]).status.code();
        assert!(matches!(code, Some(0 | 3)), "delete killed at call {at}: {code:?}");
        assert!(says("reserved:world"), "delete killed at call {at}");
        assert!(!lab.connects("10.77.0.1:80"), "delete killed at call {at}");
        let listing = lab.listing().join("\n");
        assert!(!listing.contains("_tmp"), "killed at call {at}:\n{listing}");
        if !killed {
            return;
        }
    }
}
