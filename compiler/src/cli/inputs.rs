//! From arguments to an analysis: what `build`, `check` and `trace` share.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::{Colour, DoubleStar, InputArgs, SemanticsArg};
use crate::bundle::read::is_bundle;
use crate::connectivity::Connectivity;
use crate::diag::{Diagnostic, Severity, render};
use crate::driver::connectivity::{Read, Semantics};
use crate::driver::{self, Analysis, Failure};
use crate::front::FrontOptions;
use crate::front::objects::Choices;
use crate::resolve::Lock;
use crate::source::{self, LoadOptions, SourceMap};

/// Reads the input; every file that cannot be read is named.
pub fn load(args: &InputArgs) -> Result<SourceMap, Failure> {
    load_paths(args, &args.paths)
}

/// Reads some of the paths.
pub fn load_paths(args: &InputArgs, paths: &[String]) -> Result<SourceMap, Failure> {
    let options = LoadOptions { paths: paths.to_vec(), exclude: args.exclude.clone() };
    let mut sources = source::load(&options).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::Input(lines.join("\nerror: "))
    })?;
    if sources.is_empty() {
        eprintln!("warning: no manifest is in {}: *.yaml, *.yml and *.json are read", paths.join(", "));
    }
    if let Some(path) = &args.groups {
        source::load_groups(&mut sources, path).map_err(Failure::input)?;
    }
    Ok(sources)
}

/// Analyses the input.
pub fn analyse(args: &InputArgs, sources: &SourceMap, lock: Lock) -> Result<Analysis, Failure> {
    driver::analyse(sources, &front_options(args), lock)
}

/// Who may talk to whom, and the files that say so.
pub type Connected = (SourceMap, Connectivity);

/// Who may talk to whom, in some of the paths. Prints diagnostics and refuses to go on like every command.
pub fn connect(args: &InputArgs, paths: &[String], semantics: SemanticsArg) -> Result<Connected, Failure> {
    let [connected] = accept(args, [read(args, paths, semantics)?])?;
    Ok(connected)
}

/// Two versions, read side by side: both are manifests, or both are bundles.
pub fn connect_both(
    args: &InputArgs,
    [old, new]: [&[String]; 2],
    semantics: SemanticsArg,
) -> Result<[Connected; 2], Failure> {
    if bundle(old).is_some() != bundle(new).is_some() {
        let message = "one side is a bundle and the other is not; build the other one too, or compare manifests";
        return Err(Failure::Input(message.into()));
    }
    let (old, new) = rayon::join(|| read(args, old, semantics), || read(args, new, semantics));
    accept(args, [old?, new?])
}

/// Tells what is wrong with versions, then connects them.
fn accept<const N: usize>(args: &InputArgs, versions: [(SourceMap, Read); N]) -> Result<[Connected; N], Failure> {
    for (sources, read) in &versions {
        let diagnostics = match read {
            Read::Cilium(analysis) => &analysis.diagnostics,
            Read::Other(_, diagnostics) => diagnostics,
        };
        print_problems(args, diagnostics, sources);
        refuse_errors(args, diagnostics)?;
    }
    let (sources, reads): (Vec<SourceMap>, Vec<Read>) = versions.into_iter().unzip();
    let connected = driver::connectivity::connect(reads)?.into_iter().map(|(connectivity, _)| connectivity);
    let all: Vec<Connected> = sources.into_iter().zip(connected).collect();
    // Policies may well stand in a repository of their own, and then everything would seem to be without effect.
    if all.iter().all(|(_, version)| version.workloads.is_empty())
        && all.iter().any(|(_, version)| !version.rules.is_empty())
    {
        eprintln!(
            "warning: the input has policies and no endpoint, so nothing can be said about what they let pass; add the pods or \
             workloads, for example the output of `kubectl get pods -A -o yaml`"
        );
    }
    all.try_into().map_err(|_| Failure::Bug("a version was lost".into()))
}

fn read(args: &InputArgs, paths: &[String], semantics: SemanticsArg) -> Result<(SourceMap, Read), Failure> {
    let semantics = match semantics {
        SemanticsArg::Cilium => Semantics::Cilium,
        SemanticsArg::Kubernetes => Semantics::Kubernetes,
    };
    if let Some(bundle) = bundle(paths) {
        return match semantics {
            Semantics::Cilium => {
                let (sources, connectivity) = driver::connectivity::open(bundle)?;
                Ok((sources, Read::Other(connectivity, Vec::new())))
            }
            Semantics::Kubernetes => Err(Failure::Input(format!(
                "{} is a bundle, which holds Cilium's reading alone; leave --semantics out",
                bundle.display()
            ))),
        };
    }
    let sources = load_paths(args, paths)?;
    let read = driver::connectivity::read(&sources, &front_options(args), semantics)?;
    Ok((sources, read))
}

/// The bundle that is the only path.
fn bundle(paths: &[String]) -> Option<&Path> {
    match paths {
        [path] => Some(Path::new(path)).filter(|path| is_bundle(path)),
        _ => None,
    }
}

/// What the arguments say about reading.
pub fn front_options(args: &InputArgs) -> FrontOptions {
    let choices = Choices {
        literal_to_services: args.compat_toservices,
        fqdn_double_star: args.fqdn_double_star == DoubleStar::V1_19,
    };
    FrontOptions { default_namespace: args.namespace.clone(), choices, fixtures: BTreeSet::new() }
}

/// Whether a text is in colour, by where it goes.
pub fn colour(args: &InputArgs, on_terminal: bool) -> bool {
    match args.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => on_terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// The same without remarks: whoever asks something else reads them in `check`.
pub fn print_problems(args: &InputArgs, diagnostics: &[Diagnostic], sources: &SourceMap) {
    let is_problem = |diagnostic: &&Diagnostic| diagnostic.severity != Severity::Info;
    let problems: Vec<Diagnostic> = diagnostics.iter().filter(is_problem).cloned().collect();
    print_all(args, &problems, sources);
}

/// Prints the diagnostics as text, then a line that counts them.
pub fn print_all(args: &InputArgs, diagnostics: &[Diagnostic], sources: &SourceMap) {
    eprint!("{}", rendered(diagnostics, sources, colour(args, std::io::stderr().is_terminal())));
}

/// Diagnostics as text, with a line that counts them; empty without any.
pub fn rendered(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "remark")]
        .into_iter()
        .map(|(severity, word)| (count(severity), word))
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") });
    let counts = counts.collect::<Vec<_>>().join(", ");
    // One example is enough to say how to ask, and the worst is what the reader will look at.
    let example = diagnostics.iter().min_by_key(|d| (d.severity, d.code)).map(|d| d.code);
    let example = example.map(|code| format!("; `ciliumc explain {code}` says more about a code"));
    format!("{}{counts}{}\n", render::text(diagnostics, sources, colour), example.unwrap_or_default())
}

/// Refuses to go on with refused objects, unless told to.
pub fn refuse(args: &InputArgs, analysis: &Analysis) -> Result<(), Failure> {
    refuse_errors(args, &analysis.diagnostics)
}

fn refuse_errors(args: &InputArgs, diagnostics: &[Diagnostic]) -> Result<(), Failure> {
    let refused = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    if refused && !args.keep_going { Err(Failure::Refused) } else { Ok(()) }
}

/// Where built objects are kept: `$XDG_CACHE_HOME/ciliumc`, or `~/.cache/ciliumc`; none when there is no home.
pub fn cache_dir() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&std::env::var_os("HOME").filter(|home| !home.is_empty())?).join(".cache"),
    };
    Some(base.join("ciliumc"))
}
