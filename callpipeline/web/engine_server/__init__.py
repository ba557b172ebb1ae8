"""The engines of this installation for others, by the HTTP contract of the services they replace.

`callpipeline engines serve` runs it. It knows neither calls nor competitors nor a database: a
request brings all that its answer needs.
"""
