// A shop's gateway plugin as they are written: Node with fetch. Its database is a JSON file.
//   shop.mjs request BASE API_KEY FILE FORM ORDER AMOUNT CALLBACK    FORM: form, json or text
//   shop.mjs return  BASE API_KEY FILE FORM ORDER QUERY [BODY [READS]]  what the customer brought back
//   READS: query, body, bank_code (paid is what has a bank_code) or any
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const [act, base, apiKey, file, form, order, ...rest] = process.argv.slice(2);

async function call(url, fields) {
  const bodies = {
    form: () => ({ body: new URLSearchParams(fields) }),
    json: () => ({ body: JSON.stringify(fields), headers: { "Content-Type": "application/json" } }),
    text: () => ({ body: JSON.stringify(fields) }),
  };
  const answer = await fetch(url, { method: "POST", ...bodies[form]() });
  return answer.status === 200 ? answer.json() : { status: 0, errorCode: -1 };
}

const orders = existsSync(file) ? JSON.parse(readFileSync(file)) : {};
const say = (value) => process.stdout.write(JSON.stringify(value));

if (act === "request") {
  const [amount, callback] = rest;
  const return_url = encodeURIComponent(`${callback}?order=${order}&_token=a%20b`);
  const said = await call(`${base}/invoice/request`, { api_key: apiKey, amount: Number(amount), return_url });
  if (said.status === 1) {
    orders[order] = { amount: Number(amount), key: said.invoice_key, paid: false };
    writeFileSync(file, JSON.stringify(orders));
    said.pay_url = `${base}/invoice/pay/${said.invoice_key}`;
  }
  say(said);
} else {
  const wanted = orders[order];
  const [query, body = "", reads = "any"] = rest;
  const given = new URLSearchParams({ query, body }[reads] ?? `${body}&${query}`);
  if ((given.get("status") ?? "0") !== "0") {
    say({ credited: false, why: "status" });
  } else if (reads === "bank_code" && !given.get("bank_code")) {
    say({ credited: false, why: "bank_code" });
  } else if (given.get("invoice_key") !== wanted.key) {
    say({ credited: false, why: "key" });
  } else {
    const said = await call(`${base}/invoice/check/${wanted.key}`, { api_key: apiKey });
    if (said.status !== 1 || said.amount !== wanted.amount) {
      say({ credited: false, why: said.errorCode ?? "amount" });
    } else {
      orders[order].paid = true;
      writeFileSync(file, JSON.stringify(orders));
      say({ credited: true, bank_code: said.bank_code });
    }
  }
}
