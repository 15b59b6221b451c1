//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::front::cnp::kafka;
use crate::front::objects::{EndName, KafkaRule, PortSpan};
use crate::front::parse;

/// Compiles Kubernetes and Cilium network policies to BPF objects.
#[derive(Debug, Parser)]
#[command(
    name = "ciliumc",
    version,
    about,
    propagate_version = true,
    after_help = "Examples:\n  ciliumc build deploy/ --out bundle\n  ciliumc check deploy/\n  \
                  ciliumc trace deploy/ --from shop/web --to shop/cart --port tcp/7070\n\n\
                  Exit codes: 0 ok; 1 findings; 2 usage; 3 input invalid or refused; 4 analysis incomplete under \
                  --strict; 5 the machine (clang, kernel, privileges, I/O); 70 a bug in ciliumc."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a bundle: objects, tables, manifest and provenance.
    Build(BuildArgs),
    /// Check the input and report every problem.
    Check(CheckArgs),
    /// Say what happens to flows, and why.
    Trace(Box<TraceArgs>),
    /// Run tests of policies.
    Test(TestArgs),
    /// Say who may talk to whom.
    List(ListArgs),
    /// Say what another version of the input lets pass, and what it no longer does.
    Diff(DiffArgs),
    /// Draw who may talk to whom: a page, a picture, or the graph as data.
    Graph(GraphArgs),
    /// Say what a diagnostic's code means, with an example; without a code, list all.
    #[command(after_help = "Examples:\n  ciliumc explain E-210\n  ciliumc explain | grep -i icmp")]
    Explain {
        /// Codes, such as E-210, W-101 or F-014.
        #[arg(value_name = "CODE")]
        codes: Vec<String>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  ciliumc completions bash > /etc/bash_completion.d/ciliumc")]
    Completions {
        /// Shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command.
    #[command(after_help = "Example:\n  ciliumc man | man -l -\n  ciliumc man --dir share/man/man1")]
    Man {
        /// Write ciliumc.1, ciliumc-build.1, ... into this folder instead.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// Where the input is.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// Files, folders (read recursively: *.yaml, *.yml, *.json), `-` for standard input, or `git:REF[:PATH]` for files of a
    /// revision of the repository around the current folder.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Leave out what matches; repeatable.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Namespace of objects that name none.
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// Addresses that no object tells: of provider groups, API servers and DNS names.
    ///
    /// A YAML file with three lists, all optional: `groups: [{aws: {securityGroupsIds: [sg-1]}, addresses: [192.0.2.1]}]`
    /// answers for `fromGroups` and `toGroups`, which need an answer, be it empty; `apiServers: [192.0.2.9]` goes beyond
    /// the backends of default/kubernetes; `dns: [{name: www.example.com, addresses: [198.51.100.7]}]` is what the DNS
    /// proxy would have learnt, for `toFQDNs`.
    #[arg(long, value_name = "FILE")]
    pub groups: Option<String>,
    /// Read `toServices` that finds nothing as Cilium 1.18 does: its ports are open to everyone.
    #[arg(long)]
    pub compat_toservices: bool,
    /// Release whose meaning `**.` at the beginning of a DNS pattern has: 1.19 is one or more labels.
    #[arg(long, value_enum, default_value_t = DoubleStar::V1_18, value_name = "RELEASE")]
    pub fqdn_double_star: DoubleStar,
    /// Drop refused objects and go on, as an agent would.
    #[arg(long)]
    pub keep_going: bool,
    /// Colour of diagnostics.
    #[arg(long, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoubleStar {
    /// As one star.
    #[value(name = "1.18")]
    V1_18,
    /// One or more labels.
    #[value(name = "1.19")]
    V1_19,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc build deploy/ --out bundle\n  helm template . | ciliumc build - --out bundle.tar\n  \
                  ciliumc build deploy/ --out bundle --locked      # in CI: refuse new identities\n  \
                  ciliumc build deploy/ --emit lower,codegen       # look at the tables and the C"
)]
pub struct BuildArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Directory to write, or a FILE.tar. May be left out with --emit.
    #[arg(long, value_name = "DIR|FILE.tar", required_unless_present = "emit")]
    pub out: Option<PathBuf>,
    /// Identity numbers: read, and written when new ones were given.
    #[arg(long, value_name = "FILE", default_value = "identities.lock")]
    pub lock: PathBuf,
    /// Refuse to change the lock (exit code 3).
    #[arg(long)]
    pub locked: bool,
    /// Print the text of these stages.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STAGE")]
    pub emit: Vec<StageArg>,
    /// clang processes side by side; 0 is one per processor.
    #[arg(long, short, default_value_t = 0)]
    pub jobs: usize,
    /// Load every program in this kernel (needs privileges) and record what its verifier counted.
    #[arg(long)]
    pub verify: bool,
    /// Keep no built objects between runs.
    #[arg(long)]
    pub no_cache: bool,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub output: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageArg {
    Ir,
    Resolve,
    Lower,
    Codegen,
    Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc check deploy/\n  ciliumc check deploy/ --fail-on warning -o text -o sarif=ciliumc.sarif\n  \
                  ciliumc check deploy/ --fix --dry-run\n  \
                  ciliumc check deploy/ --baseline known.json --write-baseline     # then without, in CI\n\n\
                  JSON (schema ciliumc/check/v1): `diagnostics` with code, severity, message, object, file, line, column, \
                  span (bytes), help, related, fingerprint and edit (bytes start to end, and the text in their place); \
                  `excused` the same with a reason; `known` counts findings of the baseline, `stale` are entries of it \
                  that nothing has any more."
)]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Report format, to standard output or to a file; repeatable.
    #[arg(long, short, value_name = "FORMAT[=FILE]", value_parser = CheckOutput::parse, default_value = "text")]
    pub output: Vec<CheckOutput>,
    /// Lowest severity that makes the exit code 1 (refused input is 3).
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// Make the edits that leave no doubt (CL003, CL004, CL020), then report what is left.
    #[arg(long)]
    pub fix: bool,
    /// Print what --fix would change as a patch, and change nothing.
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
    /// Findings that are known already: they are not reported.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write what is found now into the baseline.
    #[arg(long, requires = "baseline")]
    pub write_baseline: bool,
}

