"""A shop on Django as `django-admin startproject` makes it, less what no payment needs, with az-iranian-bank-gateways.

SQLite is as durable as Dargah's: WAL and synchronous=FULL. Its connection is kept, which is quicker than the default.
"""

import os

SECRET_KEY = "only a benchmark sees it"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1"]
DEBUG = False
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "azbankgateways",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "bench.peers.foreign.shop.urls"
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ["SHOP_DATABASE"],
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
}
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "postgres",
    "USER": "dargah",
    "HOST": os.environ["SHOP_POSTGRESQL"],
}
DATABASES = {"default": {**(POSTGRESQL if os.environ["SHOP_POSTGRESQL"] else SQLITE), "CONN_MAX_AGE": None}}
USE_TZ = True
LOGGING_CONFIG = None
AZ_IRANIAN_BANK_GATEWAYS = {
    "GATEWAYS": {"ZIBAL": {"MERCHANT_CODE": "zibal"}},
    "DEFAULT": "ZIBAL",
    "CURRENCY": "IRR",
    "IS_SAFE_GET_GATEWAY_PAYMENT": True,
}
# The package's own setting for a gateway's class: the local gateway in the place of Zibal's host.
CLASS = {"ZIBAL": "bench.peers.foreign.shop.gateway.LocalZibal"}
