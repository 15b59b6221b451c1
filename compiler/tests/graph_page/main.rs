//! The page of `graph` in a browser: nothing complains, and search, clicks, keys and the overlay do what they say.
//!
//! `CILIUMC_SCREENSHOTS=DIR` writes pictures of what the tests look at.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it skips"
)]

mod browser;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use browser::Browser;
use serde_json::json;

/// A workload of namespace, name and label.
fn workload(namespace: &str, name: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}, tier: t-{name}}}}}\n    \
         spec: {{containers: [{{name: c, image: x}}]}}\n"
    )
}

/// A policy that lets one workload reach another on a port, with more under `toPorts`.
fn policy(namespace: &str, from: &str, to: &str, port: u16, more: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: {to}-from-{from}, namespace: {namespace}}}\nspec:\n  \
         endpointSelector: {{matchLabels: {{app: {to}}}}}\n  ingress:\n  - fromEndpoints: [{{matchLabels: {{app: {from}}}}}]\n    \
         toPorts:\n    - ports: [{{port: '{port}', protocol: TCP}}]\n{more}"
    )
}

const HOSTILE: &str = "      rules: {http: [{path: '/</script><script>document.title=1</script><!--<b>&amp;'}]}\n";

fn shop(cart_port: u16) -> String {
    ["frontend", "cart", "redis", "idle"].map(|name| workload("shop", name)).concat()
        + &workload("bank", "ledger")
        + &policy("shop", "frontend", "cart", cart_port, "")
        + &policy("shop", "cart", "redis", 6379, "")
        + &policy("shop", "redis", "frontend", 80, HOSTILE)
}

struct Page {
    dir: tempfile::TempDir,
}

