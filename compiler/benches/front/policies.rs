//! A large file of policies, the same bytes in every run.

use std::fmt::Write as _;

/// Policies in the file.
pub const POLICIES: u32 = 29_000;
const NAMESPACES: u32 = 290;
/// Applications of a namespace; each has one pod in every tenth namespace.
const APPLICATIONS: u32 = 20;
/// Every so many policies one has something to report: an error, a warning, or a remark.
const REPORT_EVERY: u32 = 500;

/// 20 MB: namespaces, a few pods, and NetworkPolicies of the usual mix.
pub fn text() -> String {
    let mut out = String::with_capacity(22_000_000);
    // Writing to a String cannot fail.
    for ns in 0..NAMESPACES {
        let _ = write!(
            out,
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: team-{ns}\n  labels:\n    team: t{}\n    stage: {}\n---\n",
            ns % 29,
            ["prod", "test", "dev"][ns as usize % 3]
        );
        for app in (0..APPLICATIONS).filter(|_| ns % 10 == 0) {
            let _ = write!(
                out,
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: app-{app}\n  namespace: team-{ns}\n  labels:\n    app: app-{app}\n    \
                 tier: {}\nspec:\n  containers:\n  - name: main\n    ports:\n    - name: web\n      containerPort: 8080\nstatus:\n  \
                 podIP: 10.{}.{}.{}\n---\n",
                tier(app),
                ns / 256,
                ns % 256,
                app + 1
            );
        }
    }
    for n in 0..POLICIES {
        policy(&mut out, n);
    }
    out
}

fn tier(app: u32) -> &'static str {
    ["frontend", "backend", "database", "cache"][app as usize % 4]
}

fn policy(out: &mut String, n: u32) {
    let (ns, app, peer) = (n % NAMESPACES, n / NAMESPACES % APPLICATIONS, (n + 7) % APPLICATIONS);
    let _ = write!(
        out,
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: policy-{n}\n  namespace: team-{ns}\nspec:\n  podSelector:\n    matchLabels:\n      app: app-{app}\n  \
         policyTypes:\n  - Ingress\n  - Egress\n  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: app-{peer}\n    \
         ports:\n    - protocol: TCP\n      port: {}\n    - protocol: TCP\n      port: web\n",
        8000 + n % 50
    );
    match n % 3 {
        0 => {
            let _ = write!(
                out,
                "  - from:\n    - namespaceSelector:\n        matchLabels:\n          team: t{}\n      podSelector:\n        \
                 matchExpressions:\n        - key: tier\n          operator: In\n          values:\n          - {}\n          - cache\n",
                n % 29,
                tier(peer)
            );
        }
        1 => {
            let _ = write!(
                out,
                "  - from:\n    - ipBlock:\n        cidr: 172.{}.0.0/16\n        except:\n        - 172.{}.{}.0/24\n    \
                 ports:\n    - protocol: TCP\n      port: 30000\n      endPort: 30100\n",
                16 + n % 16,
                16 + n % 16,
                n % 200
            );
        }
        _ => {
            out.push_str(
                "  - from:\n    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: monitoring\n    \
                 ports:\n    - protocol: TCP\n      port: 9090\n",
            );
        }
    }
    out.push_str(
        "  egress:\n  - to:\n    - namespaceSelector:\n        matchLabels:\n          kubernetes.io/metadata.name: kube-system\n    \
         ports:\n    - protocol: UDP\n      port: 53\n",
    );
    // One in each group of REPORT_EVERY is reported, in turn with each severity.
    match (n % REPORT_EVERY == 1, n / REPORT_EVERY % 3) {
        (true, 0) => out.push_str("  - ports:\n    - port: 90000\n"), // E-104
        (true, 1) => out.push_str("  - to:\n    - namespaceSelector:\n        matchExpressions:\n        - {key: a, operator: DoesNotExist}\n"), // W-102
        (true, _) => out.push_str("---\nkey: no object\n"), // F-012, info
        (false, _) => {}
    }
    out.push_str("---\n");
}
