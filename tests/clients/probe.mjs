// Calls the Node client as each line of standard input says, and prints a line of JSON for each.
import { createInterface } from "node:readline";
import { Dargah, DargahError, Refused } from "../../proxy/reference/clients/node/dargah.mjs";

async function call({ settings, call, args }) {
  const dargah = new Dargah(settings);
  if (call !== "webhook") return dargah[call](...args);
  const [body, headers, costs, now] = args;
  const { id, type, paidOrder, differs } = await dargah.webhook(body, headers, async (order) => costs[order], now ?? undefined);
  return { id, type, paidOrder, differs };
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = { gave: await call(JSON.parse(line)) };
  } catch (error) {
    if (error instanceof Refused) said = { refused: error.message };
    else if (error instanceof DargahError) {
      const { status, code, errors, problem, message } = error;
      said = { failed: { status, code, errors, problem, text: message } };
    } else if (error instanceof TypeError) said = { misused: error.message };
    else throw error;
  }
  console.log(JSON.stringify(said));
}
