//! Each action that the ports need, tried so that it changes nothing: on what is not there, or
//! under a condition that does not hold. IAM decides before either is looked at.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, DeleteRequest, TransactWriteItem, WriteRequest,
};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use waybill_messaging::Subscription;

use super::PROBE;
use crate::{
    Clients, Names,
    ledger::schema::{EVENT, INDEX, INDEX_PARTITION, PARTITION, SHARD, SORT, SUBSCRIPTION},
    queue::find,
};

/// How the services say that a permission is missing.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
];

#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) allowed: usize,
    /// Actions, and on what.
    pub(super) denied: Vec<String>,
    /// Those that nobody answered.
    pub(super) unknown: Vec<String>,
}

type Item = HashMap<String, AttributeValue>;

impl Tried {
    fn note<T, E, R>(&mut self, action: &str, on: &str, outcome: Result<T, SdkError<E, R>>)
    where
        E: ProvideErrorMetadata,
    {
        let refused = match outcome {
            Ok(_) => None,
            Err(SdkError::ServiceError(said)) => said.err().code().map(str::to_owned),
            Err(_) => return self.unknown.push(format!("{action} on {on}")),
        };
        if refused.is_some_and(|code| DENIED.contains(&code.as_str())) {
            self.denied.push(format!("{action} on {on}"));
        } else {
            self.allowed += 1;
        }
    }
}

pub(super) async fn tried(clients: &Clients, names: &Names, topology: &[Subscription]) -> Tried {
    let mut tried = Tried::default();
    records(clients, &names.records(), &mut tried).await;
    inbox(clients, &names.inbox(), &mut tried).await;
    outbox(clients, &names.outbox(), &mut tried).await;
    secrets(clients, names, &mut tried).await;
    for subscription in topology {
        queue(clients, &names.queue(subscription.name), &mut tried).await;
    }
    tried
}

async fn records(clients: &Clients, table: &str, tried: &mut Tried) {
    let dynamodb = &clients.dynamodb;
    let key = key([(PARTITION, text()), (SORT, text())]);
    let get = dynamodb.get_item().table_name(table);
    let get = get.set_key(Some(key.clone())).send().await;
    tried.note("dynamodb:GetItem", table, get);
    let put = dynamodb.put_item().table_name(table);
    let put = put.set_item(Some(key.clone()));
    let put = put.condition_expression("attribute_exists(probe)");
    tried.note("dynamodb:PutItem", table, put.send().await);
    let update = dynamodb.update_item().table_name(table);
    let update = update.set_key(Some(key.clone()));
    let update = update.update_expression("REMOVE probe");
    let update = update.condition_expression("attribute_exists(probe)");
    tried.note("dynamodb:UpdateItem", table, update.send().await);
    let delete = dynamodb.delete_item().table_name(table);
    let delete = delete.set_key(Some(key.clone())).send().await;
    tried.note("dynamodb:DeleteItem", table, delete);
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(key));
    let check = check.condition_expression("attribute_exists(probe)");
    if let Ok(check) = check.build() {
        let item = TransactWriteItem::builder().condition_check(check).build();
        let checked = dynamodb.transact_write_items().transact_items(item);
        tried.note("dynamodb:ConditionCheckItem", table, checked.send().await);
    }
    tried.query(clients, table, None, PARTITION, text()).await;
    tried
        .query(clients, table, Some(INDEX), INDEX_PARTITION, text())
        .await;
}

async fn inbox(clients: &Clients, table: &str, tried: &mut Tried) {
    let put = clients.dynamodb.put_item().table_name(table);
    let put = put.set_item(Some(key([(EVENT, text()), (SUBSCRIPTION, text())])));
    let put = put.condition_expression("attribute_exists(probe)");
    tried.note("dynamodb:PutItem", table, put.send().await);
}

