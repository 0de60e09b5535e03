"""Behpardakht Mellat's WSDL as its simulator gives it: the operations that it has, in the shape of the bank's own."""

from collections.abc import Mapping
from typing import Final

from proxy.gateways.mellat.soap import NAMESPACE

_LOGIN: Final = {"terminalId": "long", "userName": "string", "userPassword": "string"}
_SALE: Final = {**_LOGIN, "orderId": "long", "saleOrderId": "long", "saleReferenceId": "long"}
_PAY: Final = {
    **_LOGIN,
    "orderId": "long",
    "amount": "long",
    "localDate": "string",
    "localTime": "string",
    "additionalData": "string",
    "callBackUrl": "string",
    "payerId": "string",
}
OPERATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "bpPayRequest": _PAY,
    "bpVerifyRequest": _SALE,
    "bpSettleRequest": _SALE,
    "bpInquiryRequest": _SALE,
    "bpReversalRequest": _SALE,
}
"""The fields of each operation with their types, in their order."""

_DEFINITIONS: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<wsdl:definitions name="PaymentGatewayImplService" targetNamespace="{namespace}" xmlns:tns="{namespace}" '
    'xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" '
    'xmlns:xs="http://www.w3.org/2001/XMLSchema"><wsdl:types>'
    '<xs:schema elementFormDefault="unqualified" targetNamespace="{namespace}" version="1.0">{schema}</xs:schema>'
    '</wsdl:types>{messages}<wsdl:portType name="IPaymentGateway">{ports}</wsdl:portType>'
    '<wsdl:binding name="PaymentGatewayImplServiceSoapBinding" type="tns:IPaymentGateway">'
    '<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{bindings}</wsdl:binding>'
    '<wsdl:service name="PaymentGatewayImplService">'
    '<wsdl:port binding="tns:PaymentGatewayImplServiceSoapBinding" name="PaymentGatewayImplPort">'
    '<soap:address location="{location}"/></wsdl:port></wsdl:service></wsdl:definitions>'
)
_MESSAGE: Final = '<wsdl:message name="{name}"><wsdl:part element="tns:{name}" name="parameters"/></wsdl:message>'
_PORT: Final = (
    '<wsdl:operation name="{name}"><wsdl:input message="tns:{name}"/>'
    '<wsdl:output message="tns:{name}Response"/></wsdl:operation>'
)
_BINDING: Final = (
    '<wsdl:operation name="{name}"><soap:operation soapAction="" style="document"/>'
    '<wsdl:input><soap:body use="literal"/></wsdl:input><wsdl:output><soap:body use="literal"/></wsdl:output>'
    "</wsdl:operation>"
)


def wsdl(location: str) -> str:
    """The WSDL of the service at that URL, which has no character that XML would want escaped."""
    messages = {name: fields for call, told in OPERATIONS.items() for name, fields in _exchange(call, told)}
    return _DEFINITIONS.format(
        namespace=NAMESPACE,
        location=location,
        schema="".join(_element(name, fields) for name, fields in messages.items()),
        messages="".join(_MESSAGE.format(name=name) for name in messages),
        ports="".join(_PORT.format(name=name) for name in OPERATIONS),
        bindings="".join(_BINDING.format(name=name) for name in OPERATIONS),
    )


def _exchange(call: str, fields: Mapping[str, str]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    return (call, fields), (f"{call}Response", {"return": "string"})


def _element(name: str, fields: Mapping[str, str]) -> str:
    inside = "".join(
        f'<xs:element name="{field}" type="xs:{kind}"{_OPTIONAL[kind]}/>' for field, kind in fields.items()
    )
    return (
        f'<xs:element name="{name}"><xs:complexType><xs:sequence>{inside}</xs:sequence></xs:complexType></xs:element>'
    )


_OPTIONAL: Final = {"string": ' minOccurs="0"', "long": ""}
