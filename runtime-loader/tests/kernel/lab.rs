//! A node for one test: namespaces with two pods, a bpffs of its own, and bundles made by hand.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ciliumc_loader::sys::net;

use crate::handmade;
use crate::hurry::Switch;

/// xwing, then deathstar: name in the bundle, interface on the node, last byte of the addresses.
pub const XWING: (&str, &str, u8) = ("default/xwing", "vxwing", 3);
/// The guarded one.
pub const DEATHSTAR: (&str, &str, u8) = ("default/deathstar", "vdeath", 1);

/// The loader: CILIUMC_LOADER, or the one built for tests.
pub fn loader() -> PathBuf {
    std::env::var_os("CILIUMC_LOADER").map_or_else(|| env!("CARGO_BIN_EXE_ciliumc-loader").into(), PathBuf::from)
}

/// The node.
pub struct Lab {
    name: String,
    dir: tempfile::TempDir,
    /// What the loader finds in place of the kernel's switch for grace periods; `None`: the kernel's.
    pub switch: Option<Switch>,
}

/// Why kernel tests cannot run here.
fn missing() -> Option<String> {
    let runs = |program: &str, arg: &str| Command::new(program).arg(arg).output().is_ok_and(|out| out.status.success());
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !root {
        return Some("root is needed".to_owned());
    }
    let programs = [("clang-19", "--version"), ("ip", "-V"), ("bpftool", "version")];
    let missing = programs.into_iter().find(|(program, arg)| !runs(program, arg));
    if let Some((program, _)) = missing {
        return Some(format!("{program} is needed"));
    }
    match ciliumc_loader::sys::query::has_tcx() {
        Ok(true) => None,
        Ok(false) => Some("a kernel with tcx (6.6) is needed".to_owned()),
        Err(error) => Some(format!("bpf(2): {error}")),
    }
}

