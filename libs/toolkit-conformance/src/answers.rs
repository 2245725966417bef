//! Tools that answer at once, one for each kind of content.

use std::sync::Arc;

use rmcp::model::ResourceContents;
use waybill_toolkit::{CallToolResult, ContentBlock, Tool};

use crate::fixture::{answers, content, spec, text};

/// A picture of one red pixel, PNG in base64.
pub(crate) const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV file with no samples (8 kHz, 8 bit, mono), in base64.
const SILENCE: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

pub(crate) fn tools() -> Vec<Arc<dyn Tool>> {
    vec![
        answers(spec("test_simple_text", "Answers with a text"), |_, _| {
            text("This is a simple text response for testing.")
        }),
        answers(
            spec("test_image_content", "Answers with an image"),
            |_, _| content(vec![ContentBlock::image(PIXEL, "image/png")]),
        ),
        answers(
            spec("test_audio_content", "Answers with a sound"),
            |_, _| content(vec![ContentBlock::audio(SILENCE, "audio/wav")]),
        ),
        answers(
            spec("test_embedded_resource", "Answers with a resource"),
            |_, _| {
                let body = "This is an embedded resource content.";
                content(vec![resource(
                    "test://embedded-resource",
                    "text/plain",
                    body,
                )])
            },
        ),
        answers(
            spec(
                "test_multiple_content_types",
                "Answers with a text, an image and a resource",
            ),
            |_, _| {
                let json = r#"{"test":"data","value":123}"#;
                content(vec![
                    ContentBlock::text("Multiple content types test:"),
                    ContentBlock::image(PIXEL, "image/png"),
                    resource("test://mixed-content-resource", "application/json", json),
                ])
            },
        ),
        answers(
            spec("test_error_handling", "Answers with an error"),
            |_, _| {
                let message = "This tool intentionally returns an error for testing";
                Ok(CallToolResult::error(vec![ContentBlock::text(message)]))
            },
        ),
    ]
}

fn resource(uri: &str, mime_type: &str, body: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(body, uri).with_mime_type(mime_type))
}
