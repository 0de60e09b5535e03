# Sets up a shop in the playground of compose.yaml, and makes its first payment.
set -eu
url=${DARGAH_URL:-http://127.0.0.1:8080} gateway=${GATEWAY_URL:-http://127.0.0.1:8090}
DARGAH_ADMIN_TOKEN=$(cat "$DARGAH_SECRETS_DIR/dargah_admin_token")
export DARGAH_ADMIN_TOKEN
field() { python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

merchant=$(dargah merchant create --name "Playground" --return-origin "$gateway" --json | field id)
printf playground | dargah terminal create --merchant "$merchant" --name main \
  --gateway-url "$gateway" --api-key-stdin --json >/dev/null
token=$(dargah token create --merchant "$merchant" --storefront main --json | field token)

export TOKEN="$token" URL="$url"
python - <<'PAYMENT'
import json, os, urllib.request
request = urllib.request.Request(
    os.environ["URL"] + "/v1/payments",
    json.dumps({"amount": 15000, "currency": "IRT", "order_id": "1"}).encode(),
    {"Authorization": "Bearer " + os.environ["TOKEN"], "Idempotency-Key": "first", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=30) as answer:
    print("\nA first payment. Pay it here:", json.load(answer)["pay_url"])
PAYMENT
cat <<TEXT
The next one is yours:

  curl $url/v1/payments -H "Authorization: Bearer $token" -H "Idempotency-Key: second" \\
    -H "Content-Type: application/json" -d '{"amount": 15000, "currency": "IRT", "order_id": "2"}'

What happened: curl $url/v1/events -H "Authorization: Bearer $token"
TEXT