impl Lab {
    /// Makes the node; `None`, and the reason printed, where that cannot be.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if let Some(reason) = missing() {
            assert!(std::env::var_os("CILIUMC_REQUIRE_KERNEL").is_none_or(|v| v != "1"), "{reason}");
            // libtest captures what a test prints; a skipped one has to be seen all the same.
            let _ = writeln!(std::io::stderr(), "skipped: {reason}");
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ccldr{}x{number}", std::process::id());
        let lab = Self { name, dir: tempfile::tempdir().expect("temporary folder"), switch: None };
        std::fs::create_dir(lab.bpffs()).expect("folder");
        run("mount", &["-t", "bpf", "bpf", lab.bpffs().to_str().expect("UTF-8")]);
        lab.network();
        // Link-local addresses take a second or two until neighbour discovery works.
        let end = Instant::now() + Duration::from_secs(10);
        while !(lab.connects("10.77.0.1:9") && lab.connects("[fd77::1]:9")) {
            assert!(Instant::now() < end, "the network does not work without policy");
        }
        Some(lab)
    }

    fn network(&self) {
        let node = &self.name;
        run("ip", &["netns", "add", node]);
        run("ip", &["-n", node, "link", "set", "lo", "up"]);
        for (_, interface, last) in [XWING, DEATHSTAR] {
            let pod = self.pod(interface);
            run("ip", &["netns", "add", &pod]);
            run("ip", &["-n", node, "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", &pod]);
            let host = |args: &[&str]| run("ip", &[&["-n", node][..], args].concat());
            let inside = |args: &[&str]| run("ip", &[&["-n", &pod][..], args].concat());
            host(&["addr", "add", "10.77.0.254/32", "dev", interface]);
            host(&["addr", "add", "fd77::fe/128", "dev", interface, "nodad"]);
            host(&["link", "set", interface, "up"]);
            host(&["route", "add", &format!("10.77.0.{last}/32"), "dev", interface]);
            host(&["route", "add", &format!("fd77::{last}/128"), "dev", interface]);
            inside(&["link", "set", "lo", "up"]);
            inside(&["link", "set", "eth0", "up"]);
            inside(&["addr", "add", &format!("10.77.0.{last}/32"), "dev", "eth0"]);
            inside(&["addr", "add", &format!("fd77::{last}/128"), "dev", "eth0", "nodad"]);
            inside(&["route", "add", "10.77.0.254/32", "dev", "eth0"]);
            inside(&["route", "add", "default", "via", "10.77.0.254"]);
            inside(&["route", "add", "fd77::fe/128", "dev", "eth0"]);
            inside(&["-6", "route", "add", "default", "via", "fd77::fe"]);
        }
        // A thread sees the switches of its own namespace.
        self.inside_node(|| {
            for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                std::fs::write(Path::new("/proc/sys/net").join(key), "1").expect(key);
            }
        });
    }

    /// Namespace of the pod behind an interface.
    pub fn pod(&self, interface: &str) -> String {
        format!("{}{interface}", self.name)
    }

    fn bpffs(&self) -> PathBuf {
        self.dir.path().join("bpf")
    }

    /// Folder of the pins.
    pub fn root(&self) -> PathBuf {
        self.bpffs().join("ciliumc")
    }

    /// Folder of the state.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Folder of a bundle in which xwing may use `port`.
    pub fn bundle(&self, port: u8) -> PathBuf {
        self.write_bundle(&format!("bundle{port}"), &handmade::files(port, |path| objects()[path].clone()))
    }

    /// Writes files as a bundle.
    pub fn write_bundle(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> PathBuf {
        let folder = self.dir.path().join(name);
        for (path, bytes) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
            std::fs::write(path, bytes).expect("file");
        }
        folder
    }

    /// Namespace of the node.
    pub fn node(&self) -> &str {
        &self.name
    }

    /// Runs the loader in the node's namespace.
    pub fn loader(&self, args: &[&str]) -> Output {
        self.loader_in(&self.name, args)
    }

    /// Runs the loader in a namespace.
    pub fn loader_in(&self, netns: &str, args: &[&str]) -> Output {
        let (root, state) = (self.root(), self.state());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.inside(netns, move || {
            let mut command = Command::new(loader());
            command.arg("--root").arg(root).arg("--state-dir").arg(state).args(args);
            command.output().expect("the loader runs")
        })
    }

    /// Runs the loader, which must succeed, and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.loader(args);
        let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{args:?}: {stdout}{stderr}");
        stdout
    }

    /// Runs the loader, which must fail with `code`, and gives what it printed to stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let out = self.loader(args);
        let stderr = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {}{stderr}", text(&out.stdout));
        stderr
    }

    /// `endpoint add` of one of the pods.
    pub fn add(&self, bundle: &Path, (name, interface, _): (&str, &str, u8)) -> String {
        self.ok(&["endpoint", "add", "--bundle", utf8(bundle), "--endpoint", name, "--interface", interface])
    }

    /// Runs something on a thread in a namespace.
    pub fn inside<T: Send + 'static>(&self, netns: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = PathBuf::from("/run/netns").join(netns);
        let switch = self.switch.clone();
        let thread = thread::spawn(move || {
            net::enter_netns(&path).expect("namespace");
            if let Some(switch) = switch {
                switch.install();
            }
            work()
        });
        thread.join().expect("thread")
    }

    /// Runs something on a thread in the node's namespace.
    pub fn inside_node<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.inside(&self.name, work)
    }

    /// Whether xwing can open a TCP connection to deathstar.
    pub fn connects(&self, address: &str) -> bool {
        let address: SocketAddr = address.parse().expect("address");
        let listener = self.inside(&self.pod(DEATHSTAR.1), move || listen(address));
        let connected = self.inside(&self.pod(XWING.1), move || {
            TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok()
        });
        drop(listener);
        connected
    }

    /// Whether deathstar's answers reach it: it can open a connection to xwing.
    pub fn connects_back(&self) -> bool {
        let address: SocketAddr = "10.77.0.3:9000".parse().expect("address");
        let listener = self.inside(&self.pod(XWING.1), move || listen(address));
        let connected = self.inside(&self.pod(DEATHSTAR.1), move || {
            TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok()
        });
        drop(listener);
        connected
    }

    /// Everything below the pins' root and the state folder, but for the lock.
    pub fn listing(&self) -> Vec<String> {
        let mut all = Vec::new();
        for folder in [self.root(), self.state()] {
            list(&folder, &mut all);
        }
        all.retain(|path| !path.ends_with("/lock"));
        all.sort();
        all
    }

    /// Kernel ids of all pinned maps, and of the programs behind all links.
    pub fn kernel_ids(&self) -> (Vec<u32>, Vec<u32>) {
        let (mut maps, mut programs) = (Vec::new(), Vec::new());
        for path in self.listing().iter().filter(|path| path.starts_with(utf8(&self.root()))) {
            if let Ok(out) = Command::new("bpftool").args(["-j", "map", "show", "pinned", path]).output()
                && let Some(id) = id(&out.stdout)
            {
                maps.push(id);
            }
        }
        let status: serde_json::Value = serde_json::from_str(&self.ok(&["status", "-o", "json"])).expect("JSON");
        for endpoint in status["endpoints"].as_array().expect("endpoints") {
            for hook in ["from_container", "to_container"] {
                programs.extend(endpoint["programs"][hook]["program"].as_u64().map(|id| id as u32));
            }
        }
        (maps, programs)
    }

    /// Fails unless the kernel has let go of all of them, soon.
    pub fn assert_gone(&self, (maps, programs): &(Vec<u32>, Vec<u32>)) {
        assert!(!maps.is_empty() && !programs.is_empty(), "nothing was there");
        let exists = |kind: &str, id: &u32| {
            let out = Command::new("bpftool").args([kind, "show", "id", &id.to_string()]).output();
            out.expect("bpftool").status.success()
        };
        // Programs go after a grace period, and their maps after them.
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left: Vec<_> = maps.iter().filter(|id| exists("map", id)).collect();
            let running: Vec<_> = programs.iter().filter(|id| exists("prog", id)).collect();
            if left.is_empty() && running.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "maps {left:?} and programs {running:?} are still there");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Listens. A test beside this one that starts a process holds every open socket until its `exec`, so a port that was
