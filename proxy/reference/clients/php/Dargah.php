<?php // Dargah's client for shops, 0.1.0, Apache-2.0. A newer one: `dargah client php > Dargah.php`.
declare(strict_types=1);

/** This webhook or way back is not Dargah's, not of now or not of this shop's mode: answer 400, and do nothing. */
final class DargahRefused extends RuntimeException {}

/** A call that failed. Decide by `errorCode`; `status` is 0 where no whole answer came. `errors` has an entry for each
 * field that is wrong, and `problem` is Dargah's whole answer. @phpstan-import-type FieldError from Dargah */
final class DargahError extends RuntimeException {
    public readonly string $errorCode, $detail;
    public readonly array $errors; // list<FieldError>

    /** @param array<string, mixed> $problem */
    public function __construct(public readonly int $status, public readonly array $problem) {
        [$this->errorCode, $this->detail] = [$problem['code'] ?? '', $problem['detail'] ?? ''];
        $this->errors = $problem['errors'] ?? [];
        parent::__construct("$status $this->errorCode: $this->detail");
    }
}

/** A verified webhook. `id` is the same each time that it comes; `payment` is null where it tells of none. `paidOrder`
 * is the order to credit, once; where it is null, `differs` names what is not as the shop's order is.
 * @phpstan-import-type PaymentEvent from Dargah */
final class DargahEvent {
    /** @param array<string, mixed> $data @param PaymentEvent|null $payment */
    public function __construct(
        public readonly string $id, public readonly string $type, public readonly array $data,
        public readonly ?array $payment, public readonly ?string $paidOrder, public readonly ?string $differs,
    ) {}
}

/** Payments through Dargah, in one file for PHP 8.1 or later with curl (and sodium for v1a): copy it into the shop.
 * `new Dargah()` reads DARGAH_URL, DARGAH_TOKEN, DARGAH_MODE, DARGAH_STOREFRONT, and DARGAH_WEBHOOK_SECRET and
 * DARGAH_RETURN_SECRET, each one secret or several with spaces between. Amounts are integers, `amount_rials` rials.
 * types from openapi.yaml, by `make docs`
 * @phpstan-type Currency 'IRR'|'IRT'
 * @phpstan-type Mode 'live'|'test'
 * @phpstan-type Status 'created'|'pending'|'paid'|'failed'|'canceled'|'expired'|'given_back'|'needs_review'
 * @phpstan-type EventType 'payment.paid'|'payment.failed'|'payment.canceled'|'payment.expired'|'payment.given_back'|'payment.needs_review'|'payment.review_resolved'|'endpoint.disabled'|'ping'
 * @phpstan-type Metadata array<string, string|int|bool|null>
 * @phpstan-type NewPayment array{amount: int, currency: Currency, order_id: string, return_url?: ?string,
 *   terminal_id?: ?string, description?: ?string, metadata?: Metadata, expires_in?: ?int}
 * @phpstan-type Failure array{reason: 'gateway_refused'|'no_invoice', gateway_error_code: ?int}
 * @phpstan-type Resolution array{decision: 'accepted'|'refunded'|'rejected', note: string, by: string, at: string}
 * @phpstan-type Review
 *   array{reason: 'amount_differs'|'bank_code_missing'|'bank_code_reused'|'order_paid_twice'|'order_withdrawn'|'paid_twice',
 *   expected_rials: int, captured_rials: ?int, bank_code: ?string, invoice_key: string, other_payment_id: ?string,
 *   resolution: ?Resolution}
 * @phpstan-type GivenBack
 *   array{reason: 'amount_differs'|'merchant_reversed'|'order_paid_twice'|'order_withdrawn'|'paid_twice'|'reversed'|'too_late',
 *   amount_rials: ?int, by: ?string, at: ?string, invoice_key: string, other_payment_id: ?string}
 * @phpstan-type Payment array{id: string, status: Status, mode: Mode, test: bool, storefront: string,
 *   terminal_id: string, gateway: string, order_id: string, amount_rials: int, amount_toman: int|float,
 *   currency: Currency, description: ?string, metadata: Metadata, invoice_key: ?string, bank_code: ?string,
 *   card_mask: ?string, trace_number: ?string, fee_rials: ?int, late: bool, failure: ?Failure, review: ?Review,
 *   given_back: ?GivenBack, withdrawn_at: ?string, version: int, created_at: string, updated_at: string,
 *   expires_at: string, paid_at: ?string, pay_url: string, return_url: ?string}
 * @phpstan-type Check
 *   array{outcome: 'captured'|'not_paid'|'canceled'|'paid_unconfirmed'|'confirmed'|'too_late'|'reversed'|'amount_differs'|'unknown'|'not_asked',
 *   reason: ?string, gateway_error_code: ?int, http_status: ?int}
 * @phpstan-type CheckedPayment array{id: string, status: Status, mode: Mode, test: bool, storefront: string,
 *   terminal_id: string, gateway: string, order_id: string, amount_rials: int, amount_toman: int|float,
 *   currency: Currency, description: ?string, metadata: Metadata, invoice_key: ?string, bank_code: ?string,
 *   card_mask: ?string, trace_number: ?string, fee_rials: ?int, late: bool, failure: ?Failure, review: ?Review,
 *   given_back: ?GivenBack, withdrawn_at: ?string, version: int, created_at: string, updated_at: string,
 *   expires_at: string, paid_at: ?string, pay_url: string, return_url: ?string, check: Check}
 * @phpstan-type PaymentEvent array{id: string, status: Status, mode: Mode, test: bool, storefront: string,
 *   terminal_id: string, gateway: string, order_id: string, amount_rials: int, amount_toman: int|float,
 *   currency: Currency, description: ?string, metadata: Metadata, invoice_key: ?string, bank_code: ?string,
 *   card_mask: ?string, trace_number: ?string, fee_rials: ?int, late: bool, failure: ?Failure, review: ?Review,
 *   given_back: ?GivenBack, withdrawn_at: ?string, version: int, created_at: string, updated_at: string,
 *   expires_at: string, paid_at: ?string, sequence: int, order_paid_by?: ?string}
 * @phpstan-type FieldError array{field: string, code: string, detail: string, detail_fa: string}
 * end of types
 * @phpstan-type AnyPayment Payment|CheckedPayment|PaymentEvent
 * @phpstan-type Back array{payment_id: string, order_id: string, status: string, payment_mode: string} */
