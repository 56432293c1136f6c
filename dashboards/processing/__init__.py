"""Pages of the transparency app, one module each with a ``show`` function; keep shared parts in ``dashboards``."""
