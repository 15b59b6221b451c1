//! The agent's options, from `kube-system/cilium-config` (spec §0.2).

use crate::diag::{Code, Diagnostic, Spanned};

/// `enable-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnablePolicy {
    /// Per endpoint and direction, by the rules that select it.
    Default,
    /// Always enforced.
    Always,
    /// Never enforced.
    Never,
}

/// `monitor-aggregation`: which packets that pass are reported, by Cilium's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MonitorAggregation {
    /// Each, wherever it is seen.
    None = 0,
    /// Each once.
    Lowest = 1,
    /// As [`MonitorAggregation::Lowest`].
    Low = 2,
    /// Of a connection those that tell something new, and one in an interval.
    Medium = 3,
    /// As [`MonitorAggregation::Medium`].
    Maximum = 4,
}

/// `monitor-aggregation-interval` at most: the clock of reports goes round in 80 minutes.
const MONITOR_INTERVAL_SECS_MAX: u32 = 3600;

/// One item of the label filter (spec §5.2) as the operator wrote it: `[!][source:]regex`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilterItem {
    /// Source, if given.
    pub source: Option<String>,
    /// Regular expression on the key, matched from its first character.
    pub pattern: String,
    /// `!`: a matching label is left out.
    pub exclude: bool,
}

/// Options that change verdicts or the datapath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `enable-policy`.
    pub enable_policy: EnablePolicy,
    /// `allow-localhost` is `always` or `auto`.
    pub allow_localhost: bool,
    /// `enable-host-firewall`: the hosts of nodes are subjects of policies with a `nodeSelector`.
    pub host_firewall: bool,
    /// `policy-cidr-match-mode` names `nodes`.
    pub cidr_match_nodes: bool,
    /// `enable-node-selector-labels`: remote nodes have identities of their own, with their labels.
    pub node_selector_labels: bool,
    /// `enable-l7-proxy`; without it a rule with an L7 part is an error.
    pub l7_proxy: bool,
    /// `enable-icmp-rules`; without it `icmps` is an error.
    pub icmp_rules: bool,
    /// `enable-non-default-deny-policies`.
    pub non_default_deny: bool,
    /// `policy-default-local-cluster`.
    pub default_local_cluster: bool,
    /// `allow-icmp-frag-needed`.
    pub allow_icmp_frag_needed: bool,
    /// `policy-audit-mode`.
    pub audit: bool,
    /// `enable-ipv4`.
    pub ipv4: bool,
    /// `enable-ipv6`.
    pub ipv6: bool,
    /// `enable-sctp`.
    pub sctp: bool,
    /// `cluster-name`.
    pub cluster_name: String,
    /// `cluster-id`, 0-255.
    pub cluster_id: u32,
    /// `labels`.
    pub labels: Vec<LabelFilterItem>,
    /// `node-labels`: which labels of nodes are part of identities; without an item all are.
    pub node_labels: Vec<LabelFilterItem>,
    /// `bpf-ct-global-tcp-max`: entries.
    pub ct_entries_max: u32,
    /// `bpf-ct-timeout-regular-tcp`.
    pub ct_tcp_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-tcp-syn`.
    pub ct_tcp_syn_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-tcp-fin`.
    pub ct_tcp_fin_timeout_secs: u32,
    /// `bpf-ct-timeout-regular-any`.
    pub ct_any_timeout_secs: u32,
    /// `monitor-aggregation`.
    pub monitor_aggregation: MonitorAggregation,
    /// `monitor-aggregation-interval`.
    pub monitor_interval_secs: u32,
    /// `monitor-aggregation-flags`, as a TCP header has them.
    pub monitor_tcp_flags: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enable_policy: EnablePolicy::Default,
            allow_localhost: true,
            host_firewall: false,
            cidr_match_nodes: false,
            node_selector_labels: false,
            l7_proxy: true,
            icmp_rules: true,
            non_default_deny: true,
            default_local_cluster: false,
            allow_icmp_frag_needed: true,
            audit: false,
            ipv4: true,
            ipv6: true,
            sctp: false,
            cluster_name: "default".into(),
            cluster_id: 0,
            labels: Vec::new(),
            node_labels: Vec::new(),
            // Cilium's default for a map without dynamic sizing.
            ct_entries_max: 524_288,
            ct_tcp_timeout_secs: 8000,
            ct_tcp_syn_timeout_secs: 60,
            ct_tcp_fin_timeout_secs: 10,
            ct_any_timeout_secs: 60,
            // What Cilium's chart writes where nobody says otherwise.
            monitor_aggregation: MonitorAggregation::Medium,
            monitor_interval_secs: 5,
            monitor_tcp_flags: u8::MAX,
        }
    }
}