final class Dargah {
    private const TRIES = 4, TRY_SECONDS = 30, CALL_SECONDS = 60, MAX_BYTES = 1 << 20, TOLERANCE = 300, SIGNATURES = 20;
    private const SECRET = '~^(whsec|whpk(?=_[^=]{43}=$))_((?:[A-Za-z0-9+/]{4}){8,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$~D';
    private readonly string $url, $token;
    private readonly array $keys, $returnSecrets;
    public readonly string $mode, $storefront;

    public function __construct(
        ?string $url = null, #[SensitiveParameter] ?string $token = null,
        #[SensitiveParameter] ?string $webhookSecrets = null, #[SensitiveParameter] ?string $returnSecrets = null,
        ?string $mode = null, ?string $storefront = null,
    ) {
        $this->url = rtrim($url ?: getenv('DARGAH_URL') ?: 'http://127.0.0.1:8080', '/');
        $this->token = trim($token ?: getenv('DARGAH_TOKEN') ?: '');
        $this->keys = array_map(self::key(...), self::words($webhookSecrets ?: getenv('DARGAH_WEBHOOK_SECRET') ?: ''));
        $this->returnSecrets = self::words($returnSecrets ?: getenv('DARGAH_RETURN_SECRET') ?: '');
        $this->mode = $mode ?: getenv('DARGAH_MODE') ?: 'live';
        $this->storefront = $storefront ?: getenv('DARGAH_STOREFRONT') ?: 'main';
        preg_match('~^https?://[^@\s]+$~D', $this->url) || throw new InvalidArgumentException('DARGAH_URL is no URL');
        preg_match('~^(live|test) (dg_\1_[0-9A-Za-z]+)?$~D', "$this->mode $this->token")
            || throw new InvalidArgumentException('DARGAH_MODE is live or test, and DARGAH_TOKEN is of that mode');
    }

    /** Shows no secret where the object is dumped. @return array<string, string> */
    public function __debugInfo(): array { return ['url' => $this->url, 'mode' => $this->mode]; }

    /** A payment: send the customer to its `pay_url`. The same order and attempt give the same payment, also after an
     * error. For another try of the customer, or when the order was changed, take the next attempt.
     * @param NewPayment $order @return Payment */
    public function create(array $order, int $attempt = 1, ?string $key = null): array {
        $name = $order['order_id'];
        preg_match('/^[!-~]{1,100}$/D', $name) || $name = hash('sha256', $name);
        return $this->call('POST', [], null, $order, $key ?? "order-$name-try-$attempt");
    }

    /** The payment as Dargah knows it now. @return Payment */
    public function get(string $paymentId): array { return $this->call('GET', [$paymentId]); }

    /** The payment after the gateway was asked, unless its outcome was known. @return CheckedPayment */
    public function check(string $paymentId, float $seconds = self::CALL_SECONDS): array {
        return $this->call('POST', [$paymentId, 'check'], $seconds);
    }

    /** The payment, withdrawn; DargahError `payment_not_withdrawn` when it is paid or has ended. @return Payment */
    public function cancel(string $paymentId): array { return $this->call('POST', [$paymentId, 'cancel']); }

