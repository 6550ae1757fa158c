//! The document as one page of plain HTML: no script, nothing from elsewhere, one style sheet named by its hash.

use std::fmt::Write;

use serde_json::Value;

use crate::crypto::encoding::base64;
use crate::crypto::hash::sha256;
use crate::http::openapi::ROLES;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code{font:14px ui-monospace,monospace}h2{border-bottom:1px solid #999}h3{margin-bottom:0}\
    table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2rem .5rem;text-align:left;vertical-align:top}\
    @media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#8cf}}";

/// The page, and the hash that admits its style sheet.
pub(super) fn render(document: &Value) -> (String, String) {
    let mut page = String::new();
    let title = text(document.pointer("/info/title"));
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title} API</title><style>{STYLE}</style></head><body><h1>{title} API</h1>\
         <p>{}</p><p>The same for programs: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI {}).</p>",
        text(document.pointer("/info/description")),
        text(document.get("openapi")),
    );
    for tag in document.get("tags").and_then(Value::as_array).into_iter().flatten() {
        let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
        let _ = write!(page, "<h2>{}</h2><p>{}</p>", escape(name), text(tag.get("description")));
        for (path, method, operation) in operations(document) {
            if operation.pointer("/tags/0").and_then(Value::as_str) == Some(name) {
                write_operation(&mut page, path, method, operation);
            }
        }
    }
    page.push_str("<h2>Objects</h2>");
    for (name, schema) in document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
        write_schema(&mut page, name, schema);
    }
    page.push_str("</body></html>");
    (page, base64(&sha256(STYLE.as_bytes())))
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn write_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let method = method.to_uppercase();
    let _ = write!(page, "<h3><code>{method} {}</code></h3><p>{}", escape(path), text(operation.get("summary")));
    if operation.get("description").is_some() {
        let _ = write!(page, ". {}", text(operation.get("description")));
    }
    page.push_str("</p><table>");
    if let Some(roles) = operation.get(ROLES).and_then(Value::as_array) {
        let roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
        let _ = write!(page, "<tr><th>Roles<td>{}", escape(&roles.join(", ")));
    }
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let (name, place) = (text(parameter.get("name")), text(parameter.get("in")));
        let _ = write!(page, "<tr><th>{place} <code>{name}</code><td>{}", text(parameter.get("description")));
    }
    if let Some(body) = operation.pointer("/requestBody/content").and_then(Value::as_object) {
        let _ = write!(page, "<tr><th>Body<td>{}", contents(body));
    }
    for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let content = response.get("content").and_then(Value::as_object).map(contents).unwrap_or_default();
        let _ = write!(page, "<tr><th>{}<td>{} {content}", escape(status), text(response.get("description")));
    }
    page.push_str("</table>");
}

fn contents(content: &serde_json::Map<String, Value>) -> String {
    let named = content.iter().map(|(media_type, body)| {
        let schema = body.get("schema").map(type_of).unwrap_or_default();
        format!("<code>{}</code> {schema}", escape(media_type))
    });
    named.collect::<Vec<_>>().join(", ")
}

fn write_schema(page: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let _ = write!(page, "<h3 id=\"{name}\">{name}</h3><p>{} {}</p>", text(schema.get("description")), type_of(schema));
    let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    page.push_str("<table>");
    for part in std::iter::once(schema).chain(parts) {
        for (member, schema) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let description = text(schema.get("description"));
            let _ = write!(page, "<tr><th><code>{}</code><td>{}<td>{description}", escape(member), type_of(schema));
        }
    }
    page.push_str("</table>");
}

/// A schema in a few words; objects as links.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(|word| format!("<code>{}</code>", text(Some(word)))).collect::<Vec<_>>().join(" | ");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema.get(several).and_then(Value::as_array) {
            let parts = parts.iter().map(type_of).filter(|part| !part.is_empty()).collect::<Vec<_>>();
            return parts.join(if several == "allOf" { " and " } else { " or " });
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().map(|kind| text(Some(kind))).collect::<Vec<_>>().join(" or "),
        kind => text(kind),
    };
    match schema.get("items") {
        Some(items) => format!("{kind} of {}", type_of(items)),
        None => kind,
    }
}

fn text(value: Option<&Value>) -> String {
    escape(value.and_then(Value::as_str).unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn text_of_the_document_is_inert_in_the_page() {
        let evil = "<script>\"&";
        let document = json!({
            "info": { "title": evil, "description": evil }, "tags": [{ "name": evil, "description": evil }],
            "paths": { evil: { "get": { "tags": [evil], "summary": evil, "x-mailwarden-roles": [evil], "parameters": [{ "name": evil }],
                "responses": { evil: { "description": evil, "content": { evil: { "schema": { "type": evil } } } } } } } },
            "components": { "schemas": { evil: { "description": evil, "properties": { evil: { "enum": [evil] } } } } },
        });
        let (page, _) = super::render(&document);
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;&quot;&amp;").count() > 12, "{page}");
    }
}
