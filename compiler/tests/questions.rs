//! `trace` of one flow and tests of policies: against the model, against `list`, and as users run them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folders;
mod project;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;

use ciliumc::connectivity::{Party, cilium, ports};
use ciliumc::driver::{self, Analysis, policy_test};
use ciliumc::eval::flow::{End, judge};
use ciliumc::eval::probe::{self, Probe};
use ciliumc::eval::{L4, Verdict};
use ciliumc::front::FrontOptions;
use ciliumc::ir::{Direction, EndpointIndex, PortSpan, Transport};
use ciliumc::policy_test::{Fault, What};
use ciliumc::resolve::Lock;
use ciliumc::source::SourceMap;
use folders::cases;
use project::Project;

fn analyse(texts: &[(&str, &str)]) -> Analysis {
    let sources = SourceMap::from_texts(texts.iter().copied());
    driver::analyse(&sources, &FrontOptions::default(), Lock::default()).unwrap()
}

/// Every pair of ends, as one test: what passes is a counterexample.
const NOTHING_PASSES: &str = "ciliumcTest: v1\ntests: [{name: nothing passes, expect: deny}]\n";

/// Ports that pass, by the names of both pods.
type Passing = BTreeMap<(String, String), BTreeSet<(Transport, u16, u16)>>;

/// What a test finds for each pair of pods.
fn passing(analysis: &Analysis, faults: &[Fault]) -> Passing {
    let name = |end: End| match end {
        End::Endpoint(EndpointIndex(n)) => Some(analysis.cluster.endpoints[n as usize].name.clone()),
        End::HostPod(_) | End::Node(_) | End::Entity(_) | End::Address(_) => None,
    };
    let mut spans: BTreeMap<(String, String), Vec<PortSpan>> = BTreeMap::new();
    for fault in faults {
        if let (Some(from), Some(to)) = (name(fault.source), name(fault.destination)) {
            spans.entry((from, to)).or_default().extend(&fault.ports);
        }
    }
    let joined = spans.into_iter().map(|(pair, mut spans)| {
        spans.sort();
        let ranges = ports::ranges(spans.into_iter().map(|s| (s.transport, s.first, s.last)));
        (pair, ranges.into_iter().flat_map(|(t, list)| list.into_iter().map(move |(a, b)| (t, a, b))).collect())
    });
    joined.collect()
}

#[test]
fn counterexamples_are_what_list_says_and_the_tables_agree() {
    let mut seen = [0, 0];
    for case in cases().iter().map(|case| case.join("input.yaml")) {
        let input = fs::read_to_string(&case).unwrap();
        let analysis = analyse(&[("input.yaml", &input), ("tests.yaml", NOTHING_PASSES)]);
        if analysis.has_errors() || analysis.cluster.endpoints.is_empty() {
            continue; // provider groups without their file
        }
        let results = policy_test::run(&analysis, &policy_test::Fixtures::new(), true, 0).unwrap();
        let outcome = &results.tested[0].report.outcomes[0];
        if outcome.faults.iter().any(|fault| matches!(fault.what, What::Unknown(_))) {
            continue; // pods that may run on nodes that differ
        }
        let found = passing(&analysis, &outcome.faults);
        let connectivity = cilium::connect(&analysis.cluster, &analysis.resolved, &cilium::Names::new());
        for (source, destination, ports) in connectivity.pairs() {
            let name = |party: &Party| match party {
                Party::Workload { namespace, name, kind } if kind == "Pod" => Some(format!("{namespace}/{name}")),
                _ => None,
            };
            let (Some(from), Some(to)) = (name(source), name(destination)) else { continue };
            // Of pods that nothing tells apart a test asks one.
            let Some(listed) = found.get(&(from.clone(), to.clone())) else {
                let is_asked = found.keys().any(|(a, _)| *a == from) && found.keys().any(|(_, b)| *b == to);
                assert!(
                    !is_asked || ports.is_empty() || alike(&analysis, &from, &to),
                    "{}: {from} -> {to}",
                    case.display()
                );
                continue;
            };
            let expected: BTreeSet<_> = ports
                .passing_ranges()
                .into_iter()
                .flat_map(|(t, list)| list.into_iter().map(move |(a, b)| (t, a, b)))
                .collect();
            assert_eq!(*listed, expected, "{}: {from} -> {to}", case.display());
            seen[usize::from(ports.is_everything())] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 20), "pairs partly and wholly open: {seen:?}");
}

