"""The nightly batch, its releases, and the HTTP API, page and verbs that read them."""
