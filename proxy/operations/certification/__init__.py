"""`dargah certify`: plays stories of webhooks at a shop's endpoint, and rules what the shop did about each."""
