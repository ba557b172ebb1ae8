"""Long-lived services of the app: health checks, metrics, exports, competitor matching."""