impl Options {
    /// Both families: the world has an identity for each (spec §4.6).
    pub fn dual_stack(&self) -> bool {
        self.ipv4 && self.ipv6
    }
}

/// Reads the options; a value that cannot be read is an error, a key that does not concern us is none.
pub fn read(config: &[(Spanned<String>, Spanned<String>)], diagnostics: &mut Vec<Diagnostic>) -> Options {
    let mut options = Options::default();
    for (key, value) in config {
        let result = set(&mut options, &key.value, &value.value);
        if let Err(problem) = result {
            let code = Code("F-201");
            let message = format!("{}: {problem}", key.value);
            diagnostics.push(Diagnostic::error(code, value.span, message).hint(
                "this option changes what nodes do, so it is not ignored; correct it or take it out of the input",
            ));
        }
    }
    if !options.ipv4 && !options.ipv6 {
        let span = config.iter().find(|(k, _)| k.value == "enable-ipv6").map(|(_, v)| v.span);
        let message = "enable-ipv4 and enable-ipv6 are both off";
        diagnostics.push(Diagnostic::error(Code("F-201"), span, message).hint("switch one of them on"));
    }
    options
}

fn set(options: &mut Options, key: &str, value: &str) -> Result<(), String> {
    match key {
        "enable-policy" => {
            options.enable_policy = match value.to_ascii_lowercase().as_str() {
                "default" => EnablePolicy::Default,
                "always" => EnablePolicy::Always,
                "never" => EnablePolicy::Never,
                _ => return Err(format!("`{value}` is none of default, always, never")),
            }
        }
        "allow-localhost" => {
            options.allow_localhost = match value {
                "always" | "auto" => true,
                "policy" => false,
                _ => return Err(format!("`{value}` is none of auto, always, policy")),
            }
        }
        "policy-cidr-match-mode" => {
            options.cidr_match_nodes = match value.trim() {
                "" => false,
                "nodes" => true,
                _ => return Err(format!("`{value}` is not `nodes`")),
            }
        }
        "enable-host-firewall" => options.host_firewall = boolean(value)?,
        "enable-node-selector-labels" => options.node_selector_labels = boolean(value)?,
        "enable-well-known-identities" => refuse_true(value)?,
        "enable-l7-proxy" => options.l7_proxy = boolean(value)?,
        "enable-icmp-rules" => options.icmp_rules = boolean(value)?,
        "enable-non-default-deny-policies" => options.non_default_deny = boolean(value)?,
        "policy-default-local-cluster" => options.default_local_cluster = boolean(value)?,
        "allow-icmp-frag-needed" => options.allow_icmp_frag_needed = boolean(value)?,
        "policy-audit-mode" => options.audit = boolean(value)?,
        "enable-ipv4" => options.ipv4 = boolean(value)?,
        "enable-ipv6" => options.ipv6 = boolean(value)?,
        "enable-sctp" => options.sctp = boolean(value)?,
        "cluster-name" => options.cluster_name = value.into(),
        "cluster-id" => {
            options.cluster_id = match value.parse() {
                Ok(id) if id <= 255 => id,
                _ => return Err(format!("`{value}` is not a number from 0 to 255")),
            }
        }
        "labels" => options.labels = label_filter(value)?,
        "node-labels" => options.node_labels = label_filter(value)?,
        "bpf-ct-global-tcp-max" => options.ct_entries_max = positive(value)?,
        "bpf-ct-timeout-regular-tcp" => options.ct_tcp_timeout_secs = seconds(value)?,
        "bpf-ct-timeout-regular-tcp-syn" => options.ct_tcp_syn_timeout_secs = seconds(value)?,
        "bpf-ct-timeout-regular-tcp-fin" => options.ct_tcp_fin_timeout_secs = seconds(value)?,
        "bpf-ct-timeout-regular-any" => options.ct_any_timeout_secs = seconds(value)?,
        "monitor-aggregation" => options.monitor_aggregation = monitor_aggregation(value)?,
        "monitor-aggregation-interval" => {
            options.monitor_interval_secs = match seconds(value)? {
                secs if secs <= MONITOR_INTERVAL_SECS_MAX => secs,
                _ => return Err(format!("`{value}` is more than an hour")),
            }
        }
        "monitor-aggregation-flags" => options.monitor_tcp_flags = tcp_flags(value)?,
        _ => {}
    }
    Ok(())
}