/// closed just now may be taken for a moment.
fn listen(address: SocketAddr) -> TcpListener {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(10));
            }
            bound => return bound.expect("listener"),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for interface in [XWING.1, DEATHSTAR.1] {
            let _ = Command::new("ip").args(["netns", "del", &self.pod(interface)]).status();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
        let _ = Command::new("umount").arg(self.bpffs()).status();
    }
}

fn list(folder: &Path, all: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        all.push(utf8(&entry.path()).to_owned());
        if entry.path().is_dir() {
            list(&entry.path(), all);
        }
    }
}

/// A path as text.
pub fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn id(json: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    value["id"].as_u64().map(|id| id as u32)
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().expect("program");
    assert!(out.status.success(), "{program} {args:?}: {}", text(&out.stderr));
}

/// The bundle's objects, built once.
pub fn objects() -> &'static BTreeMap<&'static str, Vec<u8>> {
    static OBJECTS: OnceLock<BTreeMap<&'static str, Vec<u8>>> = OnceLock::new();
    OBJECTS.get_or_init(|| handmade::OBJECTS.map(|(path, program, mode)| (path, compile(program, mode))).into())
}

const NODE_CONFIG: &str = "\
#define ENABLE_IPV4 1\n#define ENABLE_IPV6 1\n#define ENABLE_SCTP 1\n#define ALLOW_ICMP_FRAG_NEEDED 1\n\
#define CT_ENTRIES_MAX 4096\n#define CT_TCP_TIMEOUT_SECS 8000\n#define CT_TCP_SYN_TIMEOUT_SECS 60\n\
#define CT_TCP_FIN_TIMEOUT_SECS 10\n#define CT_ANY_TIMEOUT_SECS 60\n\
#define MONITOR_AGGREGATION 3\n#define MONITOR_INTERVAL_SECS 5\n#define MONITOR_TCP_FLAGS 255\n";

fn compile(program: &str, mode: u32) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("folder");
    let ep_config = format!(
        "#define POLICY_MODE {mode}\n#define POLICY_AUDIT 0\n#define ROW_BITS 8\n#define CLASS_BITS 8\n\
         #define ACTION_BITS 8\n#define CLASS_SHIFT 4\n"
    );
    let unit = format!("#include \"prog/{program}.h\"\n");
    for (name, text) in [("node_config.h", NODE_CONFIG), ("ep_config.h", ep_config.as_str()), ("unit.c", &unit)] {
        let mut file = std::fs::File::create(dir.path().join(name)).expect("file");
        file.write_all(text.as_bytes()).expect("file");
    }
    let object = dir.path().join("unit.o");
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../bpf-lib/include");
    let here = utf8(dir.path());
    let source = dir.path().join("unit.c");
    let flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-fno-addrsig", "-I", here, "-I", include, "-c"];
    run("clang-19", &[&flags[..], &[utf8(&source), "-o", utf8(&object)]].concat());
    std::fs::read(object).expect("object")
}