/// Whether another pod has the identity of one of the two.
fn alike(analysis: &Analysis, from: &str, to: &str) -> bool {
    let identity = |name: &str| {
        let place = analysis.cluster.endpoints.iter().position(|e| e.name == name).unwrap();
        analysis.resolved.endpoints[place].identity
    };
    let count =
        |name: &str| analysis.resolved.endpoints.iter().filter(|endpoint| endpoint.identity == identity(name)).count();
    count(from) > 1 || count(to) > 1
}

#[test]
fn a_flow_is_what_the_probes_of_its_ends_say() {
    let mut seen = BTreeMap::<&str, usize>::new();
    for case in cases().iter().map(|case| case.join("input.yaml")) {
        let input = fs::read_to_string(&case).unwrap();
        let analysis = analyse(&[("input.yaml", &input)]);
        let pods: Vec<(usize, String)> =
            analysis.cluster.endpoints.iter().map(|e| e.name.clone()).enumerate().collect();
        for (from, source) in &pods {
            for (to, destination) in &pods {
                for (protocol, transport, port) in
                    [("TCP", Transport::Tcp, 80), ("UDP", Transport::Udp, 53), ("ICMP", Transport::Icmp, 8)]
                {
                    let end = |n: usize| End::Endpoint(EndpointIndex(n as u32));
                    let l4 = L4::new(transport, port);
                    let Ok(judged) = judge(&analysis.cluster, &analysis.resolved, end(*from), end(*to), l4) else {
                        continue;
                    };
                    let ask = |endpoint: &str, direction, peer: &str| {
                        let probe = Probe {
                            endpoint: endpoint.into(),
                            direction,
                            peer: format!("pod:{peer}"),
                            protocol: protocol.into(),
                            port,
                        };
                        probe::answer(&analysis.cluster, &analysis.resolved, &probe).unwrap().decision
                    };
                    assert_eq!(judged.egress.as_ref().unwrap().decision, ask(source, Direction::Egress, destination));
                    assert_eq!(judged.ingress.as_ref().unwrap().decision, ask(destination, Direction::Ingress, source));
                    *seen.entry(judged.verdict().word()).or_default() += 1;
                }
            }
        }
    }
    assert!(seen[Verdict::Allow.word()] > 100 && seen[Verdict::Deny.word()] > 100, "{seen:?}");
}

const PODS: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {containers: [{name: c, image: x}]}
";