/// A report and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutput {
    /// Format.
    pub format: CheckFormat,
    /// File; standard output when absent.
    pub file: Option<PathBuf>,
}

impl CheckOutput {
    fn parse(text: &str) -> Result<Self, String> {
        let (format, file) = match text.split_once('=') {
            Some((_, "")) => return Err("the name of the file is missing behind `=`".to_owned()),
            Some((format, file)) => (format, Some(PathBuf::from(file))),
            None => (text, None),
        };
        let format = CheckFormat::from_str(format, false)
            .map_err(|_| format!("`{format}` is no format; they are text, json, sarif and github"))?;
        Ok(Self { format, file })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Text,
    Json,
    /// SARIF 2.1.0, for viewers of code scanning.
    Sarif,
    /// Annotations of a GitHub workflow.
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Info,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc trace deploy/ --from deploy/shop/web --to shop/cart --port tcp/7070 --suggest\n  \
                  ciliumc trace deploy/ --from ip:203.0.113.9 --to labels:app=api,ns=shop --port 80 --http GET,/v1/items\n  \
                  ciliumc trace deploy/ --from shop/web --to fqdn:api.example.com --port 443 --expect allow\n  \
                  ciliumc trace deploy/ --probes probes.tsv\n  \
                  printf 'shop/cart\\tingress\\tpod:shop/web\\tTCP\\t7070\\n' | ciliumc trace deploy/ --probes -\n\n\
                  An end is `namespace/pod`, `kind/namespace/name`, `labels:key=value,..[,ns=NAMESPACE]` (those that have \
                  the labels, or else a pod that had them), `ip:ADDRESS`, `node:NAME`, `entity:NAME` or \
                  `fqdn:NAME`. With `enable-host-firewall` a node is judged by its host policies.\n\n\
                  A probe is a line of five fields separated by tabs:\n  \
                  endpoint   namespace/pod, deployment/namespace/name, or node:NAME for the host of a node\n  \
                  direction  ingress or egress, seen from the endpoint\n  \
                  peer       pod:ns/name, node:NAME, entity:NAME or ip:ADDRESS\n  \
                  proto      TCP, UDP, SCTP, ICMP or ICMPv6\n  \
                  dport      destination port, or the ICMP type"
)]
pub struct TraceArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Probes, one a line; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "port"])]
    pub probes: Option<String>,
    /// Source of the flow.
    #[arg(long, value_name = "END", requires = "to", value_parser = end)]
    pub from: Option<EndName>,
    /// Destination of the flow.
    #[arg(long, value_name = "END", requires_all = ["from", "port"], value_parser = end)]
    pub to: Option<EndName>,
    /// Protocol and destination port: `tcp/80`, `udp/53`, `443`; for ICMP the type: `icmp/8`.
    #[arg(long, value_name = "PROTO/PORT", requires = "to", value_parser = one_port)]
    pub port: Option<PortSpan>,
    /// A request: method and path, the path with its query string.
    #[arg(long, value_name = "METHOD,PATH", requires = "to", value_parser = method_and_path)]
    pub http: Option<(String, String)>,
    /// Host of the request.
    #[arg(long, value_name = "HOST", requires = "http")]
    pub host: Option<String>,
    /// Header of the request; repeatable. Whether others are there, nobody knows.
    #[arg(long, value_name = "NAME: VALUE", requires = "http", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// A question for a DNS name.
    #[arg(long, value_name = "NAME", requires = "to", conflicts_with = "http")]
    pub dns: Option<String>,
    /// Requests of Kafka, with the fields of a rule: `role=produce,topic=orders`, `apiKey=fetch,clientID=x,apiVersion=1`. What is
    /// left out is every value.
    #[arg(long, value_name = "FIELD=VALUE,..", requires = "to", conflicts_with_all = ["http", "dns"], value_parser = kafka::request)]
    pub kafka: Option<KafkaRule>,
    /// Show the smallest edit that lets the flow pass, and what else it would open.
    #[arg(long, requires = "to")]
    pub suggest: bool,
    /// Who answers: the reference model, or the tables as the object reads them.
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    pub engine: Engine,
    /// Exit with 1 unless every verdict is this one.
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub expect: Option<Expect>,
    /// Exit with 4 when a verdict is unknown.
    #[arg(long)]
    pub strict: bool,
    /// Of probes: list every rule that selects the endpoint, and whether it is about the flow (text and json).
    #[arg(long, requires = "probes")]
    pub rules: bool,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = TraceFormat::Text, value_name = "FORMAT")]
    pub output: TraceFormat,
}

