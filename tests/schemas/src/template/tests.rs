//! The committed template against the code, the runbooks, and a service that does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::{Map, Value, json};
use waybill_audit_sink::AuditCheck;
use waybill_backend_aws::{Names, OutboxSweep, provision};
use waybill_events::EventType;
use waybill_messaging::{Events, Handler as _, Subscription};
use waybill_tool_executor::DeadlineSweep;

use super::*;
use crate::topology::SUBSCRIPTIONS;

/// A template as data: a function of CloudFormation in the short form is its argument.
struct Template(Value);

impl Template {
    fn parse(text: &str) -> Self {
        Self(serde_saphyr::from_str(text).unwrap())
    }

    /// As it is committed.
    fn read() -> Self {
        Self::parse(&file("infra/template.yaml"))
    }

    /// Logical ids and properties of a type.
    fn of(&self, kind: &str) -> Vec<(&str, &Value)> {
        let resources = self.0["Resources"].as_object().unwrap().iter();
        let of = resources.filter(|(_, resource)| resource["Type"] == kind);
        of.map(|(id, resource)| (id.as_str(), &resource["Properties"]))
            .collect()
    }

    fn properties(&self, id: &str) -> &Value {
        let properties = &self.0["Resources"][id]["Properties"];
        assert!(properties.is_object(), "the template has no {id}");
        properties
    }

    fn one<V>(&self, kind: &str, key: &str, value: &V) -> (&str, &Value)
    where
        V: std::fmt::Debug + ?Sized,
        Value: PartialEq<V>,
    {
        let found = self.of(kind);
        let mut found = found
            .iter()
            .filter(|(_, properties)| properties[key] == *value);
        *found
            .next()
            .unwrap_or_else(|| panic!("no {kind} has {key} = {value:?}"))
    }

    /// What a subscription must have, whatever the parts say.
    fn assert_has(&self, subscription: &Subscription) {
        let names = Names::new(PREFIX);
        let name = subscription.name;
        let (queue, of_queue) = self.one("AWS::SQS::Queue", "QueueName", &names.queue(name));
        let dead = names.dead_letter_queue(name);
        let (dead, of_dead) = self.one("AWS::SQS::Queue", "QueueName", &dead);
        let redrive = json!({
            "deadLetterTargetArn": format!("{dead}.Arn"),
            "maxReceiveCount": provision::most_receives(subscription),
        });
        assert_eq!(of_queue["RedrivePolicy"], redrive, "{name}");
        for queue in [of_queue, of_dead] {
            assert_eq!(
                queue["MessageRetentionPeriod"],
                provision::RETENTION,
                "{name}"
            );
            assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
        }
        let arn = format!("{queue}.Arn");
        let (id, subscribed) = self.one("AWS::SNS::Subscription", "Endpoint", &arn);
        assert_eq!(subscribed["RawMessageDelivery"], true, "{name}");
        let undelivered = json!({ "deadLetterTargetArn": format!("{dead}.Arn") });
        assert_eq!(subscribed["RedrivePolicy"], undelivered, "{name}");
        for queue in [queue, dead] {
            self.assert_the_topic_may_send(queue, id);
        }
        let filter = subscribed.get("FilterPolicy").cloned();
        assert_eq!(filter, provision::filter(subscription), "{name}");
        self.assert_consumed(name, &arn, of_queue);
        let observed = [queue, dead].map(|id| format!("{id}.QueueName"));
        for id in observed {
            let alarms = self.of("AWS::CloudWatch::Alarm").into_iter();
            let mut of = alarms.filter(|(_, alarm)| alarm["Dimensions"][0]["Value"] == id.as_str());
            assert!(of.next().is_some(), "no alarm watches {id}");
        }
    }

    /// Before the subscription is there: SNS gives an event up at once that it may not send.
    fn assert_the_topic_may_send(&self, queue: &str, subscription: &str) {
        let (policy, allows) = self.one("AWS::SQS::QueuePolicy", "Queues", &json!([queue]));
        let statement = &allows["PolicyDocument"]["Statement"][0];
        assert_eq!(statement["Resource"], format!("{queue}.Arn"));
        assert_eq!(
            statement["Condition"]["ArnEquals"]["aws:SourceArn"],
            "EventTopic"
        );
        let after = &self.0["Resources"][subscription]["DependsOn"];
        assert!(
            after
                .as_array()
                .is_some_and(|all| all.contains(&json!(policy))),
            "{subscription} does not wait for {policy}"
        );
    }

