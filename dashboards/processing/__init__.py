"""Pages of the transparency app, one module each with a ``show`` function.

Put here: pages, and what only this app reads (``reading.py``, ``shapes.py``), recounts (``recounts.py``) or quotes
(``step_code.py``). Keep out: what the insights app needs too; it belongs in ``dashboards``.
"""
