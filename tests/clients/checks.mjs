// What the client scripts in JavaScript share; the counterpart of checks.py.
import { parseArgs } from "node:util";

// A slow call, in seconds: longer than the gateway waits before it answers with a task.
export const SLOW = 2;

export class Failed extends Error {}

// `--url` of the MCP endpoint and `--key`, which may come from WAYBILL_TEST_KEY instead.
export function given() {
  const options = { url: { type: "string" }, key: { type: "string" } };
  const { values } = parseArgs({ options });
  const key = values.key ?? process.env.WAYBILL_TEST_KEY;
  if (!values.url || !key) {
    console.error("usage: --url http://127.0.0.1:PORT/mcp --key KEY (or WAYBILL_TEST_KEY)");
    process.exit(2);
  }
  return { url: new URL(values.url), key, headers: { Authorization: `Bearer ${key}` } };
}

export function check(condition, message) {
  if (!condition) throw new Failed(message);
}

export function equal(have, want, what) {
  check(have === want, `${what}: have ${JSON.stringify(have)}, want ${JSON.stringify(want)}`);
}

// The error that the promise ends with; a failed check when it ends well.
export async function rejected(promise, what) {
  const error = await promise.then(() => undefined, (reason) => reason);
  check(error, `${what}: was not refused`);
  return error;
}

// Runs a script to its end: `ok`, or the failed check's message and exit code 1.
export async function run(main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Failed ? `failed: ${error.message}` : error);
    process.exit(1);
  }
  console.log("ok");
  process.exit(0);
}
