//! The handler that rmcp dispatches to. Each method reads its request and hands it on.

use std::sync::Arc;

use rmcp::{
    RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestMethod,
        CompleteRequestParams, CompleteResult, CustomRequest, CustomResult, ErrorData,
        GetPromptRequestMethod, GetPromptRequestParams, GetPromptResponse, GetTaskParams,
        GetTaskResult, Implementation, InitializeRequestParams, InitializeResult, JsonObject,
        ListPromptsRequestMethod, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, PromptsCapability,
        ReadResourceRequestParams, ReadResourceResponse, ResourcesCapability, ServerCapabilities,
        ServerConfig, SetLevelRequestMethod, SubscribeRequestParams, SubscriptionFilter,
        TASKS_EXTENSION_ID, Tool, ToolsCapability, UnsubscribeRequestParams, UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use waybill_toolkit::Content;

use super::{
    Changes, McpSettings, McpState,
    asked::{is_modern, principal},
    call, listen, old_tasks, resources, tasks,
    ticket::Tickets,
    tools,
};
use crate::desk::Desk;

const INSTRUCTIONS: &str = "Every tool call is a durable job: it survives timeouts, disconnects \
    and restarts. A quick one answers at once. A slow one answers with a task, or with a callId: \
    then use the tools call_status, call_result and call_cancel. Calls can also be read as \
    resources, waybill://calls/{callId}.";

type Cx = RequestContext<RoleServer>;

/// Cheap to clone: rmcp takes one for each request.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

pub(super) struct Inner {
    pub(super) desk: Desk,
    pub(super) content: Option<Arc<dyn Content>>,
    pub(super) changes: Changes,
    pub(super) settings: Arc<McpSettings>,
    pub(super) shutdown: CancellationToken,
    pub(super) tickets: Tickets,
    /// Streams that may still be opened.
    pub(super) streams: Semaphore,
    info: ServerConfig,
}

impl std::ops::Deref for Server {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Server {
    pub(super) fn new(state: McpState, tickets: Tickets) -> Self {
        let McpState {
            desk,
            content,
            changes,
            settings,
            shutdown,
        } = state;
        let info = info(content.is_some());
        Self(Arc::new(Inner {
            desk,
            content,
            changes,
            settings,
            shutdown,
            tickets,
            streams: Semaphore::new(listen::MAX_STREAMS),
            info,
        }))
    }
}

fn info(content: bool) -> ServerConfig {
    let mut tools = ToolsCapability::default();
    tools.list_changed = Some(true);
    let mut resources = ResourcesCapability::default();
    resources.subscribe = Some(true);
    let mut prompts = PromptsCapability::default();
    prompts.list_changed = Some(true);
    let mut capabilities = ServerCapabilities::default();
    capabilities.tools = Some(tools);
    capabilities.resources = Some(resources);
    capabilities.prompts = content.then_some(prompts);
    capabilities.completions = content.then(JsonObject::new);
    let tasks = (TASKS_EXTENSION_ID.to_owned(), JsonObject::new());
    capabilities.extensions = Some([tasks].into());
    let waybill = Implementation::new("waybill", env!("CARGO_PKG_VERSION")).with_title("Waybill");
    ServerConfig::new(capabilities)
        .with_server_info(waybill)
        .with_instructions(INSTRUCTIONS)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        self.info.clone()
    }

    /// A client that begins with `initialize` has no stream on which a change could reach it, so
    /// none is promised.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: Cx,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        let capabilities = &mut result.capabilities;
        capabilities.tools = Some(ToolsCapability::default());
        capabilities.resources = Some(ResourcesCapability::default());
        capabilities.logging = Some(JsonObject::new());
        capabilities.prompts = capabilities
            .prompts
            .take()
            .map(|_| PromptsCapability::default());
        capabilities.extensions = None;
        Ok(result)
    }

    /// Before 2026-07-28. Accepted and without effect: no session keeps the level, so every request
    /// is told what is not for debugging.
    #[expect(deprecated, reason = "clients of 2025-11-25 and before set a level")]
    async fn set_level(
        &self,
        _: rmcp::model::SetLevelRequestParams,
        context: Cx,
    ) -> Result<(), ErrorData> {
        if is_modern(&context) {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        Ok(())
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: Cx,
    ) -> Result<ListToolsResult, ErrorData> {
        tools::list(self.desk.registry(), request, self.settings.page)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::get(self.desk.registry(), name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Cx,
    ) -> Result<CallToolResponse, ErrorData> {
        call::call(self, request, &context).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Cx,
    ) -> Result<GetTaskResult, ErrorData> {
        tasks::get(self, &request, &context).await
    }

    async fn update_task(&self, request: UpdateTaskParams, context: Cx) -> Result<(), ErrorData> {
        tasks::update(self, request, &context).await
    }

    async fn cancel_task(&self, request: CancelTaskParams, context: Cx) -> Result<(), ErrorData> {
        tasks::cancel(self, &request, &context).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Cx,
    ) -> Result<ListResourcesResult, ErrorData> {
        resources::list(self, request, &context).await
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Cx,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        resources::templates(self, request, &context).await
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Cx,
    ) -> Result<ReadResourceResponse, ErrorData> {
        resources::read(self, request, &context).await
    }

    /// Before 2026-07-28. Accepted and without effect: no stream outlives its request, so nothing
    /// could be sent. `subscriptions/listen` is for newer clients.
    async fn subscribe(&self, _: SubscribeRequestParams, _: Cx) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Cx) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(listen::accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        listen::listen(self, context).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: Cx,
    ) -> Result<ListPromptsResult, ErrorData> {
        let Some(content) = &self.content else {
            return Err(ErrorData::method_not_found::<ListPromptsRequestMethod>());
        };
        let tenant = &principal(&context)?.tenant;
        content.list_prompts(tenant, request).await
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Cx,
    ) -> Result<GetPromptResponse, ErrorData> {
        let Some(content) = &self.content else {
            return Err(ErrorData::method_not_found::<GetPromptRequestMethod>());
        };
        content
            .get_prompt(&principal(&context)?.tenant, request)
            .await
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: Cx,
    ) -> Result<CompleteResult, ErrorData> {
        let Some(content) = &self.content else {
            return Err(ErrorData::method_not_found::<CompleteRequestMethod>());
        };
        content
            .complete(&principal(&context)?.tenant, request)
            .await
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Cx,
    ) -> Result<CustomResult, ErrorData> {
        old_tasks::run(self, request, &context).await
    }
}
