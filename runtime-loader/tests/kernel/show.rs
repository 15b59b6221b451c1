//! The commands that look: what they say is what happened.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Not;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{DEATHSTAR, Lab, XWING, loader};

fn json(lab: &Lab, args: &[&str]) -> Value {
    serde_json::from_str(&lab.ok(&[args, &["-o", "json"]].concat())).expect("JSON")
}

/// The one element that fits.
fn find(list: &Value, fits: impl Fn(&Value) -> bool) -> Value {
    let found: Vec<_> = list.as_array().expect("a list").iter().filter(|one| fits(one)).collect();
    assert_eq!(found.len(), 1, "{list}");
    found[0].clone()
}

#[test]
fn what_is_shown_is_what_happened() {
    let Some(lab) = Lab::new() else { return };
    let bundle = lab.bundle(80);
    lab.add(&bundle, DEATHSTAR);
    lab.add(&bundle, XWING);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81") && !lab.connects("[fd77::1]:81"));

    let policy = json(&lab, &["policy", "get", DEATHSTAR.0]);
    let allow = find(&policy, |line| line["policy"] == "allow" && line["direction"] == "ingress");
    assert_eq!((&allow["peer"], &allow["ports"]), (&"k8s:app=xwing".into(), &"80/TCP".into()));
    assert_eq!(allow["rules"][0], "CiliumNetworkPolicy default/rule80 spec.ingress[0] policies.yaml:12");
    assert!(allow["packets"].as_u64().unwrap() > 0, "{allow}");
    let others = find(&policy, |line| {
        line["policy"] == "deny" && line["ports"] == "ANY" && line["identities"] != Value::from([0])
    });
    assert!(!others["identities"].as_array().unwrap().contains(&1256.into()), "{others}");
    let egress = find(&policy, |line| line["direction"] == "egress");
    assert_eq!((&egress["policy"], &egress["ports"]), (&"allow".into(), &"ANY".into()));
    let text = lab.ok(&["policy", "get", "1"]);
    assert!(text.starts_with("POLICY   DIRECTION   IDENTITY") && text.contains("80/TCP"), "{text}");
    lab.fails(3, &["policy", "get", "default/droid"]);

    let ct = json(&lab, &["ct", "list", "--address", "10.77.0.1"]);
    let inside = find(&ct, |one| one["local"] == "10.77.0.1" && one["direction"] == "in");
    assert_eq!((&inside["peer"], &inside["local_port"]), (&"10.77.0.3".into(), &80.into()), "{inside}");
    assert_eq!((&inside["protocol"], &inside["generation"]), (&"tcp".into(), &1.into()));
    assert!(lab.ok(&["ct", "list"]).contains("10.77.0.1:80"));
    let flushed = json(&lab, &["ct", "flush", "--address", "10.77.0.1"]);
    assert!(flushed["removed"].as_u64().unwrap() > 0, "{flushed}");
    assert!(json(&lab, &["ct", "list"]).as_array().unwrap().iter().all(|one| one["local"] != "10.77.0.1"));
    assert!(lab.ok(&["ct", "flush"]).contains("connections are forgotten"));
    assert_eq!(json(&lab, &["ct", "list", "--expired"]), Value::from(Vec::<Value>::new()));

    let maps = json(&lab, &["map", "list"]);
    let conntrack = find(&maps, |map| map["name"] == "node/conntrack4");
    assert_eq!((&conntrack["type"], &conntrack["max_entries"]), (&"hash".into(), &4096.into()));
    assert!(conntrack["used"].is_u64());
    let ends_with = |map: &Value, end: &str| map["name"].as_str().is_some_and(|name| name.ends_with(end));
    let jumps = maps.as_array().unwrap().iter().filter(|map| ends_with(map, "/jump") && map["type"] == "prog_array");
    assert_eq!(jumps.count(), 3, "both send to everybody; one program for that, one for each to get: {maps}");
    let counters = find(&maps, |map| ends_with(map, "/counters"));
    assert_eq!(
        (&counters["type"], &counters["max_entries"]),
        (&"percpu_array".into(), &16.into()),
        "8 slots, 2 actions"
    );
    assert!(lab.ok(&["map", "list"]).contains("generations/1/ipcache4"));
}