const POLICY: &str = "\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cart, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: cart}}
  ingress:
  - fromEndpoints:
    - matchLabels: {app: web}
    toPorts:
    - ports:
      - port: \"7070\"
        protocol: TCP
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts:
    - ports: [{port: \"80\", protocol: TCP}]
      rules: {http: [{method: GET, path: /cart/.*}]}
  egress:
  - toFQDNs: [{matchName: api.example.com}]
    toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]
";

impl Project {
    fn new(tests: &str) -> Self {
        let files = [("pods.yaml", PODS), ("policy.yaml", POLICY), ("tests.yaml", tests)];
        Self::with(&files, "cache".as_ref())
    }

    fn trace(&self, from: &str, to: &str, port: &str, more: &[&str]) -> (i32, String) {
        let args = ["trace", "pods.yaml", "policy.yaml", "--from", from, "--to", to, "--port", port];
        result(&self.run(&[&args, more].concat()))
    }
}

fn result(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

#[test]
fn a_trace_names_both_ends_the_near_miss_and_the_cell() {
    let project = Project::new("");
    let (code, text) = project.trace("shop/web", "shop/cart", "tcp/8080", &["--expect", "allow"]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "deny     shop/web -> shop/cart 8080/TCP: egress allow (no policy selects this direction) -> ingress deny",
        "spec.ingress[0] (policy.yaml:7): port: wants TCP 7070 (nearly)",
        "the local host's allow: the peer is not the local host",
        "isolated by CiliumNetworkPolicy shop/cart",
        "port_class[TCP 8080]",
        "deny 133",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let (code, text) = project.trace("shop/web", "shop/cart", "7070", &["--expect", "allow", "-o", "tsv"]);
    assert_eq!((code, text.as_str()), (0, "shop/web\tshop/cart\tTCP\t7070\tallow\tallow\tallow\n"));
    assert_eq!(project.trace("shop/wbe", "shop/cart", "7070", &[]).0, 3);
    assert!(project.trace("shop/wbe", "shop/cart", "7070", &[]).1.contains("did you mean `shop/web`?"));
    assert_eq!(project.trace("wbe", "shop/cart", "7070", &[]).0, 2);
    assert_eq!(project.trace("shop/web", "shop/cart", "70-80", &[]).0, 2);
}

#[test]
fn a_rule_about_nobody_is_shown_with_what_it_wants() {
    let project = Project::new("");
    let missed = |from: &str, to: &str| {
        project.write("policy.yaml", &POLICY.replacen(from, to, 1));
        project.trace("shop/web", "shop/cart", "7070", &["--expect", "deny"])
    };
    let (code, text) = missed("{app: web}", "{app: wbe}");
    assert!(code == 0 && text.contains("(policy.yaml:7): peer: wants app=wbe, has app=web (nearly)"), "{text}");
    // Of several peers the one that looks like a typing error.
    let (code, text) =
        missed("    - matchLabels: {app: web}\n", "    - matchLabels: {app: job}\n    - matchLabels: {app: wbe}\n");
    assert!(code == 0 && text.contains("(policy.yaml:7): peer: wants app=wbe, has app=web (nearly)"), "{text}");
    let (code, text) = missed("\"7070\"", "grpc");
    assert!(code == 0 && text.contains("(policy.yaml:7): port: its port name is unknown here, or ambiguous"), "{text}");
}

#[test]
fn pods_that_are_not_there_and_names_can_be_asked_for() {
    let project = Project::new("");
    let verdict = |from: &str, to: &str, port: &str, more: &[&str]| {
        let (_, text) = project.trace(from, to, port, &[more, &["-o", "tsv"]].concat());
        text.split('\t').nth(4).unwrap_or(&text).to_owned()
    };
    assert_eq!(verdict("labels:app=web,tier=x,ns=shop", "shop/cart", "7070", &[]), "allow");
    assert_eq!(verdict("labels:app=web", "shop/cart", "7070", &[]), "deny");
    assert_eq!(verdict("shop/cart", "fqdn:API.example.com", "443", &[]), "allow");
    assert_eq!(verdict("shop/cart", "fqdn:www.example.com", "443", &[]), "deny");
    assert_eq!(verdict("ip:203.0.113.9", "shop/cart", "7070", &[]), "deny");
    assert_eq!(verdict("entity:host", "shop/cart", "1", &[]), "allow");
    assert_eq!(verdict("entity:host", "entity:world", "1", &[]), "unknown");
    assert_eq!(verdict("shop/web", "shop/cart", "80", &[]), "redirect");
    assert_eq!(verdict("shop/web", "shop/cart", "80", &["--http", "GET,/cart/1"]), "allow");
    assert_eq!(verdict("shop/web", "shop/cart", "80", &["--http", "POST,/cart/1"]), "deny");
    assert_eq!(verdict("shop/web", "shop/cart", "80", &["--http", "GET,/cartx"]), "deny");
}

#[test]
fn requests_of_kafka_and_dns() {
    let tests = "\
ciliumcTest: v1
tests:
- {name: orders, from: shop/web, to: shop/cart, ports: [tcp/9092], kafka: {role: produce, topic: orders}, expect: allow}
- {name: nothing else, from: shop/web, to: shop/cart, ports: [tcp/9092], kafka: {topic: bills}, expect: deny}
- {name: too much, from: shop/web, to: shop/cart, ports: [tcp/9092], kafka: {topic: orders}, expect: allow}
- {name: both, to: shop/cart, kafka: {topic: orders}, dns: a.io, expect: allow}
";
    let project = Project::new(&tests.lines().take(5).map(|line| format!("{line}\n")).collect::<String>());
    let rules = "  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts:
    - ports: [{port: \"9092\", protocol: TCP}]
      rules: {kafka: [{role: produce, topic: orders}]}
";
    let policy = POLICY.replacen("  ingress:\n", rules, 1);
    project.write("policy.yaml", &policy);
    let verdict = |request: &[&str]| {
        let (_, text) = project.trace("shop/web", "shop/cart", "9092", &[request, &["-o", "tsv"]].concat());
        text.split('\t').nth(4).unwrap_or(&text).to_owned()
    };
    assert_eq!(verdict(&[]), "redirect");
    assert_eq!(verdict(&["--kafka", "role=produce,topic=orders"]), "allow");
    assert_eq!(verdict(&["--kafka", "apiKey=produce,topic=orders,clientID=x,apiVersion=1"]), "allow");
    assert_eq!(verdict(&["--kafka", "apiKey=fetch,topic=orders"]), "deny");
    assert_eq!(verdict(&["--kafka", "role=produce,topic=bills"]), "deny");
    assert_eq!(verdict(&["--kafka", "apiKey=produce"]), "unknown");
    assert_eq!(verdict(&["--http", "GET,/"]), "unknown");
    assert_eq!(verdict(&["--dns", "a.io"]), "unknown");
    assert!(verdict(&["--kafka", "apiKey=prodduce"]).contains("is not an API key of Kafka"));

    let (code, text) = result(&project.run(&["test", "."]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("ok   orders") && text.contains("ok   nothing else"), "{text}");
    assert!(text.contains("FAIL too much") && text.contains("refuses `fetch topic=orders"), "{text}");
    project.write("tests.yaml", tests);
    let (code, text) = result(&project.run(&["test", "."]));
    assert!(code == 3 && text.contains("a test has one of `http`, `dns` and `kafka`"), "{text}");
}

/// The insertions of a suggestion, done: the flow passes then, and nothing else was opened.
#[test]
fn a_suggestion_does_what_it_says() {
    for (from, to, port, opens) in [
        ("shop/web", "shop/cart", "8080", "TCP 8080"),
        ("labels:app=job,ns=shop", "shop/cart", "tcp/7070", "TCP 7070"),
        ("shop/cart", "ip:203.0.113.9", "tcp/443", "TCP 443"),
        ("shop/cart", "shop/web", "udp/53", "UDP 53"),
    ] {
        let project = Project::new("");
        let (_, text) = project.trace(from, to, port, &["--suggest"]);
        assert!(text.contains("suggest  insert at policy.yaml:"), "{text}");
        let opened: Vec<&str> = text.lines().filter(|line| line.starts_with("opens ")).collect();
        assert!(opened.iter().all(|line| line.ends_with(opens)) && opened.len() == 1, "{text}");

        let (_, text) = project.trace(from, to, port, &["--suggest", "-o", "json"]);
        let value: serde_json::Value = serde_json::from_str(&text[..text.rfind('}').unwrap() + 1]).unwrap();
        let edits = value["flows"][0]["suggest"]["edits"].as_array().unwrap();
        let [edit] = edits.as_slice() else { panic!("{edits:?}") };
        let offset = edit["offset"].as_u64().unwrap() as usize;
        let edited = format!("{}{}{}", &POLICY[..offset], edit["insert"].as_str().unwrap(), &POLICY[offset..]);
        project.write("policy.yaml", &edited);
        assert_eq!(project.trace(from, to, port, &["--expect", "allow"]).0, 0, "{from} -> {to} {port}");
        assert_eq!(project.trace("shop/web", "shop/cart", "9999", &["--expect", "deny"]).0, 0);
    }
}

#[test]
fn a_deny_is_not_undone_by_an_addition() {
    let project = Project::new("");
    let denied = POLICY.replace("  egress:\n", "  ingressDeny:\n  - fromEndpoints: [{}]\n  egress:\n");
    project.write("policy.yaml", &denied);
    let (_, text) = project.trace("shop/web", "shop/cart", "7070", &["--suggest"]);
    assert!(text.contains("suggest  nothing: ") && text.contains("ingressDeny[0]"), "{text}");
}

const TESTS: &str = "\
ciliumcTest: v1
endpoints:
- {name: shop/job, labels: {app: job}}
tests:
- {name: web reaches cart, from: shop/web, to: shop/cart, ports: [tcp/7070], expect: allow, because: shop/cart}
- {name: nobody else does, from: {not: {labels: {app: web}}}, to: shop/cart, expect: deny}
- {name: a proxy reads port 80, from: shop/web, to: shop/cart, ports: tcp/80, expect: redirect}
- {name: only the cart, from: any, to: shop/cart, ports: 80, http: {path: \"/admin/.*\"}, expect: deny}
- {name: the cart, from: shop/web, to: shop/cart, ports: 80, http: {method: GET, path: \"/cart/[0-9]+\"}, expect: allow}
- {name: surface, to: shop/cart, expectExactly: [\"shop/web tcp/7070,tcp/80\"]}
- {name: way out, from: shop/cart, expectExactly: [\"fqdn:api.example.com tcp/443\"]}
";

#[test]
fn tests_that_hold() {
    let project = Project::new(TESTS);
    let (code, text) = result(&project.run(&["test", ".", "--engine", "tables", "--coverage", "--fail-under", "100"]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("7 tests, 0 failed; 3 of 3 rules exercised"), "{text}");
    // Other commands take no notice of tests.
    let (code, text) = result(&project.run(&["check", "."]));
    assert!(code == 0 && !text.contains("F-012"), "{text}");
}

/// Each of the tests, turned round, fails, and says where and by which rule.
#[test]
fn tests_that_do_not_hold() {
    for (from, to, says) in [
        (
            "tcp/7070], expect: allow",
            "tcp/7070], expect: deny",
            "shop/web -> shop/cart TCP 7070 is allow, expected deny",
        ),
        ("because: shop/cart", "because: shop/other", "is not decided by shop/other"),
        (
            "{not: {labels: {app: web}}}",
            "{not: {labels: {app: job}}}",
            "shop/web -> shop/cart TCP 80 is redirect, expected deny",
        ),
        ("ports: tcp/80, expect: redirect", "ports: tcp/80, expect: allow", "is redirect, expected allow"),
        ("\"/admin/.*\"", "\"/(admin|cart)/.*\"", "lets `GET /cart/` pass, expected deny"),
        ("[0-9]+", "[0-9]+|/x", "refuses `GET /x`, expected allow"),
        ("tcp/7070,tcp/80\"", "tcp/7070\"", "shop/web -> shop/cart TCP 80 passes and is not on the list"),
        ("tcp/7070,tcp/80\"", "tcp/7070-7072,tcp/80\"", "TCP 7071-7072 is on the list and does not pass"),
        (
            "\"fqdn:api.example.com tcp/443\"",
            "\"fqdn:www.example.com tcp/443\"",
            "shop/cart -> fqdn:api.example.com TCP 443 passes and is not on the list",
        ),
    ] {
        let tests = TESTS.replacen(from, to, 1);
        assert_ne!(tests, TESTS, "{from}");
        let project = Project::new(&tests);
        let (code, text) = result(&project.run(&["test", "."]));
        assert_eq!(code, 1, "{to}: {text}");
        assert!(text.contains(says), "{says}\n{text}");
        let line = 1 + tests.lines().position(|line| !TESTS.contains(line)).unwrap();
        assert!(text.contains(&format!("tests.yaml:{line})")), "{line}\n{text}");
    }
}

#[test]
fn every_problem_of_a_document_is_reported_at_once() {
    let tests = "\
ciliumcTest: v1
tests:
- {name: a, from: cart, to: shop/cart, expect: allow}
- {name: b, to: shop/cart, ports: [tcp/x], expect: perhaps}
- {name: c, to: shop/cart}
- {name: d, to: shop/cart, from: shop/web, expectExactly: []}
- {name: e, too: shop/cart, http: {path: \"(\"}, expect: allow}
";
    let project = Project::new(tests);
    let (code, text) = result(&project.run(&["test", "."]));
    assert_eq!(code, 3, "{text}");
    for code in ["F-502", "F-008", "F-503", "E-001", "E-248"] {
        assert!(text.contains(&format!("[{code}]")) || text.contains(code), "{code}\n{text}");
    }
    assert_eq!(text.matches("F-503").count(), 2, "{text}");
    let nobody = "ciliumcTest: v1\ntests: [{name: a, from: {labels: {app: ghost}}, to: shop/cart, expect: deny}]\n";
    let (code, text) = result(&Project::new(nobody).run(&["test", "."]));
    assert!(code == 3 && text.contains("F-504") && text.contains("tests.yaml:2"), "{text}");
    assert_eq!(result(&Project::new("").run(&["test", "."])).0, 3);
    assert_eq!(result(&Project::new(TESTS).run(&["test", ".", "--fail-under", "101"])).0, 2);
}

#[test]
fn results_are_json_and_junit() {
    let project = Project::new(
        &TESTS
            .replace("web reaches cart", "\"<web> & \\\"cart\\\"\"")
            .replace("tcp/7070], expect: allow", "tcp/7070], expect: deny"),
    );
    let output = project.run(&["test", ".", "-o", "junit"]);
    let xml = String::from_utf8(output.stdout).unwrap();
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "), "{xml}");
    assert!(xml.contains("name=\"&lt;web&gt; &amp; &quot;cart&quot;\""), "{xml}");
    assert!(xml.contains("tests=\"7\" failures=\"1\" errors=\"0\"") && xml.contains("tests.yaml:5"), "{xml}");
    well_formed(&xml);

    let output = project.run(&["test", ".", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "ciliumc/test/v1");
    assert_eq!(value["tests"][0]["passed"], false);
    assert_eq!(value["tests"][0]["faults"][0]["rules"][0]["file"], "./policy.yaml");
    assert_eq!(value["coverage"]["rules"], 3);
}

/// Elements close in their order, and hold what JUnit's schema lets them.
fn well_formed(xml: &str) {
    let allowed = |parent: &str, child: &str| {
        matches!(
            (parent, child),
            ("", "testsuites") | ("testsuites", "testsuite") | ("testsuite", "testcase") | ("testcase", "failure")
        )
    };
    let mut open: Vec<String> = Vec::new();
    for tag in xml.split('<').skip(2).map(|rest| rest.split_once('>').unwrap().0) {
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '/').collect();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
            None => {
                let name = name.trim_end_matches('/').to_owned();
                let parent = open.last().map_or("", String::as_str);
                assert!(allowed(parent, &name), "{name} in {parent}");
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
    }
    assert!(open.is_empty());
}

#[test]
fn fixtures_are_there_for_the_tests_that_name_them() {
    let named = "ciliumcTest: v1\nfixtures: [fake/pod.yaml, fake/more]\ntests:\n\
                 - {name: the fake one stays out, from: shop/fake, to: shop/cart, expect: deny}\n\
                 - {name: a rule of the input, from: shop/web, to: shop/cart, ports: [tcp/80], expect: redirect}\n\
                 - {name: and gets in where it should, from: shop/fake, to: shop/also, ports: [tcp/1], expect: allow}\n";
    let other =
        "ciliumcTest: v1\ntests: [{name: nobody knows it here, from: shop/fake, to: shop/cart, expect: deny}]\n";
    let project = Project::new(
        "ciliumcTest: v1\ntests: [{name: web, from: shop/web, to: shop/cart, ports: [tcp/7070], expect: allow}]\n",
    );
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec: {{containers: [{{name: c, image: x}}]}}\n"
        )
    };
    project.write("more/tests/named.yaml", named);
    project.write("more/tests/fake/pod.yaml", &pod("fake"));
    let policy = POLICY
        .replace("{name: cart,", "{name: also,")
        .replace("{app: cart}", "{app: also}")
        .replace("{app: web}", "{app: fake}");
    project.write("more/tests/fake/more/also.yaml", &format!("{}---\n{}", pod("also"), policy.replace("7070", "1")));
    // Rules behind those of a fixture have other numbers, and are the same.
    // Whether the folder of the tests is read as a whole or not: fixtures are no input of others.
    let run = |tests: &str| {
        result(&project.run(&["test", "pods.yaml", "policy.yaml", "tests.yaml", "--tests", tests, "--coverage"]))
    };
    for tests in ["more/tests/named.yaml", "more"] {
        let (code, text) = run(tests);
        assert_eq!(code, 0, "{tests}: {text}");
        assert!(text.contains("4 tests, 0 failed; 2 of 3 rules exercised"), "{tests}: {text}");
    }
    let (code, list) = result(&project.run(&["list", "pods.yaml", "policy.yaml"]));
    assert!(code == 0 && !list.contains("shop/also"), "{list}");
    project.write("more/other.yaml", other);
    let (code, text) = run("more");
    assert!(code == 3 && text.contains("error[F-504]") && text.contains("no endpoint `shop/fake`"), "{text}");
    project.write(
        "more/other.yaml",
        "ciliumcTest: v1\nfixtures: [nope.yaml]\ntests: [{name: a, to: shop/cart, expect: deny}]\n",
    );
    let (code, text) = run("more");
    assert!(
        code == 3 && text.contains("fixtures of more/other.yaml:2: more/nope.yaml: no such file or folder"),
        "{text}"
    );
    project.write("more/other.yaml", "");
    project.write("more/tests/fake/pod.yaml", &pod("fake").replace("metadata", "metadat"));
    let (code, text) = run("more/tests/named.yaml");
    assert!(code == 3 && text.contains("more/tests/fake/pod.yaml:1:1"), "{text}");
    project.write("more/tests/fake/pod.yaml", other);
    assert!(run("more").1.contains("a fixture has tests of its own"));
}

#[test]
fn requests_go_over_ports_that_can_carry_them() {
    let test =
        |more: &str| format!("ciliumcTest: v1\ntests: [{{name: closed, from: shop/cart, to: shop/web, {more}}}]\n");
    let run = |more: &str| {
        let project = Project::new(&test(more));
        result(&project.run(&["test", "pods.yaml", "policy.yaml", "tests.yaml"]))
    };
    // `web` takes everything; `cart` may send to one port of TCP, and never to `web`.
    let (code, text) = run("http: {path: /}, expect: deny");
    assert_eq!(code, 0, "{text}");
    let from_web = |more: &str| run(more).1;
    let text = from_web("http: {path: /}, expect: allow");
    assert!(text.contains("shop/cart -> shop/web TCP any is deny, expected allow"), "{text}");
    let text = from_web("dns: a.io, expect: allow");
    assert!(text.contains("TCP any; UDP any is deny, expected allow"), "{text}");
    let (code, text) = run("ports: [udp/53], http: {path: /}, expect: deny");
    assert!(code == 3 && text.contains("F-503") && text.contains("HTTP goes over TCP, not over UDP"), "{text}");
    let (code, text) = result(&Project::new("ciliumcTest: v1\ntests: []\n").run(&["test", "pods.yaml", "tests.yaml"]));
    assert!(code == 3 && text.contains("no tests: "), "{text}");
    let project = Project::new("");
    let asked = |request: &[&str]| project.trace("shop/web", "shop/cart", "udp/53", request);
    assert_eq!(asked(&["--http", "GET,/"]).0, 2);
    assert!(asked(&["--http", "GET,/"]).1.contains("--port: HTTP goes over TCP, not over UDP"));
    assert_eq!(asked(&["--dns", "a.io"]).0, 0);
}

#[test]
fn a_parser_that_nobody_knows_is_unknown_and_says_why() {
    let project = Project::new("");
    let rules = "rules: {l7proto: cassandra, l7: [{query_action: select}]}";
    project.write("policy.yaml", &POLICY.replace("rules: {http: [{method: GET, path: /cart/.*}]}", rules));
    for (request, word) in
        [(["--http", "GET,/cart/1"], "HTTP"), (["--kafka", "topic=a"], "Kafka"), (["--dns", "a.io"], "DNS")]
    {
        let (code, text) = project.trace("shop/web", "shop/cart", "80", &[&request[..], &["--strict"]].concat());
        assert_eq!(code, 4, "{text}");
        let why = format!(
            "an extension of the proxy, `cassandra`, reads what is sent, and only it understands its rules; {word} that"
        );
        assert!(text.starts_with("unknown  ") && text.contains(&why), "{text}");
    }
    assert!(project.trace("shop/web", "shop/cart", "80", &[]).1.starts_with("redirect "));
    assert!(project.trace("shop/web", "shop/cart", "81", &["--http", "GET,/"]).1.starts_with("deny "));
}

#[test]
fn a_row_of_a_surface_is_no_part_of_what_passes() {
    let rows = |rows: &str| {
        let project =
            Project::new(&format!("ciliumcTest: v1\ntests: [{{name: all, to: shop/cart, expectExactly: [{rows}]}}]\n"));
        let rule = "  ingress:\n  - fromCIDRSet: [{cidr: 198.51.0.0/16, except: [198.51.100.0/24]}]\n    toPorts: [{ports: [{port: \"80\", protocol: TCP}]}]\n";
        let (head, _) = POLICY.split_once("  ingress:\n").unwrap();
        project.write("policy.yaml", &format!("{head}{rule}"));
        result(&project.run(&["test", "pods.yaml", "policy.yaml", "tests.yaml"]))
    };
    let (code, text) = rows("\"cidr:198.51.0.0/16 tcp/80\"");
    assert!(code == 1 && text.contains("is on the list and does not pass"), "the exception is in the prefix: {text}");
    let (code, text) = rows("\"cidr:198.51.7.0/24 tcp/80\"");
    assert!(code == 3 && text.contains("only some addresses of an identity"), "{text}");
}
