//! Every seed and every former finding of the fuzz targets, without a fuzzer.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// A panic is a finding.
type Target = fn(&[u8]);

#[test]
fn no_input_of_the_fuzzers_is_a_finding() {
    let all: [(&str, Target); 6] = [
        ("yaml", targets::yaml),
        ("selectors", targets::selectors),
        ("cidrs", targets::cidrs),
        ("ports", targets::ports),
        ("fqdns", targets::fqdns),
        ("documents", targets::documents),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, target) in all {
        let entries = fs::read_dir(root.join(name)).expect("seeds");
        let seeds: Vec<_> = entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("a seed")).collect();
        assert!(seeds.len() >= 3, "{name} has few seeds");
        seeds.iter().for_each(|seed| target(seed));
    }
    assert_eq!(fs::read_dir(root).expect("seeds").count(), all.len(), "a folder without a target");
}
