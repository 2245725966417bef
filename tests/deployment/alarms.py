"""Every alarm of a stack, fired by its metric, and its message received.

The emulator evaluates an alarm at once, over every dimension of its metric; so the dimensions are
checked apart from that.
"""

import json
import time

from stack import Account

PATIENCE_S = 20


def check(account: Account, prefix: str) -> int:
    """How many alarms there are."""
    cloudwatch = account.client("cloudwatch")
    pages = cloudwatch.get_paginator("describe_alarms").paginate()
    alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
    assert alarms, "the stack has no alarms"
    watched(account, prefix, alarms)
    inbox = subscribed(account, alarms)
    for key in sorted({(alarm["Namespace"], alarm["MetricName"]) for alarm in alarms}):
        of = [alarm for alarm in alarms if (alarm["Namespace"], alarm["MetricName"]) == key]
        names = {alarm["AlarmName"] for alarm in of}
        drive(cloudwatch, of, lambda alarm: 0)
        assert states(cloudwatch, names) == {"OK"}, f"{key} at 0: {states(cloudwatch, names)}"
        drive(cloudwatch, of, lambda alarm: 1000 * alarm["Threshold"])
        assert states(cloudwatch, names) == {"ALARM"}, f"{key} far over its thresholds"
        told(account, inbox, names)
    return len(alarms)


def watched(account: Account, prefix: str, alarms: list[dict]) -> None:
    """What an alarm watches is there, by the name that it watches."""
    queues = account.client("sqs").list_queues()["QueueUrls"]
    functions = account.client("lambda").list_functions()["Functions"]
    known = {
        "QueueName": {url.rsplit("/", 1)[1] for url in queues},
        "FunctionName": {function["FunctionName"] for function in functions},
        "installation": {prefix},
    }
    for alarm in alarms:
        for dimension in alarm["Dimensions"]:
            values = known.get(dimension["Name"])
            seen = values is None or dimension["Value"] in values
            assert seen, f"{alarm['AlarmName']} watches {dimension}, which is not there"


def subscribed(account: Account, alarms: list[dict]) -> str:
    """A queue behind the alarms' topic."""
    topics = {action for alarm in alarms for action in alarm["AlarmActions"]}
    assert len(topics) == 1, f"alarms go to {topics}"
    assert all(alarm["OKActions"] == alarm["AlarmActions"] for alarm in alarms)
    sqs = account.client("sqs")
    inbox = sqs.create_queue(QueueName="pager")["QueueUrl"]
    about = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])
    account.client("sns").subscribe(
        TopicArn=topics.pop(),
        Protocol="sqs",
        Endpoint=about["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return inbox


def drive(cloudwatch, alarms: list[dict], value) -> None:
    for alarm in alarms:
        datum = {
            "MetricName": alarm["MetricName"],
            "Dimensions": alarm["Dimensions"],
            "Value": value(alarm),
        }
        cloudwatch.put_metric_data(Namespace=alarm["Namespace"], MetricData=[datum])


def states(cloudwatch, names: set[str]) -> set[str]:
    found = cloudwatch.describe_alarms(AlarmNames=sorted(names))["MetricAlarms"]
    assert len(found) == len(names)
    return {alarm["StateValue"] for alarm in found}


def told(account: Account, inbox: str, names: set[str]) -> None:
    """Waits until each of them has said ALARM, with a link to its runbook."""
    sqs = account.client("sqs")
    missing, end = set(names), time.monotonic() + PATIENCE_S
    while missing:
        assert time.monotonic() < end, f"no message of {missing}"
        got = sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10, WaitTimeSeconds=2)
        for message in got.get("Messages", []):
            sqs.delete_message(QueueUrl=inbox, ReceiptHandle=message["ReceiptHandle"])
            body = json.loads(message["Body"])
            if body["NewStateValue"] == "ALARM":
                assert "docs/runbooks.md#" in body["AlarmDescription"], body
                missing.discard(body["AlarmName"])
