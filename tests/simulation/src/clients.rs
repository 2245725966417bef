//! Clients: they submit until they are heard, and some cancel or answer.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio::time::sleep;
use waybill_calls::{CallState, Calls, Stored};
use waybill_events::{CallId, TenantId};
use waybill_identity::{Principal, Scope};
use waybill_ingress::desk::{Desk, PlaceRequest};
use waybill_testkit::Dice;

use crate::outside::TOOLS;

/// A call whose acceptance a client has heard of.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) tenant: TenantId,
    pub(crate) id: CallId,
    pub(crate) tool: &'static str,
}

/// One client's one call. The same idempotency key at every try, because an answer may be lost.
pub(crate) async fn client(desks: Vec<Desk>, seed: u64, number: u64) -> Accepted {
    let mut dice = Dice::of(seed, 99, number);
    let tenant =
        TenantId::parse(pick::<&str>(&mut dice, &["acme", "globex"])).expect("a valid tenant");
    let tool = *pick(&mut dice, &TOOLS);
    let principal = Principal {
        key_id: format!("key-{tenant}"),
        tenant: tenant.clone(),
        scopes: [Scope::ToolsCall].into(),
    };
    sleep(dice.up_to(Duration::from_secs(5))).await;
    let stored = loop {
        let desk = pick(&mut dice, &desks);
        let request = PlaceRequest {
            tool: tool.to_owned(),
            arguments: json!({ "tenant": tenant, "number": number }),
            idempotency_key: Some(format!("call-{number}")),
            deadline: Some(Duration::from_mins(20)),
            traceparent: None,
            client_capabilities: None,
        };
        match desk.place(&principal, request).await {
            Ok(submitted) => break submitted.stored,
            Err(_) => sleep(Duration::from_millis(100) + dice.up_to(Duration::from_secs(1))).await,
        }
    };
    let desk = pick(&mut dice, &desks);
    if dice.chance(0.15) {
        sleep(dice.up_to(Duration::from_secs(10))).await;
        cancel(desk, &principal, &stored).await;
    } else if tool == "ask" {
        answer(desk.calls(), &principal, &stored).await;
    }
    Accepted {
        tenant,
        id: stored.call.id,
        tool,
    }
}

async fn cancel(desk: &Desk, principal: &Principal, stored: &Stored) {
    while desk.cancel(principal, &stored.call.id).await.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
}

async fn answer(calls: &Calls, principal: &Principal, stored: &Stored) {
    let (tenant, id) = (&principal.tenant, &stored.call.id);
    loop {
        sleep(Duration::from_secs(1)).await;
        let Ok(now) = calls.get(tenant, id).await else {
            continue;
        };
        if now.call.state.is_terminal() {
            return;
        }
        if now.call.state == CallState::WaitingInput {
            let answers = BTreeMap::from([("go".to_owned(), json!({ "action": "accept" }))]);
            if calls
                .answer(tenant, id, &principal.key_id, answers)
                .await
                .is_ok()
            {
                return;
            }
        }
    }
}

fn pick<'a, T>(dice: &mut Dice, items: &'a [T]) -> &'a T {
    let index = usize::try_from(dice.below(items.len() as u64)).unwrap_or(0);
    &items[index]
}
