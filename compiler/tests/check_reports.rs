//! `ciliumc check` as CI uses it: edits, baselines, SARIF, annotations, and the files that we hand out for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod project;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use project::Project;
use serde_json::Value;

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: checkout, namespace: shop, labels: {app: checkoutservice}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cartservice}}
spec: {containers: [{name: c, image: x}]}
";

/// A misspelt value twice, host bits, an excused policy; comments and odd formatting in between.
const POLICIES: &str = "\
# The cart.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cart, namespace: shop}
spec:
  podSelector: {matchLabels: {app:   cartservice}}
  ingress:
  - from:   # ü
    - podSelector:
        matchLabels:
          app: \"chekoutservice\"   # who pays
    - ipBlock: { cidr: 203.0.113.7/24 , except: [\"203.0.113.9/28\"] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: later, namespace: shop, annotations: {ciliumc.io/ignore: 'CL001 it comes, sooner or later'}}
spec: {podSelector: {matchLabels: {app: entirely-other}}, ingress: []}
";

const FIXED: [(&str, &str); 3] = [
    ("\"chekoutservice\"   # who", "\"checkoutservice\"   # who"),
    ("203.0.113.7/24", "203.0.113.0/24"),
    ("203.0.113.9/28", "203.0.113.0/28"),
];

impl Project {
    fn new() -> Self {
        Self::with(&[("deploy/pods.yaml", PODS), ("deploy/policies.yaml", POLICIES)], Path::new("cache"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Standard output and error of a run that ends with this code.
    #[track_caller]
    fn ends(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
        (out, err)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixed() -> String {
    FIXED.iter().fold(POLICIES.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_fix_changes_what_it_is_about_and_nothing_else() {
    let project = Project::new();
    fs::set_permissions(project.path("deploy/policies.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::rename(project.path("deploy/policies.yaml"), project.path("real.yaml")).unwrap();
    std::os::unix::fs::symlink("../real.yaml", project.path("deploy/policies.yaml")).unwrap();

    let (patch, _) = project.ends(0, &["check", "deploy", "--fix", "--dry-run"]);
    assert_eq!(project.read("real.yaml"), POLICIES);
    insta::assert_snapshot!(patch, @r#"
    --- a/deploy/policies.yaml
    +++ b/deploy/policies.yaml
    @@ -8,8 +8,8 @@
       - from:   # ü
         - podSelector:
             matchLabels:
    -          app: "chekoutservice"   # who pays
    -    - ipBlock: { cidr: 203.0.113.7/24 , except: ["203.0.113.9/28"] }
    +          app: "checkoutservice"   # who pays
    +    - ipBlock: { cidr: 203.0.113.0/24 , except: ["203.0.113.0/28"] }
     ---
     apiVersion: networking.k8s.io/v1
     kind: NetworkPolicy
    "#);

    let (_, err) = project.ends(0, &["check", "deploy", "--fix", "--fail-on", "warning"]);
    assert!(err.contains("edits: 3, files: 1"), "{err}");
    assert_eq!(project.read("real.yaml"), fixed());
    assert!(fs::symlink_metadata(project.path("deploy/policies.yaml")).unwrap().is_symlink());
    assert_eq!(fs::metadata(project.path("real.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    let (_, err) = project.ends(0, &["check", "deploy", "--fix"]);
    assert!(err.contains("edits: 0, files: 0"), "{err}");
    let mut entries: Vec<_> =
        fs::read_dir(project.path("deploy")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["pods.yaml", "policies.yaml"]);
}

#[test]
fn standard_input_is_not_fixed() {
    let project = Project::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ciliumc"));
    command.args(["check", "-", "--fix"]).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.current_dir(project.dir.path()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(POLICIES.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`-` is none"));
    project.ends(2, &["check", "deploy", "--dry-run"]);
    project.ends(2, &["check", "deploy", "--write-baseline"]);
    project.ends(2, &["check", "deploy", "-o", "yaml"]);
    project.ends(2, &["check", "deploy", "-o", "json", "-o", "sarif"]);
    project.ends(2, &["check", "deploy", "-o", "sarif="]);
}

#[test]
fn a_baseline_outlasts_lines_that_move_and_nothing_else() {
    let project = Project::new();
    let known = ["check", "deploy", "--fail-on", "info", "--baseline", "known.json"];
    let (_, err) = project.ends(3, &known);
    assert!(err.contains("known.json: there is no such baseline"), "{err}");
    project.ends(0, &["check", "deploy", "--fail-on", "info", "--baseline", "known.json", "--write-baseline"]);
    let (out, err) = project.ends(0, &known);
    assert!(out.contains("findings known") && err.is_empty(), "{out}{err}");

    // Lines, blanks and files do not count.
    let moved =
        POLICIES.replace("# The cart.\n", "# The cart,\n# further down.\n\n").replace("app:   cart", "app: cart");
    project.write("deploy/policies.yaml", "");
    project.write("deploy/sub/moved.yaml", &moved);
    project.ends(0, &known);

    // The same once more does, and so does another word.
    project.write("deploy/sub/moved.yaml", &moved.replace("chekout", "chekkout"));
    let (out, err) = project.ends(1, &known);
    assert!(out.contains("chekkoutservice") && err.contains("stale: 1 x CL003 NetworkPolicy shop/cart"), "{err}");
    let line = "    - podSelector: {matchLabels: {app: \"chekoutservice\"}}\n";
    project.write("deploy/sub/moved.yaml", &moved.replace("    - ipBlock", &format!("{line}    - ipBlock")));
    let (out, _) = project.ends(1, &["check", "deploy", "--fail-on", "info", "--baseline", "known.json", "-o", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["diagnostics"].as_array().unwrap().len(), 1, "{out}");
    assert_eq!(report["stale"].as_array().unwrap().len(), 0);

    // A refused object is no finding that one gets used to.
    project.write(
        "deploy/bad.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: []\n",
    );
    let before = project.read("known.json");
    project.ends(3, &["check", "deploy", "--baseline", "known.json", "--write-baseline"]);
    assert_eq!(project.read("known.json"), before);
    let (out, err) = project.ends(3, &known);
    assert!(out.contains("F-005") && !err.contains("stale"), "{out}{err}");
    project.write("known.json", "{}");
    project.ends(3, &known);
}

#[test]
fn sarif_is_what_its_schema_asks_for() {
    let schema = fs::read_to_string(root().join("testdata/sarif/sarif-schema-2.1.0.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let id = schema["$id"].as_str().unwrap().to_owned();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource(&id, schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile(&id, &mut schemas).unwrap();

    let project = Project::new();
    project.write("known.json", "");
    project.ends(0, &["check", "deploy", "--baseline", "known.json", "--write-baseline"]);
    // One new finding, one without a place, and an error.
    project
        .write("deploy/odd name.yaml", &POLICIES.replace("name: cart", "name: other").replace("chekout", "chekkout"));
    project.write(
        "deploy/bad.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: []\n",
    );
    let args = ["check", "deploy", "--keep-going", "--baseline", "known.json", "-o", "sarif=out.sarif", "-o", "text"];
    project.ends(0, &args);
    let mut log: Value = serde_json::from_str(&project.read("out.sarif")).unwrap();
    if let Err(error) = schemas.validate(&log, index) {
        panic!("{error:#}");
    }
    let results = log["runs"][0]["results"].as_array().unwrap();
    let near = results.iter().filter(|result| result["ruleId"] == "CL003").collect::<Vec<_>>();
    let [new, known] = near.as_slice() else { panic!("{near:#?}") };
    assert_eq!(new["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "deploy/odd%20name.yaml");
    assert_eq!(new["suppressions"].as_array().unwrap().len(), 0);
    assert_eq!(known["suppressions"][0]["kind"], "external");
    assert_ne!(new["partialFingerprints"], known["partialFingerprints"]);
    let replacement = &new["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replacement["insertedContent"]["text"], "checkoutservice");
    assert_eq!(replacement["deletedRegion"]["startColumn"], 17);
    let excused = results.iter().find(|result| result["suppressions"][0]["kind"] == "inSource").unwrap();
    assert_eq!(excused["suppressions"][0]["justification"], "it comes, sooner or later");
    assert!(results.iter().any(|result| result["level"] == "error"));
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["help"]["text"].as_str().is_some_and(|text| text.contains("Why: "))));
    assert!(rules.iter().all(|rule| rule["helpUri"].as_str().is_none_or(|uri| uri.starts_with("https://"))));

    log["runs"][0]["results"][0]["level"] = "terrible".into();
    assert!(schemas.validate(&log, index).is_err());
}

/// What the hook and the workflow run is what the program takes.
#[test]
fn handed_out_commands_run() {
    let project = Project::new();
    project.write("deploy/policies.yaml", &fixed());
    project.write("known.json", r#"{"schema": "ciliumc/baseline/v1", "findings": []}"#);
    let yaml = |name: &str| -> serde_yaml::Value {
        serde_yaml::from_str(&fs::read_to_string(root().join(name)).unwrap()).unwrap()
    };
    let workflow = yaml("examples/github-workflow.yaml");
    let steps = ["check", "impact"].map(|job| workflow["jobs"][job]["steps"].as_sequence().unwrap().clone()).concat();
    let lines = steps.iter().filter_map(|step| step["run"].as_str()).flat_map(str::lines).map(str::to_owned);
    let hooks = yaml(".pre-commit-hooks.yaml");
    let hook = |hook: &serde_yaml::Value| {
        let args = hook["args"].as_sequence().unwrap().iter().map(|arg| arg.as_str().unwrap());
        format!("{} {}", hook["entry"].as_str().unwrap(), args.collect::<Vec<_>>().join(" "))
    };
    let lines: Vec<String> = lines.chain(hooks.as_sequence().unwrap().iter().map(hook)).collect();
    let commands: Vec<Vec<&str>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    let own: Vec<_> = commands.iter().filter(|words| words.first() == Some(&"ciliumc")).collect();
    assert_eq!(own.len(), 3, "{lines:?}");
    for words in own {
        // Here is no repository, so the base is what is checked out; and no shell, so a report goes where it goes.
        let words: Vec<&str> = words[1..].iter().copied().take_while(|word| *word != ">").collect();
        let is_base = |word: &&str| word.starts_with("\"git:origin/$GITHUB_BASE_REF:");
        let args: Vec<&str> = words.iter().map(|word| if is_base(word) { "deploy" } else { word }).collect();
        let (out, _) = project.ends(0, &args);
        assert_eq!(
            args[0] == "diff",
            out.starts_with("<!-- ciliumc-diff:v1 -->\n### Network policy: no difference"),
            "{out}"
        );
    }
    assert!(project.path("ciliumc.sarif").exists() && project.path("annotations.txt").exists());
}