impl Page {
    /// The page of some manifests, with what differs from others.
    fn new(new: &str, old: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("new.yaml"), new).unwrap();
        fs::write(dir.path().join("old.yaml"), old.unwrap_or_default()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ciliumc"));
        command.args(["graph", "new.yaml"]).current_dir(dir.path());
        if old.is_some() {
            command.args(["--diff", "old.yaml"]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(dir.path().join("page.html"), output.stdout).unwrap();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("page.html")
    }
}

/// Whether a whole box of the drawing is in sight.
const IN_SIGHT: &str = "(() => { const pane = document.getElementById('overview').getBoundingClientRect(); \
     return [...document.querySelectorAll('#overview .box')].some((box) => { const at = box.getBoundingClientRect(); \
     return at.left >= pane.left && at.right <= pane.right && at.top >= pane.top && at.bottom <= pane.bottom; }); })()";

/// Position of a node, as an expression.
fn node(title: &str) -> String {
    format!("nodes.findIndex((node) => node.title === '{title}')")
}

#[test]
fn search_click_and_keys_work_and_nothing_complains() {
    let Some(mut browser) = Browser::start() else { return };
    let page = Page::new(&shop(7070), None);
    browser.open(&page.path());
    browser.wait("document.querySelectorAll('#matrix [role=gridcell]').length > 20");
    assert_eq!(browser.value("document.title.startsWith('Who may talk to whom')"), json!(true), "hostile text ran");
    browser.picture("page", "light");
    browser.picture("page", "dark");
    assert_eq!(browser.value(IN_SIGHT), json!(true), "the drawing begins in sight");

    // `/` goes to the search, which leaves the workload and those that it has to do with.
    browser.press("/");
    assert_eq!(browser.value("document.activeElement.id"), json!("search"));
    for key in ["c", "a", "r", "t"] {
        browser.press(key);
    }
    let titles = "matrix.rows.map((n) => nodes[n].title).join()";
    browser.wait(&format!("!{titles}.includes('ledger,')"));
    assert_eq!(browser.value("matrix.columns.some((n) => nodes[n].title === 'cart')"), json!(true));
    assert_eq!(browser.value("document.getElementById('status').textContent.includes(' of ')"), json!(true));
    browser.press("Escape");
    browser.wait(&format!("{titles}.includes('ledger')"));

    // A click shows the rules with file and line.
    let cell = |row: &str, column: &str| {
        format!(
            "`[data-row=\"${{matrix.rows.indexOf({})}}\"][data-column=\"${{matrix.columns.indexOf({})}}\"]`",
            node(row),
            node(column)
        )
    };
    let selector = browser.value(&cell("frontend", "cart"));
    browser.click(selector.as_str().unwrap());
    let trace = browser.value("document.getElementById('trace').textContent");
    let trace = trace.as_str().unwrap();
    assert!(trace.contains("TCP 7070") && trace.contains("new.yaml:"), "{trace}");
    assert!(trace.contains("CiliumNetworkPolicy shop/cart-from-frontend"), "{trace}");
    assert!(trace.contains("nothing allows it; isolated by"), "{trace}");
    assert_eq!(browser.value("document.querySelectorAll('.edge.lit').length"), json!(1), "the graph marks the pair");

    // Arrows move one cell, Enter chooses, Escape takes it back.
    browser.press("ArrowLeft");
    browser.press("ArrowRight");
    browser.press("ArrowDown");
    let active = "document.activeElement.getAttribute('aria-label')";
    let below = browser.value(active);
    assert_ne!(below, json!(null));
    assert_eq!(browser.value("document.querySelectorAll('#matrix [tabindex=\"0\"]').length"), json!(1), "roving");
    browser.press("Home");
    assert_ne!(browser.value(active), below);
    browser.press("ArrowRight");
    browser.press("Enter");
    assert_eq!(browser.value("chosen !== null && matrix.rows[matrix.at[0]] === chosen[0]"), json!(true));
    browser.press("Escape");
    assert_eq!(browser.value("chosen"), json!(null));

    // What the proxy is told stands as text, whatever it says.
    browser.value(&format!("choose({}, {})", node("redis"), node("frontend")));
    let treated = browser.value("document.querySelector('.treated:not(.cell)').textContent");
    assert!(treated.as_str().unwrap().contains("</script><script>document.title=1</script><!--<b>&amp;"), "{treated}");

    // A node alone: who may reach it and whom it may reach.
    let head = browser.value(&format!("`.line [data-node=\"${{{}}}\"]`", node("cart")));
    browser.click(head.as_str().unwrap());
    let left = browser.value("document.querySelector('#focus .column').textContent");
    assert!(left.as_str().unwrap().contains("frontend") && left.as_str().unwrap().contains("TCP 7070"), "{left}");
    assert!(!left.as_str().unwrap().contains("redis"), "{left}");
    browser.picture("focus", "light");

    // By port and by label.
    browser.value("document.getElementById('port').value = 'tcp/6379'; document.getElementById('label').value = 'app=redis'; filter()");
    assert_eq!(browser.value(&format!("matrix.isShown({}, {})", node("cart"), node("redis"))), json!(true));
    assert_eq!(browser.value(&format!("matrix.isShown({}, {})", node("frontend"), node("redis"))), json!(false));
    browser.value("document.getElementById('port').value = 'http'; filter()");
    assert_eq!(browser.value("document.getElementById('port').getAttribute('aria-invalid')"), json!("true"));

    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn the_overlay_marks_what_differs() {
    let Some(mut browser) = Browser::start() else { return };
    let old = shop(7070).replace("port: '6379'", "port: '6380'") + &workload("bank", "closed");
    let wider = shop(7070).replace("port: '7070', protocol: TCP", "port: '7070', endPort: 7072, protocol: TCP");
    let page = Page::new(&wider, Some(&old));
    browser.open(&page.path());
    let class = |from: &str, to: &str| format!("changeOf({}, {})?.class", node(from), node(to));
    assert_eq!(browser.value(&class("frontend", "cart")), json!("widened"));
    assert_eq!(browser.value(&class("cart", "redis")), json!("changed"));
    assert_eq!(browser.value(&format!("{} ?? null", class("redis", "frontend"))), json!(null));
    assert_eq!(browser.value(&class("closed", "ledger")), json!("workload-only"));
    assert_eq!(browser.value("document.querySelectorAll('.edge.widened').length"), json!(1));
    assert_eq!(browser.value("document.querySelectorAll('#matrix .cell.widened').length"), json!(1));
    browser.click("#matrix .cell.widened");
    let trace = browser.value("document.querySelector('.change').textContent");
    let trace = trace.as_str().unwrap();
    assert!(trace.contains("TCP 7071-7072") && trace.contains("new.yaml:") && trace.contains("changed"), "{trace}");
    browser.click("#changed");
    browser.wait("filtered");
    assert_eq!(browser.value(&format!("matrix.isShown({}, {})", node("redis"), node("frontend"))), json!(false));
    browser.picture("overlay", "light");
    browser.picture("overlay", "dark");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn many_workloads_stay_fluid() {
    let Some(mut browser) = Browser::start() else { return };
    let mut text = String::new();
    for n in 0..500 {
        let namespace = format!("ns-{:02}", n / 20);
        text += &workload(&namespace, &format!("app-{n:03}"));
        let _ = write!(
            text,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p-{n}, namespace: {namespace}}}\nspec:\n  \
             podSelector: {{matchLabels: {{app: app-{n:03}}}}}\n  ingress: [{{from: [{{podSelector: {{matchLabels: {{app: app-{:03}}}}}}}], \
             ports: [{{port: {}}}]}}]\n",
            n / 20 * 20 + (n + 1) % 20,
            8000 + n % 7
        );
    }
    let page = Page::new(&text, None);
    let size = fs::metadata(page.path()).unwrap().len();
    assert!(size < 4_000_000, "{size} bytes");
    browser.open(&page.path());
    assert_eq!(browser.value("nodes.length > 500 && matrix.rows.length > 500"), json!(true));
    assert_eq!(browser.value("document.querySelectorAll('#overview .box').length < 40"), json!(true), "by namespace");
    assert_eq!(browser.value("document.querySelectorAll('[role=gridcell]').length < 4000"), json!(true));
    assert_eq!(browser.value(IN_SIGHT), json!(true), "a large drawing begins in sight");
    browser.picture("large", "light");
    browser.picture("large", "dark");
    // Milliseconds for a screenful at other places, and for a search.
    let scroll = "(() => { const start = performance.now(); for (let n = 1; n <= 10; n++) { \
                  matrix.grid.scrollBy(40, 120); matrix.draw(false); } return (performance.now() - start) / 10; })()";
    let scroll = browser.value(scroll).as_f64().unwrap();
    let search = "(() => { const start = performance.now(); document.getElementById('search').value = 'app-0'; filter(); \
                  return performance.now() - start; })()";
    let search = browser.value(search).as_f64().unwrap();
    eprintln!("{size} bytes; a screenful in {scroll:.1} ms; a search in {search:.1} ms");
    assert!(scroll < 200.0 && search < 1500.0, "a screenful in {scroll} ms, a search in {search} ms");
    // The keyboard reaches what is far out of sight.
    browser.value("document.getElementById('search').value = ''; filter(); matrix.go(0, 0)");
    browser.value("matrix.go(480, 499)");
    let label = browser.value("document.activeElement.getAttribute('aria-label')");
    assert!(label.as_str().unwrap().starts_with("ns-24/app-480 to ns-24/app-499"), "{label}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
