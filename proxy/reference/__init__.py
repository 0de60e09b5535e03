"""The API reference: openapi.yaml, with a real answer beside each operation, as pages without a script at `/docs`, as
Markdown, as requests for editors and as `llms.txt`; and the event catalogue.

openapi.json is openapi.yaml for programs, and examples.json holds real answers from tests; `make docs` writes both.
"""
