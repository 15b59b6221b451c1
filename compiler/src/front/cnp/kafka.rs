//! Kafka rules (spec §2.14).

use crate::diag::Diagnostic;
use crate::front::codes;
use crate::front::decode::{Ctx, Fields};
use crate::front::names::nearest;
use crate::front::objects::KafkaRule;
use crate::front::yaml::Node;

/// Longest topic, in characters.
const TOPIC_LEN_MAX: usize = 255;

/// API keys by name; the number is the index.
const API_KEYS: [&str; 34] = [
    "produce",
    "fetch",
    "offsets",
    "metadata",
    "leaderandisr",
    "stopreplica",
    "updatemetadata",
    "controlledshutdown",
    "offsetcommit",
    "offsetfetch",
    "findcoordinator",
    "joingroup",
    "heartbeat",
    "leavegroup",
    "syncgroup",
    "describegroups",
    "listgroups",
    "saslhandshake",
    "apiversions",
    "createtopics",
    "deletetopics",
    "deleterecords",
    "initproducerid",
    "offsetforleaderepoch",
    "addpartitionstotxn",
    "addoffsetstotxn",
    "endtxn",
    "writetxnmarkers",
    "txnoffsetcommit",
    "describeacls",
    "createacls",
    "deleteacls",
    "describeconfigs",
    "alterconfigs",
];

/// What a producer sends: produce, metadata, apiversions.
const PRODUCE: &[i16] = &[0, 3, 18];

/// What a consumer sends: fetch, offsets, metadata, offsetcommit to syncgroup, apiversions.
const CONSUME: &[i16] = &[1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18];

/// Roles by name.
const ROLES: [(&str, &[i16]); 2] = [("produce", PRODUCE), ("consume", CONSUME)];

/// The name of an API key, if it has one.
pub fn api_key_name(key: i16) -> Option<&'static str> {
    API_KEYS.get(usize::try_from(key).ok()?).copied()
}

/// Reads `FIELD=VALUE,..` with the fields of an item, as command lines have it.
pub fn request(text: &str) -> Result<KafkaRule, String> {
    let mut out = KafkaRule::default();
    for part in text.split(',') {
        let (field, value) = part.split_once('=').ok_or("a request is FIELD=VALUE,.., such as role=produce,topic=x")?;
        match field {
            "role" | "apiKey" if !out.api_keys.is_empty() => return Err("`role` and `apiKey` are given once".into()),
            "role" => {
                let known = ROLES.iter().find(|(role, _)| *role == value);
                out.api_keys = known.ok_or("a role is `produce` or `consume`")?.1.to_vec();
            }
            "apiKey" => {
                let number = number_of(value);
                out.api_keys = vec![number.ok_or_else(|| format!("{value:?} is not an API key of Kafka"))?];
            }
            "apiVersion" => {
                let number = value.parse().ok().filter(|number| *number >= 0);
                out.api_version = Some(number.ok_or("apiVersion is a number from 0 to 32767")?);
            }
            "clientID" => out.client_id = Some(value.to_owned()),
            "topic" => out.topic = Some(value.to_owned()),
            _ => return Err(format!("{field:?} is none of role, apiKey, apiVersion, clientID, topic")),
        }
    }
    Ok(out)
}

fn number_of(key: &str) -> Option<i16> {
    let lower = key.to_ascii_lowercase();
    API_KEYS.iter().zip(0i16..).find(|(known, _)| **known == lower).map(|(_, number)| number)
}

/// Reads an item of `kafka`.
pub fn rule(ctx: &mut Ctx, node: &Node<'_>) -> Option<KafkaRule> {
    let fields = ctx.fields("kafka", node)?;
    let role = fields.get("role").filter(|node| node.str() != Some(""));
    let key = fields.get("apiKey").filter(|node| node.str() != Some(""));
    if let (Some(role), Some(key)) = (role, key) {
        ctx.report(
            Diagnostic::error(codes::KAFKA_ROLE_AND_KEY, key.span, "cannot combine `role` and `apiKey` in one item")
                .related(role.span, "the role, which is a set of keys")
                .hint("make two items of it, which is an OR"),
        );
    }
    let role = role.and_then(|node| ctx.word(codes::KAFKA_KEY, "role", node, &ROLES));
    let key = key.and_then(|node| api_key(ctx, node));
    let rule = KafkaRule {
        api_keys: role.map(<[i16]>::to_vec).or(key.map(|key| vec![key])).unwrap_or_default(),
        api_version: api_version(ctx, &fields),
        client_id: ctx.optional_text(&fields, "clientID"),
        topic: topic(ctx, &fields),
    };
    fields.finish(ctx, "a kafka item");
    Some(rule)
}

fn api_key(ctx: &mut Ctx, node: &Node<'_>) -> Option<i16> {
    let text = ctx.text("apiKey", node)?;
    let number = number_of(text);
    if number.is_none() {
        let diagnostic = Diagnostic::error(codes::KAFKA_KEY, node.span, format!("{text:?} is not an API key of Kafka"));
        ctx.report(match nearest(text, API_KEYS) {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic.hint("API keys are names, such as `produce`"),
        });
    }
    number
}

fn api_version(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<i16> {
    let text = ctx.optional_text(fields, "apiVersion")?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    if let (None, Some(node)) = (number, fields.get("apiVersion")) {
        ctx.error(codes::KAFKA_VERSION, node.span, format!("apiVersion {text:?} is not between 0 and 32767"));
    }
    number
}

fn topic(ctx: &mut Ctx, fields: &Fields<'_, '_>) -> Option<String> {
    let text = ctx.optional_text(fields, "topic")?;
    let node = fields.get("topic")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some((offset, c)) = text.char_indices().find(|(_, c)| !allowed(*c)) {
        let place = node.part(offset, c.len_utf8());
        ctx.error(codes::KAFKA_TOPIC, place, format!("topic {text:?}: letters, digits, `.`, `_` and `-` make a topic"));
    } else if text.len() > TOPIC_LEN_MAX {
        let message = format!("a topic of {} characters, the limit is {TOPIC_LEN_MAX}", text.len());
        ctx.error(codes::KAFKA_TOPIC, node.span, message);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_on_the_command_line() {
        let read = request("role=produce,topic=orders,clientID=web,apiVersion=2").unwrap();
        assert_eq!((read.api_keys.as_slice(), read.api_version), (PRODUCE, Some(2)));
        assert_eq!((read.topic.as_deref(), read.client_id.as_deref()), (Some("orders"), Some("web")));
        assert_eq!(request("apiKey=Fetch").unwrap().api_keys, [1]);
        for bad in ["", "produce", "role=x", "apiKey=x", "apiVersion=-1", "role=produce,apiKey=fetch", "key=fetch"] {
            assert!(request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_are_sets_of_keys() {
        let names = |role: &[i16]| role.iter().map(|key| API_KEYS[*key as usize]).collect::<Vec<_>>();
        assert_eq!(names(PRODUCE), ["produce", "metadata", "apiversions"]);
        let consume = [
            "fetch",
            "offsets",
            "metadata",
            "offsetcommit",
            "offsetfetch",
            "findcoordinator",
            "joingroup",
            "heartbeat",
            "leavegroup",
            "syncgroup",
            "apiversions",
        ];
        assert_eq!(names(CONSUME), consume);
    }
}