    fn assert_consumed(&self, name: &str, arn: &str, queue: &Value) {
        let function_name = format!("{PREFIX}-{name}");
        let (_, function) = self.one("AWS::Serverless::Function", "FunctionName", &function_name);
        let source = &function["Events"]["Queue"]["Properties"];
        assert_eq!(source["Queue"], arn, "{name}");
        assert_eq!(
            source["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"]),
            "{name}"
        );
        let hidden = queue["VisibilityTimeout"].as_u64().unwrap();
        let window = source["MaximumBatchingWindowInSeconds"].as_u64().unwrap();
        let timeout = function["Timeout"].as_u64().unwrap();
        assert!(hidden >= 6 * timeout + window, "{name}: {hidden} s");
    }

    /// The anchors that alarms link to.
    fn runbooks(&self) -> BTreeSet<String> {
        let alarms = self.of("AWS::CloudWatch::Alarm");
        let described = alarms.iter().map(|(id, alarm)| {
            let about = alarm["AlarmDescription"].as_str().unwrap();
            let link = about.split_once("${Runbooks}#");
            link.unwrap_or_else(|| panic!("{id} links to no runbook"))
                .1
                .to_owned()
        });
        described.collect()
    }
}

fn file(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    fs::read_to_string(format!("{root}/{path}")).unwrap()
}

#[test]
fn every_subscription_has_what_it_needs_and_no_queue_is_left_over() {
    let template = Template::read();
    for subscription in SUBSCRIPTIONS {
        template.assert_has(subscription);
    }
    let queues = template.of("AWS::SQS::Queue").len();
    assert_eq!(queues, 2 * SUBSCRIPTIONS.len());
    assert_eq!(
        template.of("AWS::SNS::Subscription").len(),
        SUBSCRIPTIONS.len() + 1
    );
}

#[test]
fn every_tick_names_its_handler() {
    let functions = Template::read();
    let functions = functions.of("AWS::Serverless::Function");
    let events = functions
        .iter()
        .filter_map(|(_, f)| f["Events"].as_object());
    let ticks = events
        .flat_map(Map::values)
        .filter(|each| each["Type"] == "ScheduleV2");
    let inputs = ticks.map(|tick| tick["Properties"]["Input"].as_str().unwrap());
    let inputs: Vec<Value> = inputs
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let reconcilers = [
        DeadlineSweep::SUBSCRIPTION,
        OutboxSweep::SUBSCRIPTION,
        AuditCheck::SUBSCRIPTION,
    ];
    assert_eq!(inputs.len(), reconcilers.len());
    for handler in reconcilers {
        let tick = json!({ "schedule": handler.name });
        assert!(inputs.contains(&tick), "no tick for {}", handler.name);
    }
}

#[test]
fn names_are_those_of_the_code() {
    let (template, names) = (Template::read(), Names::new(PREFIX));
    for (kind, key, name) in [
        ("AWS::DynamoDB::Table", "TableName", names.records()),
        ("AWS::DynamoDB::Table", "TableName", names.inbox()),
        ("AWS::DynamoDB::Table", "TableName", names.outbox()),
        ("AWS::SNS::Topic", "TopicName", names.topic()),
        ("AWS::Events::EventBus", "Name", names.bus()),
        ("AWS::S3::Bucket", "BucketName", names.bucket(ACCOUNT)),
        ("AWS::KMS::Alias", "AliasName", names.key_alias()),
    ] {
        template.one(kind, key, &name);
    }
}

/// What the emulator, where a deployed stack is compared with the code, drops.
#[test]
fn tables_expire_and_can_be_recovered() {
    let template = Template::read();
    let rule = &template.properties("Blobs")["LifecycleConfiguration"]["Rules"][0];
    assert_eq!(
        (&rule["Status"], &rule["ExpirationInDays"]),
        (&json!("Enabled"), &json!(KEPT_DAYS))
    );
    let tables = template.of("AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 3);
    for (id, table) in tables {
        let expiry = json!({ "AttributeName": "ttl", "Enabled": true });
        assert_eq!(table["TimeToLiveSpecification"], expiry, "{id}");
        let recovery = &table["PointInTimeRecoverySpecification"];
        assert_eq!(recovery["PointInTimeRecoveryEnabled"], true, "{id}");
        assert_eq!(table["SSESpecification"]["SSEEnabled"], true, "{id}");
    }
}

/// Whoever deletes a stack whose tables refuse must not lose what they hold.
#[test]
fn the_master_key_outlives_the_stack() {
    let template = Template::read();
    let key = &template.0["Resources"]["MasterKey"];
    for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
        assert_eq!(key[policy], "Retain", "{policy}");
    }
    let script = file("infra/scripts/undeploy");
    assert!(script.contains("aws kms schedule-key-deletion"));
}

