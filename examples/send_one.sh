#!/bin/sh
# Sends one email with curl and shows what became of it.
#
#   KEY=cdp_live_… examples/send_one.sh you@example.org
set -eu

API=${API:-http://127.0.0.1:8000/v1}
TO=${1:-ada@example.org}
: "${KEY:?Set KEY to an API key: cdp key create CLIENT}"

# With the same Idempotency-Key a repeat is answered the same, and nothing is sent twice.
ANSWER=$(curl --fail-with-body --silent --show-error "$API/communications" \
    --header "Authorization: Bearer $KEY" \
    --header "Content-Type: application/json" \
    --header "Idempotency-Key: send-one-$(date +%s)-$$" \
    --data '{
        "channel": "email",
        "to": [{"email": "'"$TO"'", "name": "Ada"}],
        "content": {
            "subject": "Hello from curl",
            "text": "It works.",
            "html": "<p>It <a href=\"https://www.example.com/\">works</a>.</p>"
        },
        "reference": "send_one.sh"
    }')
echo "Accepted: $ANSWER"

ID=$(echo "$ANSWER" | sed 's/.*"id":"\([^"]*\)".*/\1/;s/,.*//')
sleep 2
echo "Its log:"
curl --fail-with-body --silent --show-error "$API/communications/$ID/events" \
    --header "Authorization: Bearer $KEY"
echo
