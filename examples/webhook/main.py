"""Takes a webhook only when its signature is right: X-Hub-Signature-256, HMAC-SHA256 of the raw body, as GitHub sends it."""

import base64
import hashlib
import hmac
import json
import os

SECRET = os.environ["WEBHOOK_SECRET"].encode()


def handler(event, context):
    # The signature is of the bytes that were sent: decoding and encoding JSON again would give others.
    body = event.get("body") or ""
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}

    if not is_signed(raw, headers.get("x-hub-signature-256", "")):
        print("refused: the signature is missing or wrong")
        return answer(401, {"error": "the signature is missing or wrong"})
    try:
        message = json.loads(raw)
    except ValueError:
        return answer(400, {"error": "the body is not JSON"})

    kind = headers.get("x-github-event", "unknown")
    repository = message.get("repository", {}).get("full_name")
    print(f"accepted {kind} of {repository}")
    return answer(202, {"accepted": kind, "repository": repository})


def is_signed(raw, signature):
    expected = "sha256=" + hmac.new(SECRET, raw, hashlib.sha256).hexdigest()
    # Takes as long for a wrong first digit as for a wrong last one. As bytes: str with other than ASCII would raise.
    return hmac.compare_digest(expected.encode(), signature.encode())


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