/// The words Go's `strconv.ParseBool` knows: the agent reads its options with it.
fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{value}` is not a boolean")),
    }
}

fn refuse_true(value: &str) -> Result<(), String> {
    match boolean(value)? {
        true => Err("switched on, which is not supported yet".into()),
        false => Ok(()),
    }
}

fn positive(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("`{value}` is not a positive number")),
    }
}

/// A Go duration of hours, minutes and seconds: `2h13m20s`.
fn seconds(value: &str) -> Result<u32, String> {
    let wrong = || format!("`{value}` is not a duration such as 60s or 2h13m20s");
    let mut total = 0u64;
    let mut rest = value;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = match rest.as_bytes()[digits] {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(wrong()),
        };
        total = number.checked_mul(unit).and_then(|n| n.checked_add(total)).ok_or_else(wrong)?;
        rest = &rest[digits + 1..];
    }
    match u32::try_from(total) {
        Ok(secs) if secs > 0 => Ok(secs),
        _ => Err(wrong()),
    }
}

fn monitor_aggregation(value: &str) -> Result<MonitorAggregation, String> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "" | "none" | "disabled" | "0" => MonitorAggregation::None,
        "lowest" | "1" => MonitorAggregation::Lowest,
        "low" | "2" => MonitorAggregation::Low,
        "medium" | "3" => MonitorAggregation::Medium,
        "max" | "maximum" | "4" => MonitorAggregation::Maximum,
        _ => return Err(format!("`{value}` is none of none, lowest, low, medium, maximum")),
    })
}

/// Names of TCP flags, between blanks or commas.
fn tcp_flags(value: &str) -> Result<u8, String> {
    let names = value.split([' ', ',']).filter(|name| !name.is_empty());
    names
        .map(|name| {
            Ok(match name.to_ascii_lowercase().as_str() {
                "fin" => 0x01,
                "syn" => 0x02,
                "rst" => 0x04,
                "psh" => 0x08,
                "ack" => 0x10,
                "urg" => 0x20,
                "ece" => 0x40,
                "cwr" => 0x80,
                "all" => u8::MAX,
                _ => return Err(format!("`{name}` is none of fin, syn, rst, psh, ack, urg, ece, cwr, all")),
            })
        })
        .try_fold(0, |flags, flag| Ok(flags | flag?))
}

fn label_filter(value: &str) -> Result<Vec<LabelFilterItem>, String> {
    value.split_whitespace().map(label_filter_item).collect()
}

fn label_filter_item(text: &str) -> Result<LabelFilterItem, String> {
    let (source, rest) = match text.split_once(':') {
        Some((source, rest)) => (Some(source.to_string()), rest),
        None => (None, text),
    };
    let (exclude, pattern) = match rest.strip_prefix('!') {
        Some(pattern) => (true, pattern),
        None => (false, rest),
    };
    if let Err(error) = regex::Regex::new(pattern) {
        return Err(format!("`{pattern}` is not a regular expression: {error}"));
    }
    Ok(LabelFilterItem { source, pattern: pattern.into(), exclude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(seconds("2h13m20s"), Ok(8000));
        assert_eq!(seconds("60s"), Ok(60));
        for wrong in ["", "60", "1x", "h", "-1s", "99999999999999999999s", "0s", "1é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn aggregation_has_cilium_s_words_numbers_and_flags() {
        for (words, level) in [
            (["", "None", "0"], MonitorAggregation::None),
            (["lowest", "LOWEST", "1"], MonitorAggregation::Lowest),
            (["medium", "Medium", "3"], MonitorAggregation::Medium),
            (["max", "maximum", "4"], MonitorAggregation::Maximum),
        ] {
            assert!(words.iter().all(|word| monitor_aggregation(word) == Ok(level)), "{words:?}");
        }
        assert!(monitor_aggregation("5").is_err() && monitor_aggregation("much").is_err());
        assert_eq!((tcp_flags("syn fin rst"), tcp_flags("SYN,FIN,"), tcp_flags("all")), (Ok(7), Ok(3), Ok(255)));
        assert_eq!(tcp_flags(""), Ok(0));
        assert!(tcp_flags("syn;fin").is_err());
        let mut options = Options::default();
        assert!(set(&mut options, "monitor-aggregation-interval", "1h1s").is_err());
        assert_eq!(set(&mut options, "monitor-aggregation-interval", "1h"), Ok(()));
        assert_eq!(options.monitor_interval_secs, 3600);
    }

    #[test]
    fn a_label_filter_item_has_source_sign_and_pattern() {
        let item = label_filter_item("k8s:!io.kubernetes").unwrap();
        assert_eq!(item.source.as_deref(), Some("k8s"));
        assert!(item.exclude);
        assert_eq!(item.pattern, "io.kubernetes");
        assert!(label_filter_item("(").is_err());
    }
}
