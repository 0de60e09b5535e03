<?php
// A shop's gateway plugin as they are written: PHP with curl. Its database is a JSON file.
//   shop.php request BASE API_KEY FILE FORM ORDER AMOUNT CALLBACK    FORM: form, json or array
//   shop.php return  BASE API_KEY FILE FORM ORDER QUERY [BODY [READS]]  what the customer brought back
//   READS: query ($_GET alone), body ($_POST alone), bank_code (paid is what has a bank_code) or any

[, $act, $base, $apiKey, $file, $form, $order] = $argv;

function call(string $url, string $form, array $fields): array
{
    $curl = curl_init($url);
    $headers = [];
    if ($form === 'form') {
        $body = http_build_query($fields);
    } elseif ($form === 'json') {
        $body = json_encode($fields);
        $headers[] = 'Content-Type: application/json';
    } else {
        $body = $fields;
    }
    curl_setopt_array($curl, [
        CURLOPT_POST => true,
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 20,
    ]);
    $answer = curl_exec($curl);
    if ($answer === false || curl_getinfo($curl, CURLINFO_HTTP_CODE) !== 200) {
        return ['status' => 0, 'errorCode' => -1, 'errorDescription' => 'gateway down'];
    }
    return json_decode($answer, true);
}

$orders = is_file($file) ? json_decode(file_get_contents($file), true) : [];
if ($act === 'request') {
    $amount = $argv[7];
    // The protocol says "urlencoded", so the plugin encodes it, and http_build_query does again.
    $said = call("$base/invoice/request", $form, [
        'api_key' => $apiKey,
        'amount' => $amount,
        'return_url' => urlencode($argv[8] . '?order=' . $order . '&_token=a%20b'),
    ]);
    if ($said['status'] == 1) {
        $orders[$order] = ['amount' => (int) $amount, 'key' => $said['invoice_key'], 'paid' => false];
        file_put_contents($file, json_encode($orders));
        $said['pay_url'] = "$base/invoice/pay/" . $said['invoice_key'];
    }
    echo json_encode($said);
    exit;
}
parse_str($argv[7], $get);
parse_str($argv[8] ?? '', $post);
$reads = $argv[9] ?? 'any';
$given = ['query' => $get, 'body' => $post][$reads] ?? $post + $get;
$wanted = $orders[$order];
// The commonest of all: what is in a status is an error.
if (!empty($given['status'])) {
    echo json_encode(['credited' => false, 'why' => 'status']);
    exit;
}
if ($reads === 'bank_code' && empty($given['bank_code'])) {
    echo json_encode(['credited' => false, 'why' => 'bank_code']);
    exit;
}
if (($given['invoice_key'] ?? '') !== $wanted['key']) {
    echo json_encode(['credited' => false, 'why' => 'key']);
    exit;
}
$said = call("$base/invoice/check/" . $wanted['key'], $form, ['api_key' => $apiKey]);
if ($said['status'] != 1 || (int) $said['amount'] !== $wanted['amount']) {
    echo json_encode(['credited' => false, 'why' => $said['errorCode'] ?? 'amount']);
    exit;
}
$orders[$order]['paid'] = true;
file_put_contents($file, json_encode($orders));
echo json_encode(['credited' => true, 'bank_code' => $said['bank_code']]);