#[test]
fn the_environment_has_names_that_the_configuration_reads() {
    let known = file("services/waybill/src/config.rs");
    let template = Template::read();
    let door = template.properties("IngressFunction");
    let sets = [&template.0["Globals"]["Function"], door];
    let sets = sets.map(|of| of["Environment"]["Variables"].as_object().unwrap());
    for name in sets.into_iter().flat_map(Map::keys) {
        assert!(
            known.contains(&format!("\"{name}\"")),
            "nothing reads {name}"
        );
    }
}

/// The web ACL is at CloudFront: what comes to the door by another way knows no secret.
#[test]
fn the_door_knows_the_edge_by_a_secret_and_nobody_else_does() {
    let template = Template::read();
    let secret = "{{resolve:secretsmanager:${OriginSecret}}}";
    let door = &template.properties("IngressFunction")["Environment"]["Variables"];
    assert_eq!(door["WAYBILL_ORIGIN_SECRET"][1], secret);
    let origin = &template.properties("Edge")["DistributionConfig"]["Origins"][0];
    let header = &origin["OriginCustomHeaders"][0];
    assert_eq!(header["HeaderName"], "X-Waybill-Origin");
    assert_eq!(header["HeaderValue"], secret);
    let told = file("infra/template.yaml").matches(secret).count();
    assert_eq!(told, 2);
}

#[test]
fn no_permission_is_wider_than_its_use() {
    let template = Template::read();
    for (id, role) in template.of("AWS::IAM::Role") {
        let statements = role["Policies"][0]["PolicyDocument"]["Statement"].as_array();
        for statement in statements.unwrap() {
            let wild = |value: &Value| value.to_string().contains('*');
            assert!(!wild(&statement["Action"]), "{id}: {statement}");
            // What X-Ray does has no resource, and a list of secrets has none; a bucket's objects are
            // named by the bucket.
            let whole = statement["Resource"] == "*";
            let has_none = ["Traces", "ListSecrets"].map(|sid| statement["Sid"] == sid);
            assert!(!whole || has_none.contains(&true), "{id}: {statement}");
        }
    }
}

/// Who runs tools, or keeps the trail, must not be able to make itself a key.
#[test]
fn a_role_reaches_only_the_partitions_of_its_service() {
    let template = Template::read();
    let mut reach = BTreeMap::new();
    for (id, role) in template.of("AWS::IAM::Role") {
        let statements = role["Policies"][0]["PolicyDocument"]["Statement"].as_array();
        let mut statements = statements.unwrap().iter();
        if let Some(records) = statements.find(|each| each["Sid"] == "Records") {
            let condition = &records["Condition"]["ForAllValues:StringLike"];
            let partitions = condition["dynamodb:LeadingKeys"].as_array();
            let partitions = partitions.unwrap().iter().map(|p| p.as_str().unwrap());
            reach.insert(id, partitions.collect::<Vec<_>>());
        }
    }
    assert_eq!(reach.len(), 3);
    let may = |role: &str, partition: &str| {
        reach[role]
            .iter()
            .any(|pattern| match pattern.split_once('*') {
                Some((prefix, rest)) => rest.is_empty() && partition.starts_with(prefix),
                None => partition == *pattern,
            })
    };
    for (partition, roles) in [
        ("keys/all", &["IngressRole"][..]),
        ("tenants/all", &["IngressRole"]),
        ("audit/segments", &["IngressRole", "AuditSinkRole"]),
        ("breakers/GLOBAL", &["ToolExecutorRole"]),
        ("attempts/acme", &["ToolExecutorRole"]),
        ("calls-open/3", &["ToolExecutorRole"]),
        ("calls/acme", &["IngressRole", "ToolExecutorRole"]),
    ] {
        for role in reach.keys() {
            let expected = roles.contains(role);
            assert_eq!(may(role, partition), expected, "{role} and {partition}");
        }
    }
}

