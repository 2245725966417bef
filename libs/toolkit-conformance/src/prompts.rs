//! The fixture prompts.

use rmcp::model::{
    ContentBlock, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    InputRequests, InputRequiredResult, Prompt, PromptArgument, PromptMessage, Role,
};
use serde_json::{Value, json};
use waybill_toolkit::JsonObject;

use crate::{
    answers::PIXEL,
    fixture::argument,
    inputs::{form, given},
};

const SIMPLE: &str = "test_simple_prompt";
const ARGUMENTS: &str = "test_prompt_with_arguments";
const RESOURCE: &str = "test_prompt_with_embedded_resource";
const IMAGE: &str = "test_prompt_with_image";
const INPUT: &str = "test_input_required_result_prompt";

pub(crate) fn list() -> Vec<Prompt> {
    let required = |name: &str, description: &str| {
        PromptArgument::new(name)
            .with_description(description)
            .with_required(true)
    };
    let two = vec![
        required("arg1", "The first word"),
        required("arg2", "The second word"),
    ];
    let uri = vec![required("resourceUri", "The resource to embed")];
    vec![
        Prompt::new(SIMPLE, Some("A text"), None),
        Prompt::new(
            ARGUMENTS,
            Some("A text with two words of the client's"),
            Some(two),
        ),
        Prompt::new(RESOURCE, Some("A resource and a text"), Some(uri)),
        Prompt::new(IMAGE, Some("An image and a text"), None),
        Prompt::new(INPUT, Some("Asks the client for context first"), None),
    ]
}

pub(crate) fn get(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let none = JsonObject::new();
    let arguments = request.arguments.as_ref().unwrap_or(&none);
    let messages = match request.name.as_str() {
        SIMPLE => vec![says("This is a simple prompt for testing.")],
        ARGUMENTS => {
            let (first, second) = (needed(arguments, "arg1")?, needed(arguments, "arg2")?);
            vec![says(format!(
                "Prompt with arguments: arg1='{first}', arg2='{second}'"
            ))]
        }
        RESOURCE => {
            let text = "Embedded resource content for testing.";
            let resource = ContentBlock::embedded_text(needed(arguments, "resourceUri")?, text);
            vec![
                shows(resource),
                says("Please process the embedded resource above."),
            ]
        }
        IMAGE => {
            let image = ContentBlock::image(PIXEL, "image/png");
            vec![shows(image), says("Please analyze the image above.")]
        }
        INPUT => return Ok(with_context(request)),
        unknown => {
            let message = format!("unknown prompt {unknown}");
            return Err(ErrorData::invalid_params(message, None));
        }
    };
    Ok(GetPromptResult::new(messages).into())
}

fn with_context(request: &GetPromptRequestParams) -> GetPromptResponse {
    let responses = request.input_responses.as_ref();
    let answer = responses
        .and_then(|all| all.get("user_context"))
        .and_then(Value::as_object);
    let Some(answer) = answer else {
        let schema = json!({ "context": { "type": "string" } });
        let question = form("What context should the prompt use?", &schema, &["context"]);
        let requests = InputRequests::from([("user_context".to_owned(), question)]);
        return InputRequiredResult::from_input_requests(requests).into();
    };
    let context = given(answer, "context")
        .and_then(Value::as_str)
        .unwrap_or("none");
    GetPromptResult::new(vec![says(format!("The context is: {context}"))]).into()
}

fn needed<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, ErrorData> {
    argument(arguments, name)
        .ok_or_else(|| ErrorData::invalid_params(format!("argument {name} is missing"), None))
}

fn says(text: impl Into<String>) -> PromptMessage {
    PromptMessage::new_text(Role::User, text)
}

fn shows(content: ContentBlock) -> PromptMessage {
    PromptMessage::new(Role::User, content)
}
