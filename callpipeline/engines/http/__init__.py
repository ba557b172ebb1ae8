"""HTTP services: client, authentication, retries and circuit breaker shared by all adapters."""
