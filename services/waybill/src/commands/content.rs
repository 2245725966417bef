//! An MCP tool result as text: text blocks as they are, the others in a line each.

use serde_json::Value;

/// The content blocks, one after the other; the structured content where there is no block.
pub(super) fn text(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array);
    let blocks: Vec<String> = blocks.into_iter().flatten().map(block).collect();
    match result.get("structuredContent") {
        Some(structured) if blocks.is_empty() => indented(structured),
        _ => blocks.join("\n"),
    }
}

pub(super) fn indented(value: &Value) -> String {
    format!("{value:#}")
}

fn block(block: &Value) -> String {
    let text = |pointer: &str| block.pointer(pointer).and_then(Value::as_str);
    let kind = text("/type").unwrap_or("unknown");
    match kind {
        "text" => text("/text").unwrap_or_default().to_owned(),
        "image" | "audio" => {
            let size = size(text("/data").unwrap_or_default());
            format!(
                "[{kind}: {}, {size}]",
                text("/mimeType").unwrap_or("of no named type")
            )
        }
        "resource_link" => {
            let name = text("/title").or_else(|| text("/name")).unwrap_or_default();
            format!("[link: {name} {}]", text("/uri").unwrap_or_default())
        }
        "resource" => match (
            text("/resource/text"),
            text("/resource/uri").unwrap_or_default(),
        ) {
            (Some(text), _) => text.to_owned(),
            (None, uri) => {
                format!(
                    "[resource: {uri}, {}]",
                    size(text("/resource/blob").unwrap_or_default())
                )
            }
        },
        other => format!("[{other}]"),
    }
}

/// Of what the base 64 holds.
fn size(base64: &str) -> String {
    let padding = base64
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    let bytes = (base64.len() / 4 * 3).saturating_sub(padding);
    if bytes < 1_024 {
        format!("{bytes} bytes")
    } else {
        format!("{} KiB", bytes / 1_024)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_itself_and_the_rest_is_named() {
        let result = json!({ "content": [
            { "type": "text", "text": "two\nlines" },
            { "type": "image", "mimeType": "image/png", "data": "AAECAw==" },
            { "type": "resource_link", "name": "notes", "uri": "file:///n.md" },
            { "type": "resource", "resource": { "uri": "file:///a", "text": "inside" } },
            { "type": "resource", "resource": { "uri": "file:///b", "blob": "AAAA" } },
            { "type": "hologram" },
        ], "structuredContent": { "a": 1 } });
        let lines = [
            "two\nlines",
            "[image: image/png, 4 bytes]",
            "[link: notes file:///n.md]",
            "inside",
            "[resource: file:///b, 3 bytes]",
            "[hologram]",
        ];
        assert_eq!(text(&result), lines.join("\n"));
    }

    #[test]
    fn structured_content_stands_in_for_no_text() {
        let result = json!({ "content": [], "structuredContent": { "a": 1 } });
        assert_eq!(text(&result), "{\n  \"a\": 1\n}");
    }
}
