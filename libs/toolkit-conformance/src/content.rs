//! The fixture resources, and the door to the prompts.

use async_trait::async_trait;
use rmcp::model::{
    CacheScope, CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData,
    GetPromptRequestParams, GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
};
use serde_json::json;
use waybill_events::TenantId;
use waybill_toolkit::Content;

use crate::{answers::PIXEL, prompts};

/// How long a client may keep these answers, in milliseconds: they never change.
const TTL_MS: u64 = 60_000;
const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const TEMPLATE: &str = "test://template/{id}/data";

/// The fixture prompts and resources, the same for every tenant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixtures;

#[async_trait]
impl Content for Fixtures {
    async fn list_prompts(
        &self,
        _: &TenantId,
        _: Option<PaginatedRequestParams>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let result = ListPromptsResult::with_all_items(prompts::list());
        Ok(result
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        _: &TenantId,
        request: GetPromptRequestParams,
    ) -> Result<GetPromptResponse, ErrorData> {
        prompts::get(&request)
    }

    async fn list_resources(
        &self,
        _: &TenantId,
        _: Option<PaginatedRequestParams>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let result = ListResourcesResult::with_all_items(vec![
            Resource::new(TEXT, "static-text")
                .with_description("A text that never changes")
                .with_mime_type("text/plain"),
            Resource::new(BINARY, "static-binary")
                .with_description("An image that never changes")
                .with_mime_type("image/png"),
        ]);
        Ok(result
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: &TenantId,
        _: Option<PaginatedRequestParams>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(TEMPLATE, "template")
            .with_description("A document about an id")
            .with_mime_type("application/json");
        let result = ListResourceTemplatesResult::with_all_items(vec![template]);
        Ok(result
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        _: &TenantId,
        request: ReadResourceRequestParams,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(contents) = read(&request.uri) else {
            let data = json!({ "uri": request.uri });
            return Err(ErrorData::resource_not_found(
                "resource not found",
                Some(data),
            ));
        };
        let result = ReadResourceResult::new(vec![contents]);
        Ok(result
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public)
            .into())
    }

    async fn complete(
        &self,
        _: &TenantId,
        request: CompleteRequestParams,
    ) -> Result<CompleteResult, ErrorData> {
        let known = ["paris", "park", "party", "test"];
        let typed = request.argument.value;
        let values = known.iter().filter(|word| word.starts_with(&typed));
        let values = values.map(|&word| word.to_owned()).collect();
        let completion = CompletionInfo::with_all_values(values)
            .map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(completion))
    }
}

fn read(uri: &str) -> Option<ResourceContents> {
    match uri {
        TEXT => Some(ResourceContents::text(
            "This is the content of the static text resource.",
            uri,
        )),
        BINARY => Some(ResourceContents::blob(PIXEL, uri).with_mime_type("image/png")),
        _ => {
            let id = uri
                .strip_prefix("test://template/")?
                .strip_suffix("/data")?;
            let data = format!("Data for ID: {id}");
            let body = json!({ "id": id, "templateTest": true, "data": data }).to_string();
            Some(ResourceContents::text(body, uri).with_mime_type("application/json"))
        }
    }
}
