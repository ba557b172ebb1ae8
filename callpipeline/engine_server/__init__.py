"""HTTP server for the local engines, with the contract of the services that they replace.

`callpipeline engines serve` runs it. It has no calls, competitors or database: a request contains
everything that the response needs.
"""
