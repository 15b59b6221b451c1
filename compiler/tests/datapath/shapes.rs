//! Every shape there is: compiled, inspected, verified, loaded by a second loader.

use std::process::Command;

use ciliumc::clang::{Toolchain, compile_all};
use ciliumc::codegen;
use ciliumc::driver::build::VERIFIED_MAX;
use ciliumc::exec::LoadError;
use ciliumc::exec::verify::verify;
use ciliumc::ir::options::MonitorAggregation;
use ciliumc::lower::shape::{CellWidth, NodeConfig, PolicyMode, Program, Shape};
use ciliumc::object::inspect;

/// The defaults of Cilium 1.18 in dual stack.
pub const NODE: NodeConfig = NodeConfig {
    ipv4: true,
    ipv6: true,
    sctp: true,
    allow_icmp_frag_needed: true,
    ct_entries_max: 524_288,
    ct_tcp_timeout_secs: 8000,
    ct_tcp_syn_timeout_secs: 60,
    ct_tcp_fin_timeout_secs: 10,
    ct_any_timeout_secs: 60,
    monitor_aggregation: MonitorAggregation::Medium,
    monitor_interval_secs: 5,
    monitor_tcp_flags: u8::MAX,
};

pub fn shape(program: Program, mode: PolicyMode) -> Shape {
    let class_shift = if mode == PolicyMode::Tables { 4 } else { 0 };
    Shape { class_shift, ..Shape::constant(program, mode) }
}

/// Modes, widths and audit mode of both programs.
fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for program in [Program::FromContainer, Program::ToContainer] {
        for mode in [PolicyMode::AllowAll, PolicyMode::DenyAll, PolicyMode::L3Only, PolicyMode::Tables] {
            let plain = shape(program, mode);
            shapes.push(plain);
            shapes.push(Shape { audit: true, ..plain });
            if mode == PolicyMode::L3Only {
                shapes.push(Shape { row: CellWidth::U16, action: CellWidth::U16, ..plain });
            }
        }
        let plain = shape(program, PolicyMode::Tables);
        for (row, class_shift) in [(CellWidth::U16, 6), (CellWidth::U8, 16)] {
            for class in [CellWidth::U8, CellWidth::U16] {
                for action in [CellWidth::U8, CellWidth::U16] {
                    shapes.push(Shape { row, class, action, class_shift, ..plain });
                }
            }
        }
    }
    shapes
}

/// Families and switches of the node.
fn nodes() -> Vec<NodeConfig> {
    vec![
        NODE,
        NodeConfig { ipv6: false, sctp: false, ..NODE },
        NodeConfig { ipv4: false, ..NODE },
        NodeConfig { allow_icmp_frag_needed: false, ..NODE },
        NodeConfig { monitor_aggregation: MonitorAggregation::Low, ..NODE },
        NodeConfig { monitor_aggregation: MonitorAggregation::None, ..NODE },
    ]
}

/// The verifier's count, or `None` (said aloud) where the machine does not let us load programs.
pub fn verified(bytes: &[u8], program: &str) -> Option<u32> {
    match verify(bytes, program) {
        Ok(count) => Some(count),
        Err(error @ LoadError::NotPermitted(_)) => {
            assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_shape_compiles_and_verifies() {
    let toolchain = Toolchain::find().unwrap();
    let plain = shape(Program::FromContainer, PolicyMode::Tables);
    let mut cases: Vec<(Shape, NodeConfig)> = shapes().into_iter().map(|shape| (shape, NODE)).collect();
    for node in nodes().into_iter().skip(1) {
        cases.push((plain, node));
        cases.push((Shape { program: Program::ToContainer, ..plain }, node));
    }
    let units: Vec<_> = cases.iter().map(|(shape, node)| codegen::unit(shape, node)).collect();
    let built = compile_all(&toolchain, &units, 0, None).unwrap();
    let mut permitted = true;
    for ((unit, (shape, node)), built) in units.iter().zip(&cases).zip(&built) {
        let report = inspect(&built.object, shape, node).unwrap_or_else(|error| panic!("{}: {error}", unit.name));
        let count = permitted.then(|| verified(&built.object, &report.program)).flatten();
        permitted = count.is_some();
        println!("{:45} {:5} instructions, {count:?} verified", unit.name, report.instructions);
        assert!(count.is_none_or(|count| count < VERIFIED_MAX), "{}: {count:?}", unit.name);
    }
}

#[test]
fn libbpf_loads_the_objects_too() {
    let toolchain = Toolchain::find().unwrap();
    let units: Vec<_> = [PolicyMode::AllowAll, PolicyMode::Tables]
        .into_iter()
        .flat_map(|mode| [Program::FromContainer, Program::ToContainer].map(|program| shape(program, mode)))
        .map(|shape| codegen::unit(&shape, &NODE))
        .collect();
    let built = compile_all(&toolchain, &units, 0, None).unwrap();
    let program = codegen::program_name(units[0].shape.program);
    if verified(&built[0].object, program).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, (unit, built)) in units.iter().zip(&built).enumerate() {
        let object = folder.path().join("object.o");
        std::fs::write(&object, &built.object).unwrap();
        let pins = format!("/sys/fs/bpf/ciliumc-test-{}-{number}", std::process::id());
        let output = Command::new("bpftool").args(["prog", "loadall"]).arg(&object).arg(&pins).output().unwrap();
        let _ = std::fs::remove_dir_all(&pins);
        assert!(output.status.success(), "{}: {}", unit.name, String::from_utf8_lossy(&output.stderr));
    }
}
