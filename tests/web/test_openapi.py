"""openapi.yaml is valid, complete, and true of its own examples."""

from typing import Any

import orjson
import pytest
from openapi_spec_validator import validate

from proxy.api import public
from proxy.api.admin import app as admin
from proxy.reference import page as reference
from web.openapi_check import check_answer, check_schema, document, operations


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(document())
    assert document()["openapi"].startswith("3.1")
    assert '"format":"iri' not in orjson.dumps(document()).decode()  # it would not be checked, see conftest.py


def test_its_operations_are_the_routers() -> None:
    assert operations() == {*public.operations(reference.ROUTES), *admin.operations()}


def test_its_examples_are_of_their_schemas() -> None:
    check_schema("Payment", document()["components"]["examples"]["PendingPayment"]["value"])
    invalid: Any = document()["components"]["responses"]["Invalid"]["content"]["application/problem+json"]
    check_schema("Problem", invalid["examples"]["amount"]["value"])
    body = document()["paths"]["/v1/payments"]["post"]["requestBody"]["content"]["application/json"]
    check_schema("CreatePayment", body["examples"]["toman"]["value"])


def test_an_answer_outside_the_document_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no 418"):
        check_answer("GET", "/healthz", 418, {"Content-Type": "application/json"}, b"{}")
    with pytest.raises(Exception, match="'colour' was unexpected"):
        check_answer("GET", "/healthz", 200, {"Content-Type": "application/json"}, b'{"status":"ok","colour":1}')
