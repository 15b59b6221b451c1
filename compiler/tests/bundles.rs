//! What is read back from a bundle is what it was made of. Objects are left empty: no table is in them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folders;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ciliumc::bundle::{self, BuiltObject, write};
use ciliumc::codegen;
use ciliumc::connectivity::diff::{self, Class, Edit, Version};
use ciliumc::connectivity::{Connectivity, Party, cilium};
use ciliumc::driver::connectivity::open;
use ciliumc::driver::{self, Analysis};
use ciliumc::front::FrontOptions;
use ciliumc::ir::Direction;
use ciliumc::lower;
use ciliumc::object;
use ciliumc::resolve::Lock;
use ciliumc::source::{self, LoadOptions, SourceMap};
use ciliumc_abi::manifest;
use folders::cases;

/// Writes the bundle of an input without asking clang.
fn build(sources: &SourceMap, analysis: &Analysis, out: &Path) {
    let lowered = lower::lower(&analysis.cluster.options, &analysis.resolved).unwrap();
    let directions =
        lowered.classes.iter().flat_map(|class| Direction::ALL.map(|direction| class.direction(direction)));
    let objects = directions.map(|direction| {
        let defines = codegen::ep_defines(&direction.shape).into_iter();
        let entry = manifest::Object {
            program: String::new(),
            shape: defines.map(|define| (define.name.to_string(), define.value.to_string())).collect(),
            maps: Vec::new(),
            helpers: Vec::new(),
            instructions: 0,
            verified: None,
        };
        // Objects are named by their content.
        (direction.shape, BuiltObject { bytes: format!("{:?}", direction.shape).into_bytes(), entry })
    });
    let bundle = bundle::assemble(bundle::Input {
        sources,
        cluster: &analysis.cluster,
        resolved: &analysis.resolved,
        lowered: &lowered,
        objects: objects.collect(),
        maps: object::expected_maps(&lowered.node),
        clang: manifest::Clang { version: String::new(), flags: Vec::new() },
    });
    write::write(&bundle.unwrap(), out).unwrap();
}

fn analyse(sources: &SourceMap) -> Analysis {
    driver::analyse(sources, &FrontOptions::default(), Lock::default()).unwrap()
}

/// Parties by namespace and labels, where these tell them apart.
fn by_labels(connectivity: &Connectivity) -> BTreeMap<(String, String), &Party> {
    let mut out = BTreeMap::new();
    let mut twice = Vec::new();
    for (party, labels) in &connectivity.labels {
        let Party::Workload { namespace, .. } = party else { continue };
        let key = (namespace.clone(), labels.to_string());
        if out.insert(key.clone(), party).is_some() {
            twice.push(key);
        }
    }
    for key in twice {
        out.remove(&key);
    }
    out
}

#[test]
fn every_case_is_read_back_as_it_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = [0, 0];
    for case in cases() {
        let options = LoadOptions { paths: vec![case.display().to_string()], exclude: Vec::new() };
        let sources = source::load(&options).unwrap();
        let analysis = analyse(&sources);
        let meant = cilium::connect(&analysis.cluster, &analysis.resolved, &cilium::Names::new());
        let out = folder.path().join(case.file_name().unwrap()).with_extension("tar");
        build(&sources, &analysis, &out);
        let (_, read) = open(&out).unwrap();
        let (ours, theirs) = (by_labels(&meant), by_labels(&read));
        for (key, source) in &ours {
            for (other, destination) in &ours {
                let (Some(from), Some(to)) = (theirs.get(key), theirs.get(other)) else { continue };
                let Some(expected) = meant.between(source, destination) else { continue };
                let found = read.between(from, to).unwrap();
                assert_eq!(found, expected, "{}: {source} -> {destination}", case.display());
                compared[0] += 1;
            }
            for outside in read.outside(Direction::Egress) {
                let (Some(from), Some(expected)) = (theirs.get(key), meant.between(source, outside)) else { continue };
                assert_eq!(read.between(from, outside).unwrap(), expected, "{}: {source} -> {outside}", case.display());
                compared[1] += 1;
            }
        }
    }
    assert!(compared.iter().all(|count| *count > 200), "{compared:?}");
}