/// Reads an end of a flow.
fn end(text: &str) -> Result<EndName, String> {
    parse::flow::end(text).map_err(|wrong| wrong.message)
}

/// Reads a protocol and one port of it.
fn one_port(text: &str) -> Result<PortSpan, String> {
    let ports = parse::flow::ports(text).map_err(|wrong| wrong.message)?;
    if ports.first == ports.last { Ok(ports) } else { Err("a flow has one destination port, not a range".into()) }
}

/// Reads method and path of a request.
fn method_and_path(text: &str) -> Result<(String, String), String> {
    match text.split_once(',') {
        Some((method, path)) if !method.is_empty() && path.starts_with('/') => Ok((method.into(), path.into())),
        Some(_) | None => Err("a request is METHOD,PATH, such as GET,/v1/items".into()),
    }
}

/// Reads a header with its value.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is `Name: value`")?;
    Ok((name.trim().into(), value.trim().into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Model,
    Tables,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    Allow,
    Deny,
    Redirect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    Text,
    Json,
    Tsv,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc test deploy/\n  ciliumc test deploy/ --tests tests/ -o junit > junit.xml\n  \
                  ciliumc test deploy/ --coverage --fail-under 90\n  \
                  sudo ciliumc test deploy/ --packets\n\n\
                  A document of tests stands beside the policies or in a file of its own:\n  \
                  ciliumcTest: v1\n  \
                  tests:\n  \
                  - name: nobody but the web reaches the cart\n    \
                  from: {not: deploy/shop/web}\n    \
                  to: shop/cart\n    \
                  expect: deny\n\n\
                  It is about every flow that it describes: an absent end is everyone, absent ports are every port. Pods that the \
                  input lacks stand under `endpoints: [{name: NS/POD, labels: {..}}]`, other objects in files of their own: \
                  `fixtures: [FILE, FOLDER]`, relative to the file of the tests and read for them alone."
)]
pub struct TestArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// More files and folders, with tests; repeatable.
    #[arg(long, value_name = "PATH")]
    pub tests: Vec<String>,
    /// Who answers: the reference model, or the tables too, which have to agree.
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    pub engine: Engine,
    /// Also run the flows as packets through the built objects in this kernel, which takes root: every end has to do what
    /// the analysis says. With `--packets=BUNDLE` through the objects and tables of that bundle.
    #[arg(long, value_name = "BUNDLE", num_args = 0..=1, require_equals = true)]
    pub packets: Option<Option<PathBuf>>,
    /// List the rules that no test exercises.
    #[arg(long)]
    pub coverage: bool,
    /// Exit with 1 when tests exercise less than this part of the rules.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub fail_under: Option<u8>,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = TestFormat::Text, value_name = "FORMAT")]
    pub output: TestFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    Text,
    Json,
    Junit,
}

