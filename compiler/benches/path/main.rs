//! What a packet costs: the endpoint's whole programs over a program that returns at once, beside one that only keeps a
//! connection, for packets of 1, 1 024 and 16 384 flows.
//!
//! `cargo xtask bench path`. One `BPF_PROG_TEST_RUN` sends many packets; a program of ours in front gives each its
//! flow's port and tail-calls the one that is measured, so all pay the same for that. Everything is measured in turn,
//! several times over; medians count. The kernel takes the time, so it does not matter how this file was compiled.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measurement is printed")]
#![expect(clippy::unwrap_used, reason = "a machine on which nothing can be measured stops the benchmark")]

#[path = "../../tests/datapath/frames.rs"]
#[expect(dead_code, reason = "shared with the tests of the datapath")]
mod frames;
#[path = "../../tests/datapath/machine.rs"]
#[expect(dead_code, reason = "shared with the tests of the datapath")]
mod machine;
#[path = "../../tests/datapath/policy.rs"]
#[expect(dead_code, reason = "shared with the tests of the datapath")]
mod policy;
#[path = "../../tests/datapath/shapes.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests of the datapath")]
mod shapes;

use std::path::Path;
use std::process::{Command, ExitCode};

use aya::maps::{Array, HashMap, ProgramArray};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use ciliumc::clang::{FLAGS, Toolchain};
use ciliumc_abi::names::{DIRECTION_EGRESS, DIRECTION_INGRESS};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use frames::{ACK, FAMILIES, SYN, TCP};
use machine::{Machine, Policy, Setup};
use policy::{ALLOW, OTHER, PEER, rule};

const FLOWS: [u32; 3] = [1, 1024, 16_384];
/// Packets of one measurement of established flows, at least.
const PACKETS: u32 = 32_768;
const ROUNDS: usize = 31;
/// The same for new flows where one measurement is one packet.
const ROUNDS_OF_ONE: usize = 201;
/// What an established packet may cost at 1 024 flows, in costs of the bare conntrack program.
const RATIO_MAX: f64 = 2.5;

/// Places in `targets`.
const FLOOR: u32 = 0;
const BARE: u32 = 1;
const WHOLE: u32 = 2;
/// Where the entry program of [`WHOLE`] goes on.
const CLASS: u32 = 3;

/// The programs of this benchmark, with the endpoint's among their targets.
struct Bench {
    own: Ebpf,
    machine: Machine,
}

