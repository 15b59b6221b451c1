//! The manifests below `deploy/`: systemd and Kubernetes would take them, and the loader takes the commands in them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_yaml::Value;

/// Capabilities that `docs/node.md` gives reasons for.
const APPLY: [&str; 3] = ["BPF", "NET_ADMIN", "PERFMON"];
/// What is asked of who only looks.
const LOOK: [&str; 1] = ["BPF"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// Fails unless the loader's command line takes these words, the program's name first.
fn taken(words: &[String]) {
    let parsed = ciliumc_loader::cli::command().try_get_matches_from(words);
    parsed.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

/// A unit's settings: those that are repeated, behind each other.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(deploy("systemd").join(name)).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        found.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    found
}

#[test]
fn the_units_run_commands_that_the_loader_takes() {
    for (name, caps) in [("ciliumc.service", &APPLY[..]), ("ciliumc-metrics.service", &LOOK)] {
        let unit = unit(name);
        let variables: BTreeMap<&str, &str> =
            unit["Environment"].iter().map(|pair| pair.split_once('=').unwrap()).collect();
        let commands = unit.iter().filter(|(key, _)| key.starts_with("Exec")).flat_map(|(_, lines)| lines);
        for line in commands {
            let words = line.split(' ').map(|word| match word.strip_prefix("${").and_then(|w| w.strip_suffix('}')) {
                Some(variable) => variables[variable].to_owned(),
                None => word.to_owned(),
            });
            taken(&words.collect::<Vec<_>>());
        }
        let expected: Vec<String> = caps.iter().map(|cap| format!("CAP_{cap}")).collect();
        assert_eq!(unit["CapabilityBoundingSet"], [expected.join(" ")], "{name}");
        assert_eq!((&unit["ProtectSystem"][0], &unit["ReadWritePaths"][0]), (&"strict".into(), &"/sys/fs/bpf".into()));
    }
    assert_eq!(unit("ciliumc.service")["RuntimeDirectoryPreserve"], ["yes"], "records live as long as pins");
}

#[test]
fn systemd_takes_the_units_and_finds_them_closed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-analyze is needed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["ciliumc.service", "ciliumc-metrics.service"] {
        // Where the program is not installed, systemd refuses for that alone.
        let text = std::fs::read_to_string(deploy("systemd").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/ciliumc-loader", "/bin/true");
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let analyze = |args: &[&str], name: &str| {
        let out = Command::new("systemd-analyze").args(args).arg(folder.path().join(name)).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), said)
    };
    for name in ["ciliumc.service", "ciliumc-metrics.service"] {
        let (good, said) = analyze(&["verify", "--man=no", "--recursive-errors=no"], name);
        assert!(good && said.trim().is_empty(), "{name}: {said}");
        // 0 is closed and 10 open; systemd's own services have 2 to 9.
        let (good, said) = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=25"], name);
        assert!(good, "{name}: {said}");
    }
    std::fs::write(folder.path().join("bad.service"), "[Service]\nExecStart=/bin/true\nProtectSytem=yes\n").unwrap();
    let (_, said) = analyze(&["verify", "--man=no", "--recursive-errors=no"], "bad.service");
    assert!(said.contains("ProtectSytem"), "a misspelt setting is seen: {said}");
}

