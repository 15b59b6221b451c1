//! A built object as text: `--emit object`.

use std::fmt::Write;

use super::ObjectReport;

/// What is the same under every clang: program, maps with their layouts, helpers.
pub fn print(name: &str, report: &ObjectReport) -> String {
    let mut out = format!("object {name}\n  program {} in {}, {}\n", report.program, report.section, report.license);
    for (name, map) in &report.maps {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  map {name} type {} key {} value {} entries {} flags {:#x}",
            map.map_type, map.key_size, map.value_size, map.max_entries, map.flags
        );
    }
    let _ = writeln!(out, "  helpers {}", report.helpers.join(" "));
    out
}

/// What depends on the clang: instructions and their number.
pub fn code(report: &ObjectReport) -> String {
    let mut out = format!("  instructions {}\n", report.instructions);
    for line in &report.text {
        let _ = writeln!(out, "    {line}");
    }
    out
}
