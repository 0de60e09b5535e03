"""The API reference at `/docs`: openapi.yaml, with a real answer beside each operation, as one page without a script.

openapi.json is openapi.yaml for programs, and examples.json holds real answers from tests; `make docs` writes both.
"""
