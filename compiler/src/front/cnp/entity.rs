//! Entities (spec §2.7).

use crate::diag::{Diagnostic, Spanned};
use crate::front::codes;
use crate::front::decode::{Ctx, spanned};
use crate::front::names::nearest;
use crate::front::objects::Entity;
use crate::front::yaml::Node;

use super::Scope;

/// Entities by name.
const ENTITIES: [(&str, Entity); 13] = [
    ("all", Entity::All),
    ("world", Entity::World),
    ("cluster", Entity::Cluster),
    ("host", Entity::Host),
    ("init", Entity::Init),
    ("ingress", Entity::Ingress),
    ("unmanaged", Entity::Unmanaged),
    ("remote-node", Entity::RemoteNode),
    ("health", Entity::Health),
    ("none", Entity::None),
    ("kube-apiserver", Entity::KubeApiserver),
    ("world-ipv4", Entity::WorldIpv4),
    ("world-ipv6", Entity::WorldIpv6),
];

/// How many of them the schema of the CRDs has: all but the last two, which only raw rules may name.
const OF_SCHEMA: usize = 11;

/// Reads `fromEntities` or `toEntities`.
pub fn entities(ctx: &mut Ctx, name: &str, node: &Node<'_>, scope: Scope) -> Option<Vec<Spanned<Entity>>> {
    let items = ctx.items(name, node)?;
    Some(items.iter().filter_map(|item| entity(ctx, name, item, scope)).collect())
}

fn entity(ctx: &mut Ctx, name: &str, node: &Node<'_>, scope: Scope) -> Option<Spanned<Entity>> {
    let text = ctx.text(name, node)?;
    let known = match scope {
        Scope::Namespaced | Scope::Cluster => &ENTITIES[..OF_SCHEMA],
        Scope::Raw => &ENTITIES,
    };
    if let Some((_, entity)) = known.iter().find(|(known, _)| *known == text) {
        return Some(spanned(node, *entity));
    }
    let diagnostic = Diagnostic::error(codes::ENTITY, node.span, format!("{text:?} is not an entity"));
    let names: Vec<_> = known.iter().map(|(known, _)| *known).collect();
    ctx.report(if ENTITIES.iter().any(|(known, _)| *known == text) {
        diagnostic.hint("only raw rules may name it; write `world`, or a CIDR of /0")
    } else {
        match nearest(text, names.iter().copied()) {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic.hint(format!("entities are {}", names.join(", "))),
        }
    });
    None
}
