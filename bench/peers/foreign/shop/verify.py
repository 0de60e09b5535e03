"""The job that the package's README gives for payments whose verify was interrupted, word for word.

`python -m bench.peers.foreign.shop.verify` migrates instead with the word `migrate`, and prints the status of each
payment by its reference number with `statuses`.
"""

import json
import sys

import django
from django.core.management import call_command


def verify_again() -> None:
    from azbankgateways import bankfactories  # noqa: PLC0415  Django is set up first
    from azbankgateways import models as bank_models  # noqa: PLC0415

    factory = bankfactories.BankFactory()
    bank_models.Bank.objects.update_expire_records()
    for item in bank_models.Bank.objects.filter_return_from_bank():
        bank = factory.create(bank_type=item.bank_type, identifier=item.bank_choose_identifier)
        bank.verify(item.tracking_code)


def statuses() -> dict[str, str]:
    from azbankgateways import models as bank_models  # noqa: PLC0415

    return {row.reference_number: row.status for row in bank_models.Bank.objects.all()}


if __name__ == "__main__":
    django.setup()
    if sys.argv[1:] == ["migrate"]:
        call_command("migrate", verbosity=0)
    elif sys.argv[1:] == ["statuses"]:
        print(json.dumps(statuses()))
    else:
        verify_again()
