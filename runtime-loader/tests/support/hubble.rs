//! Reads lines of `monitor -o json` as the hubble CLI does: as protobuf's JSON form of a `GetFlowsResponse`.

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

/// Checks that a line is a `GetFlowsResponse`, without a field that Hubble does not know, and gives it back as protobuf
/// would write it: whatever differs was read as something else than it says.
pub fn read(line: &str) -> Result<Value, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
    let files = protox::compile(["hubble.proto"], [folder]).map_err(|error| format!("{error:?}"))?;
    let pool = DescriptorPool::from_file_descriptor_set(files).map_err(|error| error.to_string())?;
    let kind = pool.get_message_by_name("hubble.GetFlowsResponse").ok_or("no such message")?;
    let mut json = serde_json::Deserializer::from_str(line);
    let message = DynamicMessage::deserialize(kind, &mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())
}