fn main() -> ExitCode {
    pin();
    let rules = vec![rule(PEER, TCP, 80, ALLOW), rule(OTHER, TCP, 443, ALLOW), rule(PEER, TCP, 8080, ALLOW)];
    let policy = Policy::Tables(rules);
    let setup = Setup { ct_entries: 65_536, ..Setup::new(policy.clone(), policy) };
    let Some(machine) = Machine::new(&setup) else {
        eprintln!("error: programs cannot be loaded here");
        return ExitCode::from(5);
    };
    let mut bench = Bench { own: load(), machine };
    println!(
        "{:<15} {:<4} {:<11} {:>6} {:>8} {:>8} {:>8} {:>7}",
        "program", "", "flows", "", "floor", "bare", "whole", "ratio"
    );
    let mut worst: f64 = 0.0;
    for direction in [DIRECTION_EGRESS, DIRECTION_INGRESS] {
        bench.aim(direction);
        for ends in FAMILIES {
            for established in [true, false] {
                for flows in FLOWS {
                    let ratio = bench.row(direction, ends, established, flows);
                    if established && flows == 1024 {
                        worst = worst.max(ratio);
                    }
                }
            }
        }
    }
    println!(
        "nanoseconds a packet, floor as it is, the others over it; ratio: whole to bare, median of {ROUNDS} rounds"
    );
    println!("a single new flow wakes the reader of the events, who has read all others");
    println!("established at 1024 flows: {worst:.2} times the bare conntrack program, at most {RATIO_MAX} wanted");
    if worst > RATIO_MAX { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Bench {
    /// Puts the endpoint's program of a direction among the targets.
    fn aim(&mut self, direction: u8) {
        let own = ["floor_program", "bare", "enter"].map(|name| {
            let program: &SchedClassifier = self.own.program(name).unwrap().try_into().unwrap();
            program.fd().unwrap().try_clone().unwrap()
        });
        let mut targets = ProgramArray::try_from(self.own.map_mut("targets").unwrap()).unwrap();
        targets.set(FLOOR, &own[0], 0).unwrap();
        targets.set(BARE, &own[1], 0).unwrap();
        targets.set(WHOLE, &own[2], 0).unwrap();
        targets.set(CLASS, self.machine.program(direction).fd().unwrap(), 0).unwrap();
    }

    /// Measures and prints one row; the ratio.
    fn row(&mut self, direction: u8, [pod, peer, ..]: [std::net::IpAddr; 4], established: bool, flows: u32) -> f64 {
        let frame = |flags| match direction {
            DIRECTION_EGRESS => frames::tcp_frame(pod, 1, peer, 80, flags),
            _ => frames::tcp_frame(peer, 1, pod, 80, flags),
        };
        // As on a wire, where no frame is shorter.
        let [open, go_on] = [SYN, ACK].map(|flags| {
            let mut frame = frame(flags);
            frame.resize(frame.len().max(60), 0);
            frame
        });
        let rounds = if established || flows > 1 { ROUNDS } else { ROUNDS_OF_ONE };
        let mut times = [const { Vec::new() }; 3];
        self.forget();
        for target in [BARE, WHOLE] {
            self.run(target, &open, flows, flows);
            self.run(target, &go_on, flows, flows);
        }
        for _ in 0..rounds {
            if !established {
                self.forget();
            }
            for target in [FLOOR, BARE, WHOLE] {
                let (frame, packets) = if established { (&go_on, PACKETS.max(flows)) } else { (&open, flows) };
                times[target as usize].push(self.run(target, frame, flows, packets));
            }
        }
        // The ratio is that of each round, in which a busy machine slows all three.
        let over = |target: usize, round: usize| times[target][round] as f64 - times[FLOOR as usize][round] as f64;
        let ratio = median(
            (0..rounds).map(|round| over(WHOLE as usize, round) / over(BARE as usize, round).max(1.0)).collect(),
        );
        let floor = median(times[FLOOR as usize].iter().map(|&time| time as f64).collect());
        let [bare, whole] =
            [BARE, WHOLE].map(|target| median((0..rounds).map(|round| over(target as usize, round)).collect()));
        let program = if direction == DIRECTION_EGRESS { "from_container" } else { "to_container" };
        let family = if pod.is_ipv4() { "IPv4" } else { "IPv6" };
        let state = if established { "established" } else { "new" };
        println!("{program:<15} {family:<4} {state:<11} {flows:>6} {floor:>8.0} {bare:>8.0} {whole:>8.0} {ratio:>7.2}");
        ratio
    }

    /// Sends packets that go round in `flows`: nanoseconds for each.
    fn run(&mut self, target: u32, frame: &[u8], flows: u32, packets: u32) -> u128 {
        let mut plan: Array<_, [u32; 4]> = Array::try_from(self.own.map_mut("plan").unwrap()).unwrap();
        plan.set(0, [target, flows, 0, 0], 0).unwrap();
        let drive: &mut SchedClassifier = self.own.program_mut("drive").unwrap().try_into().unwrap();
        let options = TestRunOptions { data_in: Some(frame), repeat: packets, ..TestRunOptions::default() };
        let result = drive.test_run(options).unwrap();
        assert_eq!(result.return_value, u32::MAX, "target {target} drops what it is to pass");
        result.duration.as_nanos()
    }

    /// Ends every connection of both, and reads what was reported.
    fn forget(&mut self) {
        self.machine.forget();
        self.machine.events();
        let map = self.own.map_mut("bare4").unwrap();
        let mut map: HashMap<_, [u8; 16], [u8; 32]> = HashMap::try_from(map).unwrap();
        for key in map.keys().collect::<Result<Vec<_>, _>>().unwrap() {
            map.remove(&key).unwrap();
        }
        let map = self.own.map_mut("bare6").unwrap();
        let mut map: HashMap<_, [u8; 40], [u8; 32]> = HashMap::try_from(map).unwrap();
        for key in map.keys().collect::<Result<Vec<_>, _>>().unwrap() {
            map.remove(&key).unwrap();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Compiles and loads `programs.c`.
fn load() -> Ebpf {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let object = folder.path().join("programs.o");
    let output = Command::new(Toolchain::find().unwrap().path())
        .args(FLAGS)
        .arg("-I")
        .arg(here.join("../bpf-lib/include"))
        .arg("-c")
        .arg(here.join("benches/path/programs.c"))
        .arg("-o")
        .arg(&object)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut own = EbpfLoader::new().load(&std::fs::read(object).unwrap()).unwrap();
    for name in ["drive", "enter", "floor_program", "bare"] {
        let program: &mut SchedClassifier = own.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
    }
    own
}

/// Stays on one processor, so that all measurements are of the same.
fn pin() {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).unwrap();
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    sched_setaffinity(this, &one).unwrap();
}