    /** The payment once its outcome is known, or as it is when the seconds are over. @return CheckedPayment */
    public function wait(string $paymentId, float $seconds = 60.0): array {
        for ($ends = self::now() + $seconds;; usleep((int) (1e6 * min($left, 2 + ($seconds - $left) / 10)))) {
            $payment = $this->check($paymentId, max($ends - self::now(), 5.0));
            $left = $ends - self::now();
            if (!in_array($payment['status'], ['created', 'pending'], true) || $left <= 0) return $payment;
        }
    }

    /** The first field by which a payment does not pay this shop's order; null: it does. @param AnyPayment $payment */
    public function differs(array $payment, string $orderId, int $amountRials): ?string {
        $ours = ['status' => 'paid', 'mode' => $this->mode, 'test' => $this->mode === 'test',
            'storefront' => $this->storefront, 'order_id' => $orderId, 'amount_rials' => $amountRials];
        foreach ($ours as $name => $value) if (($payment[$name] ?? false) !== $value) return $name;
        return null;
    }

    /** Whether a payment pays this order of this shop, to the rial. @param AnyPayment $payment */
    public function paidFor(array $payment, string $orderId, int $amountRials): bool {
        return $this->differs($payment, $orderId, $amountRials) === null;
    }

    /** Whether its money went or goes back (`given_back`), or an operator noted a refund. @param AnyPayment $payment */
    public function refunded(array $payment): bool {
        return $payment['given_back'] !== null || ($payment['review']['resolution']['decision'] ?? '') === 'refunded';
    }

    /** The event of a request, by its exact bytes (`php://input`) and its headers ($_SERVER or getallheaders()). Throws
     * DargahRefused. `$amountOf` gives what the open order of an id costs, in rials, and null where there is none.
     * @param array<string, mixed> $headers @param callable(string): ?int $amountOf */
    public function webhook(string $body, array $headers, callable $amountOf, ?int $now = null): DargahEvent {
        $this->keys !== [] || throw new LogicException('DARGAH_WEBHOOK_SECRET is not set');
        $given = [];
        foreach ($headers as $name => $value) $given[strtr(strtolower((string) $name), '_', '-')] = $value;
        $value = static fn (string $name): string => self::text($given, $name) . self::text($given, "http-$name");
        [$id, $stamp, $texts] = array_map($value, ['webhook-id', 'webhook-timestamp', 'webhook-signature']);
        $id !== '' && preg_match('/^[0-9]{1,12}$/D', $stamp) || throw new DargahRefused('no webhook-id or timestamp');
        $age = abs(($now ?? time()) - (int) $stamp);
        $age <= self::TOLERANCE || throw new DargahRefused('not signed within these 5 minutes');
        $signed = $this->isSigned(array_slice(explode(' ', $texts), 0, self::SIGNATURES), "$id.$stamp.$body");
        $signed || throw new DargahRefused('no signature is of this secret and these bytes');
        ['type' => $type, 'data' => $data] = json_decode($body, true, 64, JSON_THROW_ON_ERROR);
        $amount = $type === 'payment.paid' ? $amountOf($data['order_id']) : null;
        $unknown = $type === 'payment.paid' ? 'order_id' : 'type';
        $differs = $amount === null ? $unknown : $this->differs($data, $data['order_id'], $amount);
        $payment = str_starts_with($type, 'payment.') ? $data : null;
        return new DargahEvent($id, $type, $data, $payment, $differs === null ? $data['order_id'] : null, $differs);
    }

    /** What Dargah signed into the customer's way back, by its query ($_GET). Throws DargahRefused. It chooses the page
     * to show and credits nothing: the customer may keep the link. @param array<string, mixed> $query @return Back */
    public function verifyReturn(array $query): array {
        $this->returnSecrets !== [] || throw new LogicException('DARGAH_RETURN_SECRET is not set');
        $prefix = isset($query['dargah_signature_v2']) ? 'dargah_' : '';
        $names = ['payment_id', 'order_id', 'status', 'payment_mode'];
        $found = array_combine($names, array_map(static fn ($name) => self::text($query, $prefix . $name), $names));
        $text = implode('&', array_map(static fn ($name) => "$name=$found[$name]", $names));
        $given = self::text($query, "{$prefix}signature_v2");
        $made = static fn (string $secret): bool => hash_equals(hash_hmac('sha256', $text, $secret), $given);
        $valid = array_filter($this->returnSecrets, $made) !== [] && $found['payment_mode'] === $this->mode;
        return $valid ? $found : throw new DargahRefused('Dargah did not send the customer with these words');
    }

