//! Prompts and resources: what a client reads instead of calling.

use async_trait::async_trait;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, GetPromptRequestParams,
    GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
};
use serde_json::json;
use waybill_events::TenantId;

/// What a source of prompts and resources offers to one tenant. It is asked directly, without the
/// queue: an answer must be quick and must not change anything. Every method defaults to having
/// nothing, so that a source implements only its own half.
///
/// `get_prompt` and `read_resource` may answer `InputRequired`. No state is kept for them: the client
/// sends its answers with the request again, and the request carries all of them.
///
/// Errors are JSON-RPC errors, passed to the client as they are. An unknown prompt is -32602. An
/// unknown resource is [`ErrorData::resource_not_found`] with the asked `uri` in its data: -32002,
/// which rmcp turns into -32602 for clients of 2026-07-28 (SEP-2164).
#[async_trait]
pub trait Content: Send + Sync + 'static {
    /// Pages by a cursor of its own making; an unknown cursor is -32602.
    async fn list_prompts(
        &self,
        _tenant: &TenantId,
        _page: Option<PaginatedRequestParams>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::default())
    }

    async fn get_prompt(
        &self,
        _tenant: &TenantId,
        request: GetPromptRequestParams,
    ) -> Result<GetPromptResponse, ErrorData> {
        let message = format!("unknown prompt {}", request.name);
        Err(ErrorData::invalid_params(message, None))
    }

    /// Direct resources only; templates have their own list.
    async fn list_resources(
        &self,
        _tenant: &TenantId,
        _page: Option<PaginatedRequestParams>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::default())
    }

    async fn list_resource_templates(
        &self,
        _tenant: &TenantId,
        _page: Option<PaginatedRequestParams>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::default())
    }

    async fn read_resource(
        &self,
        _tenant: &TenantId,
        request: ReadResourceRequestParams,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let data = json!({ "uri": request.uri });
        Err(ErrorData::resource_not_found(
            "resource not found",
            Some(data),
        ))
    }

    /// At most [`CompletionInfo::MAX_VALUES`] values for an argument of a prompt or a template.
    async fn complete(
        &self,
        _tenant: &TenantId,
        _request: CompleteRequestParams,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(CompleteResult::new(CompletionInfo::default()))
    }
}
