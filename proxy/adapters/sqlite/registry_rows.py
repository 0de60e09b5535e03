from proxy.adapters.store.registry_rows import endpoint_of

__all__ = ["endpoint_of"]