    /** The answer's JSON. What may pass is asked for again, until tries or seconds are over.
     * @param list<string> $path @param array<string, mixed> $order @return array<string, mixed> */
    private function call(string $method, array $path, ?float $seconds = null, array $order = [], $key = ''): array {
        $url = implode('/', [$this->url, 'v1/payments', ...array_map(rawurlencode(...), $path)]);
        $headers = ["Authorization: Bearer $this->token", 'User-Agent: dargah-php/0.1.0'];
        preg_match('/^[!-~]{0,255}$/D', $key) || throw new InvalidArgumentException('a key is visible ASCII');
        if ($order !== []) array_push($headers, "Idempotency-Key: $key", 'Content-Type: application/json');
        $body = $order === [] ? '' : json_encode($order, JSON_THROW_ON_ERROR);
        $options = [CURLOPT_HTTPHEADER => $headers] + ($method === 'POST' ? [CURLOPT_POSTFIELDS => $body] : []);
        $ends = self::now() + ($seconds ?? self::CALL_SECONDS);
        for ($tries = 1;; $tries++) {
            $options[CURLOPT_TIMEOUT_MS] = (int) (1000 * min(self::TRY_SECONDS, max($ends - self::now(), 1.0)));
            [$status, $found, $after] = self::once($url, $options);
            if ($status >= 200 && $status < 300) return $found;
            $error = new DargahError($status, $found);
            $passing = in_array($status, [0, 429, 502, 503, 504], true) || $error->errorCode === 'request_in_progress';
            $passing = $passing && $error->errorCode !== 'gateway_refused' && $tries < self::TRIES;
            $pause = max($after, 0.25 * 2 ** $tries * random_int(50, 150) / 100);
            if (!$passing || self::now() + $pause > $ends) throw $error;
            usleep((int) (1e6 * $pause));
        }
    }

    /** Status, JSON and Retry-After; the status is 0 when no whole answer came.
     * @param array<int, mixed> $options @return array{int, array<string, mixed>, int} */
    private static function once(string $url, array $options): array {
        $curl = curl_init($url);
        curl_setopt_array($curl, $options + [
            CURLOPT_RETURNTRANSFER => true, CURLOPT_HEADER => true, CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_SSL_VERIFYPEER => true, CURLOPT_SSL_VERIFYHOST => 2, CURLOPT_NOPROGRESS => false,
            CURLOPT_PROGRESSFUNCTION => static fn ($curl, $size, $got): int => (int) ($got > self::MAX_BYTES),
        ]);
        [$raw, $status] = [curl_exec($curl), curl_getinfo($curl, CURLINFO_RESPONSE_CODE)];
        if (!is_string($raw)) return [0, ['code' => 'network', 'detail' => 'no whole answer: ' . curl_error($curl)], 0];
        [$head, $body] = [substr($raw, 0, $size = curl_getinfo($curl, CURLINFO_HEADER_SIZE)), substr($raw, $size)];
        $after = preg_match('/^retry-after: *([0-9]{1,6})\s*$/mi', $head, $match) ? (int) $match[1] : 0;
        $found = json_decode($body, true, 64);
        if (is_array($found) && !array_is_list($found)) return [$status, $found, $after];
        $problem = ['code' => "http_$status", 'detail' => "the answer is not Dargah's: is DARGAH_URL where it is?"];
        return [$status < 300 ? 0 : $status, $problem, 0];
    }

    /** Whether a signature is of a key: `v1` of a whsec_, `v1a` of a whpk_. @param list<string> $signatures */
    private function isSigned(array $signatures, string $signed): bool {
        foreach ($this->keys as [$version, $key]) foreach ($signatures as $text) {
            $bytes = str_starts_with($text, "$version,") ? base64_decode(substr($text, strlen($version) + 1)) : '';
            if ($version === 'v1' && hash_equals(hash_hmac('sha256', $signed, $key, true), $bytes)) return true;
            $whole = $version === 'v1a' && strlen($bytes) === 64;
            if ($whole && sodium_crypto_sign_verify_detached($bytes, $signed, $key)) return true;
        }
        return false;
    }

    /** @return array{string, string} */
    private static function key(#[SensitiveParameter] string $secret): array {
        preg_match(self::SECRET, $secret, $found)
            || throw new InvalidArgumentException('DARGAH_WEBHOOK_SECRET is whsec_… or whpk_…, whole, as it was shown');
        return [$found[1] === 'whsec' ? 'v1' : 'v1a', base64_decode($found[2])];
    }

    private static function text(array $of, $name): string { return is_string($of[$name] ?? 0) ? $of[$name] : ''; }
    private static function words(string $text): array { return preg_split('/\s+/', $text, -1, PREG_SPLIT_NO_EMPTY); }
    private static function now(): float { return hrtime(true) / 1e9; }
}
