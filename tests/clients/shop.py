# ruff: noqa: T201  a program, which prints its answer
"""A shop's gateway plugin as they are written: Python with requests. Its database is a JSON file.

shop.py request BASE API_KEY FILE FORM ORDER AMOUNT CALLBACK    FORM: form, json or raw
shop.py return  BASE API_KEY FILE FORM ORDER QUERY [BODY [READS]]  what the customer brought back
READS: query, body, bank_code (paid is what has a bank_code) or any
"""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import requests

act, base, api_key, file, form, order, *rest = sys.argv[1:]


def call(url: str, fields: dict[str, str]) -> dict[str, Any]:
    if form == "form":
        answer = requests.post(url, data=fields, timeout=20)
    elif form == "json":
        answer = requests.post(url, json=fields, timeout=20)
    else:
        # Put together by hand, and sent with no content type.
        answer = requests.post(url, data="&".join(f"{name}={value}" for name, value in fields.items()), timeout=20)
    said: dict[str, Any] = answer.json() if answer.status_code == 200 else {"status": 0, "errorCode": -1}
    return said


database = Path(file)
orders = json.loads(database.read_text()) if database.exists() else {}
if act == "request":
    amount, callback = rest
    url = f"{callback}?order={order}&_token=a%20b"
    said = call(f"{base}/invoice/request/", {"api_key": api_key, "amount": amount, "return_url": url})
    if said["status"] == 1:
        orders[order] = {"amount": int(amount), "key": said["invoice_key"], "paid": False}
        database.write_text(json.dumps(orders))
        said["pay_url"] = f"{base}/invoice/pay/{said['invoice_key']}"
    print(json.dumps(said))
    sys.exit()
wanted = orders[order]
query, body, reads = [*rest, "", "any"][:3] if len(rest) < 3 else rest
given = parse_qs({"query": query, "body": body}.get(reads, f"{body}&{query}"))
if given.get("status", ["0"]) != ["0"]:
    print(json.dumps({"credited": False, "why": "status"}))
    sys.exit()
if reads == "bank_code" and "bank_code" not in given:
    print(json.dumps({"credited": False, "why": "bank_code"}))
    sys.exit()
if wanted["key"] not in given.get("invoice_key", []):
    print(json.dumps({"credited": False, "why": "key"}))
    sys.exit()
said = call(f"{base}/invoice/check/{wanted['key']}/", {"api_key": api_key})
if said["status"] != 1 or said["amount"] != wanted["amount"]:
    print(json.dumps({"credited": False, "why": said.get("errorCode", "amount")}))
    sys.exit()
orders[order]["paid"] = True
database.write_text(json.dumps(orders))
print(json.dumps({"credited": True, "bank_code": said["bank_code"]}))
