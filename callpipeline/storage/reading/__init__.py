"""What people see of calls: lists, one call, numbers. Reads only, and never what was said in lists.

`reader.Reading` is what pages and the API are given; each of its parts takes a `Filters`.
"""
