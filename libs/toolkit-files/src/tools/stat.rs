//! `files_stat`: what a path is.

use std::sync::Arc;

use cap_std::fs::{Metadata, MetadataExt};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_toolkit::{Effect, ToolContext, ToolError, ToolSpec, TypedTool};
use waybill_workspace::{Kind, Place, Roots};

use crate::{
    blocking,
    entry::{human_size, modified},
};

/// Permission bits of a mode: the rest tells the kind.
const PERMISSION_BITS: u32 = 0o7777;

pub(crate) struct FilesStat(pub(crate) Arc<Roots>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The file or directory, relative to the root.
    path: String,
    /// Name of the root, as `files_roots` tells; the first by default.
    root: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    root: String,
    path: String,
    kind: Kind,
    /// Bytes.
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<DateTime<Utc>>,
    /// Unix permissions, octal: `0644`.
    mode: String,
    /// Of a symlink: where it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Link>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Link {
    /// Its text, as it is stored.
    target: String,
    /// What the target is; missing when it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    /// Bytes of the target, if it is a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Why the target cannot be read: broken, or outside the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

impl TypedTool for FilesStat {
    type Input = Input;
    type Output = Output;

    fn spec(&self) -> ToolSpec {
        ToolSpec::new(
            "files_stat",
            "Tells what a path is: kind, size, time of the last change, permissions, and where a \
             symlink leads.",
            Effect::ReadOnly,
        )
    }

    async fn run(&self, input: Input, cx: &ToolContext) -> Result<Output, ToolError> {
        let place = self.0.place(input.root.as_deref(), &input.path)?;
        blocking(cx, move |_| stat(&place)).await
    }

    fn render(output: &Output) -> String {
        let mut parts = vec![output.kind.as_str().to_owned(), human_size(output.size)];
        parts.extend(
            output
                .modified
                .map(|time| format!("modified {}", time.format("%FT%TZ"))),
        );
        parts.push(format!("mode {}", output.mode));
        if let Some(link) = &output.link {
            let kind = link.kind.map_or("unreadable", Kind::as_str);
            parts.push(format!("leads to {} ({kind})", link.target));
        }
        format!("{}: {}", output.path, parts.join(", "))
    }
}

fn stat(place: &Place) -> Result<Output, ToolError> {
    let metadata = place.symlink_metadata()?;
    let kind = Kind::from(metadata.file_type());
    Ok(Output {
        root: place.root.name.clone(),
        path: place.shown(),
        kind,
        size: metadata.len(),
        modified: modified(&metadata),
        mode: format!("{:04o}", metadata.mode() & PERMISSION_BITS),
        link: if kind == Kind::Symlink {
            Some(link(place)?)
        } else {
            None
        },
    })
}

fn link(place: &Place) -> Result<Link, ToolError> {
    let target = place.link_target()?;
    let target = target.to_string_lossy().into_owned();
    Ok(match place.metadata() {
        Ok(metadata) => {
            let kind = Kind::from(metadata.file_type());
            let size = (kind == Kind::File).then(|| Metadata::len(&metadata));
            Link {
                target,
                kind: Some(kind),
                size,
                unreadable: None,
            }
        }
        Err(error) => Link {
            target,
            kind: None,
            size: None,
            unreadable: Some(ToolError::from(error).to_string()),
        },
    })
}