/// Fields of the Kubernetes API's objects, as far as a manifest of ours has them: name and type. `[T]` is a list, `{}`
/// a map of strings, `T|U` either.
const SCHEMA: [(&str, &str); 21] = [
    ("DaemonSet", "apiVersion:string kind:string metadata:ObjectMeta spec:DaemonSetSpec"),
    ("ObjectMeta", "name:string namespace:string labels:{} annotations:{}"),
    ("DaemonSetSpec", "selector:LabelSelector template:PodTemplateSpec updateStrategy:Strategy minReadySeconds:int"),
    ("LabelSelector", "matchLabels:{}"),
    ("Strategy", "type:string rollingUpdate:RollingUpdate"),
    ("RollingUpdate", "maxUnavailable:int|string maxSurge:int|string"),
    ("PodTemplateSpec", "metadata:ObjectMeta spec:PodSpec"),
    (
        "PodSpec",
        "hostNetwork:bool dnsPolicy:string automountServiceAccountToken:bool enableServiceLinks:bool \
         priorityClassName:string terminationGracePeriodSeconds:int nodeSelector:{} tolerations:[Toleration] \
         securityContext:PodSecurityContext initContainers:[Container] containers:[Container] volumes:[Volume]",
    ),
    ("Toleration", "key:string operator:string value:string effect:string"),
    ("PodSecurityContext", "runAsUser:int runAsGroup:int fsGroup:int seccompProfile:SeccompProfile"),
    ("SeccompProfile", "type:string localhostProfile:string"),
    (
        "Container",
        "name:string image:string args:[string] env:[EnvVar] ports:[Port] readinessProbe:Probe livenessProbe:Probe \
         securityContext:SecurityContext resources:Resources volumeMounts:[VolumeMount]",
    ),
    ("EnvVar", "name:string value:string valueFrom:EnvVarSource"),
    ("Port", "name:string containerPort:int protocol:string"),
    ("Probe", "httpGet:Get tcpSocket:Get periodSeconds:int timeoutSeconds:int failureThreshold:int"),
    ("Get", "path:string port:int|string"),
    (
        "SecurityContext",
        "allowPrivilegeEscalation:bool readOnlyRootFilesystem:bool privileged:bool capabilities:Capabilities",
    ),
    ("Capabilities", "add:[string] drop:[string]"),
    ("Resources", "requests:{} limits:{}"),
    ("VolumeMount", "name:string mountPath:string readOnly:bool"),
    ("Volume", "name:string configMap:Named hostPath:HostPath"),
];
/// Types with fields of which only one level is there.
const LEAVES: [(&str, &str); 4] = [
    ("EnvVarSource", "fieldRef:FieldRef"),
    ("FieldRef", "apiVersion:string fieldPath:string"),
    ("Named", "name:string optional:bool"),
    ("HostPath", "path:string type:string"),
];

/// What is wrong with a value of a type, each with its path.
fn problems(value: &Value, kind: &str, path: &str, into: &mut Vec<String>) {
    let of_list = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']'));
    let fields = SCHEMA.iter().chain(&LEAVES).find(|(name, _)| *name == kind).map(|(_, fields)| *fields);
    match (kind, value) {
        ("string", Value::String(_)) | ("bool", Value::Bool(_)) | ("int" | "int|string", Value::Number(_)) => {}
        ("int|string", Value::String(_)) => {}
        ("{}", Value::Mapping(map)) => {
            let wrong = map.iter().filter(|(key, value)| !key.is_string() || !value.is_string());
            into.extend(wrong.map(|(key, value)| format!("{path}: {key:?}: {value:?} are no strings")));
        }
        (_, Value::Sequence(items)) if of_list.is_some() => {
            for (at, item) in items.iter().enumerate() {
                problems(item, of_list.unwrap(), &format!("{path}[{at}]"), into);
            }
        }
        (_, Value::Mapping(map)) if fields.is_some() => {
            for (key, value) in map {
                let key = key.as_str().unwrap_or("?");
                let known =
                    fields.unwrap().split_whitespace().find_map(|field| field.strip_prefix(key)?.strip_prefix(':'));
                match known {
                    Some(kind) => problems(value, kind, &format!("{path}.{key}"), into),
                    None => into.push(format!("{path}: {kind} has no field `{key}`")),
                }
            }
        }
        _ => into.push(format!("{path}: {value:?} is no {kind}")),
    }
}

fn daemon_set() -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(deploy("kubernetes/daemonset.yaml")).unwrap()).unwrap()
}

/// The value at a path of names and numbers.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, step| match step.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[step],
    })
}

