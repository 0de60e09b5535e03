"""Sign-in by OpenID Connect: a provider's word for who somebody is, and which role their groups have here."""