#[test]
fn drops_and_identities_have_names() {
    let Some(lab) = Lab::new() else { return };
    lab.add(&lab.bundle(80), DEATHSTAR);
    lab.add(&lab.bundle(80), XWING);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let metrics = json(&lab, &["metrics"]);
    let drops = find(&metrics, |row| row["reason"] == 133 && row["direction"] == "ingress");
    assert_eq!(drops["reason_text"], "Policy denied");
    assert!(lab.ok(&["metrics"]).contains("Policy denied"));
    let text = lab.ok(&["metrics", "--prometheus"]);
    let line = text
        .lines()
        .find(|l| l.starts_with("cilium_drop_count_total{direction=\"INGRESS\",reason=\"Policy denied\"} "));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{text}");
    assert!(text.contains("cilium_forward_count_total{direction=\"EGRESS\"} "), "{text}");
    assert!(text.contains("cilium_bpf_map_pressure{map_name=\"conntrack4\"} 0.0"), "{text}");
    assert!(text.contains("ciliumc_endpoint_deny_all 0\n") && text.contains("cilium_endpoint 2\n"), "{text}");

    let xwing = json(&lab, &["identity", "get", "1256"]);
    assert_eq!(xwing["labels"][0], "k8s:app=xwing");
    assert_eq!(xwing["addresses"], serde_json::json!(["10.77.0.3/32", "fd77::3/128"]));
    assert_eq!(xwing["endpoints"][0], XWING.0);
    assert!(lab.ok(&["identity", "list"]).contains("1256   k8s:app=xwing"));
    lab.fails(3, &["identity", "get", "9999"]);

    // `events` is `monitor`, and each filter can leave something out.
    let some = |filter: &[&str]| !lab.ok(&[&["events", "--timeout", "1"], filter].concat()).is_empty();
    for (good, bad) in [
        (["--port", "81"], ["--port", "82"]),
        (["--address", "10.77.0.3"], ["--address", "10.77.0.4"]),
        (["--protocol", "tcp"], ["--protocol", "sctp"]),
        (["--identity", "1256"], ["--identity", "1258"]),
        (["--direction", "ingress"], ["--port", "82"]),
    ] {
        assert!(!lab.connects("10.77.0.1:81"));
        assert!(some(&[&["--type", "drop"], &good[..]].concat()), "{good:?}");
        assert!(!lab.connects("10.77.0.1:81"));
        assert!(!some(&[&["--type", "drop"], &bad[..]].concat()), "{bad:?}");
    }
}

