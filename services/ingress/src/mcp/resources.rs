//! Calls as resources, `waybill://calls/ID`, next to what a source of content offers.

use rmcp::{
    RoleServer,
    model::{
        ErrorData, ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource,
        ResourceContents, ResourceTemplate,
    },
    service::RequestContext,
};
use serde_json::json;
use waybill_calls::{Call, CallFilter, Error, Status};
use waybill_events::TenantId;

use super::{asked::principal, errors, server::Server};

const PREFIX: &str = "waybill://calls/";
const JSON: &str = "application/json";
/// Calls on one page.
const PAGE: usize = 50;
/// What a cursor of the calls begins with; others are the content's own.
const CURSOR: &str = "calls:";

type Cx = RequestContext<RoleServer>;

/// The content's resources first, page by page, then the tenant's calls, newest first.
pub(super) async fn list(
    server: &Server,
    page: Option<PaginatedRequestParams>,
    cx: &Cx,
) -> Result<ListResourcesResult, ErrorData> {
    let tenant = &principal(cx)?.tenant;
    let cursor = page.as_ref().and_then(|page| page.cursor.as_deref());
    let after = match cursor.map(|cursor| cursor.strip_prefix(CURSOR)) {
        Some(Some(after)) => Some(after.to_owned()).filter(|after| !after.is_empty()),
        foreign => {
            let Some(content) = &server.content else {
                return match foreign {
                    None => calls(server, tenant, None).await,
                    Some(_) => Err(ErrorData::invalid_params(
                        "the cursor is not one of ours",
                        None,
                    )),
                };
            };
            let mut listed = content.list_resources(tenant, page).await?;
            listed.next_cursor.get_or_insert_with(|| CURSOR.to_owned());
            return Ok(listed);
        }
    };
    calls(server, tenant, after).await
}

pub(super) async fn templates(
    server: &Server,
    page: Option<PaginatedRequestParams>,
    cx: &Cx,
) -> Result<ListResourceTemplatesResult, ErrorData> {
    let first = page.as_ref().is_none_or(|page| page.cursor.is_none());
    let mut listed = match &server.content {
        Some(content) => {
            let tenant = &principal(cx)?.tenant;
            content.list_resource_templates(tenant, page).await?
        }
        None => ListResourceTemplatesResult::default(),
    };
    if first {
        let template = ResourceTemplate::new(format!("{PREFIX}{{callId}}"), "call")
            .with_title("Call")
            .with_description("The status of a call, and its result when it has ended")
            .with_mime_type(JSON);
        listed.resource_templates.push(template);
    }
    Ok(listed)
}

pub(super) async fn read(
    server: &Server,
    request: ReadResourceRequestParams,
    cx: &Cx,
) -> Result<ReadResourceResponse, ErrorData> {
    let principal = principal(cx)?;
    let Some(id) = request.uri.strip_prefix(PREFIX) else {
        return match &server.content {
            Some(content) => content.read_resource(&principal.tenant, request).await,
            None => Err(not_found(&request.uri)),
        };
    };
    let call = match server.desk.find(principal, id).await {
        Ok(stored) => stored.call,
        Err(Error::Unknown) => return Err(not_found(&request.uri)),
        Err(error) => return Err(errors::calls(&error)),
    };
    let result = server.desk.calls().result(&call).await;
    let status = Status::new(&call, result.map_err(|error| errors::calls(&error))?);
    let text = json!(status).to_string();
    let contents = ResourceContents::text(text, request.uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]).into())
}

async fn calls(
    server: &Server,
    tenant: &TenantId,
    after: Option<String>,
) -> Result<ListResourcesResult, ErrorData> {
    let filter = CallFilter {
        limit: PAGE,
        after,
        ..CallFilter::default()
    };
    let listed = server.desk.calls().list(tenant, filter).await;
    let (calls, next) = listed.map_err(|error| errors::calls(&error))?;
    let resources = calls.iter().map(|stored| describe(&stored.call)).collect();
    let mut page = ListResourcesResult::with_all_items(resources);
    page.next_cursor = next.map(|next| format!("{CURSOR}{next}"));
    Ok(page)
}

fn describe(call: &Call) -> Resource {
    let about = format!(
        "{} of {}",
        call.state.as_str(),
        call.created_at.to_rfc3339()
    );
    Resource::new(uri(call), format!("call-{}", call.id))
        .with_title(format!("Call of {}", call.tool))
        .with_description(about)
        .with_mime_type(JSON)
}

pub(super) fn uri(call: &Call) -> String {
    format!("{PREFIX}{}", call.id)
}

/// The id in the URI of a call.
pub(super) fn call_id(uri: &str) -> Option<&str> {
    uri.strip_prefix(PREFIX)
}

fn not_found(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("resource not found", Some(json!({ "uri": uri })))
}
