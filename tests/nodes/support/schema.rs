//! Compares answers with `docs/openapi.json`: as much of JSON Schema as that uses, and no keyword beyond it.

use serde_json::{Map, Value};

/// The description of the API.
pub fn openapi() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).expect("docs/openapi.json is JSON")
}

/// Panics unless the value is as this schema of the API describes it.
pub fn assert_is(name: &str, value: &Value) {
    let api = openapi();
    if let Err(why) = compare(&api, &api["components"]["schemas"][name], value) {
        panic!("no {name}: {why}\n{value}");
    }
}

fn compare(api: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().ok_or("there is no such schema")?;
    for (keyword, rule) in schema {
        let holds = match keyword.as_str() {
            "description" => true,
            "$ref" => {
                let path = rule.as_str().and_then(|path| path.strip_prefix('#')).expect("a part of the same file");
                compare(api, api.pointer(path).unwrap_or(&Value::Null), value)?;
                true
            }
            "type" => is_of_type(rule.as_str().unwrap(), value),
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "maximum" => value.as_f64() <= rule.as_f64(),
            "minLength" => value.as_str().map(str::len) >= rule.as_u64().map(|n| n as usize),
            "maxLength" => value.as_str().map(str::len) <= rule.as_u64().map(|n| n as usize),
            "pattern" => is_hex(rule.as_str().unwrap(), value.as_str().unwrap_or_default()),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| compare(api, rule, item))?;
                true
            }
            "oneOf" | "anyOf" => {
                let failed: Vec<String> =
                    rule.as_array().unwrap().iter().filter_map(|one| compare(api, one, value).err()).collect();
                let fitting = rule.as_array().unwrap().len() - failed.len();
                if fitting == 0 {
                    return Err(failed.join(" / "));
                }
                keyword == "anyOf" || fitting == 1
            }
            "properties" => {
                let none = Map::new();
                for (name, part) in value.as_object().unwrap_or(&none) {
                    if let Some(schema) = rule.get(name) {
                        compare(api, schema, part).map_err(|why| format!("{name}: {why}"))?;
                    }
                }
                true
            }
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                assert_eq!(rule, false);
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|parts| parts.keys().all(|name| known.contains_key(name)))
            }
            other => panic!("the keyword {other} is not known here"),
        };
        if !holds {
            return Err(format!("{keyword} is {rule}, but the value is {value}"));
        }
    }
    Ok(())
}

fn is_of_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}

/// The only patterns that are used are of so many hexadecimal digits.
fn is_hex(pattern: &str, text: &str) -> bool {
    let digits = pattern.strip_prefix("^[0-9a-f]{").and_then(|rest| rest.strip_suffix("}$")).expect("a known pattern");
    text.len() == digits.parse::<usize>().unwrap() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