/// Whose reading of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SemanticsArg {
    /// Cilium's.
    Cilium,
    /// NetworkPolicy alone, as the Kubernetes API describes it: no other kind of policy, no host, no ICMP, no IPv6.
    Kubernetes,
}

impl SemanticsArg {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cilium => "cilium",
            Self::Kubernetes => "kubernetes",
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc list deploy/\n  ciliumc list deploy/ -o json | jq '.rows[] | select(.destination.name == \"cart\")'\n  \
                  ciliumc list deploy/ --semantics kubernetes -o np-guard"
)]
pub struct ListArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Whose reading of the policies.
    #[arg(long, value_enum, default_value_t = SemanticsArg::Cilium, value_name = "WHOSE")]
    pub semantics: SemanticsArg,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
    pub output: ListFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table.
    Text,
    Json,
    /// The lines of netpol-analyzer's `list`.
    NpGuard,
}

#[derive(Debug, Args)]
#[command(
    mut_arg("paths", |paths| paths.num_args(2).value_names(["OLD", "NEW"]).help("Files, folders, or `git:REF[:PATH]`; or two bundles, folders or .tar")),
    after_help = "Examples:\n  ciliumc diff git:main:deploy deploy/\n  \
                  ciliumc diff git:main:deploy deploy/ --fail-on widened -o md      # in CI, as a comment\n  \
                  ciliumc diff running.tar next.tar                                 # what two bundles let pass\n  \
                  ciliumc diff old/ new/ --semantics kubernetes -o np-guard"
)]
pub struct DiffArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Whose reading of the policies.
    #[arg(long, value_enum, default_value_t = SemanticsArg::Cilium, value_name = "WHOSE")]
    pub semantics: SemanticsArg,
    /// Differences that make the exit code 1.
    #[arg(long, value_enum, default_value_t = DiffClass::Any, value_name = "CLASS")]
    pub fail_on: DiffClass,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = DiffFormat::Text, value_name = "FORMAT")]
    pub output: DiffFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffClass {
    /// More may pass between those that both versions have.
    Widened,
    /// Less may.
    Narrowed,
    /// Whatever differs, workloads that come or go included.
    Any,
    /// None.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    Text,
    Json,
    /// Markdown for a comment on a pull request.
    Md,
    /// The lines of netpol-analyzer's `diff`.
    NpGuard,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ciliumc graph deploy/ > map.html\n  ciliumc graph deploy/ --diff git:main:deploy > map.html      # what a change opens and closes\n  \
                  ciliumc graph deploy/ -o svg > map.svg\n  ciliumc graph deploy/ -o json | jq '.edges | length'\n\n\
                  The page is one file that loads nothing: a matrix, a graph, and for each pair the rules with file and line.\n\n\
                  JSON (ciliumc/graph/v1): `nodes` with `parties` (more than one where nothing tells them apart), `labels` and \
                  `present` (false: only OLD has it); `edges` with positions of nodes in `source` and `destination`, \
                  `connections` as in `list`, and `change` as in a row of `diff`, or null."
)]
pub struct GraphArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Mark what this older version did not let pass, and what it alone did.
    #[arg(long, value_name = "OLD")]
    pub diff: Option<String>,
    /// What a box of the drawing is.
    #[arg(long, value_enum, default_value_t = GroupArg::Auto, value_name = "WHAT")]
    pub group: GroupArg,
    /// Whose reading of the policies.
    #[arg(long, value_enum, default_value_t = SemanticsArg::Cilium, value_name = "WHOSE")]
    pub semantics: SemanticsArg,
    /// Format.
    #[arg(long, short, value_enum, default_value_t = GraphFormat::Html, value_name = "FORMAT")]
    pub output: GraphFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GroupArg {
    /// Workloads up to 60 of them, else namespaces.
    Auto,
    /// Workloads; those of a namespace that may do the same share a box.
    Workload,
    Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A page that loads nothing.
    Html,
    Svg,
    /// Graphviz.
    Dot,
    Json,
}