async fn outbox(clients: &Clients, table: &str, tried: &mut Tried) {
    let shard = || AttributeValue::N("0".to_owned());
    let key = key([(SHARD, shard()), (EVENT, text())]);
    let put = clients.dynamodb.put_item().table_name(table);
    let put = put.set_item(Some(key.clone()));
    let put = put.condition_expression("attribute_exists(probe)");
    tried.note("dynamodb:PutItem", table, put.send().await);
    if let Ok(delete) = DeleteRequest::builder().set_key(Some(key)).build() {
        let delete = WriteRequest::builder().delete_request(delete).build();
        let deleted = clients.dynamodb.batch_write_item();
        let deleted = deleted.request_items(table, vec![delete]).send().await;
        tried.note("dynamodb:BatchWriteItem", table, deleted);
    }
    tried.query(clients, table, None, SHARD, shard()).await;
}

/// Of a name that none of ours can be.
async fn secrets(clients: &Clients, names: &Names, tried: &mut Tried) {
    let (client, id) = (
        &clients.secretsmanager,
        format!("{}.probe", names.secrets()),
    );
    let get = client.get_secret_value().secret_id(&id).send().await;
    tried.note("secretsmanager:GetSecretValue", &id, get);
    let put = client.put_secret_value().secret_id(&id);
    let put = put.secret_string(PROBE).send().await;
    tried.note("secretsmanager:PutSecretValue", &id, put);
    let delete = client.delete_secret().secret_id(&id).send().await;
    tried.note("secretsmanager:DeleteSecret", &id, delete);
    let restore = client.restore_secret().secret_id(&id).send().await;
    tried.note("secretsmanager:RestoreSecret", &id, restore);
    let list = client.list_secrets().max_results(1).send().await;
    tried.note("secretsmanager:ListSecrets", "*", list);
}

impl Tried {
    async fn query(
        &mut self,
        clients: &Clients,
        table: &str,
        index: Option<&str>,
        name: &str,
        value: AttributeValue,
    ) {
        let query = clients.dynamodb.query().table_name(table);
        let query = query
            .set_index_name(index.map(str::to_owned))
            .key_condition_expression("#name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .limit(1);
        let on = index.map_or(table.to_owned(), |index| format!("{table}/{index}"));
        self.note("dynamodb:Query", &on, query.send().await);
    }
}

/// By a receipt handle that is none.
async fn queue(clients: &Clients, name: &str, tried: &mut Tried) {
    let sqs = &clients.sqs;
    let url = match find(sqs, name).await {
        Ok(Some(url)) => url,
        // The resources say so.
        Ok(None) => return,
        Err(_) => return tried.denied.push(format!("sqs:GetQueueUrl on {name}")),
    };
    let counted = sqs.get_queue_attributes().queue_url(&url).send().await;
    tried.note("sqs:GetQueueAttributes", name, counted);
    let deleted = sqs.delete_message().queue_url(&url).receipt_handle(PROBE);
    tried.note("sqs:DeleteMessage", name, deleted.send().await);
    let changed = sqs.change_message_visibility().queue_url(&url);
    let changed = changed
        .receipt_handle(PROBE)
        .visibility_timeout(0)
        .send()
        .await;
    tried.note("sqs:ChangeMessageVisibility", name, changed);
}

fn key<const N: usize>(parts: [(&str, AttributeValue); N]) -> Item {
    let parts = parts.into_iter();
    parts
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn text() -> AttributeValue {
    AttributeValue::S(PROBE.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::{error::ErrorMetadata, operation::delete_message::DeleteMessageError};

    use super::*;

    #[test]
    fn only_a_denial_is_one() {
        let said = |code: &str| {
            let said = ErrorMetadata::builder().code(code).build();
            let said = DeleteMessageError::generic(said);
            SdkError::service_error(said, ())
        };
        let mut tried = Tried::default();
        tried.note("a", "x", Err::<(), _>(said("ReceiptHandleIsInvalid")));
        tried.note("b", "x", Err::<(), _>(said("AccessDenied")));
        tried.note("c", "x", Err::<(), _>(said("AccessDeniedException")));
        tried.note(
            "d",
            "x",
            Err::<(), _>(SdkError::<DeleteMessageError, ()>::timeout_error("late")),
        );
        assert_eq!((tried.allowed, tried.denied.len()), (1, 2));
        assert_eq!(tried.unknown, ["d on x"]);
    }
}
