// The TypeScript client 2.x with ext-tasks against the gateway: revision 2026-07-28 and the
// extension io.modelcontextprotocol/tasks.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import {
  createTaskSessionFromClient,
  resultFromTaskOutcome,
} from "@modelcontextprotocol/ext-tasks/client";

import { SLOW, check, equal, given, rejected, run } from "./checks.mjs";

const REVISION = "2026-07-28";
const { url, headers } = given();
const clientInfo = { name: "waybill-test", version: "1" };
const clientCapabilities = { elicitation: {} };
const text = (result) => result.content[0].text;

// The user behind every question.
const answer = { action: "accept", content: { name: "Alice", color: "blue", confirm: true } };

// ext-tasks leaves the wire of task requests to its host: one POST each, with the routing headers.
let lastId = 0;
async function rawDispatch(request, options) {
  const { method, params } = request;
  const id = `raw-${(lastId += 1)}`;
  const response = await fetch(url, {
    method: "POST",
    headers: {
      ...headers,
      ...options?.context?.headers,
      "Content-Type": "application/json",
      Accept: "application/json, text/event-stream",
      "MCP-Protocol-Version": REVISION,
      "Mcp-Method": method,
      "Mcp-Name": method.startsWith("tasks/") ? params.taskId : params.name,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id, method, params }),
    signal: options?.signal,
  });
  const message = parse(await response.text()).find((each) => each.id === id);
  check(message, `HTTP ${response.status} for ${method} without its answer`);
  const { error, result } = message;
  return error ? { kind: "error", error } : { kind: "result", result };
}

// A JSON answer, or the messages of an event stream.
function parse(body) {
  if (body.trimStart().startsWith("{")) return [JSON.parse(body)];
  const lines = body.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trim()).filter(Boolean).map((line) => JSON.parse(line));
}

async function everyday(client) {
  equal(client.getProtocolEra(), "modern", "the negotiated era");
  const { tools } = await client.listTools();
  check(tools.some((tool) => tool.name === "slow_compute"), "tools/list has no slow_compute");
  const greeting = await client.callTool({ name: "greet", arguments: { name: "Ada" } });
  equal(text(greeting), "Hello, Ada!", "greet");
  const asked = await client.callTool({ name: "test_input_required_result_elicitation" });
  equal(text(asked), "Hello, Alice!", "a question in the response");
}

async function tasks(session) {
  const slow = { seconds: SLOW, label: "settled" };
  const execution = await session.callTool("slow_compute", slow);
  equal(execution.kind, "task", "a slow call of a client that speaks tasks");
  const { outcome, lastTask } = await execution.settle();
  equal(outcome.status, "completed", "outcome");
  check(lastTask.taskId, "the settled task has no id");
  check(text(resultFromTaskOutcome(outcome)).includes("settled"), "result");

  const quick = await session.callTool("greet", { name: "Ada" });
  equal(quick.kind, "immediate", "a tool that forbids tasks");

  const parked = await session.callTool("confirm_delete", { filename: "c.txt" });
  const answered = await parked.settle();
  equal(text(resultFromTaskOutcome(answered.outcome)), "Deleted c.txt", "a question in a task");
}

async function otherEnds(session) {
  const stopped = await session.callTool("slow_compute", { seconds: 300 });
  const { taskId } = stopped.handle;
  await session.cancelTask(taskId);
  equal((await stopped.settle()).outcome.status, "cancelled", "outcome after cancel");
  equal((await session.task(taskId).snapshot()).status, "cancelled", "snapshot after cancel");

  const broken = await session.callTool("protocol_error_job", {});
  equal((await broken.settle()).outcome.status, "failed", "outcome of a protocol error");

  const unknown = await rejected(session.task("0".repeat(36)).snapshot(), "unknown task");
  equal(unknown.code, -32602, "code of an unknown task");
}

await run(async () => {
  const versionNegotiation = { mode: { pin: REVISION } };
  const client = new Client(clientInfo, { capabilities: clientCapabilities, versionNegotiation });
  client.setRequestHandler("elicitation/create", async () => answer);
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  await everyday(client);
  const session = createTaskSessionFromClient(client, {
    endpointId: "waybill-test",
    rawDispatch,
    v2RequestFraming: { protocolVersion: REVISION, clientInfo, clientCapabilities },
    onInputRequest: async () => answer,
  });
  await tasks(session);
  await otherEnds(session);
  await session.close();
  await client.close();
});
