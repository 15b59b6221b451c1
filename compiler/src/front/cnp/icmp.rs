//! `icmps` (spec §2.12).

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::Ctx;
use crate::front::names::nearest;
use crate::front::objects::IcmpField;
use crate::front::yaml::{Node, Value};

/// Items of one `fields` list.
const FIELDS_MAX: usize = 40;

/// Types of ICMP by name.
const IPV4: [(&str, u8); 15] = [
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEchoReply", 43),
    // The schema of the CRD spells it so.
    ("ExtendedEcho Reply", 43),
];

/// Types of ICMPv6 by name.
const IPV6: [(&str, u8); 27] = [
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];

/// Reads `icmps`; `[]` is the same as no list.
pub fn icmps(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<Vec<IcmpField>>> {
    let items = ctx.items("icmps", node)?;
    let read: Vec<_> = items.iter().filter_map(|item| icmp_item(ctx, item)).collect();
    (!items.is_empty()).then_some(read)
}

fn icmp_item(ctx: &mut Ctx, node: &Node<'_>) -> Option<Vec<IcmpField>> {
    let fields = ctx.fields("icmps", node)?;
    let list = fields.get("fields");
    let items = list.and_then(|node| ctx.items("fields", node)).unwrap_or_default();
    if items.len() > FIELDS_MAX {
        let span = list.map_or(node.span, |list| list.span);
        let message = format!("{} ICMP types in one list, the limit is {FIELDS_MAX}", items.len());
        ctx.report(Diagnostic::error(codes::ICMP_COUNT, span, message).hint("make several items of `icmps`"));
    }
    let read = items.iter().filter_map(|item| field(ctx, item)).collect();
    fields.finish(ctx, "an icmps item");
    Some(read)
}

fn field(ctx: &mut Ctx, node: &Node<'_>) -> Option<IcmpField> {
    let fields = ctx.fields("fields", node)?;
    let ipv6 = match fields.get("family") {
        Some(node) => family(ctx, node),
        None => Some(false),
    };
    let kind = fields.get("type");
    fields.finish(ctx, "an ICMP field");
    let Some(kind) = kind else {
        return ctx.missing(codes::ICMP_TYPE, "type", node.span);
    };
    let ipv6 = ipv6?;
    Some(IcmpField { ipv6, icmp_type: icmp_type(ctx, kind, ipv6)?, span: node.span })
}

fn family(ctx: &mut Ctx, node: &Node<'_>) -> Option<bool> {
    match ctx.text("family", node)? {
        "IPv4" => Some(false),
        "IPv6" => Some(true),
        other => {
            ctx.error(codes::ICMP_FAMILY, node.span, format!("family {other:?} is not IPv4 or IPv6"));
            None
        }
    }
}

fn icmp_type(ctx: &mut Ctx, node: &Node<'_>, ipv6: bool) -> Option<u8> {
    let name = match node.value() {
        Some(Value::Str(text)) if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_digit()) => text,
        Some(Value::Str(digits)) => {
            // The schema has no leading zeros.
            let number = if digits.len() > 1 && digits.starts_with('0') { None } else { digits.parse().ok() };
            return number.or_else(|| out_of_range(ctx, node, digits));
        }
        _ => {
            let number = ctx.integer("type", node)?;
            return u8::try_from(number).ok().or_else(|| out_of_range(ctx, node, &number.to_string()));
        }
    };
    let names: &[(&str, u8)] = if ipv6 { &IPV6 } else { &IPV4 };
    if let Some((_, number)) = names.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let family = if ipv6 { "ICMPv6" } else { "ICMP" };
    let diagnostic = Diagnostic::error(codes::ICMP_TYPE, node.span, format!("{name:?} is not a type of {family}"));
    let other: &[(&str, u8)] = if ipv6 { &IPV4 } else { &IPV6 };
    ctx.report(if other.iter().any(|(known, _)| *known == name) {
        diagnostic
            .hint(format!("it is one of the other family: write `family: {}`", if ipv6 { "IPv4" } else { "IPv6" }))
    } else {
        match nearest(name, names.iter().map(|(known, _)| *known)) {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic,
        }
    });
    None
}

fn out_of_range(ctx: &mut Ctx, node: &Node<'_>, written: &str) -> Option<u8> {
    ctx.error(codes::ICMP_TYPE, node.span, format!("ICMP type {written} is not between 0 and 255"));
    None
}
