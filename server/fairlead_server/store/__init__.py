"""A source URI -> a verified local directory. Runs in the fetcher process, which alone writes the model cache.

fetch       the journey: lock, look into the cache, copy, check, keep
 +-- cache      the folder on disk: what is whole is there under its digest, nothing else
 +-- sources    which kind of source a URI names
      +-- local, mlflow_http, remote    one file for each kind; download is HTTP for two of them
digest, listing, failure, limits        values and rules shared by all
"""