#[test]
fn metrics_are_served_until_the_end() {
    let Some(lab) = Lab::new() else { return };
    lab.add(&lab.bundle(80), DEATHSTAR);
    let (root, state) = (lab.root(), lab.state());
    let (mut server, address) = lab.inside_node(move || {
        let mut command = Command::new(loader());
        command.arg("--root").arg(root).arg("--state-dir").arg(state);
        command.args(["metrics", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Guard(server), line.trim().strip_prefix("listening at ").unwrap().to_owned())
    });
    let ask = |request: &str| {
        let (address, request) = (address.clone(), request.to_owned());
        lab.inside_node(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
    };
    for _ in 0..2 {
        let answer = ask("GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\ncilium_endpoint 1\n"), "{answer}");
    }
    lab.ok(&["endpoint", "del", "--id", "1"]);
    assert!(ask("GET / HTTP/1.0\r\n\r\n").contains("\ncilium_endpoint 0\n"), "it is read anew each time");

    // A client that says nothing, or a byte now and then, has two seconds; the next one waits no longer.
    let to = address.clone();
    let idle = lab.inside_node(move || {
        let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(&to).unwrap()).collect();
        let mut slow = TcpStream::connect(&to).unwrap();
        let writer = std::thread::spawn(move || {
            while slow.write_all(b"G").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        (silent, writer)
    });
    let begin = Instant::now();
    assert!(ask("GET /metrics HTTP/1.1\r\n\r\n").contains("\ncilium_endpoint 0\n"));
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    drop(idle.0);
    idle.1.join().unwrap();
    assert_eq!(ask(&"G".repeat(8192)).split(' ').nth(1), Some("200"), "what is asked is not looked at");

    terminate(&server.0);
    let begin = Instant::now();
    assert!(server.0.wait().unwrap().success(), "SIGTERM is a wish, and an end without a failure");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// A process that does not outlive its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminate(process: &Child) {
    // The shell's own: the program `kill` is not on every machine.
    let sent = Command::new("sh").args(["-c", "kill -s TERM $0", &process.id().to_string()]).status();
    assert!(sent.expect("a shell").success());
}

#[test]
fn a_monitor_ends_when_it_is_asked_to_and_a_second_one_is_refused() {
    let Some(lab) = Lab::new() else { return };
    lab.add(&lab.bundle(80), DEATHSTAR);
    let (root, state) = (lab.root(), lab.state());
    let mut monitor = lab.inside_node(move || {
        let mut command = Command::new(loader());
        command.arg("--root").arg(root).arg("--state-dir").arg(state).arg("monitor").stdout(Stdio::piped());
        Guard(command.spawn().unwrap())
    });
    let end = Instant::now() + Duration::from_secs(10);
    while std::fs::read(lab.state().join("monitor.lock")).is_ok_and(|holder| !holder.is_empty()).not() {
        assert!(Instant::now() < end, "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(lab.fails(5, &["monitor", "--timeout", "1"]).contains("another monitor reads the events: process "));
    terminate(&monitor.0);
    assert!(monitor.0.wait().unwrap().success());
    lab.ok(&["monitor", "--timeout", "1"]);
}

/// Families and samples of Prometheus text, read by somebody else's parser.
fn scrape(text: &str) -> prometheus_parse::Scrape {
    prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("Prometheus text")
}

#[test]
fn metrics_are_prometheus_text() {
    use prometheus_parse::Value::{Counter, Gauge};
    let Some(lab) = Lab::new() else { return };
    lab.add(&lab.bundle(80), DEATHSTAR);
    lab.add(&lab.bundle(80), XWING);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    let text = lab.ok(&["metrics", "--prometheus"]);
    let scrape = scrape(&text);
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    assert_eq!(scrape.samples.len(), samples, "every line is a sample: {text}");
    let mut names = BTreeSet::new();
    for sample in &scrape.samples {
        assert!(names.insert((&sample.metric, sample.labels.to_string())), "{sample:?} is there twice");
        assert!(scrape.docs.contains_key(&sample.metric), "{} has no help", sample.metric);
        match sample.value {
            Counter(value) => assert!(sample.metric.ends_with("_total") && value >= 0.0, "{sample:?}"),
            Gauge(value) => assert!(!sample.metric.ends_with("_total") && value >= 0.0, "{sample:?}"),
            _ => panic!("{sample:?} has no type"),
        }
    }
    let one = |name: &str, labels: &[(&str, &str)]| {
        let fits = |sample: &&prometheus_parse::Sample| {
            sample.metric == name && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value))
        };
        let found: Vec<_> = scrape.samples.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {text}");
        match found[0].value {
            Counter(value) | Gauge(value) => value,
            _ => panic!("{name}"),
        }
    };
    let dropped = one("cilium_drop_count_total", &[("direction", "INGRESS"), ("reason", "Policy denied")]);
    assert!(dropped >= 1.0 && one("cilium_forward_count_total", &[("direction", "INGRESS")]) >= 3.0, "{text}");
    assert!((0.0..1.0).contains(&one("cilium_bpf_map_pressure", &[("map_name", "conntrack4")])));
    assert!((one("cilium_endpoint", &[]) - 2.0).abs() < 0.1 && one("ciliumc_endpoint_deny_all", &[]) < 0.1);
}
