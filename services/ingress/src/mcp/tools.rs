//! The list of tools, in MCP's words.

use rmcp::model::{ErrorData, ListToolsResult, PaginatedRequestParams, Tool};
use waybill_toolkit::{Registry, ToolSpec};

use super::own::{self, Own};

/// What a cursor of ours begins with; the last name that was listed follows.
const CURSOR: &str = "after:";

/// A page, in the order of the names: a tool that comes or goes moves no other to another page.
pub(super) fn list(
    registry: &Registry,
    request: Option<PaginatedRequestParams>,
    page: usize,
) -> Result<ListToolsResult, ErrorData> {
    let after = match request.and_then(|request| request.cursor) {
        None => String::new(),
        Some(cursor) => cursor
            .strip_prefix(CURSOR)
            .ok_or_else(|| ErrorData::invalid_params("the cursor is not one of ours", None))?
            .to_owned(),
    };
    let mut tools: Vec<Tool> = registry
        .list()
        .iter()
        .map(|tool| tool.spec())
        .filter(|spec| spec.name > after && own::named(&spec.name).is_none())
        .map(describe)
        .chain(
            Own::ALL
                .map(Own::tool)
                .into_iter()
                .filter(|own| *own.name > *after),
        )
        .collect();
    tools.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let more = tools.len() > page;
    tools.truncate(page);
    let last = tools.last().filter(|_| more);
    let next = last.map(|tool| format!("{CURSOR}{}", tool.name));
    let mut result = ListToolsResult::with_all_items(tools);
    result.next_cursor = next;
    Ok(result)
}

pub(super) fn get(registry: &Registry, name: &str) -> Option<Tool> {
    match own::named(name) {
        Some(own) => Some(own.tool()),
        None => registry.get(name).map(|tool| describe(tool.spec())),
    }
}

fn describe(spec: &ToolSpec) -> Tool {
    let (name, description) = (spec.name.clone(), spec.description.clone());
    let mut tool = Tool::new(name, description, spec.input_schema.clone())
        .with_annotations(spec.annotations());
    tool.title.clone_from(&spec.title);
    tool.output_schema.clone_from(&spec.output_schema);
    tool
}