fn strings(value: &Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_daemon_set_has_the_fields_of_kubernetes() {
    let set = daemon_set();
    let mut found = Vec::new();
    problems(&set, "DaemonSet", "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!((&set["apiVersion"], &set["kind"]), (&"apps/v1".into(), &"DaemonSet".into()));
    let labels = at(&set, "spec.template.metadata.labels").as_mapping().unwrap();
    for (key, value) in at(&set, "spec.selector.matchLabels").as_mapping().unwrap() {
        assert_eq!(labels.get(key), Some(value), "the selector selects the template");
    }
    let text = std::fs::read_to_string(deploy("kubernetes/daemonset.yaml")).unwrap();
    for (right, wrong) in [
        ("hostNetwork: true", "hostNetWork: true"),
        ("runAsUser: 0", "runAsUser: root"),
        ("operator: Exists", "- Exists"),
    ] {
        let wrong: Value = serde_yaml::from_str(&text.replace(right, wrong)).unwrap();
        problems(&wrong, "DaemonSet", "", &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
        found.clear();
    }
}

#[test]
fn the_daemon_set_fits_the_loader_and_itself() {
    let set = daemon_set();
    let pod = at(&set, "spec.template.spec");
    let volumes: Vec<&Value> = pod["volumes"].as_sequence().unwrap().iter().map(|volume| &volume["name"]).collect();
    let (apply, metrics) = (at(pod, "initContainers.0"), at(pod, "containers.0"));
    for (container, capabilities) in [(apply, &APPLY[..]), (metrics, &LOOK)] {
        let mut words = vec!["ciliumc-loader".to_owned()];
        let variables = container["env"].as_sequence().map_or(&[][..], |variables| variables);
        words.extend(strings(&container["args"]).into_iter().map(|word| {
            let name = word.strip_prefix("$(").and_then(|word| word.strip_suffix(')')).map(str::to_owned);
            let known = |name: &String| variables.iter().any(|variable| variable["name"] == name.as_str());
            name.map_or(word, |name| if known(&name) { "worker-1".to_owned() } else { panic!("{name} is not set") })
        }));
        taken(&words);
        let security = &container["securityContext"];
        assert_eq!(strings(at(security, "capabilities.add")), capabilities);
        assert_eq!(strings(at(security, "capabilities.drop")), ["ALL"]);
        assert_eq!((&security["allowPrivilegeEscalation"], &security["privileged"]), (&false.into(), &Value::Null));
        let mounts = container["volumeMounts"].as_sequence().unwrap();
        assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])), "{mounts:?}");
        for needed in ["/sys/fs/bpf", "/run/ciliumc"] {
            assert!(mounts.iter().any(|mount| mount["mountPath"] == needed), "{needed}");
        }
        for probe in ["readinessProbe", "livenessProbe"] {
            for way in ["httpGet", "tcpSocket"] {
                let port = &container[probe][way]["port"];
                assert!(port.is_null() || *port == at(container, "ports.0")["name"], "{probe}");
            }
        }
    }
    // What the loader takes for granted when it is not told.
    let listen = strings(&metrics["args"]).into_iter().find_map(|word| word.rsplit(':').next()?.parse::<u64>().ok());
    assert_eq!(listen, at(metrics, "ports.0.containerPort").as_u64());
    let bundle = strings(&apply["args"]).into_iter().find(|word| word.starts_with("/bundle/")).unwrap();
    let mounted = at(apply, "volumeMounts").as_sequence().unwrap().iter().any(|mount| mount["mountPath"] == "/bundle");
    assert!(mounted && bundle.ends_with("bundle.tar"));
}

/// The capabilities that a row of the table in `docs/node.md` names for a command, with the words around them.
fn documented(command: &str) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(deploy("../docs/node.md")).unwrap();
    let row = text.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{command}`")));
    let row = row.unwrap_or_else(|| panic!("no row about `{command}`"));
    let named = row.split("`CAP_").skip(1).map(|rest| rest.split('`').next().unwrap().to_owned());
    (row.to_owned(), named.collect())
}

#[test]
fn node_md_says_what_the_manifests_ask_for() {
    let (row, named) = documented("apply");
    assert_eq!(named, APPLY, "{row}");
    let (row, named) = documented("monitor");
    assert!(row.contains("`metrics`") && row.contains("none on Linux 5.19 and later"), "{row}");
    assert_eq!(named, LOOK, "{row}");
    let text = std::fs::read_to_string(deploy("../docs/node.md")).unwrap();
    let needs = &text[text.find("## What it needs").unwrap()..text.find("## Privileges").unwrap()];
    let set = daemon_set();
    for volume in at(&set, "spec.template.spec.volumes").as_sequence().unwrap() {
        // What the pod gets from the node is what the loader needs of it.
        let Some(path) = volume["hostPath"]["path"].as_str() else { continue };
        assert!(needs.contains(path), "docs/node.md has nothing about `{path}`");
    }
    // These are the loader's own defaults, since no manifest names others.
    let help = ciliumc_loader::cli::command().render_long_help().to_string();
    assert!(help.contains("[default: /sys/fs/bpf/ciliumc]") && help.contains("[default: /run/ciliumc]"), "{help}");
    let words = ["apply", "metrics"].map(|name| {
        let containers = ["initContainers", "containers"].map(|kind| at(&set, "spec.template.spec")[kind].clone());
        let all = containers.iter().flat_map(|list| list.as_sequence().unwrap());
        let args: Vec<_> = all.filter(|one| one["name"] == name).map(|one| strings(&one["args"])).collect();
        args.concat()
    });
    assert!(words.iter().flatten().all(|word| !word.starts_with("--root") && !word.starts_with("--state-dir")));
}
