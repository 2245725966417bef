//! `/openapi.json` and `/docs`: the REST routes for people and generators. The schemas are those of
//! the structs that the routes read and write; a test holds the list of routes to the router.

use axum::{
    Router,
    body::Bytes,
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use waybill_calls::Status;
use waybill_identity::{ApiKey, NewKey, Tenant};

use crate::{
    admin::{
        calls::{CallOfTenant, CallsOfTenants},
        keys::{Create, CreateTenant, KeyList, TenantList},
        secrets::{SecretList, SetSecret},
    },
    calls::{CallList, NewCall, ToolList},
    problem,
};

const DOCS: &str = include_str!("docs.html");
/// The page runs its own script on our own document, and nothing else.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                      style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// Who may use a route.
#[derive(Clone, Copy)]
enum Access {
    Open,
    /// Any key.
    Key,
    ToolsCall,
    Admin,
}

/// One route as it is told.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    access: Access,
    /// Name, place and meaning.
    parameters: &'static [(&'static str, &'static str, &'static str)],
    body: Option<MakeSchema>,
    answers: &'static [Answer],
}

struct Answer {
    status: &'static str,
    meaning: &'static str,
    schema: Option<MakeSchema>,
}

pub(crate) fn router() -> Router {
    // A program asks once and people rarely: the text is made when it is asked for, not kept.
    let document = || async {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (json, Bytes::from(document().to_string()))
    };
    let docs = || async {
        let policy = (header::CONTENT_SECURITY_POLICY, POLICY);
        let plain = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        ([policy, plain], Html(DOCS)).into_response()
    };
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(docs))
}

/// The `OpenAPI` 3.1 document.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let failure = generator.subschema_for::<problem::Document>();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let told = operation.tell(&mut generator, &failure);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = told;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waybill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Durable tool calls. MCP itself is at POST /mcp; these are the routes \
                            besides it.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "bearerFormat": "wbk_ID_SECRET" },
            },
        },
    })
}

impl Operation {
    fn tell(&self, generator: &mut SchemaGenerator, failure: &Schema) -> Value {
        let mut responses = Map::new();
        for answer in self.answers {
            let mut told = json!({ "description": answer.meaning });
            if let Some(schema) = answer.schema {
                told["content"] = json!({ "application/json": { "schema": schema(generator) } });
            }
            responses.insert(answer.status.to_owned(), told);
        }
        let content = json!({ "application/json": { "schema": failure } });
        let meaning = "What went wrong, in one shape.";
        let failures = json!({ "description": meaning, "content": content });
        responses.insert("default".to_owned(), failures);
        let mut told = json!({
            "summary": self.summary,
            "tags": [self.tag()],
            "parameters": self.parameters.iter().map(parameter).collect::<Vec<_>>(),
            "responses": responses,
            "security": self.security(),
        });
        if let Some(body) = self.body {
            let content = json!({ "application/json": { "schema": body(generator) } });
            told["requestBody"] = json!({ "required": true, "content": content });
        }
        told
    }

    fn tag(&self) -> &'static str {
        match self.access {
            Access::Open => "service",
            Access::Key | Access::ToolsCall => "calls",
            Access::Admin => "admin",
        }
    }

    fn security(&self) -> Value {
        match self.access {
            Access::Open => json!([]),
            Access::Key => json!([{ "key": [] }]),
            Access::ToolsCall => json!([{ "key": ["tools:call"] }]),
            Access::Admin => json!([{ "key": ["admin"] }]),
        }
    }
}

