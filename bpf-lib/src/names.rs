//! Names that the object, the loader and the bundle agree on.

/// Bound of a map name in the kernel.
pub const MAP_NAME_MAX: usize = 15;

/// Class table: identity index → row.
pub const ID_ROW: &str = "id_row";
/// Class table: (protocol, port) → port class.
pub const PORT_CLASS: &str = "port_class";
/// Class table: (row, port class) → action index.
pub const VERDICT: &str = "verdict";
/// Class table: action index → [`crate::action::Action`].
pub const ACTIONS: &str = "actions";
/// The four class tables, in the order in which a bundle file holds them.
pub const CLASS_TABLES: [&str; 4] = [ID_ROW, PORT_CLASS, VERDICT, ACTIONS];

/// Program map: [`crate::endpoint::Endpoint`] by slot.
pub const ENDPOINTS: &str = "endpoints";
/// Program map: by slot, the program of the endpoint's other direction.
pub const OPPOSITES: &str = "opposites";
/// Program map: per-CPU [`crate::counter::Counter`] by slot and action index.
pub const COUNTERS: &str = "counters";

/// Generation map: IPv4 address → identity index ([`crate::ipcache::Trie4`]).
pub const IPCACHE4: &str = "ipcache4";
/// Generation map: IPv6 address → identity index ([`crate::ipcache::Trie6`]).
pub const IPCACHE6: &str = "ipcache6";
/// Generation map: identity index → numeric identity (u32).
pub const IDENTITIES: &str = "identities";

/// Node map: IPv4 conntrack.
pub const CONNTRACK4: &str = "conntrack4";
/// Node map: IPv6 conntrack.
pub const CONNTRACK6: &str = "conntrack6";
/// Node map: when the entries of `conntrack4` (index 0) and `conntrack6` (index 1) were last swept, `u64` monotonic
/// nanoseconds. The programs sweep a map that is full; nobody else reads or writes it.
pub const CT_SWEPT: &str = "ct_swept";
/// Node map: datagram → [`crate::fragment::FragmentHead`], the least recently used forgotten first.
pub const FRAGMENTS: &str = "fragments";
/// Node map: ring buffer of [`crate::event`] records.
pub const EVENTS: &str = "events";
/// Node map: per-CPU [`crate::event::EventBucket`] at index 0.
pub const EVENT_LIMIT: &str = "event_limit";
/// Node map: per-CPU [`crate::counter::Counter`] at index 0 of events that were not reported.
pub const EVENTS_LOST: &str = "events_lost";
/// Node map: per-CPU [`crate::counter::Counter`] by reason and direction.
pub const METRICS: &str = "metrics";

/// Program for packets that an endpoint sends (ingress of the host side), behind the entry program of the endpoint.
pub const FROM_CONTAINER: &str = "from_container";
/// Program for packets to an endpoint (egress of the host side), behind the entry program of the endpoint.
pub const TO_CONTAINER: &str = "to_container";

/// Direction of policy: towards the endpoint.
pub const DIRECTION_INGRESS: u8 = 0;
/// Direction of policy: from the endpoint.
pub const DIRECTION_EGRESS: u8 = 1;

/// `const volatile` scalars that the loader sets before it loads a program.
pub mod rodata {
    /// u32: generation of the bundle.
    pub const GENERATION: &str = "generation";
    /// u32: cause of a drop that no table decides (deny-all classes, missing pages).
    pub const DEFAULT_CAUSE: &str = "default_cause";
}
