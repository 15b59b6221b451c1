//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compiles Kubernetes and Cilium network policies to BPF objects.
#[derive(Debug, Parser)]
#[command(
    name = "ciliumc",
    version,
    about,
    propagate_version = true,
    after_help = "Examples:\n  ciliumc build deploy/ --out bundle\n  ciliumc check deploy/\n  \
                  ciliumc trace deploy/ --probes probes.tsv -o tsv\n\n\
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
    Trace(TraceArgs),
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
#[command(after_help = "Examples:\n  ciliumc check deploy/\n  ciliumc check deploy/ -o json | jq .diagnostics")]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub output: ReportFormat,
    /// Lowest severity that makes the exit code 1 (refused input is 3).
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    pub fail_on: FailOn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Info,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ciliumc trace deploy/ --probes probes.tsv\n  \
                  printf 'shop/cart\\tingress\\tpod:shop/web\\tTCP\\t7070\\n' | ciliumc trace deploy/ --probes -\n\n\
                  A probe is a line of five fields separated by tabs:\n  \
                  endpoint   namespace/pod, or deployment/namespace/name\n  \
                  direction  ingress or egress, seen from the endpoint\n  \
                  peer       pod:ns/name, entity:NAME or ip:ADDRESS\n  \
                  proto      TCP, UDP, SCTP, ICMP or ICMPv6\n  \
                  dport      destination port, or the ICMP type")]
pub struct TraceArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Probes, one a line; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub probes: String,
    /// Who answers: the reference model, or the tables as the object reads them.
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    pub engine: Engine,
    /// Exit with 1 unless every verdict is this one.
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub expect: Option<Expect>,
    /// Exit with 4 when a verdict is unknown.
    #[arg(long)]
    pub strict: bool,
    /// List every rule that selects the endpoint, and whether it is about the flow (text and json).
    #[arg(long)]
    pub rules: bool,
    /// Report format.
    #[arg(long, short, value_enum, default_value_t = TraceFormat::Text, value_name = "FORMAT")]
    pub output: TraceFormat,
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
