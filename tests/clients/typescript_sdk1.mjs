// The TypeScript SDK 1.x against the gateway: revision 2025-11-25 with its own form of tasks
// (`params.task`, tasks/get, tasks/result, tasks/list, tasks/cancel).
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, CreateTaskResultSchema } from "@modelcontextprotocol/sdk/types.js";

import { SLOW, check, equal, given, rejected, run } from "./checks.mjs";

const RELATED = "io.modelcontextprotocol/related-task";
const INVALID_PARAMS = -32602;
const task = { ttl: 60_000 };

const text = (result) => result.content[0].text;

async function everyday(client) {
  const { tools } = await client.listTools();
  const support = (name) => tools.find((tool) => tool.name === name)?.execution?.taskSupport;
  equal(support("slow_compute"), "optional", "taskSupport of slow_compute");
  equal(support("failing_job"), "required", "taskSupport of failing_job");
  check([undefined, "forbidden"].includes(support("greet")), "greet must not support tasks");

  const greeting = await client.callTool({ name: "greet", arguments: { name: "Ada" } });
  equal(text(greeting), "Hello, Ada!", "greet");
  const seen = [];
  const onprogress = ({ progress, total }) => seen.push(`${progress}/${total}`);
  await client.callTool({ name: "test_tool_with_progress" }, undefined, { onprogress });
  equal(seen.join(" "), "0/100 50/100 100/100", "progress");
}

// The stream drives a task by itself: created, polled, and its result fetched.
async function streamed(client) {
  const call = { name: "slow_compute", arguments: { seconds: SLOW, label: "streamed" } };
  const stream = client.experimental.tasks.callToolStream(call, undefined, { task });
  const kinds = [];
  let result;
  for await (const message of stream) {
    kinds.push(message.type);
    if (message.type === "error") throw message.error;
    if (message.type === "result") result = message.result;
  }
  equal(kinds[0], "taskCreated", "first message of the stream");
  check(kinds.includes("taskStatus"), `no status in the stream: ${kinds}`);
  check(text(result).includes("streamed"), "result of the stream");
  check(result._meta?.[RELATED]?.taskId, "tasks/result does not name its task in _meta");
}

async function start(client, name, args) {
  const params = { name, arguments: args, task };
  const created = await client.request({ method: "tools/call", params }, CreateTaskResultSchema);
  for (const field of ["taskId", "status", "createdAt", "lastUpdatedAt", "ttl"])
    check(field in created.task, `the created task has no ${field}`);
  equal(created.task.status, "working", `status of a new ${name}`);
  return created.task.taskId;
}

async function byHand(client) {
  const { tasks } = client.experimental;
  const taskId = await start(client, "slow_compute", { seconds: SLOW, label: "by hand" });
  equal((await tasks.getTask(taskId)).taskId, taskId, "tasks/get");
  check(await listed(tasks, taskId), "tasks/list does not have the task");

  // Blocks until the task has ended.
  const result = await tasks.getTaskResult(taskId, CallToolResultSchema);
  check(text(result).includes("by hand"), "tasks/result");
  equal((await tasks.getTask(taskId)).status, "completed", "status after tasks/result");
  const refused = await rejected(tasks.cancelTask(taskId), "cancel of a completed task");
  equal(refused.code, INVALID_PARAMS, "code of a cancel that comes too late");
}

async function listed(tasks, taskId) {
  let cursor;
  do {
    const page = await tasks.listTasks(cursor);
    if (page.tasks.some((task) => task.taskId === taskId)) return true;
    cursor = page.nextCursor;
  } while (cursor);
  return false;
}

async function otherEnds(client) {
  const { tasks } = client.experimental;
  const cancelled = await start(client, "slow_compute", { seconds: 300 });
  equal((await tasks.cancelTask(cancelled)).status, "cancelled", "tasks/cancel");
  equal((await tasks.getTask(cancelled)).status, "cancelled", "status after tasks/cancel");

  const failing = await start(client, "failing_job", {});
  const result = await tasks.getTaskResult(failing, CallToolResultSchema);
  equal(result.isError, true, "isError of a failing job");

  const unknown = await rejected(tasks.getTask("0".repeat(36)), "unknown task");
  equal(unknown.code, INVALID_PARAMS, "code of an unknown task");
}

await run(async () => {
  const { url, headers } = given();
  const client = new Client({ name: "waybill-test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  for (const what of ["list", "cancel"])
    check(client.getServerCapabilities()?.tasks?.[what], `capabilities.tasks.${what} is missing`);
  await everyday(client);
  await streamed(client);
  await byHand(client);
  await otherEnds(client);
  await client.close();
});
