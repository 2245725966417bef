"""A stack from infra/template.yaml in the emulator's CloudFormation, as `sam deploy` makes one."""

import io
import os
import pathlib
import re
import zipfile

import boto3
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra/template.yaml"
REGION = "eu-central-1"


class Account:
    """An account of the emulator: an access key of twelve digits is an account's number."""

    def __init__(self, number: str):
        self.number = number
        self.url = os.environ["AWS_EMULATOR_URL"]
        # The names of buckets are everybody's.
        self.code = f"code-{number}"

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.number,
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 2}),
        )

    def environment(self, prefix: str) -> dict[str, str]:
        """Of a waybill that works in this account."""
        return {
            "AWS_ACCESS_KEY_ID": self.number,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "WAYBILL_BACKEND": "aws",
            "WAYBILL_PREFIX": prefix,
            "WAYBILL_ENDPOINT_URL": self.url,
        }


def packaged(account: Account, binaries: pathlib.Path | None) -> str:
    """The template with each function's code in a bucket. Without binaries there is only a mark."""
    s3 = account.client("s3")
    where = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=account.code, CreateBucketConfiguration=where)

    def upload(found: re.Match[str]) -> str:
        service = found[1]
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            code = (binaries / f"waybill-{service}").read_bytes() if binaries else b"#!/bin/false\n"
            archive.writestr(entry, code, zipfile.ZIP_DEFLATED, 1)
        s3.put_object(Bucket=account.code, Key=service, Body=body.getvalue())
        return f"CodeUri: s3://{account.code}/{service}"

    text, count = re.subn(r"CodeUri: \.\./target/lambda/([a-z-]+)/", upload, TEMPLATE.read_text())
    assert count, "the template names no code"
    return text


def deploy(account: Account, name: str, template: str, parameters: dict[str, str]) -> None:
    """By a change set, which expands the SAM transform. Raises with the reasons when it fails."""
    cloud = account.client("cloudformation")
    # In a request itself there is room for 50 KB only.
    account.client("s3").put_object(Bucket=account.code, Key="template", Body=template.encode())
    cloud.create_change_set(
        StackName=name,
        ChangeSetName="made",
        ChangeSetType="CREATE",
        TemplateURL=f"{account.url}/{account.code}/template",
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    wait = {"Delay": 1, "MaxAttempts": 60}
    cloud.get_waiter("change_set_create_complete").wait(
        StackName=name, ChangeSetName="made", WaiterConfig=wait
    )
    cloud.execute_change_set(StackName=name, ChangeSetName="made")
    cloud.get_waiter("stack_exists").wait(StackName=name, WaiterConfig=wait)
    try:
        cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=wait)
    except Exception as error:
        events = cloud.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [
            f"{e['LogicalResourceId']} ({e['ResourceType']}): {e.get('ResourceStatusReason')}"
            for e in events
            if e["ResourceStatus"].endswith("_FAILED")
        ]
        raise SystemExit("the stack was not made:\n" + "\n".join(reasons)) from error


def delete(account: Account, name: str) -> None:
    cloud = account.client("cloudformation")
    cloud.delete_stack(StackName=name)
    cloud.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def resources(account: Account, name: str) -> dict[str, str]:
    """Physical names by logical ids."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages.paginate(StackName=name)
        for each in page["StackResourceSummaries"]
    }


def let_sources_run(account: Account, prefix: str) -> None:
    """The emulator takes a limit that comes from a parameter for a text, and then receives nothing."""
    functions = account.client("lambda")
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        if f":{prefix}-" in source["EventSourceArn"]:
            limit = int(source["ScalingConfig"]["MaximumConcurrency"])
            functions.update_event_source_mapping(
                UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": limit}
            )


def left(account: Account, prefix: str) -> list[str]:
    """Names of the installation that are there still, in the services that it uses."""
    names = [
        *account.client("dynamodb").list_tables()["TableNames"],
        *account.client("sqs").list_queues().get("QueueUrls", []),
        *(t["TopicArn"] for t in account.client("sns").list_topics()["Topics"]),
        *(f["FunctionName"] for f in account.client("lambda").list_functions()["Functions"]),
        *(r["RoleName"] for r in account.client("iam").list_roles()["Roles"]),
        *(b["Name"] for b in account.client("events").list_event_buses()["EventBuses"]),
        *(a["ApiId"] for a in account.client("apigatewayv2").get_apis()["Items"]),
        *(s["Name"] for s in account.client("scheduler").list_schedules()["Schedules"]),
        *(g["logGroupName"] for g in account.client("logs").describe_log_groups()["logGroups"]),
        *(b["Name"] for b in account.client("s3").list_buckets()["Buckets"]),
        *(a["AliasName"] for a in account.client("kms").list_aliases()["Aliases"]),
        *(a["AlarmName"] for a in account.client("cloudwatch").describe_alarms()["MetricAlarms"]),
        *(
            d["DashboardName"]
            for d in account.client("cloudwatch").list_dashboards()["DashboardEntries"]
        ),
    ]
    return [name for name in names if prefix in name]