fn parameter((name, place, meaning): &(&str, &str, &str)) -> Value {
    json!({
        "name": name,
        "in": place,
        "required": *place == "path",
        "description": meaning,
        "schema": { "type": "string" },
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn json(meaning: &'static str, schema: MakeSchema) -> Answer {
    with("200", meaning, Some(schema))
}

const fn plain(meaning: &'static str) -> Answer {
    with("200", meaning, None)
}

const fn with(status: &'static str, meaning: &'static str, schema: Option<MakeSchema>) -> Answer {
    Answer {
        status,
        meaning,
        schema,
    }
}

/// A route without a body and parameters; the rest is added by struct update.
const fn on(
    method: &'static str,
    path: &'static str,
    access: Access,
    summary: &'static str,
    answers: &'static [Answer],
) -> Operation {
    Operation {
        method,
        path,
        summary,
        access,
        parameters: &[],
        body: None,
        answers,
    }
}

impl Operation {
    const fn takes(
        mut self,
        parameters: &'static [(&'static str, &'static str, &'static str)],
    ) -> Self {
        self.parameters = parameters;
        self
    }

    const fn reads(mut self, body: MakeSchema) -> Self {
        self.body = Some(body);
        self
    }
}

const ID: (&str, &str, &str) = ("id", "path", "The call's id, which is its MCP task id.");
const LIMIT: (&str, &str, &str) = ("limit", "query", "How many, at most.");
const FILTERS: [(&str, &str, &str); 3] = [
    ("tool", "query", "Only calls of this tool."),
    (
        "status",
        "query",
        "Only in this state: one of MCP's words or ours.",
    ),
    (
        "since",
        "query",
        "Only those made since this time (RFC 3339).",
    ),
];
const OF_TENANT: [(&str, &str, &str); 2] = [
    ("tenant", "path", "Whose it is."),
    ("id", "path", "The call's id."),
];
const LETTER: [(&str, &str, &str); 2] = [
    ("subscription", "path", "A name of GET /admin/queues."),
    ("id", "path", "The dead letter's id."),
];

const SECRET: (&str, &str, &str) = (
    "name",
    "path",
    "1 to 64 of a-z 0-9 - _ /, such as github/token.",
);

const OPERATIONS: &[Operation] = &[
    on(
        "get",
        "/mcp/status/{id}",
        Access::Key,
        "What became of a call",
        &[
            json(
                "The status document; with Accept: text/event-stream a stream of it.",
                of::<Status>,
            ),
            with("304", "It is still the version of If-None-Match.", None),
            with(
                "404",
                "No such call of this tenant, or forgotten: always the same body.",
                None,
            ),
        ],
    )
    .takes(&[
        ID,
        (
            "wait",
            "query",
            "Seconds to wait, 0 to 28: for another version than that of \
                           If-None-Match, otherwise for the end.",
        ),
        (
            "If-None-Match",
            "header",
            "The ETag of a version that is known.",
        ),
        (
            "Last-Event-ID",
            "header",
            "The version that a stream was cut off after.",
        ),
    ]),
    on(
        "delete",
        "/mcp/status/{id}",
        Access::ToolsCall,
        "Cancel a call",
        &[
            json("It has ended.", of::<Status>),
            with("202", "It runs, and was told to end.", Some(of::<Status>)),
        ],
    )
    .takes(&[ID]),
    on(
        "get",
        "/tools",
        Access::Key,
        "The tools",
        &[json("All of them.", of::<ToolList>)],
    ),
    on(
        "get",
        "/calls",
        Access::Key,
        "The tenant's calls",
        &[json("A page.", of::<CallList>)],
    )
    .takes(&[
        FILTERS[0],
        FILTERS[1],
        FILTERS[2],
        LIMIT,
        ("after", "query", "`next` of the page before."),
    ]),
    on(
        "post",
        "/calls",
        Access::ToolsCall,
        "Call a tool",
        &[
            json("It has ended within the wait.", of::<Status>),
            with(
                "202",
                "It goes on; Location says where to look.",
                Some(of::<Status>),
            ),
            with(
                "409",
                "The idempotency key was used for another call.",
                None,
            ),
            with(
                "422",
                "The arguments do not fit; details.violations says where.",
                None,
            ),
            with(
                "503",
                "acceptance_unknown: look at details.statusUrl before you call again.",
                None,
            ),
        ],
    )
    .takes(&[
        ("Prefer", "header", "wait=SECONDS, respond-async, or both."),
        (
            "Idempotency-Key",
            "header",
            "The same key, tool and arguments of a tenant are the same call.",
        ),
        ("traceparent", "header", "W3C Trace Context."),
    ])
    .reads(of::<NewCall>),
    on(
        "get",
        "/admin/calls",
        Access::Admin,
        "The calls of every tenant",
        &[json("A page.", of::<CallsOfTenants>)],
    )
    .takes(&[
        ("tenant", "query", "Only this tenant's."),
        FILTERS[0],
        FILTERS[1],
        FILTERS[2],
        LIMIT,
        ("after", "query", "`next` of the page before."),
    ]),
    on(
        "get",
        "/admin/calls/{tenant}/{id}",
        Access::Admin,
        "How a tenant's call stands",
        &[json("Without its result.", of::<CallOfTenant>)],
    )
    .takes(&OF_TENANT),
    on(
        "delete",
        "/admin/calls/{tenant}/{id}",
        Access::Admin,
        "Cancel a tenant's call",
        &[
            json("It has ended.", of::<CallOfTenant>),
            with(
                "202",
                "It runs, and was told to end.",
                Some(of::<CallOfTenant>),
            ),
        ],
    )
    .takes(&OF_TENANT),
    on(
        "get",
        "/admin/keys",
        Access::Admin,
        "The keys",
        &[json("By id.", of::<KeyList>)],
    )
    .takes(&[("tenant", "query", "Only this tenant's.")]),
    on(
        "post",
        "/admin/keys",
        Access::Admin,
        "Make a key",
        &[with(
            "201",
            "The only time that its secret is told.",
            Some(of::<NewKey>),
        )],
    )
    .reads(of::<Create>),
    on(
        "delete",
        "/admin/keys/{id}",
        Access::Admin,
        "Revoke a key",
        &[json("It has ended.", of::<ApiKey>)],
    )
    .takes(&[("id", "path", "The key's id: what follows wbk_.")]),
    on(
        "get",
        "/admin/tenants",
        Access::Admin,
        "The tenants",
        &[json("By id.", of::<TenantList>)],
    ),
    on(
        "post",
        "/admin/tenants",
        Access::Admin,
        "Make a tenant",
        &[with("201", "It is there.", Some(of::<Tenant>))],
    )
    .reads(of::<CreateTenant>),
    on(
        "get",
        "/admin/secrets",
        Access::Admin,
        "The secrets that configuration can refer to",
        &[json(
            "Their names. No route tells a value.",
            of::<SecretList>,
        )],
    ),
    on(
        "put",
        "/admin/secrets/{name}",
        Access::Admin,
        "Set a secret",
        &[plain("It is kept, for the next start.")],
    )
    .takes(&[SECRET])
    .reads(of::<SetSecret>),
    on(
        "delete",
        "/admin/secrets/{name}",
        Access::Admin,
        "Remove a secret",
        &[plain("It is gone."), with("404", "There was none.", None)],
    )
    .takes(&[SECRET]),
    on(
        "get",
        "/admin/queues",
        Access::Admin,
        "How full the queues are",
        &[plain("By name.")],
    ),
    on(
        "get",
        "/admin/dlq",
        Access::Admin,
        "Dead letters of all queues",
        &[plain("Newest first.")],
    )
    .takes(&[LIMIT]),
    on(
        "get",
        "/admin/dlq/{subscription}",
        Access::Admin,
        "Dead letters of one queue",
        &[plain("Newest first.")],
    )
    .takes(&[LETTER[0], LIMIT]),
    on(
        "get",
        "/admin/dlq/{subscription}/{id}",
        Access::Admin,
        "One dead letter",
        &[plain("With its body.")],
    )
    .takes(&LETTER),
    on(
        "post",
        "/admin/dlq/{subscription}/redrive",
        Access::Admin,
        "Deliver all of one queue again",
        &[plain("They are in the queue, or on their way to it.")],
    )
    .takes(&[LETTER[0]]),
    on(
        "post",
        "/admin/dlq/{subscription}/{id}/redrive",
        Access::Admin,
        "Deliver it again",
        &[plain("It is in the queue.")],
    )
    .takes(&LETTER),
    on(
        "get",
        "/admin/audit",
        Access::Admin,
        "The end of the audit trail",
        &[plain("Oldest first, and the first entry looked at.")],
    )
    .takes(&[
        LIMIT,
        (
            "subject",
            "query",
            "Only entries about it: a call's id, a key's.",
        ),
    ]),
    on(
        "get",
        "/admin/audit/export",
        Access::Admin,
        "The audit trail",
        &[plain(
            "A page and the next `from`; with Accept: application/jsonl all of it.",
        )],
    )
    .takes(&[("from", "query", "Number of the first entry.")]),
    on(
        "get",
        "/admin/audit/verify",
        Access::Admin,
        "Is the audit trail whole",
        &[plain("The first flaw, where there is one.")],
    ),
    on(
        "get",
        "/admin/doctor",
        Access::Admin,
        "Is everything there that is needed",
        &[plain("What each check found.")],
    ),
    on(
        "get",
        "/healthz",
        Access::Open,
        "Is the process alive",
        &[plain("It is.")],
    ),
    on(
        "get",
        "/readyz",
        Access::Open,
        "Should it get requests",
        &[
            plain("It should."),
            with(
                "503",
                "It drains or lacks something; `reasons` says what.",
                None,
            ),
        ],
    ),
    on(
        "get",
        "/metrics",
        Access::Open,
        "Numbers for Prometheus",
        &[plain("OpenMetrics text.")],
    ),
    on(
        "get",
        "/openapi.json",
        Access::Open,
        "This document",
        &[plain("OpenAPI 3.1.")],
    ),
    on(
        "get",
        "/docs",
        Access::Open,
        "This document for people",
        &[plain("HTML.")],
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every file that has routes, and what they are nested under.
    const SOURCES: [(&str, &str); 11] = [
        ("", include_str!("status.rs")),
        ("", include_str!("calls.rs")),
        ("", include_str!("health.rs")),
        ("", include_str!("metrics.rs")),
        ("", include_str!("openapi.rs")),
        ("/admin", include_str!("admin/calls.rs")),
        ("/admin", include_str!("admin/keys.rs")),
        ("/admin", include_str!("admin/queues.rs")),
        ("/admin", include_str!("admin/secrets.rs")),
        ("/admin", include_str!("admin/audit.rs")),
        ("/admin", include_str!("admin/doctor.rs")),
    ];

    fn routed() -> BTreeSet<String> {
        let paths = SOURCES.iter().flat_map(|(prefix, source)| {
            let routes = source.split(".route(").skip(1);
            routes.filter_map(move |rest| {
                let path = rest.trim_start().strip_prefix('"')?.split('"').next()?;
                // OpenAPI knows no parameter of several segments.
                let path = path.replace("{*", "{");
                path.starts_with('/').then(|| format!("{prefix}{path}"))
            })
        });
        paths.collect()
    }

    #[test]
    fn every_route_is_told_and_nothing_else() {
        let document = document();
        let told = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(routed(), told);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn path_parameters_are_told() {
        for operation in OPERATIONS {
            let in_path = operation
                .path
                .split('{')
                .skip(1)
                .filter_map(|p| p.split('}').next());
            let told = operation
                .parameters
                .iter()
                .filter(|(_, place, _)| *place == "path");
            let told: Vec<_> = told.map(|(name, ..)| *name).collect();
            assert_eq!(told, in_path.collect::<Vec<_>>(), "{}", operation.path);
        }
    }

    #[test]
    fn the_page_asks_nobody_else() {
        for host in ["http://", "https://", "src=", "@import"] {
            assert!(!DOCS.contains(host), "{host}");
        }
    }
}