#[test]
fn every_alarm_has_a_runbook_and_every_runbook_an_alarm() {
    let page = file("docs/runbooks.md");
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: BTreeSet<_> = headings.map(str::to_owned).collect();
    let mut linked = Template::read().runbooks();
    // Of the parts that are no alarms of CloudWatch.
    linked.insert("cost".to_owned());
    assert_eq!(headings, linked);
    for section in page.split("\n## ").skip(1) {
        for part in ["**Means.**", "**Look at.**", "**Do.**", "**Escalate.**"] {
            assert!(section.contains(part), "{part} is missing: {section}");
        }
    }
}

#[test]
fn alarms_watch_metrics_that_are_sent_and_as_they_are_sent() {
    let catalogue = file("libs/telemetry/src/metrics/catalogue.rs");
    let template = Template::read();
    let alarms = template.of("AWS::CloudWatch::Alarm").into_iter();
    let own: Vec<_> = alarms
        .filter(|(_, alarm)| alarm["Namespace"] == "Waybill")
        .collect();
    assert!(!own.is_empty());
    for (id, alarm) in own {
        let name = alarm["MetricName"].as_str().unwrap();
        let name = name
            .trim_start_matches("waybill_")
            .trim_end_matches("_total")
            .trim_end_matches("_seconds");
        let exported = match alarm["Dimensions"][1]["Name"].as_str() {
            Some(label) => format!("By(\"{label}\")"),
            None => "Total".to_owned(),
        };
        let mut lines = catalogue.lines();
        let found = lines.any(|l| l.contains(&format!("\"{name}\"")) && l.contains(&exported));
        assert!(found, "{id}: the catalogue has no {name} by {exported}");
    }
}

/// A service of the future: its subscription and its block are all that it needs.
mod one_more_service {
    use super::*;

    const SUBSCRIPTION: Subscription = Subscription::new(
        "parcel-counter",
        Events::Only(&[EventType::ToolCallCompleted]),
    );
    const BLOCK: &str = r#"
[[service]]
name = "parcel-counter"
subscribes = true
timeout = 30
memory = 256
permissions = ["records", "marks", "publish", "consume"]
partitions = ["parcels/*"]

[[service.alarms]]
name = "parcels-lost"
about = "Parcels are lost."
metric = "waybill_parcels_lost_total"
label = ["carrier", "any"]
statistic = "Sum"
threshold = 0.5
"#;

    fn template() -> String {
        let subscriptions = [SUBSCRIPTIONS, &[SUBSCRIPTION]].concat();
        text(&format!("{SERVICES}{BLOCK}"), &subscriptions).unwrap()
    }

    #[test]
    fn is_one_block() {
        let template = Template::parse(&template());
        template.assert_has(&SUBSCRIPTION);
        let alarm = template.properties("ParcelsLostAlarm");
        assert_eq!(alarm["MetricName"], "waybill_parcels_lost_total");
        assert_eq!(alarm["Threshold"], 0.5);
        assert!(template.runbooks().contains("parcels-lost"));
        let role = template.properties("ParcelCounterRole").to_string();
        assert!(
            role.contains(r#""dynamodb:LeadingKeys":["parcels/*"]"#),
            "{role}"
        );
        let queues = template.properties("IngressRole").to_string();
        assert!(queues.contains("ParcelCounterDeadLetters.Arn"), "{queues}");
        let dashboard = template.properties("Dashboard")["DashboardBody"]
            .as_str()
            .unwrap();
        let dashboard: Value = serde_json::from_str(dashboard).unwrap();
        assert!(dashboard.to_string().contains("-parcel-counter-dlq"));
    }

    #[test]
    fn without_its_block_nothing_is_generated() {
        let error = text(SERVICES, &[SUBSCRIPTIONS, &[SUBSCRIPTION]].concat()).unwrap_err();
        assert!(error.to_string().contains("parcel-counter"), "{error:#}");
        let error = text(&format!("{SERVICES}{BLOCK}"), SUBSCRIPTIONS).unwrap_err();
        assert!(error.to_string().contains("parcel-counter"), "{error:#}");
    }

    #[test]
    #[ignore = "needs cfn-lint: `cargo xtask test infra` runs it"]
    #[expect(clippy::disallowed_methods, reason = "how the program's place is told")]
    fn passes_cfn_lint() {
        let program = std::env::var_os("CFN_LINT").expect("CFN_LINT names the program");
        let folder = std::env::temp_dir().join(format!("waybill-template-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("template.yaml");
        fs::write(&path, template()).unwrap();
        let output = Command::new(program).arg(&path).output().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
