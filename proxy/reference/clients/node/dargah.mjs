// Dargah's client for shops, 0.1.0, Apache-2.0. A newer one: `dargah client node > dargah.mjs`.
/**
 * Payments through Dargah, in one file for Node 18 or later without a dependency: copy it into the shop. TypeScript
 * reads its types where tsconfig.json says `"allowJs": true`; CommonJS takes it by `await import("./dargah.mjs")`.
 *
 * `new Dargah()` reads DARGAH_URL, DARGAH_TOKEN, DARGAH_MODE, DARGAH_STOREFRONT, and DARGAH_WEBHOOK_SECRET and
 * DARGAH_RETURN_SECRET, each one secret or several with spaces between. Amounts are integers, `amount_rials` rials. */
import { createHash, createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

// types from openapi.yaml, by `make docs`
/** @typedef {'IRR' | 'IRT'} Currency */
/** @typedef {'live' | 'test'} Mode */
/** @typedef {'created' | 'pending' | 'paid' | 'failed' | 'canceled' | 'expired' | 'given_back' | 'needs_review'} Status
 *   */
/** @typedef {'payment.paid' | 'payment.failed' | 'payment.canceled' | 'payment.expired' | 'payment.given_back' |
 *   'payment.needs_review' | 'payment.review_resolved' | 'endpoint.disabled' | 'ping'} EventType */
/** @typedef {Record<string, string | number | boolean | null>} Metadata */
/** @typedef {{amount: number, currency: Currency, order_id: string, return_url?: string | null,
 *   terminal_id?: string | null, description?: string | null, metadata?: Metadata, expires_in?: number | null}}
 *   NewPayment */
/** @typedef {{reason: 'gateway_refused' | 'no_invoice', gateway_error_code: number | null}} Failure */
/** @typedef {{decision: 'accepted' | 'refunded' | 'rejected', note: string, by: string, at: string}} Resolution */
/** @typedef {{reason: 'amount_differs' | 'bank_code_missing' | 'bank_code_reused' | 'order_paid_twice' |
 *   'order_withdrawn' | 'paid_twice', expected_rials: number, captured_rials: number | null, bank_code: string | null,
 *   invoice_key: string, other_payment_id: string | null, resolution: Resolution | null}} Review */
/** @typedef {{reason: 'amount_differs' | 'merchant_reversed' | 'order_paid_twice' | 'order_withdrawn' | 'paid_twice' |
 *   'reversed' | 'too_late', amount_rials: number | null, by: string | null, at: string | null, invoice_key: string,
 *   other_payment_id: string | null}} GivenBack */
/** @typedef {{id: string, status: Status, mode: Mode, test: boolean, storefront: string, terminal_id: string,
 *   gateway: string, order_id: string, amount_rials: number, amount_toman: number, currency: Currency,
 *   description: string | null, metadata: Metadata, invoice_key: string | null, bank_code: string | null,
 *   card_mask: string | null, trace_number: string | null, fee_rials: number | null, late: boolean,
 *   failure: Failure | null, review: Review | null, given_back: GivenBack | null, withdrawn_at: string | null,
 *   version: number, created_at: string, updated_at: string, expires_at: string, paid_at: string | null}} PaymentFields
 *   */
/** @typedef {PaymentFields & {pay_url: string, return_url: string | null}} Payment */
/** @typedef {{outcome: 'captured' | 'not_paid' | 'canceled' | 'paid_unconfirmed' | 'confirmed' | 'too_late' |
 *   'reversed' | 'amount_differs' | 'unknown' | 'not_asked', reason: string | null, gateway_error_code: number | null,
 *   http_status: number | null}} Check */
/** @typedef {PaymentFields & {pay_url: string, return_url: string | null, check: Check}} CheckedPayment */
/** @typedef {PaymentFields & {sequence: number, order_paid_by?: string | null}} PaymentEvent */
/** @typedef {{field: string, code: string, detail: string, detail_fa: string}} FieldError */
// end of types
/** @typedef {{payment_id: string, order_id: string, status: string, payment_mode: string}} Return */
/** @typedef {{url?: string, token?: string, webhookSecrets?: string, returnSecrets?: string, mode?: string,
 *   storefront?: string}} Settings */
/** A verified webhook. `id` is the same each time that it comes; `payment` is null where it tells of none. `paidOrder`
 * is the order to credit, once; where it is null, `differs` names what is not as the shop's order is.
 * @typedef {{id: string, type: EventType, data: Record<string, unknown>, payment: PaymentEvent | null,
 *   paidOrder: string | null, differs: string | null}} Event */

const [TRIES, TRY_MS, CALL_SECONDS, MAX_BYTES, TOLERANCE_SECONDS, MAX_SIGNATURES] = [4, 30_000, 60, 2 ** 20, 300, 20];
const ED25519 = Buffer.from("302a300506032b6570032100", "hex"); // DER of a public key, as far as its 32 bytes
const SECRET = /^(whsec|whpk(?=_[^=]{43}=$))_((?:[A-Za-z0-9+/]{4}){8,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/;
const now = () => performance.now() / 1000;

/** This webhook or way back is not Dargah's, not of now or not of this shop's mode: answer 400, and do nothing. */
export class Refused extends Error {}

/** A call that failed. Decide by `code`; the status is 0 where no whole answer came. `errors` has an entry for each
 * field that is wrong, and `problem` is Dargah's whole answer. */
export class DargahError extends Error {
  /** @param {number} status @param {Record<string, any>} problem */
  constructor(status, problem) {
    super(`${status} ${problem.code}: ${problem.detail}`);
    this.status = status;
    this.problem = problem;
    this.code = String(problem.code);
    this.detail = String(problem.detail);
    this.errors = /** @type {FieldError[]} */ (problem.errors ?? []);
  }
}

/** One storefront of a merchant in one mode. */
export class Dargah {
  #url; #token; #keys; #returnSecrets;

  /** @param {Settings} [settings] */
  constructor(settings = {}) {
    const env = process.env;
    const words = (/** @type {string | undefined} */ text) => (text ?? "").split(/\s+/).filter(Boolean);
    this.#url = new URL(settings.url || env.DARGAH_URL || "http://127.0.0.1:8080").href.replace(/\/+$/, "");
    if (!/^https?:\/\/[^@]+$/.test(this.#url)) throw new TypeError("DARGAH_URL is like https://pay.example.ir");
    this.#token = (settings.token || env.DARGAH_TOKEN || "").trim();
    this.#keys = words(settings.webhookSecrets || env.DARGAH_WEBHOOK_SECRET).map(keyOf);
    this.#returnSecrets = words(settings.returnSecrets || env.DARGAH_RETURN_SECRET);
    this.mode = settings.mode || env.DARGAH_MODE || "live";
    this.storefront = settings.storefront || env.DARGAH_STOREFRONT || "main";
    if (!/^(live|test) (dg_\1_[0-9A-Za-z]+)?$/.test(`${this.mode} ${this.#token}`)) {
      throw new TypeError(`DARGAH_MODE is live or test, and DARGAH_TOKEN is of that mode: dg_${this.mode}_…`);
    }
  }

  /** A payment: send the customer to its `pay_url`. The same order and attempt give the same payment, also after an
   * error. For another try of the customer, or when the order was changed, take the next attempt.
   * @param {NewPayment} order @param {number} [attempt] @param {string} [key] @returns {Promise<Payment>} */
  async create(order, attempt = 1, key = undefined) {
    const id = order.order_id;
    const name = /^[!-~]{1,100}$/.test(id) ? id : createHash("sha256").update(id).digest("hex");
    if (!/^[!-~]{0,255}$/.test(key ?? "")) throw new TypeError("a key is of at most 255 visible ASCII characters");
    return this.#call("POST", [], CALL_SECONDS, order, key ?? `order-${name}-try-${attempt}`);
  }

  /** The payment as Dargah knows it now. @param {string} paymentId @returns {Promise<Payment>} */
  async get(paymentId) { return this.#call("GET", [paymentId]); }

  /** The payment after the gateway was asked, unless its outcome was known.
   * @param {string} paymentId @param {number} [seconds] @returns {Promise<CheckedPayment>} */
  async check(paymentId, seconds = CALL_SECONDS) { return this.#call("POST", [paymentId, "check"], seconds); }

  /** The payment, withdrawn; DargahError `payment_not_withdrawn` when it is paid or has ended.
   * @param {string} paymentId @returns {Promise<Payment>} */
  async cancel(paymentId) { return this.#call("POST", [paymentId, "cancel"]); }

  /** The payment once its outcome is known, or as it is after so many seconds: look at its `status`.
   * @param {string} paymentId @param {number} [seconds] @returns {Promise<CheckedPayment>} */
  async wait(paymentId, seconds = 60) {
    for (const ends = now() + seconds; ; ) {
      const payment = await this.check(paymentId, Math.max(ends - now(), 5));
      const left = ends - now();
      if (!["created", "pending"].includes(payment.status) || left <= 0) return payment;
      await sleep(1000 * Math.min(left, 2 + (seconds - left) / 10));
    }
  }

  /** The first field by which a payment does not pay this order of this shop; null when it does.
   * @param {PaymentFields} payment @param {string} orderId @param {number} amountRials @returns {string | null} */
  differs(payment, orderId, amountRials) {
    if (!Number.isSafeInteger(amountRials)) throw new TypeError("what an order costs is a whole number, in rials");
    const [test, storefront] = [this.mode === "test", this.storefront];
    const ours = { status: "paid", mode: this.mode, test, storefront, order_id: orderId, amount_rials: amountRials };
    const theirs = new Map(Object.entries(payment));
    return Object.entries(ours).find(([name, value]) => (theirs.get(name) ?? false) !== value)?.[0] ?? null;
  }

  /** Whether a payment pays this order of this shop, to the rial.
   * @param {PaymentFields} payment @param {string} orderId @param {number} amountRials */
  paidFor(payment, orderId, amountRials) { return this.differs(payment, orderId, amountRials) === null; }

  /** Whether its money went back or goes back by itself (`given_back`), or an operator noted a refund.
   * @param {PaymentFields} payment */
  refunded(payment) { return payment.given_back !== null || payment.review?.resolution?.decision === "refunded"; }

  /** The event of a request, by its exact bytes and its headers. Throws Refused. `amountOf` gives what the open order
   * of an id costs, in rials, and null where there is none. `seconds` is the time.
   * @param {Uint8Array | string} body @param {Headers | Record<string, string | string[] | undefined>} headers
   * @param {(orderId: string) => number | null | undefined | Promise<number | null | undefined>} amountOf
   * @param {number} [seconds] @returns {Promise<Event>} */
  async webhook(body, headers, amountOf, seconds = Date.now() / 1000) {
    if (this.#keys.length === 0) throw new TypeError("DARGAH_WEBHOOK_SECRET is not set");
    const pairs = headers instanceof Headers ? [...headers] : Object.entries(headers);
    const given = new Map(pairs.map(([name, value]) => [name.toLowerCase(), String(value ?? "")]));
    const names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    const [id = "", stamp = "", texts = ""] = names.map((name) => given.get(name));
    if (!id || !/^[0-9]{1,12}$/.test(stamp)) throw new Refused("webhook-id or webhook-timestamp is missing");
    if (Math.abs(seconds - Number(stamp)) > TOLERANCE_SECONDS) throw new Refused("not signed within these 5 minutes");
    const [bytes, signatures] = [Buffer.from(body), texts.split(" ").slice(0, MAX_SIGNATURES)];
    const signed = Buffer.concat([Buffer.from(`${id}.${stamp}.`), bytes]);
    const valid = signatures.some((text) => this.#keys.some((key) => isSignedBy(key, text, signed)));
    if (!valid) throw new Refused("no signature is of this secret and these bytes");
    const { type, data } = JSON.parse(bytes.toString());
    const amount = type === "payment.paid" ? await amountOf(data.order_id) : null;
    const unknown = type === "payment.paid" ? "order_id" : "type";
    const differs = amount === null || amount === undefined ? unknown : this.differs(data, data.order_id, amount);
    const payment = type.startsWith("payment.") ? data : null;
    return { id, type, data, payment, paidOrder: differs === null ? data.order_id : null, differs };
  }

  /** What Dargah signed into the customer's way back, by its query. Throws Refused. It chooses the page to show and
   * credits nothing: the customer may keep the link.
   * @param {URLSearchParams | string | Record<string, string>} query @returns {Return} */
  verifyReturn(query) {
    if (this.#returnSecrets.length === 0) throw new TypeError("DARGAH_RETURN_SECRET is not set");
    const params = new URLSearchParams(query);
    const prefix = params.has("dargah_signature_v2") ? "dargah_" : "";
    const value = (/** @type {string} */ name) => params.get(prefix + name) ?? "";
    const [payment_id, order_id, payment_mode] = [value("payment_id"), value("order_id"), value("payment_mode")];
    const found = { payment_id, order_id, status: value("status"), payment_mode };
    const text = Object.entries(found).map((pair) => pair.join("=")).join("&");
    const made = this.#returnSecrets.map((each) => createHmac("sha256", each).update(text).digest("hex"));
    if (payment_mode === this.mode && made.some((each) => same(each, value("signature_v2")))) return found;
    throw new Refused("Dargah did not send the customer with these words");
  }

  /** The answer's JSON. What may pass is asked for again, until tries or seconds are over. @returns {Promise<any>}
   * @param {string} method @param {string[]} path @param {number=} seconds @param {object=} order @param {string=} key */
  async #call(method, path, seconds = CALL_SECONDS, order = undefined, key = "") {
    const headers = { Authorization: `Bearer ${this.#token}`, "User-Agent": "dargah-node/0.1.0" };
    if (order) Object.assign(headers, { "Idempotency-Key": key, "Content-Type": "application/json" });
    const [url, ends] = [[this.#url, "v1/payments", ...path.map(encodeURIComponent)].join("/"), now() + seconds];
    for (let tries = 1; ; tries += 1) {
      const signal = AbortSignal.timeout(Math.ceil(Math.min(TRY_MS, Math.max(1000 * (ends - now()), 1000))));
      /** @type {RequestInit} */
      const options = { method, headers, body: order && JSON.stringify(order), redirect: "manual", signal };
      const [status, found, after] = await once(url, options);
      if (status >= 200 && status < 300) return found;
      const error = new DargahError(status, found);
      const passing = [0, 429, 502, 503, 504].includes(status) || error.code === "request_in_progress";
      const pause = Math.max(after, 0.25 * 2 ** tries * (0.5 + Math.random()));
      if (!passing || error.code === "gateway_refused" || tries === TRIES || now() + pause > ends) throw error;
      await sleep(1000 * pause);
    }
  }
}

/** Status, JSON and Retry-After; the status is 0 when no whole answer came.
 * @param {string} url @param {RequestInit} options @returns {Promise<[number, Record<string, any>, number]>} */
async function once(url, options) {
  try {
    const answer = await fetch(url, options);
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of /** @type {any} */ (answer.body ?? [])) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > MAX_BYTES) break; // which hangs up, too
    }
    const after = answer.headers.get("Retry-After") ?? "";
    const found = /^\s*\{/.test(text) ? JSON.parse(text) : null; // cut off it throws
    if (found) return [answer.status, found, /^[0-9]{1,6}$/.test(after) ? Number(after) : 0];
    const detail = "the answer is not Dargah's: is DARGAH_URL where it is?";
    return [answer.status < 300 ? 0 : answer.status, { code: `http_${answer.status}`, detail }, 0];
  } catch (error) {
    const why = error instanceof Error ? (error.cause ?? error) : error;
    return [0, { code: "network", detail: `no whole answer from ${new URL(url).host}: ${why}` }, 0];
  }
}

/** @param {string} one @param {string} other */
function same(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** @param {string} secret */
function keyOf(secret) {
  const [, kind, text] = SECRET.exec(secret) ?? [];
  if (!text) throw new TypeError("DARGAH_WEBHOOK_SECRET is whsec_… or whpk_…, whole, as it was shown");
  const bytes = Buffer.from(text, "base64");
  if (kind === "whsec") return bytes;
  return createPublicKey({ key: Buffer.concat([ED25519, bytes]), format: "der", type: "spki" });
}

/** Whether a signature is of a key: `v1` of a whsec_, `v1a` of a whpk_.
 * @param {Buffer | import("node:crypto").KeyObject} key @param {string} text @param {Buffer} signed */
function isSignedBy(key, text, signed) {
  const [version, signature = ""] = text.split(",");
  if (!Buffer.isBuffer(key)) return version === "v1a" && verify(null, signed, key, Buffer.from(signature, "base64"));
  return version === "v1" && same(createHmac("sha256", key).update(signed).digest("base64"), signature);
}
