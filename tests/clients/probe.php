<?php
// Calls the PHP client as each line of standard input says, and prints a line of JSON for each.
declare(strict_types=1);
require __DIR__ . '/../../proxy/reference/clients/php/Dargah.php';

function call(array $ask): mixed
{
    $dargah = new Dargah(...($ask['settings'] ?? []));
    if ($ask['call'] !== 'webhook') {
        return $dargah->{$ask['call']}(...$ask['args']);
    }
    [$body, $headers, $costs, $now] = $ask['args'];
    $event = $dargah->webhook($body, $headers, static fn (string $order): mixed => $costs[$order] ?? null, $now);
    return ['id' => $event->id, 'type' => $event->type, 'paidOrder' => $event->paidOrder, 'differs' => $event->differs];
}

while (($line = fgets(STDIN)) !== false) {
    try {
        $said = ['gave' => call(json_decode($line, true))];
    } catch (DargahRefused $refused) {
        $said = ['refused' => $refused->getMessage()];
    } catch (DargahError $error) {
        $failed = ['status' => $error->status, 'code' => $error->errorCode, 'errors' => $error->errors];
        $said = ['failed' => $failed + ['problem' => $error->problem, 'text' => $error->getMessage()]];
    } catch (TypeError | LogicException $error) {
        $said = ['misused' => $error->getMessage()];
    }
    echo json_encode($said), "\n";
}
