// Drives the clients of npm by the protocol of drive.py: `drive.cjs CLIENT FAMILY CREDENTIALS`. NODE_PATH has the clients.
const { createInterface } = require("node:readline");

const byCode = (code, paid, again, says) =>
  ({ verdict: code === paid ? "paid" : code === again ? "again" : "refused", says: says ?? code ?? null });

const refused = (says) => ({ verdict: "refused", says });

const DRIVERS = {
  "zarinpal-node-sdk": ({ merchant_id, base }) => {
    const { ZarinPal } = require("zarinpal-node-sdk");
    const client = new ZarinPal({ merchantId: merchant_id });
    if (base) client.baseURL = client.httpClient.defaults.baseURL = base;
    return {
      async request({ amount_rials, callback }) {
        const made = await client.payments.create({ amount: amount_rials, callback_url: callback, description: "an order" });
        if (made.data?.code !== 100) return refused(made.errors?.code);
        return { reference: made.data.authority, url: client.payments.getRedirectUrl(made.data.authority), fields: null };
      },
      async verify({ amount_rials, reference }) {
        const told = await client.verifications.verify({ amount: amount_rials, authority: reference });
        return byCode(told.data?.code, 100, 101, told.data?.ref_id ?? told.errors?.code);
      },
      // What axios throws of a status that is not 2xx.
      refuses: (error) => error.response?.data?.errors?.code,
    };
  },

  // In toman, which is what it asks for unless told otherwise.
  "zarinpal-checkout": ({ merchant_id, base }) => {
    const moved = (url) => base + new URL(url).pathname;
    const httpClient = {
      async request({ url, method, data }) {
        const headers = { "content-type": "application/json" };
        return { data: await (await fetch(moved(url), { method, headers, body: JSON.stringify(data) })).json() };
      },
    };
    const client = require("zarinpal-checkout").createWithOptions(merchant_id, base ? { httpClient } : {});
    return {
      async request({ amount_rials, callback }) {
        const made = await client.PaymentRequest({ Amount: amount_rials / 10, CallbackURL: callback, Description: "an order" });
        if (made.status !== 100) return refused(made.status ?? "no status");
        return { reference: made.authority, url: base ? moved(made.url) : made.url, fields: null };
      },
      async verify({ amount_rials, reference }) {
        const told = await client.PaymentVerification({ Amount: amount_rials / 10, Authority: reference });
        return byCode(told.status, 100, 101, told.refId ?? "no status");
      },
      // It throws the gateway's answer where that came with a status that is not 2xx.
      refuses: (error) => error.errors?.code,
    };
  },

  zibal: ({ merchant, base }) => {
    const urls = require("zibal/lib/urls");
    if (base) {
      urls.requestURL = `${base}/v1/request`;
      urls.verifyURL = `${base}/v1/verify`;
      urls.getStartUrl = (trackId) => `${base}/start/${trackId}`;
    }
    const client = new (require("zibal"))({ merchant });
    return {
      async request({ amount_rials, number, callback }) {
        const made = await client.request({ amount: amount_rials, callbackUrl: callback, orderId: String(number) });
        if (!made.success) return refused(made.result ?? "no answer");
        return { reference: String(made.trackId), url: made.paymentUrl, fields: null };
      },
      async verify({ amount_rials, reference, returned }) {
        const told = await client.verify({ trackId: returned.trackId ?? reference });
        if (!told.success) return { verdict: "broken", says: "no answer" };
        if (told.amount !== amount_rials) return { verdict: "differs", says: told.amount };
        return byCode(told.result, 100, 201, told.refNumber);
      },
      // It rejects with the answer of every result but 100.
      again: (error) => error.result === 201,
      refuses: (error) => error.result,
    };
  },
};

async function answer(driver, command) {
  try {
    return await driver[command.do](command);
  } catch (error) {
    if (driver.again?.(error)) return { verdict: "again", says: error.result };
    const code = driver.refuses(error);
    return code === undefined ? { verdict: "broken", says: String(error?.stack ?? error) } : refused(code);
  }
}

// The answers' alone: npm's zibal prints what goes wrong.
console.log = console.error;

async function main([client, , credentials]) {
  const driver = DRIVERS[client](JSON.parse(credentials));
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(driver, JSON.parse(line))) + "\n");
  }
}

main(process.argv.slice(2));