fn version(port: u16, more: &str) -> SourceMap {
    let pod = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}, \
             spec: {{containers: [{{name: c, image: x}}]}}}}\n---\n"
        )
    };
    let policy = format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: cart, namespace: shop}}\nspec:\n  \
         endpointSelector: {{matchLabels: {{app: cart}}}}\n  ingress:\n  - fromEndpoints: [{{matchLabels: {{app: web}}}}]\n    \
         toPorts: [{{ports: [{{port: '{port}', protocol: TCP}}], rules: {{http: [{{path: /a}}]}}}}]\n{more}"
    );
    SourceMap::from_texts([("cart.yaml", format!("{}{}{policy}", pod("web"), pod("cart")))])
}

#[test]
fn a_difference_of_bundles_names_labels_objects_and_lines() {
    let folder = tempfile::tempdir().unwrap();
    let opened = |name: &str, sources: &SourceMap| {
        let out = folder.path().join(name);
        build(sources, &analyse(sources), &out);
        open(&out).unwrap()
    };
    let (old_sources, old) = opened("old", &version(80, ""));
    let more = "  - fromEntities: [world]\n    toPorts: [{ports: [{port: '22', protocol: TCP}]}]\n";
    let (new_sources, new) = opened("new.tar", &version(80, more));
    let version = |connectivity, sources| Version { connectivity, sources };
    let (old, new) = (version(&old, &old_sources), version(&new, &new_sources));
    assert!(diff::diff(old, old).rows.is_empty() && diff::diff(old, old).without_effect.is_empty());
    let diff = diff::diff(old, new);
    assert_eq!(diff.rows.len(), 1, "{:?}", diff.rows);
    let row = &diff.rows[0];
    assert_eq!((row.class, row.gained[0].ranges.as_slice()), (Class::Widened, [(22, 22)].as_slice()));
    assert_eq!(row.destinations[0].to_string(), "shop/app=cart[Labels]");
    let cause = &row.causes[0];
    let line = new_sources.line_col(cause.rule.span).line;
    assert_eq!((cause.edit, cause.rule.path.as_str(), line), (Edit::Added, "spec.ingress[1]", 13));
    assert_eq!(new_sources.name(cause.rule.span.file), "cart.yaml");
}

#[test]
fn a_damaged_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle");
    let sources = version(80, "");
    build(&sources, &analyse(&sources), &out);
    open(&out).unwrap();
    for name in ["manifest.json", "provenance.json", "rulesets.json"] {
        let path = out.join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let error = open(&out).unwrap_err().to_string();
        assert!(error.contains("manifest.json") || error.contains(name), "{name}: {error}");
        fs::remove_file(&path).unwrap();
        let error = open(&out).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("build the bundle again"), "{name}: {error}");
        fs::write(&path, &good).unwrap();
    }
    open(&out).unwrap();
}

#[test]
fn the_program_compares_bundles_and_not_a_bundle_with_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, port) in [("old", 80), ("new.tar", 81)] {
        let sources = version(port, "");
        build(&sources, &analyse(&sources), &folder.path().join(name));
    }
    fs::write(folder.path().join("cart.yaml"), &version(80, "").files().next().unwrap().1.text).unwrap();
    let run = |words: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ciliumc")).args(words).output().unwrap();
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
        (output.status.code(), text)
    };
    assert_eq!(run(&["diff", &path("old"), &path("old")]), (Some(0), "no difference\n".into()));
    let (code, text) = run(&["diff", &path("old"), &path("new.tar")]);
    assert!(code == Some(1) && text.contains("gained TCP 81 http * /a") && text.contains(", in both\n"), "{text}");
    let (code, text) = run(&["list", &path("new.tar")]);
    assert!(code == Some(0) && text.contains("81"), "{text}");
    let (code, text) = run(&["diff", &path("old"), &path("cart.yaml")]);
    assert!(code == Some(3) && text.contains("one side is a bundle"), "{text}");
}
